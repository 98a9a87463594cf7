// SPDX-License-Identifier: MIT
// Sums over sequences on Thrust's device, whatever it is: the bits of the host.
#include "thrust_support.hpp"

#include "support/catch.hpp"

using namespace attune_test;
using attune::row_report;

namespace {

/// Four sequences of up to seven tokens, left-padded and right-padded, one empty, with garbage under the mask and under weight 0.
template <class A> struct batch {
  static constexpr std::int64_t sequences = 4, steps = 7, size = sequences * steps;
  std::vector<A> tokens = normals<A>(size, 2, 3, -3), weights = normals<A>(size, 1, 4, 1);
  std::vector<std::uint8_t> mask = std::vector<std::uint8_t>(size, 1);
  std::vector<A> logps = std::vector<A>(sequences), lengths = logps, coefficients = {A(0.5), A(-2), A(3), A(1)}, spread = std::vector<A>(size);
  row_report report;

  batch(bool weighted) {
    for (const std::size_t i : std::array<std::size_t, 11>{0, 1, 12, 13, 14, 15, 16, 17, 18, 19, 20}) {
      mask[i] = 0, tokens[i] = weights[i] = std::numeric_limits<A>::quiet_NaN();
    }
    weights[5] = 0, tokens[5] = weighted ? std::numeric_limits<A>::quiet_NaN() : tokens[5];
    tokens[24] = -std::numeric_limits<A>::infinity();
    report = attune::sequence_logps(shaped(tokens), shaped(mask), logps, lengths, weighted ? shaped(weights) : view<const A, 2>{});
    attune::token_coefficients(coefficients, shaped(mask), as_view(spread.data(), sequences, steps), weighted ? shaped(weights) : view<const A, 2>{});
  }
  template <class T> static view<const T, 2> shaped(const std::vector<T>& x) { return as_view(x.data(), sequences, steps); }
  template <class T> static view<const T, 2, device> shaped(const thrust::device_vector<T>& x) { return as_view(x.data(), sequences, steps); }
};
template <class T> thrust::device_vector<T> copied(const std::vector<T>& x) { return thrust::device_vector<T>(x.begin(), x.end()); }
bool same_report(const row_report& a, const row_report& b) { return a.rows == b.rows && a.masked == b.masked && a.non_finite == b.non_finite; }

}  // namespace

TEMPLATE_TEST_CASE("Thrust sequences: padded ones have the host's bits", "[thrust]", float, double) {
  using A = TestType;
  for (const bool weighted : {false, true}) {
    const batch<A> expected(weighted);
    const auto tokens = copied(expected.tokens), weights = copied(expected.weights), coefficients = copied(expected.coefficients);
    const auto mask = copied(expected.mask);
    thrust::device_vector<A> logps(4, A(777)), lengths(4, A(777)), spread(28, A(777));
    thrust::device_vector<row_report> report(1, row_report{7, 7, 7});
    const auto weight = weighted ? expected.shaped(weights) : view<const A, 2, device>{};
    attune::sequence_logps(on_thrust, expected.shaped(tokens), expected.shaped(mask), logps, lengths, weight, report);
    CHECK(same_bits(on_host(logps), expected.logps));
    CHECK(same_bits(on_host(lengths), expected.lengths));
    CHECK(same_report(on_host(report)[0], expected.report));
    attune::token_coefficients(on_thrust, coefficients, expected.shaped(mask), as_view(spread.data(), 4, 7), weight);
    CHECK(same_bits(on_host(spread), expected.spread));
  }
}

TEMPLATE_TEST_CASE("Thrust sequences: packed ones have the bits of padded ones", "[thrust]", float, double) {
  using A = TestType;
  const batch<A> expected(true);
  std::vector<A> tokens, weights, spread;
  std::vector<std::int64_t> offsets{0};
  for (std::size_t i = 0; i < 28; ++i) {
    if (expected.mask[i] != 0) tokens.push_back(expected.tokens[i]), weights.push_back(expected.weights[i]), spread.push_back(expected.spread[i]);
    if (i % 7 == 6) offsets.push_back(std::int64_t(tokens.size()));
  }
  const auto x = copied(tokens), w = copied(weights), coefficients = copied(expected.coefficients);
  const auto places = copied(offsets);
  const auto narrow = copied(std::vector<std::int32_t>(offsets.begin(), offsets.end()));
  thrust::device_vector<A> logps(4, A(777)), lengths(4, A(777)), to(tokens.size(), A(777));
  thrust::device_vector<row_report> report(1, row_report{7, 7, 7});
  attune::sequence_logps(on_thrust, x, places, logps, lengths, {}, w, report);
  CHECK(same_bits(on_host(logps), expected.logps));
  CHECK(same_bits(on_host(lengths), expected.lengths));
  CHECK(same_report(on_host(report)[0], expected.report));
  attune::token_coefficients(on_thrust, coefficients, narrow, to, {}, w);
  CHECK(same_bits(on_host(to), spread));

  offsets[1] = 1 << 20;  // two sequences that lead out of the tokens
  const auto astray = copied(offsets);
  attune::sequence_logps(on_thrust, x, astray, logps, lengths, {}, w, report);
  CHECK(on_host(report)[0].non_finite == expected.report.non_finite + 2);
  CHECK(on_host(logps)[0] != on_host(logps)[0]);
  CHECK(on_host(logps)[3] == expected.logps[3]);
  attune::token_coefficients(on_thrust, coefficients, astray, to, {}, w);
}

TEST_CASE("Thrust sequences: bad arguments", "[thrust]") {
  const thrust::device_vector<float> tokens(12, 1.0f);
  const thrust::device_vector<std::uint8_t> mask(12, std::uint8_t(1));
  const thrust::device_vector<std::int64_t> offsets(4);
  const thrust::device_vector<std::int32_t> none;
  thrust::device_vector<float> logps(3), two(2);
  const auto padded = as_view(tokens.data(), 3, 4);
  CHECK(contains(error_text([&] { attune::sequence_logps(on_thrust, padded, as_view(mask.data(), 4, 3), logps); }), "mask has 4 elements; expected 3"));
  CHECK(contains(error_text([&] { attune::sequence_logps(on_thrust, padded, {}, two); }), "logps has 2 elements; expected 3"));
  CHECK(contains(error_text([&] { attune::sequence_logps(on_thrust, tokens, offsets, two); }), "logps has 2 elements; expected 3"));
  CHECK(contains(error_text([&] { attune::sequence_logps(on_thrust, tokens, none, two); }), "offsets has 0 elements"));
  CHECK(contains(error_text([&] { attune::token_coefficients(on_thrust, two, {}, as_view(thrust::device_pointer_cast(static_cast<float*>(nullptr)), 3, 4)); }),
                 "coefficients (in rows) has 3 elements; expected 2"));
}
