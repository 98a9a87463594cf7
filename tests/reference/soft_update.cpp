// SPDX-License-Identifier: MIT
#include <attune/reference/soft_update.hpp>

#include "support/catch.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

using attune::bfloat16;
using attune::soft_update;

namespace {

/// Equality of bits: tells -0 from +0 and one NaN from another.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  const void *x = a.data(), *y = b.data();
  return a.size() == b.size() && std::memcmp(x, y, a.size() * sizeof(T)) == 0;
}

std::vector<bfloat16> every_bfloat16() {
  std::vector<bfloat16> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  return all;
}

/// Floats of any bit pattern, so of any magnitude, NaNs with any payload included.
std::vector<float> any_floats(std::size_t n) {
  std::mt19937 bits(7);
  std::vector<float> x;
  for (std::uint32_t special : {0u, 0x80000000u, 1u, 0x80000001u, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f800001u, 0xffffffffu,
                                0x7f7fffffu}) {
    x.push_back(std::bit_cast<float>(special));
  }
  while (x.size() < n) x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits())));
  return x;
}

template <class T>
std::vector<T> normal(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> gauss;
  std::vector<T> x(n);
  for (T& e : x) e = T(gauss(generator));
  return x;
}

constexpr double policy_weights[] = {.6, .1, .01};

}  // namespace

TEST_CASE("soft_update: the weight is the new policy's (three steps by hand)") {
  std::vector<float> reference = {0}, policy = {1};
  for (float expected : {.25f, .4375f, .578125f}) {
    const attune::update_report r = soft_update(reference, policy, .25);
    CHECK(reference[0] == expected);
    CHECK(r.elements == 1);
    CHECK(r.stalled == 0);
    CHECK(r.non_finite == 0);
  }
}

TEST_CASE("soft_update: agrees with (1 - a) reference + a policy to rounding") {
  const auto start = normal<float>(10007, 1), policy = normal<float>(10007, 2);
  for (double a : policy_weights) {
    auto reference = start;
    soft_update(reference, policy, a);
    double worst = 0;
    for (std::size_t i = 0; i < start.size(); ++i) {
      const double exact = (1 - a) * start[i] + a * policy[i], scale = std::max(std::abs(start[i]), std::abs(policy[i]));
      worst = std::max(worst, std::abs(reference[i] - exact) / scale);
    }
    CHECK(worst > 0);
    CHECK(worst < (.5 + 3 * a) * std::numeric_limits<float>::epsilon());
  }
}

TEST_CASE("soft_update: equal weights are a fixed point, bit by bit") {
  const auto floats = any_floats(1'000'000);
  const auto halves = every_bfloat16();
  std::vector<float> widened(halves.begin(), halves.end());
  for (double a : policy_weights) {
    auto reference = floats;
    const attune::update_report r = soft_update(reference, floats, a);
    CHECK(same_bits(reference, floats));
    CHECK(r.stalled == 0);
    auto master = widened;
    soft_update(master, halves, a);
    CHECK(same_bits(master, widened));
    auto compensated = halves;
    std::vector<bfloat16> residual(halves.size());
    soft_update(compensated, halves, a, attune::compensation{residual});
    CHECK(same_bits(compensated, halves));
    CHECK(same_bits(residual, std::vector<bfloat16>(halves.size())));
  }
}

TEST_CASE("soft_update: weight 0 changes no bit, weight 1 copies all") {
  const auto policy = any_floats(5003);
  const auto start = normal<float>(5003, 3);
  auto reference = start;
  CHECK(soft_update(reference, policy, 0).stalled == 0);
  CHECK(same_bits(reference, start));
  soft_update(reference, policy, 1);
  CHECK(same_bits(reference, policy));

  auto unusual = any_floats(5003);
  soft_update(unusual, start, 0);
  CHECK(same_bits(unusual, policy));
  soft_update(unusual, start, 1);
  CHECK(same_bits(unusual, start));

  const auto halves = every_bfloat16();
  std::vector<bfloat16> compensated(halves.size(), bfloat16(3.0f)), residual(halves.size(), bfloat16(.001f));
  soft_update(compensated, halves, 1, attune::compensation{residual});
  CHECK(same_bits(compensated, halves));
  for (bfloat16 x : residual) CHECK(float(x) == 0);
}

TEST_CASE("soft_update: a 16-bit reference follows where a plain 16-bit average stalls") {
  const bfloat16 one(1.0f), policy(1.0078125f);
  float plain = 1;  // both usual forms, rounded to 16 bits at every step, never leave 1
  for (int step = 0; step < 1000; ++step) plain = bfloat16(plain + .01f * (float(policy) - plain));
  CHECK(plain == 1);

  std::vector<bfloat16> weights(19, policy), reference(19, one), residual(19, bfloat16(0.0f)), copy(19, one);
  std::vector<float> master(19, 1.0f);
  for (int step = 0; step < 1000; ++step) {
    soft_update(reference, weights, .01, attune::compensation{residual});
    soft_update(master, weights, .01, attune::rounded_copy{copy});
  }
  const double exact = 1.0078125 - .0078125 * std::pow(.99, 1000);
  CHECK(float(reference[18]) == 1.0078125f);
  CHECK(float(copy[18]) == 1.0078125f);
  CHECK(master[18] == Approx(exact).epsilon(0).margin(1e-5));
  CHECK(float(reference[18]) + float(residual[18]) == Approx(exact).epsilon(0).margin(1e-5));
}

TEST_CASE("soft_update: compensated bfloat16 carries the running average to 16 bits, all along") {
  const auto start = normal<bfloat16>(1001, 4), policy = normal<bfloat16>(1001, 5);
  auto reference = start;
  std::vector<bfloat16> residual(start.size());
  std::vector<double> exact(start.begin(), start.end());
  double worst = 0;
  for (int step = 0; step < 200; ++step) {
    soft_update(reference, policy, .02, attune::compensation{residual});
    for (std::size_t i = 0; i < exact.size(); ++i) {
      exact[i] += .02 * (double{float(policy[i])} - exact[i]);
      const double scale = std::max(std::abs(double{float(start[i])}), std::abs(double{float(policy[i])}));
      worst = std::max(worst, std::abs(double{float(reference[i])} + float(residual[i]) - exact[i]) / scale);
    }
  }
  CHECK(worst < std::ldexp(1, -12));  // errors of half 2^-16 a step, forgotten at the rate 0.02: below 50 x 2^-17 in the worst case
}

TEST_CASE("soft_update: the rounded copy is the master, rounded") {
  auto master = normal<float>(777, 6);
  const auto policy = normal<bfloat16>(777, 7);
  std::vector<bfloat16> copy(777);
  for (double a : {.6, 0.0, 1.0}) {
    soft_update(master, policy, a, attune::rounded_copy{copy});
    std::vector<bfloat16> expected;
    for (float x : master) expected.push_back(bfloat16(x));
    CHECK(same_bits(copy, expected));
  }
}

TEST_CASE("soft_update: any cut into shards and any number of threads give the bits of the whole") {
  const std::size_t n = 70'001, cuts[] = {0, 1, 17, 4096, 4111, 30'000, 69'999, n};
  const auto start = normal<float>(n, 8), policy = normal<float>(n, 9);
  auto whole = start;
  const attune::update_report all = soft_update(whole, policy, .1);

  auto sharded = start;
  attune::update_report sum;
  for (int c = 0; c < 7; ++c) {
    const std::size_t begin = cuts[c], size = cuts[c + 1] - begin;
    sum += soft_update(std::span(sharded).subspan(begin, size), std::span(policy).subspan(begin, size), .1);
  }
  CHECK(same_bits(sharded, whole));
  CHECK(sum.elements == all.elements);
  for (int threads : {1, 2, 3, 7, 0}) {
    auto parallel = start;
    CHECK(soft_update(attune::threads{threads, 0}, parallel, policy, .1).elements == std::int64_t(n));
    CHECK(same_bits(parallel, whole));
  }

  const auto half_start = normal<bfloat16>(n, 10), half_policy = normal<bfloat16>(n, 11);
  auto a = half_start, b = half_start;
  std::vector<bfloat16> residual_a(n), residual_b(n);
  for (int step = 0; step < 3; ++step) {
    soft_update(a, half_policy, .1, attune::compensation{residual_a});
    soft_update(attune::threads{3, 0}, b, half_policy, .1, attune::compensation{residual_b});
  }
  CHECK(same_bits(a, b));
  CHECK(same_bits(residual_a, residual_b));
}

TEST_CASE("soft_update: strided and reversed views give the bits of contiguous ones, and leave the rest alone") {
  const std::int64_t n = 301;
  const auto start = normal<float>(301, 12), policy = normal<float>(301, 13);
  auto dense = start;
  soft_update(dense, policy, .6);
  std::vector<float> wide(3 * 301, -1.0f), reversed(policy.rbegin(), policy.rend());
  for (std::size_t i = 0; i < 301; ++i) wide[3 * i] = start[i];
  const attune::view<float> every_third(wide.data(), {n}, {3});
  const attune::view<const float> backwards(reversed.data() + n - 1, {n}, {-1});
  soft_update(every_third, backwards, .6);
  for (std::size_t i = 0; i < 301; ++i) {
    CHECK(wide[3 * i] == dense[i]);
    CHECK(wide[3 * i + 1] == -1);
    CHECK(wide[3 * i + 2] == -1);
  }
}

TEST_CASE("soft_update: element types mix, a double reference is averaged in double") {
  std::vector<double> reference = {1, 2, 3};
  const std::vector<bfloat16> policy(3, bfloat16(4.0f));
  soft_update(reference, policy, .1);
  CHECK(reference[0] == 1 + .1 * 3);
  const std::vector<double> fine = {1 + 1e-12, 2, 3};
  std::vector<float> coarse = {1, 1, 1};
  soft_update(coarse, fine, .5);
  CHECK(coarse == std::vector<float>{1, 1.5f, 2});
}

TEST_CASE("soft_update: reports elements that could not move, and those that are not finite") {
  const float next = std::nextafter(1.0f, 2.0f);
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  //                              stalls  moves  equal  equal  NaN in  NaN stays  infinite in  inf - inf
  std::vector<float> reference = {1,      1,     1,     0.0f,  1,      nan,       1,           inf};
  const std::vector<float> policy = {next, 2,    1,     -0.0f, nan,    1,         inf,         -inf};
  const attune::update_report r = soft_update(reference, policy, .1);
  CHECK(r.elements == 8);
  CHECK(r.stalled == 1);
  CHECK(r.non_finite == 4);
  CHECK(reference[0] == 1);
  CHECK(reference[1] == 1.1f);
  CHECK(std::isnan(reference[4]));
  CHECK(std::isnan(reference[5]));
  CHECK(reference[6] == inf);
  CHECK(std::isnan(reference[7]));

  std::vector<bfloat16> half(5, bfloat16(1.0f)), residual(5);
  const std::vector<bfloat16> close(5, bfloat16(1.0078125f));
  CHECK(soft_update(half, close, 1e-8, attune::compensation{residual}).stalled == 5);
  CHECK(soft_update(half, close, 1e-2, attune::compensation{residual}).stalled == 0);
}

TEST_CASE("soft_update: no elements are no error") {
  std::vector<float> none, no_policy;
  CHECK(soft_update(none, no_policy, .5).elements == 0);
}

TEST_CASE("soft_update: refuses sizes, weights and tensors that cannot be meant, and writes nothing") {
  std::vector<float> reference(4096, 1.0f), policy(4096, 2.0f), empty;
  std::vector<bfloat16> short_copy(4095), residual(4096), half(4096, bfloat16(1.0f));
  CHECK_THROWS_WITH(soft_update(reference, empty, .5), "attune: policy has 0 elements; expected 4096, like reference");
  CHECK_THROWS_WITH(soft_update(empty, policy, .5), "attune: policy has 4096 elements; expected 0, like reference");
  CHECK_THROWS_WITH(soft_update(reference, policy, .5, attune::rounded_copy{short_copy}),
                    "attune: rounded_copy has 4095 elements; expected 4096, like reference");
  for (double a : {-.1, 1.5, std::nan("")}) CHECK_THROWS_AS(soft_update(reference, policy, a), attune::error);
  CHECK_THROWS_WITH(soft_update(reference, policy, 1.5),
                    "attune: policy_weight is 1.5; expected a value in [0, 1] (the weight of the new policy; 1 copies it)");
  CHECK_THROWS_WITH(soft_update(reference, reference, .5),
                    "attune: reference overlaps policy in memory: the reference is the policy; expected tensors of their own");
  CHECK_THROWS_AS(soft_update(std::span(reference).first(100), std::span(reference).subspan(50, 100), .5), attune::error);
  CHECK_NOTHROW(soft_update(std::span(reference).first(0), std::span(reference).first(0), .5));
  CHECK_THROWS_AS(soft_update(half, policy, .5, attune::compensation{half}), attune::error);
  CHECK_THROWS_AS(soft_update(half, residual, .5, attune::compensation{residual}), attune::error);
  CHECK_THROWS_AS(soft_update(attune::threads{-1}, reference, policy, .5), attune::error);
  CHECK(reference == std::vector<float>(4096, 1.0f));
  CHECK(float(half[0]) == 1);
}

TEST_CASE("soft_update: halves of one buffer are distinct tensors") {
  std::vector<float> buffer(200, 1.0f);
  for (std::size_t i = 100; i < 200; ++i) buffer[i] = 3;
  soft_update(std::span(buffer).first(100), std::span(buffer).last(100), .5);
  CHECK(buffer[99] == 2);
  CHECK(buffer[100] == 3);
}
