// SPDX-License-Identifier: MIT
#include <attune/exec/executor.hpp>
#include <attune/exec/thread_pool.hpp>
#include <attune/reference/schedule.hpp>

#include "support/catch.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using attune::bfloat16;
using attune::hard_update;
using attune::soft_update;
using attune::stochastic_rounding;

namespace {

/// A 16-bit type that the library does not know: rounded element by element. 5 exponent bits would be half; here they are bfloat16's.
struct foreign_half {
  bfloat16 x;
  foreign_half() = default;
  explicit foreign_half(float f) : x(f) {}
  operator float() const { return x; }
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// `count` times x, rounded at random.
template <class T>
std::vector<T> rounded(float x, std::size_t count, const stochastic_rounding& random) {
  const std::vector<float> policy(count, x);
  std::vector<T> reference(count);
  hard_update(reference, policy, random);
  return reference;
}

/// Signs of the rounding errors of numbers half way between two neighbours: as good as coins.
std::vector<double> coins(std::size_t count, const stochastic_rounding& random) {
  std::vector<double> signs;
  for (bfloat16 x : rounded<bfloat16>(1 + 0x1p-8f, count, random)) signs.push_back(float(x) > 1 ? 1 : -1);
  return signs;
}
double correlation(const std::vector<double>& a, const std::vector<double>& b, std::size_t lag = 0) {
  double sum = 0;
  for (std::size_t i = 0; i + lag < a.size(); ++i) sum += a[i] * b[i + lag];
  return sum / double(a.size() - lag);
}

template <class T>
void check_expectation() {
  const std::size_t count = 1 << 16;
  const float below[] = {1.0f, -1.0f, 0.0f, -3.140625f, 0x1p-133f, 0x1.fcp100f};  // bfloat16s, the fifth the smallest of all
  std::uint64_t step = 0;
  for (float low : below) {
    const auto magnitude = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(low) >> 16);
    const float high = std::bit_cast<float>(std::uint32_t{magnitude + 1u} << 16);
    for (double share : {0x1p-10, .1, .25, .5, .9}) {
      const float x = static_cast<float>(low + share * (double{high} - low));
      const double expected = (double{x} - low) / (double{high} - low);
      std::size_t up = 0;
      for (T y : rounded<T>(x, count, {.seed = 5, .step = ++step})) {
        CHECK((float(y) == low || float(y) == high));
        up += float(y) == high;
      }
      INFO(low << " + " << share << ": " << double(up) / double(count));
      CHECK(std::abs(double(up) - expected * double(count)) < 4.5 * std::sqrt(expected * (1 - expected) * double(count)));
    }
  }
}

}  // namespace

TEST_CASE("stochastic_rounding: up as often as the number is near, within 4.5 standard deviations of a binomial") {
  check_expectation<bfloat16>();
  check_expectation<foreign_half>();
}

TEST_CASE("stochastic_rounding: what 16 bits hold stays, whatever the random number") {
  std::vector<bfloat16> all(65536);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  for (std::uint64_t step = 1; step <= 5; ++step) {
    for (double a : {0.0, 1e-3, .6, 1.0}) {
      auto reference = all;
      CHECK(soft_update(reference, all, a, stochastic_rounding{.seed = 1, .step = step}).stalled == 0);
      CHECK(same_bits(reference, all));
    }
    const std::vector<float> wide(all.begin(), all.end());
    std::vector<bfloat16> copy(all.size());
    hard_update(copy, wide, stochastic_rounding{.seed = 1, .step = step});
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (std::isnan(wide[i])) CHECK(std::isnan(float(copy[i])));
      else CHECK(copy[i].bits == all[i].bits);
    }
    std::vector<foreign_half> other(all.size());
    hard_update(other, wide, stochastic_rounding{.seed = 1, .step = step});
    for (std::size_t i = 0; i < all.size(); ++i) CHECK((std::isnan(wide[i]) ? std::isnan(float(other[i])) : other[i].x.bits == all[i].bits));
  }
}

TEST_CASE("stochastic_rounding: NaN and infinities are counted, and a NaN stays") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  std::vector<bfloat16> reference{bfloat16(nan), bfloat16(1.0f), bfloat16(1.0f), bfloat16(inf), bfloat16(2.0f)};
  const std::vector<float> policy{1, nan, inf, -inf, 2};
  CHECK(soft_update(reference, policy, .1, stochastic_rounding{}).non_finite == 4);
  CHECK(std::isnan(float(reference[0])));
  CHECK(std::isnan(float(reference[1])));
  CHECK(float(reference[2]) == inf);
  CHECK(std::isnan(float(reference[3])));
  CHECK(float(reference[4]) == 2);
}

TEST_CASE("stochastic_rounding: a slow average in 16 bits follows the exact one") {
  const std::size_t count = 4096;
  std::vector<bfloat16> reference(count, bfloat16(1.0f));
  const std::vector<bfloat16> policy(count, bfloat16(1.5f));
  double exact = 1;
  for (std::uint64_t step = 1; step <= 2000; ++step) {
    const attune::update_report r = soft_update(reference, policy, 1e-3, stochastic_rounding{.seed = 3, .step = step});
    CHECK(r.stalled == 0);
    exact += 1e-3 * (1.5 - exact);
    if (step % 500 != 0) continue;
    double sum = 0, squares = 0;
    for (bfloat16 x : reference) {
      sum += double(float(x));
      squares += double(float(x)) * double(float(x));
    }
    const double mean = sum / double(count), deviation = std::sqrt((squares / double(count) - mean * mean) / double(count));
    INFO("step " << step << ": mean " << mean << " +- " << deviation << ", exact " << exact);
    CHECK(deviation < 2e-3);
    CHECK(std::abs(mean - exact) < 4.5 * deviation);
  }
  CHECK(exact == Approx(1.4324).epsilon(1e-4));
}

TEST_CASE("stochastic_rounding: neighbours, steps and seeds are independent") {
  const std::size_t count = 1 << 18;
  const double limit = 4.5 / std::sqrt(double(count));
  const auto base = coins(count, {.seed = 1, .step = 1});
  for (std::size_t lag : {1u, 2u, 3u, 8u, 16u, 32u, 64u, 256u, 4096u, 65536u}) {
    INFO("lag " << lag);
    CHECK(std::abs(correlation(base, base, lag)) < 2 * limit);
  }
  for (std::uint64_t k : {2u, 3u, 4u, 5u, 1000u}) {
    INFO("step or seed " << k);
    for (const auto& other : {coins(count, {.seed = 1, .step = k}), coins(count, {.seed = k, .step = 1})}) {
      CHECK(std::abs(correlation(base, other)) < limit);
      CHECK(std::abs(correlation(base, other, 1)) < limit);
    }
  }
  CHECK(correlation(base, coins(count, {.seed = 1, .step = 1})) == 1);
  CHECK(coins(8, {.seed = 1, .step = 1, .first = 64}) == std::vector<double>(base.begin() + 64, base.begin() + 72));
}

TEST_CASE("stochastic_rounding: the same bits for every policy, cut, stride and instruction set") {
  const std::size_t n = 70'001, cuts[] = {0, 1, 18, 4099, 4111, 30'000, 69'998, n};
  const std::int64_t border = (std::int64_t{1} << 32) - 35'000;  // where the upper half of the index changes
  std::vector<float> policy(n);
  for (std::size_t i = 0; i < n; ++i) policy[i] = std::sin(static_cast<float>(i));
  for (std::int64_t first : {std::int64_t{0}, std::int64_t{12'345}, border}) {
    std::vector<bfloat16> whole(n), sharded(n), parallel(n), limited(n), strided(2 * n);
    hard_update(whole, policy, stochastic_rounding{.seed = 9, .step = 4, .first = first});
    for (std::size_t c = 0; c < 7; ++c) {
      const std::size_t begin = cuts[c], size = cuts[c + 1] - begin;
      hard_update(std::span(sharded).subspan(begin, size), std::span(policy).subspan(begin, size),
                  stochastic_rounding{.seed = 9, .step = 4, .first = first + std::int64_t(begin)});
    }
    CHECK(same_bits(sharded, whole));
    attune::thread_pool pool{3};
    hard_update(attune::on(pool, 0), parallel, policy, stochastic_rounding{.seed = 9, .step = 4, .first = first});
    CHECK(same_bits(parallel, whole));
    attune::limit_instruction_set(attune::instruction_set::compiled);
    hard_update(limited, policy, stochastic_rounding{.seed = 9, .step = 4, .first = first});
    attune::limit_instruction_set(attune::instruction_set::avx512);
    CHECK(same_bits(limited, whole));
    const attune::view<bfloat16> every_second(strided.data(), {std::int64_t(n)}, {2});
    hard_update(every_second, policy, stochastic_rounding{.seed = 9, .step = 4, .first = first});
    for (std::size_t i = 0; i < n; ++i) REQUIRE(strided[2 * i].bits == whole[i].bits);

    // Averages of bfloat16s are computed two by two; the cut changes which two.
    std::vector<bfloat16> halves(policy.begin(), policy.end()), a(n, bfloat16(.7f)), b = a;
    for (std::size_t i = 0; i < n; ++i) halves[i] = bfloat16(policy[i]);
    soft_update(a, halves, .3, stochastic_rounding{.seed = 9, .step = 4, .first = first});
    for (std::size_t c = 0; c < 7; ++c) {
      const std::size_t begin = cuts[c], size = cuts[c + 1] - begin;
      soft_update(std::span(b).subspan(begin, size), std::span(halves).subspan(begin, size), .3,
                  stochastic_rounding{.seed = 9, .step = 4, .first = first + std::int64_t(begin)});
    }
    CHECK(same_bits(a, b));
  }
}

TEST_CASE("stochastic_rounding: stalled counts what the arithmetic does not move, not what chance leaves") {
  std::vector<bfloat16> reference(1000, bfloat16(1.0f));
  const std::vector<float> near(1000, 1.001f), nearest(1000, std::nextafter(1.0f, 2.0f));
  CHECK(soft_update(reference, near, .01, stochastic_rounding{}).stalled == 0);
  reference.assign(1000, bfloat16(1.0f));
  CHECK(soft_update(reference, nearest, .01, stochastic_rounding{}).stalled == 1000);
  CHECK_THROWS_WITH(soft_update(reference, near, .01, stochastic_rounding{.first = -1}),
                    "attune: stochastic_rounding.first is -1; expected an index, 0 or more");
}
