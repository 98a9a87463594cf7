// SPDX-License-Identifier: MIT
#include <attune/rows/humanline.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

#include <random>

using namespace attune_test;
using attune::humanline_coefficients;
using attune::humanline_log_ratios;
using attune::humanline_range;
using attune::row_report;

TEST_CASE("humanline: tokens clamped one by one, exactly 0 on clamped tokens, an end itself counts as inside (by hand)") {
  const std::vector<float> policy{-1, -3, -2, -5, -1, nan_f}, reference{-1.5f, -2, -3.5f, -1, -4, 0};
  const std::vector<std::uint8_t> mask{1, 1, 1, 1, 1, 0};  // ratios .5, -1 (an end), 1.5 (an end), -4, 3
  std::vector<float> ratios(1), lengths(1), out(6, 7);
  const auto x = as_view(policy.data(), 1, 6), r = as_view(reference.data(), 1, 6);
  const auto m = as_view(mask.data(), 1, 6);
  const row_report report = humanline_log_ratios(x, r, m, ratios, lengths);
  CHECK(ratios[0] == 0.5f - 1 + 1.5f - 1 + 1.5f);
  CHECK(lengths[0] == 5);
  CHECK(report.rows == 1);
  CHECK(report.non_finite == 0);
  const std::vector<float> c{-3};
  humanline_coefficients(c, x, r, m, as_view(out.data(), 1, 6));
  CHECK(out == std::vector<float>{-3, -3, -3, 0, 0, 0});

  // Another range; none at all is the plain log-ratio.
  humanline_log_ratios(x, r, m, ratios, {}, {.lower = -0.25, .upper = 0.25});
  CHECK(ratios[0] == 0.25f - 0.25f + 0.25f - 0.25f + 0.25f);
  humanline_log_ratios(x, r, m, ratios, {}, {.lower = -double(inf_f), .upper = double(inf_f)});
  CHECK(ratios[0] == 0);
}

TEST_CASE("humanline: a token without probability is clamped too, NaN stays visible in value and coefficient, an empty completion is 0") {
  const std::vector<double> policy{-inf_f, -1, -1, -inf_f, nan_f, -1, -1, -1}, reference{-1, -1, -inf_f, -inf_f, -1, -9, -1, -1};
  const std::vector<std::uint8_t> mask{1, 1, 1, 1, 1, 1, 0, 0};
  std::vector<double> ratios(4), lengths(4), out(8, 7);
  const auto x = as_view(policy.data(), 4, 2), r = as_view(reference.data(), 4, 2);
  const auto m = as_view(mask.data(), 4, 2);
  const row_report report = humanline_log_ratios(x, r, m, ratios, lengths);
  CHECK(ratios[0] == -1);
  CHECK(std::isnan(ratios[1]));  // both exclude its second token
  CHECK(std::isnan(ratios[2]));
  CHECK(ratios[3] == 0);
  CHECK(lengths == std::vector<double>{2, 2, 2, 0});
  CHECK(report.non_finite == 2);
  CHECK(report.masked == 1);
  const std::vector<double> c{5, 6, nan_f, 8};
  humanline_coefficients(c, x, r, m, as_view(out.data(), 4, 2));
  CHECK(std::vector<double>(out.begin(), out.begin() + 4) == std::vector<double>{0, 5, 0, 6});
  CHECK(std::isnan(out[4]));
  CHECK(out[5] == 0);  // clamped: exactly 0, whatever the coefficient
  CHECK(out[6] == 0);
  CHECK(out[7] == 0);
}

TEST_CASE("humanline: the coefficients are the derivative of the log-ratios, for any strides and threads") {
  const std::int64_t sequences = 40, steps = 9, size = sequences * steps;
  const auto policy = normals<double>(size, 1.2, 1, -3), reference = normals<double>(size, 1.2, 2, -3);
  const auto c = normals<double>(sequences, 1, 3);
  std::mt19937 bits(4);
  std::vector<std::uint8_t> mask(policy.size());
  for (auto& m : mask) m = bits() % 4 != 0;
  const auto r = as_view(reference.data(), sequences, steps);
  const auto m = as_view(mask.data(), sequences, steps);
  const auto loss = [&](const std::vector<double>& x) {
    std::vector<double> ratios(std::size_t(sequences), 0);
    humanline_log_ratios(as_view(x.data(), sequences, steps), r, m, ratios);
    double sum = 0;
    for (std::size_t b = 0; b < ratios.size(); ++b) sum += c[b] * ratios[b];
    return sum;
  };
  std::vector<double> out(policy.size(), 7);
  humanline_coefficients(c, as_view(policy.data(), sequences, steps), r, m, as_view(out.data(), sequences, steps));
  CHECK(gradient_error(loss, policy, out, 1e-6) < 1e-8);

  int clamped = 0;
  for (std::size_t i = 0; i < out.size(); ++i) clamped += mask[i] != 0 && out[i] == 0;
  CHECK(clamped > 20);
  std::vector<double> ratios(40), again(40), spread(policy.size());
  humanline_log_ratios(as_view(policy.data(), sequences, steps), r, m, ratios);
  const placed<double> transposed(policy, sequences, steps, 1, sequences, nan_f);
  for (int count : {1, 2, 3, 7}) {
    humanline_log_ratios(attune::threads{count, 0}, transposed.matrix, r, m, again);
    humanline_coefficients(attune::threads{count, 0}, c, transposed.matrix, r, m, as_view(spread.data(), sequences, steps));
    CHECK(same_bits(ratios, again));
    CHECK(same_bits(out, spread));
  }
}

TEST_CASE("humanline rejects what does not fit, before writing") {
  const std::vector<float> tokens(6, -1), c(2, 1);
  const std::vector<std::uint8_t> mask(6, 1);
  std::vector<float> two(2, 7), three(3, 7), matrix(6, 7);
  const auto x = as_view(tokens.data(), 2, 3), other = as_view(tokens.data(), 3, 2), narrow = as_view(tokens.data(), 2, 2);
  const auto out = as_view(matrix.data(), 2, 3);
  for (const humanline_range bad : {humanline_range{1, 0}, humanline_range{nan_f, 1}, humanline_range{0, nan_f}}) {
    CHECK(contains(error_text([&] { humanline_log_ratios(x, x, {}, two, {}, bad); }), "humanline_range is ["));
    CHECK(contains(error_text([&] { humanline_coefficients(c, x, x, {}, out, bad); }), "humanline_range is ["));
  }
  CHECK(contains(error_text([&] { humanline_log_ratios(x, other, {}, two); }), "ref_token_logps"));
  CHECK(contains(error_text([&] { humanline_log_ratios(x, narrow, {}, two); }), "ref_token_logps (in columns)"));
  CHECK(contains(error_text([&] { humanline_log_ratios(x, {}, {}, two); }), "ref_token_logps"));
  CHECK(contains(error_text([&] { humanline_log_ratios(x, x, as_view(mask.data(), 3, 2), two); }), "mask"));
  CHECK(contains(error_text([&] { humanline_log_ratios(x, x, {}, three); }), "log_ratios"));
  CHECK(contains(error_text([&] { humanline_log_ratios(x, x, {}, two, three); }), "lengths"));
  CHECK(contains(error_text([&] { humanline_coefficients(three, x, x, {}, out); }), "token_logps"));
  CHECK(contains(error_text([&] { humanline_coefficients(c, x, x, {}, as_view(matrix.data(), 2, 2)); }), "coefficients (in columns)"));
  CHECK(contains(error_text([&] { humanline_coefficients(c, x, x, {}, as_view(matrix.data(), {2, 3}, {0, 1})); }), "overlap"));
  CHECK(two == std::vector<float>(2, 7));
  CHECK(matrix == std::vector<float>(6, 7));
}
