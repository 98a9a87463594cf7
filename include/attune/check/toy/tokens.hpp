// SPDX-License-Identifier: MIT
// Policy-gradient objectives on strings: the expected loss of samples from an old policy, over every string that there can be, and the expected
// gradient, by `evaluate` itself. What an estimator is unbiased for, and what it is not, can be read off to rounding error.
#pragma once

#include <attune/check/toy/tree_policy.hpp>
#include <attune/exec/evaluate.hpp>

namespace attune::toy {
namespace detail {
template <token_objective O>
bool reads_selected(const O& objective) {
  return reads<token_kind>(objective, member_named<token_kind>("selected"));
}
}  // namespace detail

/// Expected loss, and what it is divided by to become the gradient's (policy_report.weight); d loss / d log pi(n | parent) of every node, for
/// tree_policy::step_gradient.
struct expected_policy_loss {
  policy_report report;
  vector coefficients;
};

/// What is known of the strings: an advantage for each leaf, [K], or for each node's step, [nodes].
struct string_advantages {
  vector of_leaves{}, of_steps{};
};

/// The objective over all strings, each with its probability under `old` as the weight of its sequence; `policy`, `old` and `reference` are the
/// same tree with their own logits. A string of no tokens (the root alone) does not exist. Throws attune::error as evaluate does.
template <token_objective O>
expected_policy_loss loss_on_strings(const O& objective, const tree_policy& policy, const tree_policy& old, const tree_policy& reference, const string_advantages& known,
                                     const token_options& options = {}) {
  const vector step = policy.step_log_probabilities(), old_step = old.step_log_probabilities(), ref_step = reference.step_log_probabilities();
  const std::vector<std::size_t> leaves = policy.leaves();
  vector logp, old_logp, ref_logp, step_advantage, weight = probabilities(old);
  std::vector<std::int64_t> offsets{0};
  std::vector<std::size_t> place;  // node of token i
  for (const std::size_t leaf : leaves) {
    std::vector<std::size_t> path;
    for (std::size_t n = leaf; n != tree_policy::root; n = policy.parent[n]) path.insert(path.begin(), n);
    place.insert(place.end(), path.begin(), path.end());
    offsets.push_back(static_cast<std::int64_t>(place.size()));
  }
  for (const std::size_t n : place) {
    logp.push_back(step[n]);
    old_logp.push_back(old_step[n]);
    ref_logp.push_back(ref_step[n]);
    if (!known.of_steps.empty()) step_advantage.push_back(known.of_steps[n]);
  }
  vector d(place.size());
  const vector &p = logp, &q = old_logp, &r = ref_logp, &a = step_advantage, &w = weight;
  tokens<double> batch{.logp = packed(p), .ref_logp = packed(r), .weight = w, .offsets = offsets};
  if (!known.of_leaves.empty()) batch.advantage = known.of_leaves;
  if (!options.on_policy) batch.old_logp = packed(q);
  if (!a.empty()) batch.token_advantage = packed(a);
  std::vector<std::uint8_t> selected(place.size(), 0);
  if (detail::reads_selected(objective)) batch.selected = packed(std::as_const(selected));
  expected_policy_loss result{evaluate(objective, batch, {.logp = packed(d)}, options), vector(policy.nodes(), 0.0)};
  for (std::size_t i = 0; i < place.size(); ++i) result.coefficients[place[i]] += d[i];
  return result;
}

}  // namespace attune::toy
