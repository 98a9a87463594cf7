// SPDX-License-Identifier: MIT
#include <attune/check/derivative.hpp>
#include <attune/check/toy.hpp>

#include "support/catch.hpp"

#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>

namespace toy = attune::toy;

namespace {
const toy::bernoulli_policy policy{{.3, -1.2, 2, .1}};
}

TEST_CASE("toy: independent bits have the product of their probabilities") {
  const toy::vector pi = toy::probabilities(policy);
  REQUIRE(pi.size() == 16);
  REQUIRE(policy.size() == 16);
  double total = 0;
  for (std::size_t x = 0; x < 16; ++x) {
    double expected = 1;
    for (std::size_t k = 0; k < 4; ++k) {
      const double one = 1 / (1 + std::exp(-policy.logits[k]));
      expected *= toy::bit(x, k) == 1 ? one : 1 - one;
    }
    CHECK(pi[x] == Approx(expected).epsilon(1e-14));
    total += pi[x];
  }
  CHECK(total == Approx(1).epsilon(1e-14));
  CHECK(toy::bit(6, 0) == 0);
  CHECK(toy::bit(6, 1) == 1);
  CHECK(toy::bits_set(0) == 0);
  CHECK(toy::bits_set(13) == 3);
  const toy::vector one = toy::marginals(policy);
  REQUIRE(one.size() == 4);
  for (std::size_t k = 0; k < 4; ++k) CHECK(one[k] == Approx(1 / (1 + std::exp(-policy.logits[k]))).epsilon(1e-14));
}

TEST_CASE("toy: the entropy of independent bits is the sum of theirs, also where a bit is certain") {
  const auto of_bit = [](double z) {
    const double p = 1 / (1 + std::exp(-z));
    return -p * std::log(p) - (1 - p) * std::log(1 - p);
  };
  double sum = 0;
  for (double z : policy.logits) sum += of_bit(z);
  CHECK(toy::entropy(policy) == Approx(sum).epsilon(1e-13));
  const toy::bernoulli_policy certain{{1000, -1000, 0}};
  CHECK(toy::entropy(certain) == Approx(std::log(2.0)).epsilon(1e-14));
  CHECK(toy::probabilities(certain)[1] == .5);
  CHECK(toy::probabilities(toy::bernoulli_policy{}) == toy::vector{1.0});
}

TEST_CASE("toy: the gradient of independent bits agrees with finite differences") {
  toy::vector c, target_logits;
  for (int x = 0; x < 16; ++x) c.push_back(std::sin(1.0 + x)), target_logits.push_back(std::cos(3.0 * x));
  const toy::softmax_policy target{target_logits};
  const auto check = [](const auto& value, const toy::vector& gradient) {
    REQUIRE(gradient.size() == 4);
    for (std::size_t k = 0; k < 4; ++k) {
      const auto along = [&](double z) {
        toy::bernoulli_policy moved = policy;
        moved.parameters()[k] = z;
        return value(moved);
      };
      CHECK(gradient[k] == Approx(attune::differentiate(along, policy.logits[k], 0.25).value).epsilon(1e-9).margin(1e-12));
    }
  };
  check([&](const auto& pi) { return toy::expectation(pi, c); }, policy.gradient(toy::expectation_coefficients(policy, c)));
  check([&](const auto& pi) { return toy::divergence(attune::divergence::forward_kl{}, pi, target); },
        policy.gradient(toy::divergence_coefficients(attune::divergence::forward_kl{}, policy, target)));
  check([&](const auto& pi) { return toy::divergence(attune::divergence::jensen_shannon{}, pi, target); },
        policy.gradient(toy::divergence_coefficients(attune::divergence::jensen_shannon{}, policy, target)));
}

TEST_CASE("toy: the forward KL of independent bits is least at the target's marginals") {
  toy::vector target_logits;
  for (int x = 0; x < 16; ++x) target_logits.push_back(std::cos(3.0 * x));
  const toy::softmax_policy target{target_logits};
  toy::bernoulli_policy fitted{toy::marginals(target)};
  for (double& z : fitted.logits) z = std::log(z / (1 - z));
  for (double slope : fitted.gradient(toy::divergence_coefficients(attune::divergence::forward_kl{}, fitted, target))) CHECK(std::abs(slope) < 1e-15);
}

TEST_CASE("toy: what are not outcomes of bits is refused") {
  CHECK_THROWS_WITH(policy.gradient(toy::vector{1, 2}), "attune::toy: coefficient has 2 outcomes; expected 16");
  CHECK_THROWS_AS(toy::marginals(toy::softmax_policy{{0, 0, 0}}), attune::error);
  CHECK_THROWS_WITH(toy::bernoulli_policy{toy::vector(21, 0.0)}.log_probabilities(),
                    "attune::toy: an outcome has 21 bits; expected at most 20, whose outcomes can be enumerated");
}
