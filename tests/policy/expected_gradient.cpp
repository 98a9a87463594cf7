// SPDX-License-Identifier: MIT
// Which gradient the policy-gradient objectives estimate: expectations over all strings of a small language, exactly.
#include "support/catch.hpp"

#include <attune/catalog/token.hpp>
#include <attune/check/gradient.hpp>
#include <attune/check/toy.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/policy/kl/estimators.hpp>
#include <attune/policy/penalised.hpp>

#include <map>

using namespace attune;
using toy::tree_policy;
using toy::vector;

namespace {

/// Strings of 1 to 4 tokens over two letters and an end, three policies that differ, and a reward for every string.
struct language {
  tree_policy policy, old, reference;
  vector advantage;

  explicit language(tree_policy shape) : policy(shape), old(shape), reference(shape) {
    attune::detail::sampler random(5);
    for (std::size_t n = 0; n < shape.nodes(); ++n) {
      policy.logits[n] = random.uniform(-1, 1);
      old.logits[n] = policy.logits[n] + random.uniform(-0.3, 0.3);
      reference.logits[n] = random.uniform(-1, 1);
    }
    for (std::size_t i = 0; i < shape.leaves().size(); ++i) advantage.push_back(random.uniform(-1, 1.5));
  }
  /// -grad E_policy[advantage], as a loss has it.
  vector exact() const {
    vector c = toy::expectation_coefficients(policy, advantage);
    for (double& x : c) x = -x;
    return policy.gradient(c);
  }
  template <class O>
  vector estimated(const O& objective, const tree_policy& behaviour, const token_options& o) const {
    return policy.step_gradient(toy::loss_on_strings(objective, policy, behaviour, reference, {.of_leaves = advantage}, o).coefficients);
  }
};

double distance(const vector& a, const vector& b) {
  double worst = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i])), size = std::max(size, std::abs(b[i]));
  return worst / size;
}
/// The factor for which factor x b is nearest to a.
double factor(const vector& a, const vector& b) {
  double ab = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], bb += b[i] * b[i];
  return ab / bb;
}
vector scaled(double by, vector x) {
  for (double& each : x) each *= by;
  return x;
}
token_options sums(std::optional<ratio_level> ratio = {}) { return {.ratio = ratio, .reduction = token_reduction::sequence_mean_token_sum}; }

}  // namespace

TEST_CASE("at ratio 1 the expected gradient of every surrogate is the policy gradient") {
  const language l(tree_policy::strings(2, 4));
  const vector exact = l.exact();
  std::map<std::string, double> error;
  catalog::for_each_token_objective([&](const auto& entry) {
    typename std::remove_cvref_t<decltype(entry)>::unit objective{};
    const bool has_ratio = attune::detail::reads_token(objective, "log_ratio");
    for (const ratio_level level : {ratio_level::token, ratio_level::sequence, ratio_level::sequence_token, ratio_level::sequence_sum}) {
      if (!has_ratio && level != ratio_level::token) continue;
      if (level == ratio_level::sequence_sum && std::is_same_v<decltype(objective), gmpo>) continue;  // a mean by definition
      INFO(entry.name << " at level " << int(level));
      const double e = distance(l.estimated(objective, l.policy, sums(has_ratio ? std::optional(level) : std::nullopt)), exact);
      error[entry.name] = std::max(error[entry.name], e);
      // Of a product of n ratios each token's share of the loss moves the whole sequence: n times the policy gradient, undone by the token mean.
      if (level == ratio_level::sequence_sum && attune::detail::reads_token(objective, "log_ratio") && !attune::detail::reads_token(objective, "logp")) continue;
      if (std::string(entry.name) == "awr") CHECK(e > 0.1);  // the likelihood of good samples, no policy gradient
      else CHECK(e < 1e-13);
    }
  });
  CHECK(error.size() >= 13);
  CHECK(distance(l.estimated(rloo{}, l.policy, {}), exact) < 1e-13);  // the product of the ratios, with the token mean
}

TEST_CASE("what the means over tokens make of the policy gradient") {
  const language l(tree_policy::strings(2, 4)), even(tree_policy::complete(2, 3));
  const vector exact = l.exact(), length = l.policy.lengths();
  const double mean_length = toy::expectation(l.policy, length);

  const vector token_mean = l.estimated(ppo{}, l.policy, {});  // exact, divided by the mean length
  CHECK(distance(scaled(mean_length, token_mean), exact) < 1e-13);
  const vector constant = l.estimated(dr_grpo{}, l.policy, {.constant_length = 4});  // exact, divided by the constant
  CHECK(distance(scaled(4, constant), exact) < 1e-13);
  const vector grpo_mean = l.estimated(grpo{}, l.policy, {});  // that of E[A / |y|]: biased by the lengths
  CHECK(distance(scaled(1 / factor(grpo_mean, exact), grpo_mean), exact) > 0.02);
  language per_token = l;
  for (std::size_t i = 0; i < length.size(); ++i) per_token.advantage[i] /= length[i];
  CHECK(distance(grpo_mean, per_token.exact()) < 1e-13);
  CHECK(distance(scaled(3, even.estimated(grpo{}, even.policy, {})), even.exact()) < 1e-13);  // of one length: no bias
}

TEST_CASE("off policy the product of ratios is exact, ratios of tokens and sequence means are not") {
  const language l(tree_policy::strings(2, 4));
  const vector exact = l.exact();
  const auto error = [&](const auto& objective, const token_options& o) { return distance(l.estimated(objective, l.old, o), exact); };
  CHECK(error(rloo{.low = 1, .high = 1e9}, {}) < 1e-13);  // importance sampling of whole strings, no clip
  CHECK(error(ppo{.low = 1, .high = 1e9}, sums()) > 0.02);
  CHECK(error(gspo{.low = 1, .high = 1e9}, sums()) > 0.02);
  CHECK(error(reinforce{}, sums()) > 0.02);
  CHECK(error(cispo{.lower = 0, .upper = 1e9}, sums(ratio_level::sequence_sum)) < 1e-13);  // the same estimator, its weight held constant
  CHECK(error(cispo{}, sums(ratio_level::sequence_sum)) > 0.005);                            // truncated: biased
  CHECK(error(topr{}, {}) > 0.02);

  const language single(tree_policy::complete(5, 1));  // one token: a token is a string
  CHECK(distance(single.estimated(ppo{.low = 1, .high = 1e9}, single.old, {}), single.exact()) < 1e-13);
  CHECK(distance(single.estimated(ppo{.low = 0.02, .high = 0.02}, single.old, {}), single.exact()) > 1e-3);  // clipped: biased
}

TEST_CASE("advantages of steps: the gradient of a decision process") {
  const language l(tree_policy::strings(2, 3));
  vector reward(l.policy.nodes(), 0.0), a(l.policy.nodes(), 0.0);
  attune::detail::sampler random(8);
  for (double& r : reward) r = random.uniform(-1, 1);
  const vector value = l.policy.values(reward);
  for (std::size_t n = 1; n < a.size(); ++n) a[n] = reward[n] + value[n] - value[l.policy.parent[n]];
  vector leaf_reward;  // of a string: what is paid along it
  for (std::size_t leaf : l.policy.leaves()) {
    double sum = 0;
    for (std::size_t n = leaf; n != tree_policy::root; n = l.policy.parent[n]) sum += reward[n];
    leaf_reward.push_back(sum);
  }
  vector c = toy::expectation_coefficients(l.policy, leaf_reward);
  for (double& x : c) x = -x;
  const auto by_steps = toy::loss_on_strings(ppo{}, l.policy, l.policy, l.reference, {.of_steps = a}, sums());
  CHECK(distance(l.policy.step_gradient(by_steps.coefficients), l.policy.gradient(c)) < 1e-13);
}

TEST_CASE("the KL term in the loss: what each estimator's expected gradient is, and what the ratio corrects (P26)") {
  const language l(tree_policy::complete(5, 1));  // one token, so that sampled tokens have no futures
  const auto kl = [&](const tree_policy& a, const tree_policy& b, const vector& coefficients) { return std::pair(toy::kl(a, b), l.policy.gradient(coefficients)); };
  const auto [value, exact] = kl(l.policy, l.reference, toy::divergence_coefficients(divergence::reverse_kl{}, l.policy, l.reference));
  const vector none(l.advantage.size(), 0.0);
  const auto estimate = [&](const auto& objective, const tree_policy& from) {
    const auto r = toy::loss_on_strings(objective, l.policy, from, l.reference, {.of_leaves = none});
    return std::pair(r.report.loss(), l.policy.step_gradient(r.coefficients));
  };
  const auto [v3, g3] = estimate(penalised{ppo{}, kl_penalty<kl::k3>{.coefficient = 1}}, l.policy);
  CHECK(v3 == Approx(value).epsilon(1e-13));
  CHECK(distance(g3, exact) > 0.1);  // that of the forward KL
  const vector forward = l.policy.gradient(toy::divergence_coefficients(divergence::forward_kl{}, l.policy, l.reference));
  CHECK(distance(g3, forward) < 1e-13);
  const auto [v1, g1] = estimate(penalised{ppo{}, kl_penalty<kl::k1>{.coefficient = 1}}, l.policy);
  CHECK(v1 == Approx(value).epsilon(1e-13));
  for (double g : g1) CHECK(std::abs(g) < 1e-15);
  CHECK(distance(estimate(penalised{ppo{}, kl_penalty<kl::k2>{.coefficient = 1}}, l.policy).second, exact) < 1e-13);
  const auto [corrected_value, corrected] = estimate(penalised{ppo{}, corrected_kl_penalty<kl::k3>{.coefficient = 1}}, l.old);  // off policy
  CHECK(corrected_value == Approx(value).epsilon(1e-13));
  CHECK(distance(corrected, exact) < 1e-13);
  CHECK(distance(estimate(penalised{ppo{}, kl_penalty<kl::k2>{.coefficient = 1}}, l.old).second, exact) > 0.02);
}
