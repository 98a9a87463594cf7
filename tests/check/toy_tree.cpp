// SPDX-License-Identifier: MIT
#include <attune/check/toy.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/simpo.hpp>

#include "support/catch.hpp"

namespace toy = attune::toy;
using toy::tree_policy;

namespace {

/// Logits that differ.
tree_policy uneven(tree_policy tree) {
  for (std::size_t n = 0; n < tree.nodes(); ++n) tree.logits[n] = std::sin(double(3 * n));
  return tree;
}

template <class Loss> void check_derivative(tree_policy policy, const Loss& loss) {
  const toy::vector gradient = policy.gradient(loss(policy).coefficients);
  for (std::size_t n = 0; n < policy.nodes(); ++n) {
    const auto at = [&](double h) {
      tree_policy moved = policy;
      moved.logits[n] += h;
      return loss(moved).value;
    };
    CHECK(gradient[n] == Approx((at(1e-5) - at(-1e-5)) / 2e-5).margin(1e-9));
  }
}

}  // namespace

TEST_CASE("toy: outcomes of trees, and their lengths") {
  CHECK(tree_policy::complete(3, 2).log_probabilities().size() == 9);
  CHECK(tree_policy::complete(3, 2).lengths() == toy::vector(9, 2.0));
  // over {a, b}, at most 2 tokens: end, a end, aa, ab, b end, ba, bb
  CHECK(tree_policy::strings(2, 2).lengths() == toy::vector{1, 2, 2, 2, 2, 2, 2});
  for (const auto& tree : {uneven(tree_policy::complete(2, 4)), uneven(tree_policy::strings(3, 3))}) {
    CHECK(toy::expectation(tree, toy::vector(tree.leaves().size(), 1.0)) == Approx(1).epsilon(1e-14));
  }
  CHECK_THROWS_AS(tree_policy{}.add(1), attune::error);
}

TEST_CASE("toy: a tree of depth 1 is a softmax policy") {
  const tree_policy tree = uneven(tree_policy::complete(5, 1));
  const toy::softmax_policy flat{toy::vector(tree.logits.begin() + 1, tree.logits.end())};
  CHECK(tree.log_probabilities() == flat.log_probabilities());
  const toy::vector c{1, -2, 3, .5, 4}, gradient = tree.gradient(c), expected = flat.gradient(c);
  for (std::size_t i = 0; i < 5; ++i) CHECK(gradient[i + 1] == Approx(expected[i]).epsilon(1e-14));
}

TEST_CASE("toy: gradients of preference losses on strings, with and without lengths") {
  const tree_policy reference = uneven(tree_policy::strings(2, 2));
  tree_policy policy = reference;
  for (double& x : policy.logits) x = std::cos(x);
  const toy::vector reward{0, 1, -1, 2, .5, 0, 1};
  const auto data = toy::bradley_terry_comparisons(reference, reward);
  check_derivative(policy, [&](const auto& pi) { return toy::loss_on_pairs(attune::dpo{.beta = 0.3}, pi, reference, data); });
  check_derivative(policy, [&](const auto& pi) { return toy::loss_on_pairs(attune::simpo{}, pi, reference, data, {.length = reference.lengths()}); });
}

// The policy gradient theorem: the gradient of the expected return is that of sum over the steps of P(parent) pi(step) advantage(step) log pi.
TEST_CASE("toy: values and advantages give the gradient of the expected return") {
  const tree_policy policy = uneven(tree_policy::complete(2, 3));
  toy::vector reward(policy.nodes());
  for (std::size_t n = 1; n < policy.nodes(); ++n) reward[n] = std::cos(double(5 * n));
  toy::vector total(policy.nodes(), 0.0), returns;
  for (std::size_t n = 1; n < policy.nodes(); ++n) total[n] = total[policy.parent[n]] + reward[n];
  for (std::size_t leaf : policy.leaves()) returns.push_back(total[leaf]);
  const toy::vector value = policy.values(reward), step = policy.step_log_probabilities();
  CHECK(value[tree_policy::root] == Approx(toy::expectation(policy, returns)).epsilon(1e-13));

  const toy::vector exact = policy.gradient(toy::expectation_coefficients(policy, returns));
  toy::vector reach(policy.nodes(), 1.0);
  for (std::size_t n = 1; n < policy.nodes(); ++n) {
    reach[n] = reach[policy.parent[n]] * std::exp(step[n]);
    const double advantage = reward[n] + value[n] - value[policy.parent[n]];
    CHECK(reach[n] * advantage == Approx(exact[n]).margin(1e-14));  // the advantages of siblings average to 0: softmax adds nothing
  }
  CHECK_THROWS_AS(policy.values(toy::vector{1}), attune::error);
}
