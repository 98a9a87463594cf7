// SPDX-License-Identifier: MIT
// Objectives over all the data of a toy distribution: DPO finds the exact optimum of RLHF, as its paper says; gradients are derivatives.
#include <attune/check/toy.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/exo_rw.hpp>
#include <attune/preference/kto.hpp>
#include <attune/preference/sft.hpp>
#include <attune/preference/simpo.hpp>

#include "support/catch.hpp"

namespace toy = attune::toy;

namespace {

const toy::softmax_policy reference = toy::categorical({.4, .3, .2, .1});
const toy::vector reward{0, 1, -1, 2};

/// d loss / d theta against central differences.
template <class Loss> void check_gradient(const Loss& loss) {
  toy::softmax_policy policy{{.3, -.2, .5, .1}};
  const toy::vector gradient = policy.gradient(loss(policy).coefficients);
  for (std::size_t j = 0; j < 4; ++j) {
    const auto at = [&](double h) {
      toy::softmax_policy moved = policy;
      moved.logits[j] += h;
      return loss(moved).value;
    };
    CHECK(gradient[j] == Approx((at(1e-5) - at(-1e-5)) / 2e-5).margin(1e-9));
  }
}

}  // namespace

TEST_CASE("toy: DPO on Bradley-Terry labels converges to the reference tilted by the reward") {
  const double beta = 0.5;
  const auto data = toy::bradley_terry_comparisons(reference, reward);
  toy::softmax_policy policy = reference;
  for (int step = 0; step < 4000; ++step) toy::descend(policy, toy::loss_on_pairs(attune::dpo{.beta = beta}, policy, reference, data).coefficients, 20);
  CHECK(toy::kl(policy, toy::tilted(reference, reward, beta)) < 1e-12);
}

TEST_CASE("toy: the gradients of exact losses are derivatives") {
  const auto comparisons = toy::bradley_terry_comparisons(reference, reward);
  const std::vector<toy::verdict> verdicts{{0, true, 2}, {1, false, 1}, {3, true, 0.5}};
  const toy::outcomes known{.length = {3, 5, 2, 8}, .reward = reward};
  check_gradient([&](const auto& pi) { return toy::loss_on_pairs(attune::dpo{}, pi, reference, comparisons); });
  check_gradient([&](const auto& pi) { return toy::loss_on_pairs(attune::simpo{}, pi, reference, comparisons, {.length = known.length}); });
  check_gradient([&](const auto& pi) { return toy::loss_on_singles(attune::kto{}, pi, reference, verdicts); });
  check_gradient([&](const auto& pi) { return toy::loss_on_singles(attune::sft_per_token{}, pi, reference, verdicts, {.length = known.length}); });
  check_gradient([&](const auto& pi) { return toy::loss_on_groups(attune::exo_rw{}, pi, reference, reference, 3, {.reward = known.reward}); });
}

TEST_CASE("toy: fine-tuning is cross-entropy") {
  const toy::softmax_policy policy{{.3, -.2, .5, .1}};
  std::vector<toy::verdict> data;
  for (std::size_t i = 0; i < 4; ++i) data.push_back({i, true, reference.probabilities()[i]});
  CHECK(toy::loss_on_singles(attune::sft{}, policy, reference, data).value == Approx(toy::cross_entropy(reference, policy)).epsilon(1e-14));
}

TEST_CASE("toy: multisets of draws have probabilities that sum to 1, excluded outcomes included") {
  double total = 0;
  int visited = 0;
  toy::for_each_multiset({.5, 0, .3, .2}, 4, [&](const std::vector<int>& counts, double probability) {
    total += probability;
    ++visited;
    if (counts[1] > 0) CHECK(probability == 0);
  });
  CHECK(visited == 35);
  CHECK(total == Approx(1).epsilon(1e-13));
}

TEST_CASE("toy: comparisons of outcomes that do not exist, and what an objective lacks, are refused") {
  const std::vector<toy::comparison> wrong{{0, 4}}, right{{0, 1}};
  CHECK_THROWS_WITH(toy::loss_on_pairs(attune::dpo{}, reference, reference, wrong), "attune::toy: outcome 4 does not exist; expected one below 4");
  CHECK_THROWS_AS(toy::loss_on_pairs(attune::simpo{}, reference, reference, right), attune::error);
  CHECK_THROWS_AS(toy::loss_on_pairs(attune::simpo{}, reference, reference, right, {.length = {1, 2}}), attune::error);
}
