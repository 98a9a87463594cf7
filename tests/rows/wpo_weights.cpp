// SPDX-License-Identifier: MIT
#include <attune/rows/collision_logps.hpp>
#include <attune/rows/token_logps.hpp>
#include <attune/rows/wpo_weights.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::row_report;
using attune::wpo_pair_weights;
using attune::wpo_weights;

TEST_CASE("wpo_weights: the exponential of the mean over active tokens, with and without baselines") {
  const std::vector<std::uint8_t> mask{0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0};
  const std::vector<double> tokens{nan_f, -1, -2, -3, inf_f, -4, nan_f, nan_f, -1, -1, -1, -1};
  const std::vector<double> base{nan_f, -2, -2, -1, 5, -1, 0, 0, 0, 0, 0, 0};
  std::vector<double> weights(3, 7);
  const auto x = as_view(tokens.data(), 3, 4), b = as_view(base.data(), 3, 4);
  const auto m = as_view(mask.data(), 3, 4);
  row_report report = wpo_weights(x, {}, m, weights);
  CHECK(weights[0] == Approx(std::exp(-2.0)).epsilon(1e-15));
  CHECK(weights[1] == Approx(std::exp(-4.0)).epsilon(1e-15));
  CHECK(weights[2] == 0);
  CHECK(report.masked == 1);
  CHECK(report.non_finite == 0);
  wpo_weights(attune::threads{2, 0}, x, b, m, weights);
  CHECK(weights[0] == Approx(std::exp((1 + 0 - 2) / 3.0)).epsilon(1e-15));
  CHECK(weights[1] == Approx(std::exp(-3.0)).epsilon(1e-15));

  const std::vector<double> extreme{-inf_f, -1, -1, -1, nan_f, -1, -1, -1, -2000, -2000, -2000, -2000};
  report = wpo_weights(as_view(extreme.data(), 3, 4), {}, {}, weights);
  CHECK(weights[0] == 0);
  CHECK(std::isnan(weights[1]));
  CHECK(weights[2] == 0);  // underflow, not an error
  CHECK(report.non_finite == 1);
}

TEST_CASE("wpo_pair_weights: the product, at most the limit, in place") {
  const std::vector<float> chosen{0.5f, 2, 0, nan_f}, rejected{0.25f, 3, 5, 1};
  std::vector<float> weights(4, 7);
  wpo_pair_weights(chosen, rejected, weights);
  CHECK(std::vector<float>(weights.begin(), weights.begin() + 3) == std::vector<float>{0.125f, 1, 0});
  CHECK(std::isnan(weights[3]));
  weights = chosen;
  wpo_pair_weights(weights, rejected, weights, double(inf_f));
  CHECK(weights[1] == 6);
}

TEST_CASE("wpo_weights from logits: the ratio p / sum p^2 of a sampled token has mean 1, greedy decoding weight 1 against the largest") {
  const std::int64_t classes = 11;
  const auto logits = normals<double>(classes, 2, 7);
  std::vector<double> collision(1);
  attune::collision_logps(as_view(logits.data(), 1, classes), collision);
  const auto p = softmax(logits.data(), classes);
  double mean = 0, largest = 0;
  std::int32_t top = 0;
  for (std::int32_t v = 0; v < classes; ++v) {
    const std::vector<std::int32_t> token{v};
    std::vector<double> logp(1), weight(1);
    std::vector<attune::row_state> states(1);
    attune::token_logps(as_view(logits.data(), 1, classes), token, logp, states);
    wpo_weights(as_view(logp.data(), 1, 1), as_view(collision.data(), 1, 1), {}, weight);
    mean += double(p[std::size_t(v)]) * weight[0];
    const double greedy_baseline = -std::log(states[0].sum);
    wpo_weights(as_view(logp.data(), 1, 1), as_view(&greedy_baseline, 1, 1), {}, weight);
    if (weight[0] > largest) largest = weight[0], top = v;
    CHECK(weight[0] <= 1);
  }
  CHECK(mean == Approx(1).epsilon(1e-14));
  CHECK(largest == 1);
  for (std::int32_t v = 0; v < classes; ++v) CHECK(p[std::size_t(v)] <= p[std::size_t(top)]);
}

TEST_CASE("wpo_weights: the same bits for any number of threads and padding, and what does not fit is rejected") {
  const std::int64_t sequences = 500, steps = 37;
  const auto tokens = normals<float>(sequences * steps, 1, 2, -3), base = normals<float>(sequences * steps, 1, 3, -2);
  std::vector<float> expected(500), weights(500);
  wpo_weights(as_view(tokens.data(), sequences, steps), as_view(base.data(), sequences, steps), {}, expected);
  for (int count : {1, 2, 3, 7}) {
    wpo_weights(attune::threads{count, 0}, as_view(tokens.data(), sequences, steps), as_view(base.data(), sequences, steps), {}, weights);
    CHECK(same_bits(weights, expected));
  }
  const auto x = as_view(tokens.data(), 2, 3);
  const std::vector<std::uint8_t> mask(6, 1);
  std::vector<float> two(2, 7), three(3, 7);
  CHECK(contains(error_text([&] { wpo_weights(x, as_view(base.data(), 2, 2), {}, two); }), "baselines"));
  CHECK(contains(error_text([&] { wpo_weights(x, {}, as_view(mask.data(), 3, 2), two); }), "mask"));
  CHECK(contains(error_text([&] { wpo_weights(x, {}, {}, three); }), "weights"));
  CHECK(contains(error_text([&] { wpo_pair_weights(two, three, two); }), "rejected"));
  CHECK(contains(error_text([&] { wpo_pair_weights(two, two, three); }), "weights"));
  for (double limit : {0.0, -1.0, double(nan_f)}) CHECK(contains(error_text([&] { wpo_pair_weights(two, two, two, limit); }), "limit"));
  CHECK(two == std::vector<float>(2, 7));
}
