// SPDX-License-Identifier: MIT
#include <attune/check/toy.hpp>

#include "support/catch.hpp"

namespace toy = attune::toy;

namespace {

toy::bandit problem() { return {.reference = toy::categorical({.4, .3, .2, .1}), .reward = {0, 1, -1, 4}, .temperature = .7}; }

}  // namespace

TEST_CASE("toy: a bandit's optimum is where the gradient of its value vanishes, and no other policy is better") {
  const toy::bandit b = problem();
  const toy::softmax_policy best = b.optimum();
  for (double d : best.gradient(b.value_coefficients(best))) CHECK(std::abs(d) < 1e-15);
  for (std::size_t i = 0; i < 4; ++i) {
    toy::softmax_policy other = best;
    other.logits[i] += .1;
    CHECK(b.value(other) < b.value(best));
  }
  // its value is temperature log Z
  CHECK(b.value(best) == Approx(.7 * std::log(.4 + .3 * std::exp(1 / .7) + .2 * std::exp(-1 / .7) + .1 * std::exp(4 / .7))).epsilon(1e-14));
}

TEST_CASE("toy: the gradient of a bandit's value is its derivative") {
  const toy::bandit b = problem();
  const toy::softmax_policy policy{{.3, -.2, .5, .1}};
  const toy::vector gradient = policy.gradient(b.value_coefficients(policy));
  for (std::size_t i = 0; i < 4; ++i) {
    toy::softmax_policy above = policy, below = policy;
    above.logits[i] += 1e-5;
    below.logits[i] -= 1e-5;
    CHECK(gradient[i] == Approx((b.value(above) - b.value(below)) / 2e-5).margin(1e-9));
  }
}

TEST_CASE("toy: with a judge the optimum is that of the accepted answers") {
  toy::bandit b = problem();
  b.accepted = {1, 1, 1, 0};
  CHECK(b.violation(b.reference) == Approx(.1).epsilon(1e-15));
  const toy::softmax_policy best = b.optimum();
  CHECK(b.violation(best) == 0);
  CHECK(best.probabilities()[1] / best.probabilities()[0] == Approx(.75 * std::exp(1 / .7)).epsilon(1e-14));
}

TEST_CASE("toy: draws have the policy's probabilities, and never an outcome without mass") {
  const auto pi = toy::categorical({.2, 0, .5, .3, 0});
  std::vector<int> counts(5);
  for (int i = 0; i < 1000; ++i) ++counts[toy::draw(pi, (i + .5) / 1000)];
  CHECK(counts == std::vector<int>{200, 0, 500, 300, 0});
  CHECK(toy::draw(pi, 1) == 3);
  CHECK(toy::draw(pi, 0) == 0);
}
