// SPDX-License-Identifier: MIT
#include <attune/check/toy.hpp>

#include "support/catch.hpp"

#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>

#include <cmath>
#include <functional>
#include <limits>

namespace toy = attune::toy;
using toy::softmax_policy;

namespace {

const double infinity = std::numeric_limits<double>::infinity();

toy::vector log_of(toy::vector p) {
  for (double& x : p) x = std::log(x);
  return p;
}
double dot(const toy::vector& a, const toy::vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
double norm(const toy::vector& a) { return std::sqrt(dot(a, a)); }
double relative_error(toy::vector a, const toy::vector& exact) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= exact[i];
  return norm(a) / norm(exact);
}

/// Central differences of a function of the logits.
toy::vector finite_differences(const std::function<double(const softmax_policy&)>& f, softmax_policy policy) {
  toy::vector result;
  for (double& logit : policy.logits) {
    const double x = logit, h = 1e-5;
    logit = x + h;
    const double above = f(policy);
    logit = x - h;
    result.push_back((above - f(policy)) / (2 * h));
    logit = x;
  }
  return result;
}

}  // namespace

TEST_CASE("toy: log-probabilities of logits of any size") {
  const softmax_policy policy{{1000, 1000 + std::log(3.0), -infinity}};
  const toy::vector log_pi = policy.log_probabilities(), pi = policy.probabilities();
  CHECK(log_pi[0] == Approx(std::log(.25)).epsilon(1e-12));
  CHECK(log_pi[1] == Approx(std::log(.75)).epsilon(1e-12));
  CHECK(log_pi[2] == -infinity);
  CHECK(pi[2] == 0);
  CHECK(policy.entropy() == Approx(-.25 * std::log(.25) - .75 * std::log(.75)).epsilon(1e-12));
  CHECK(policy.expectation(toy::vector{4, 8, 100}) == Approx(7).epsilon(1e-12));
}

TEST_CASE("toy: entropy of a uniform policy is log K") {
  for (std::size_t k : {1u, 2u, 7u}) CHECK(softmax_policy{toy::vector(k, -3.0)}.entropy() == Approx(std::log(double(k))).margin(1e-15));
}

TEST_CASE("toy: gradients with respect to logits agree with finite differences") {
  const softmax_policy policy{{.3, -.2, .5, .1, -.4}}, reference{log_of({.35, .25, .2, .15, .05})};
  const toy::vector c = {.3, -1.2, 2, .7, -.1};
  const auto weighted = [&](const softmax_policy& p) { return dot(c, p.log_probabilities()); };
  CHECK(relative_error(policy.gradient(c), finite_differences(weighted, policy)) < 1e-9);

  const softmax_policy target = toy::tilted(reference, toy::vector{0, 1, 2, -1, 3}, .4);
  const auto check = [&](const auto& f) {
    const auto value = [&](const softmax_policy& p) { return toy::divergence(f, p, target); };
    CHECK(relative_error(policy.gradient(toy::divergence_coefficients(f, policy, target)), finite_differences(value, policy)) < 1e-8);
  };
  check(attune::divergence::forward_kl{});
  check(attune::divergence::reverse_kl{});
  check(attune::divergence::jensen_shannon{});
}

TEST_CASE("toy: divergences are the textbook sums") {
  const softmax_policy pi{log_of({.5, .3, .2})}, p{log_of({.1, .6, .3})};
  const double reverse = .5 * std::log(.5 / .1) + .3 * std::log(.3 / .6) + .2 * std::log(.2 / .3);
  const double forward = .1 * std::log(.1 / .5) + .6 * std::log(.6 / .3) + .3 * std::log(.3 / .2);
  CHECK(toy::kl(pi, p) == Approx(reverse).epsilon(1e-13));
  CHECK(toy::divergence(attune::divergence::forward_kl{}, pi, p) == Approx(forward).epsilon(1e-13));
  CHECK(toy::kl(p, pi) == Approx(forward).epsilon(1e-13));
  CHECK(toy::kl(pi, pi) == 0);
}

TEST_CASE("toy: outcomes that one side excludes contribute their atoms") {
  const softmax_policy wide{log_of({.5, .25, .25})}, narrow{{std::log(.5), std::log(.5), -infinity}};
  CHECK(toy::kl(wide, narrow) == infinity);
  CHECK(toy::kl(narrow, wide) == Approx(.5 * std::log(2.0)).epsilon(1e-13));
  CHECK(toy::divergence(attune::divergence::forward_kl{}, narrow, wide) == infinity);
  CHECK(toy::divergence(attune::divergence::forward_kl{}, wide, narrow) == Approx(.5 * std::log(2.0)).epsilon(1e-13));
  // With m = (.5, .375, .125):  KL(wide || m) + KL(narrow || m).
  const double sum = .25 * std::log(.25 / .375) + .25 * std::log(2.0) + .5 * std::log(.5 / .375);
  CHECK(toy::divergence(attune::divergence::jensen_shannon{}, wide, narrow) == Approx(sum).epsilon(1e-13));
  CHECK(toy::divergence(attune::divergence::jensen_shannon{}, narrow, wide) == Approx(sum).epsilon(1e-13));
}

TEST_CASE("toy: sizes that differ are refused") {
  const softmax_policy two{{0, 0}}, three{{0, 0, 0}};
  CHECK_THROWS_WITH(two.expectation(toy::vector{1, 2, 3}), "attune::toy: function has 3 outcomes; expected 2");
  CHECK_THROWS_AS(two.gradient(toy::vector{1}), attune::error);
  CHECK_THROWS_AS(toy::kl(two, three), attune::error);
  CHECK_THROWS_AS(toy::geometric_mixture(two, 1, three, 1), attune::error);
  CHECK_THROWS_AS(toy::tilted(two, toy::vector{1}, 1), attune::error);
  CHECK_THROWS_AS(softmax_policy{}.probabilities(), attune::error);
}
