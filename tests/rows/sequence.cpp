// SPDX-License-Identifier: MIT
#include <attune/rows/sequence.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::error;
using attune::row_report;
using attune::sequence_logps;
using attune::token_coefficients;

TEST_CASE("sequence_logps: three active tokens of -1 among eight have sum -3 and mean -1, what is masked changes nothing") {
  const std::vector<std::uint8_t> mask{0, 1, 1, 1, 0, 0, 0, 0};
  for (float other : {0.0f, -5.0f, nan_f, inf_f, -1e30f}) {
    std::vector<float> tokens(8, other), logps(1), lengths(1);
    for (std::size_t t : {1u, 2u, 3u}) tokens[t] = -1;
    const row_report report = sequence_logps(as_view(tokens.data(), 1, 8), as_view(mask.data(), 1, 8), logps, lengths);
    CHECK(logps[0] == -3);
    CHECK(lengths[0] == 3);
    CHECK(logps[0] / lengths[0] == -1);
    CHECK(report.rows == 1);
    CHECK(report.masked == 0);
    CHECK(report.non_finite == 0);
  }
}

TEST_CASE("sequence_logps: left- and right-padded copies, any stride and any number of threads agree bit for bit") {
  const std::int64_t sequences = 500, steps = 37, active = 20;
  const auto tokens = normals<float>(sequences * active, 2, 3, -3);
  std::vector<float> left(std::size_t(sequences * steps), nan_f), right = left;
  std::vector<std::uint8_t> left_mask(left.size(), 0), right_mask = left_mask;
  for (std::int64_t b = 0; b < sequences; ++b) {
    for (std::int64_t t = 0; t < active; ++t) {
      const float x = tokens[std::size_t(b * active + t)];
      const auto l = std::size_t(b * steps + steps - active + t), r = std::size_t(b * steps + t);
      left[l] = right[r] = x;
      left_mask[l] = right_mask[r] = 1;
    }
  }
  const auto sums = [&](const auto& policy, const view<const float, 2>& x, const view<const std::uint8_t, 2>& mask) {
    std::vector<float> logps(std::size_t(x.extent(0)), 7);
    sequence_logps(policy, x, mask, logps);
    return logps;
  };
  const auto packed = sums(attune::serial{}, as_view(tokens.data(), sequences, active), {});
  double first = 0;
  for (std::size_t t = 0; t < std::size_t(active); ++t) first += double{tokens[t]};
  CHECK(packed[0] == float(first));
  CHECK(same_bits(packed, sums(attune::serial{}, as_view(left.data(), sequences, steps), as_view(left_mask.data(), sequences, steps))));
  for (int count : {1, 2, 3, 7}) {
    CHECK(same_bits(packed,
                    sums(attune::threads{count, 0}, as_view(right.data(), sequences, steps), as_view(right_mask.data(), sequences, steps))));
  }
  const placed<float> transposed(tokens, sequences, active, 1, sequences, nan_f);
  CHECK(same_bits(packed, sums(attune::serial{}, transposed.matrix, {})));
}

TEST_CASE("sequence_logps: a long sum in float keeps its digits, an active NaN or -inf stays visible, an empty sequence is 0") {
  std::vector<float> tokens(100000, -0.1f), logps(1);
  sequence_logps(as_view(tokens.data(), 1, 100000), {}, logps);
  CHECK(logps[0] == Approx(-0.1f * 1e5).epsilon(1e-7));

  const std::vector<float> bad{-1, nan_f, -1, -inf_f, nan_f, inf_f};
  const std::vector<std::uint8_t> mask{1, 1, 1, 1, 0, 0};
  std::vector<float> sums(3), lengths(3);
  const row_report report = sequence_logps(as_view(bad.data(), 3, 2), as_view(mask.data(), 3, 2), sums, lengths);
  CHECK(std::isnan(sums[0]));
  CHECK(sums[1] == -inf_f);
  CHECK(sums[2] == 0);
  CHECK(lengths == std::vector<float>{2, 2, 0});
  CHECK(report.rows == 3);
  CHECK(report.masked == 1);
  CHECK(report.non_finite == 2);

  std::vector<double> none;
  CHECK(sequence_logps(as_view(static_cast<const double*>(nullptr), 0, 4), {}, none).rows == 0);
  std::vector<double> two(2, 7);
  CHECK(sequence_logps(as_view(static_cast<const double*>(nullptr), 2, 0), {}, two).masked == 2);
  CHECK(two == std::vector<double>(2, 0));
}

TEST_CASE("token_coefficients is the transpose of sequence_logps") {
  const std::int64_t sequences = 6, steps = 5;
  const auto x = normals<double>(sequences * steps, 1, 1), c = normals<double>(sequences, 1, 2);
  std::vector<std::uint8_t> mask(30);
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = std::uint8_t(i % 3 == 1 ? 0 : i);
  std::vector<double> sums(6), coefficients(30, 7);
  sequence_logps(as_view(x.data(), sequences, steps), as_view(mask.data(), sequences, steps), sums);
  token_coefficients(attune::threads{2, 0}, c, as_view(mask.data(), sequences, steps), as_view(coefficients.data(), sequences, steps));
  double left = 0, right = 0;  // <c, S x> = <S^T c, x>
  for (std::size_t b = 0; b < 6; ++b) left += c[b] * sums[b];
  for (std::size_t i = 0; i < 30; ++i) {
    right += coefficients[i] * x[i];
    CHECK(coefficients[i] == (mask[i] != 0 ? c[i / 5] : 0));
  }
  CHECK(left == Approx(right).epsilon(1e-14));

  const std::vector<float> broken{nan_f, 2};
  const std::vector<std::uint8_t> first{0, 1, 0, 1};
  std::vector<float> out(4, 7);
  token_coefficients(broken, as_view(first.data(), 2, 2), as_view(out.data(), 2, 2));
  CHECK(out[0] == 0);
  CHECK(std::isnan(out[1]));
  CHECK(out[2] == 0);
  CHECK(out[3] == 2);
  token_coefficients(broken, {}, as_view(out.data(), 2, 2));
  CHECK(out[3] == 2);
  CHECK(out[2] == 2);
}

TEST_CASE("token weights: a weighted sum and its transpose, lengths stay counts, weight 0 is not read") {
  const std::vector<std::uint8_t> mask{1, 1, 1, 1, 0, 0, 1, 1};
  const std::vector<float> tokens{-1, -2, -4, nan_f, inf_f, -8, -16, -0.5f}, weights{1, 0.5f, -2, 0, 7, nan_f, 0.25f, 1};
  std::vector<float> logps(2, 7), lengths(2, 7), out(8, 7);
  const auto x = as_view(tokens.data(), 2, 4), w = as_view(weights.data(), 2, 4);
  const auto m = as_view(mask.data(), 2, 4);
  const row_report report = sequence_logps(x, m, logps, lengths, w);
  CHECK(logps == std::vector<float>{-1 - 1 + 8, -4 - 0.5f});
  CHECK(lengths == std::vector<float>{4, 2});
  CHECK(report.non_finite == 0);

  const std::vector<float> c{2, nan_f};
  token_coefficients(attune::threads{2, 0}, c, m, as_view(out.data(), 2, 4), w);
  CHECK(std::vector<float>(out.begin(), out.begin() + 6) == std::vector<float>{2, 1, -4, 0, 0, 0});
  CHECK(std::isnan(out[6]));
  token_coefficients(c, {}, as_view(out.data(), 2, 4), as_view(std::vector<float>(8, 0.0f).data(), 2, 4));
  CHECK(out == std::vector<float>(8, 0));

  // All weights 1: the bits of no weights, for any number of threads.
  const std::int64_t sequences = 300, steps = 41;
  const auto many = normals<float>(sequences * steps, 2, 3, -3);
  const std::vector<float> ones(many.size(), 1.0f);
  std::vector<float> plain(300), weighted(300);
  sequence_logps(as_view(many.data(), sequences, steps), {}, plain);
  for (int count : {1, 2, 7}) {
    sequence_logps(attune::threads{count, 0}, as_view(many.data(), sequences, steps), {}, weighted, {},
                   as_view(ones.data(), sequences, steps));
    CHECK(same_bits(plain, weighted));
  }
}

TEST_CASE("sequence functions reject sizes that differ, before writing") {
  const std::vector<float> tokens(6, 1);
  const std::vector<std::uint8_t> mask(6, 1);
  std::vector<float> two(2, 7), three(3, 7), matrix(6, 7);
  const auto x = as_view(tokens.data(), 2, 3);
  CHECK(contains(error_text([&] { sequence_logps(x, as_view(mask.data(), 3, 2), two); }), "mask"));
  CHECK(contains(error_text([&] { sequence_logps(x, as_view(mask.data(), 2, 2), two); }), "mask"));
  CHECK(contains(error_text([&] { sequence_logps(x, {}, three); }), "logps"));
  CHECK(contains(error_text([&] { sequence_logps(x, {}, two, three); }), "lengths"));
  CHECK(contains(error_text([&] { sequence_logps(x, {}, as_view(two.data(), {2}, {0})); }), "stride 0"));
  CHECK(contains(error_text([&] { sequence_logps(x, {}, two, {}, as_view(tokens.data(), 3, 2)); }), "token_weights (in rows)"));
  CHECK(contains(error_text([&] { sequence_logps(x, {}, two, {}, as_view(tokens.data(), 2, 2)); }), "token_weights (in columns)"));
  CHECK(contains(error_text([&] { token_coefficients(two, {}, as_view(matrix.data(), 2, 3), as_view(tokens.data(), 3, 2)); }),
                 "token_weights"));
  CHECK(contains(error_text([&] { token_coefficients(three, {}, as_view(matrix.data(), 2, 3)); }), "coefficients"));
  CHECK(contains(error_text([&] { token_coefficients(two, as_view(mask.data(), 3, 2), as_view(matrix.data(), 2, 3)); }), "mask"));
  CHECK(two == std::vector<float>(2, 7));
  CHECK(matrix == std::vector<float>(6, 7));
}
