// SPDX-License-Identifier: MIT
// Targets as energy-based models, and lambda of distributional constraints.
#include "dpg_problem.hpp"
#include "support/catch.hpp"

#include <attune/policy/dpg/lambda.hpp>

using namespace attune_test;
namespace dpg = attune::dpg;

namespace {
/// A base model over two binary features and one real one: 8 outcomes.
const vector log_base = toy::softmax_policy{{.3, -1, .5, .2, -.4, 1.1, 0, -.6}}.log_probabilities();
const vector features{0, 0, 1.5, 0, 1, -2, 1, 0, .5, 1, 1, 3, 0, 0, -1, 0, 1, .2, 1, 0, -.7, 1, 1, 2};  // [8, 3]
const attune::view<const double, 2> phi(features.data(), {8, 3});
const vector targets{.7, .3, .4};
}  // namespace

TEST_CASE("dpg: log densities of the targets") {
  CHECK(dpg::reward_target{.beta = .25}.log_density(-3, .8) == Approx(.2));
  CHECK(dpg::reward_target{}.log_density(-infinity, 1) == -infinity);
  CHECK_THROWS_AS(attune::validate(dpg::reward_target{.beta = 0}), attune::error);
  CHECK(dpg::pointwise_target{}.log_density(-3, true) == -3);
  CHECK(dpg::pointwise_target{}.log_density(-3, false) == -infinity);
  const dpg::distributional_target target{{2, -1}};
  CHECK(target.log_density(-3, vector{.5, 4}) == Approx(-6));
  CHECK_THROWS_WITH(target.log_density(-3, vector{1}), "attune: features has 1 elements; expected 2, like lambda");
}

// arXiv:2206.00761: the optimum of E[r] - beta KL(pi || a) is the reward target, for which KL(pi || p) = (KL(pi || a) - E[r]/beta) + log Z.
TEST_CASE("dpg: the reverse KL to the reward target is RLHF's objective up to a constant") {
  const vector reward{0, 1, .5, -1, 2, .3, 0, .8};
  const double beta = .4;
  toy::softmax_policy target;
  double z = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    target.logits.push_back(dpg::reward_target{.beta = beta}.log_density(log_base[i], reward[i]));
    z += std::exp(target.logits[i]);
  }
  for (const toy::softmax_policy& pi : {toy::softmax_policy{{.1, -.4, .3, .2, -.7, .5, 0, -.2}}, toy::softmax_policy{log_base}}) {
    CHECK(toy::kl(pi, target) == Approx(toy::kl(pi, toy::softmax_policy{log_base}) - pi.expectation(reward) / beta + std::log(z)).epsilon(1e-12));
  }
}

TEST_CASE("dpg: lambda gives the moments, and the target nearest to the base model") {
  const auto fit = dpg::fit_lambda(phi, targets, {.rate = .5, .tolerance = 1e-12, .iterations = 100000}, log_base);
  REQUIRE(fit.converged);
  const dpg::distributional_target model{fit.lambda};
  toy::softmax_policy p, base{log_base};
  for (std::size_t i = 0; i < 8; ++i) p.logits.push_back(model.log_density(log_base[i], std::span(features).subspan(3 * i, 3)));
  for (std::size_t j = 0; j < 3; ++j) {
    vector column;
    for (std::size_t i = 0; i < 8; ++i) column.push_back(features[3 * i + j]);
    CHECK(p.expectation(column) == Approx(targets[j]).epsilon(1e-11));
    CHECK(fit.moments[j] == Approx(targets[j]).epsilon(1e-11));
  }
  // Others with the same moments: p moved along a direction in which no feature and not the sum of the masses changes. Pythagoras:
  // KL(c || a) = KL(c || p) + KL(p || a).
  const vector direction{1, -.5, .25, .5, -.75, .125, -.25, -.375};
  vector moved = p.probabilities();
  vector basis[4];
  for (std::size_t k = 0; k < 4; ++k) {
    for (std::size_t i = 0; i < 8; ++i) basis[k].push_back(k == 3 ? 1 : features[3 * i + k]);
  }
  const auto dot = [](const vector& a, const vector& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  vector rest = direction;
  for (std::size_t k = 0; k < 4; ++k) {  // Gram-Schmidt
    for (std::size_t l = 0; l < k; ++l) {
      const double along = dot(basis[k], basis[l]) / dot(basis[l], basis[l]);
      for (std::size_t i = 0; i < 8; ++i) basis[k][i] -= along * basis[l][i];
    }
    const double along = dot(rest, basis[k]) / dot(basis[k], basis[k]);
    for (std::size_t i = 0; i < 8; ++i) rest[i] -= along * basis[k][i];
  }
  for (std::size_t i = 0; i < 8; ++i) moved[i] += .01 * rest[i];
  const toy::softmax_policy c = toy::categorical(moved);
  CHECK(toy::kl(c, base) == Approx(toy::kl(c, p) + toy::kl(p, base)).epsilon(1e-11));
  CHECK(toy::kl(c, p) > 1e-5);
}

TEST_CASE("dpg: lambda from samples of another proposal is the same, and its weights say what the samples are worth") {
  const vector other = toy::softmax_policy{{0, 0, 0, 0, 0, 0, 0, 0}}.log_probabilities();
  vector log_weights;
  for (std::size_t i = 0; i < 8; ++i) log_weights.push_back(log_base[i] - other[i] + 700);  // up to a constant
  const dpg::fit_options fine{.tolerance = 1e-12, .iterations = 100000};
  const auto exact = dpg::fit_lambda(phi, targets, fine, log_base), uniform = dpg::fit_lambda(phi, targets, fine, log_weights);
  for (std::size_t j = 0; j < 3; ++j) CHECK(uniform.lambda[j] == Approx(exact.lambda[j]).epsilon(1e-9));
  CHECK(uniform.effective_samples < 8);
  CHECK(uniform.effective_samples > 1);
  const std::vector<float> narrow(features.begin(), features.end());
  const auto in_float = dpg::fit_lambda(attune::view<const float, 2>(narrow.data(), {8, 3}), targets);
  CHECK(in_float.converged);
}

TEST_CASE("dpg: the two rules measure what is missed in two norms") {
  const vector pair{0, 0, 0, 1, 1, 0, 1, 1};  // two independent bits
  const attune::view<const double, 2> bits(pair.data(), {4, 2});
  const vector wanted{.6, .6};
  const auto euclidean = dpg::fit_lambda(bits, wanted, {.tolerance = .05}), largest = dpg::fit_lambda(bits, wanted, {.tolerance = .05, .measured_by = dpg::fit_options::norm::largest});
  CHECK(euclidean.iterations > largest.iterations);
  CHECK(.6 - largest.moments[0] < .05);
  CHECK(std::sqrt(2.) * (.6 - largest.moments[0]) > .05);
  CHECK(std::sqrt(2.) * (.6 - euclidean.moments[0]) < .05);
  const auto stopped = dpg::fit_lambda(bits, wanted, {.tolerance = 1e-9, .iterations = 3});
  CHECK_FALSE(stopped.converged);
  CHECK(stopped.iterations == 3);
}

TEST_CASE("dpg: constraints that no lambda meets are refused, and say what to do") {
  const vector pair{0, 1, 1, 0};
  const attune::view<const double, 2> one(pair.data(), {4, 1});
  CHECK_THROWS_WITH(dpg::fit_lambda(one, vector{1}),
                    "attune: the target moment of feature 0 is 1, the samples' features are in [0, 1]; expected one strictly between them: "
                    "no finite lambda gives another (what must always hold is a pointwise_target)");
  CHECK_THROWS_AS(dpg::fit_lambda(one, vector{.5, .5}), attune::error);
  CHECK_THROWS_AS(dpg::fit_lambda(one, vector{not_a_number}), attune::error);
  CHECK_THROWS_AS(dpg::fit_lambda(one, vector{.5}, {.rate = 0}), attune::error);
  CHECK_THROWS_AS(dpg::fit_lambda(one, vector{.5}, {.tolerance = not_a_number}), attune::error);
  const vector shorter{0}, wrong{0, 0, infinity, 0}, first_only{0, -infinity, -infinity, -infinity}, bad{0, not_a_number, 1, 0}, skipping{0, -infinity, 0, 0};
  CHECK_THROWS_AS(dpg::fit_lambda(one, vector{.5}, {}, shorter), attune::error);
  CHECK_THROWS_AS(dpg::fit_lambda(one, vector{.5}, {}, wrong), attune::error);
  CHECK_THROWS_AS(dpg::fit_lambda(one, vector{.5}, {}, first_only), attune::error);  // only outcomes with phi = 0 have weight
  CHECK_THROWS_AS(dpg::fit_lambda(attune::view<const double, 2>(bad.data(), {4, 1}), vector{.5}), attune::error);
  CHECK_NOTHROW(dpg::fit_lambda(attune::view<const double, 2>(bad.data(), {4, 1}), vector{.5}, {}, skipping));
}
