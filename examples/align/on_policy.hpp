// SPDX-License-Identifier: MIT
// Where attune meets policy gradient in this trainer: the same three stages as in alignment.hpp, token by token.
//
//   sample_completions     prompts [P], a group of K each -> completions [P K]
//     token_logps          by the policy that wrote them -> old_logp, by the reference -> ref_logp
//     reward, advantage    text -> reward [P K] -> advantage [P K]
//   as often as --updates says:
//     stage 1              attune::token_logps      logits -> log pi(token), entropy, row states
//     stage 2              attune::evaluate         tokens -> report, d loss / d log pi(token), d loss / d entropy
//     stage 3              attune::logits_gradient  -> d loss / d logits, in place of the logits
#pragma once

#include "advantages.hpp"
#include "alignment.hpp"
#include "policy_objective.hpp"
#include "reward.hpp"
#include "sampling.hpp"

#include <numeric>

namespace align {

/// What stage 1 finds in B rows, token by token.
template <class Real> struct token_scores {
  std::vector<Real> logps, entropies;     ///< [B, T] log pi(token), entropy of the policy there [nat]; 0 outside the completion
  std::vector<attune::row_state> states;  ///< [B, T]
};

template <class Real> token_scores<Real> score_tokens(network<Real>& net, const std::vector<Real>& parameters, const batch& b) {
  net.forward(parameters, b);
  const std::size_t positions = b.rows * b.length;
  token_scores<Real> s{std::vector<Real>(positions), std::vector<Real>(positions), std::vector<attune::row_state>(positions)};
  attune::token_logps(net.threads(), logits_view(net, b), b.targets, s.logps, s.states, {.mask = b.mask}, {.entropies = s.entropies});
  return s;
}

/// Completions of which the network holds all at a time, with what stays fixed while the policy takes its steps on them.
template <class Real> struct sampled_part {
  batch rows;
  std::vector<Real> old_logp, ref_logp;  ///< [B, T] [nat]
  std::vector<Real> advantage;           ///< [B]
};

/// Completions with their advantages [M], in parts of net.max_rows().
template <class Real>
std::vector<sampled_part<Real>> parts_of(network<Real>& net, const std::vector<Real>& parameters, const std::vector<Real>& reference,
                                         const std::vector<preference_tokens>& samples, const std::vector<Real>& advantages) {
  std::vector<sampled_part<Real>> parts;
  for (std::size_t i = 0; i < samples.size(); i += net.max_rows()) {
    std::vector<std::size_t> rows(std::min(net.max_rows(), samples.size() - i));
    std::iota(rows.begin(), rows.end(), i);
    const auto first = advantages.begin() + std::ptrdiff_t(i);
    const batch b = make_batch(samples, rows, /*chosen_only=*/true);
    parts.push_back({b, score_tokens(net, parameters, b).logps, score_tokens(net, reference, b).logps, {first, first + std::ptrdiff_t(rows.size())}});
  }
  return parts;
}

/// Tokens that the objective wants selected by their covariance; none for other objectives. The rule sees this part alone.
template <class Real>
std::vector<std::uint8_t> select_tokens(const sampled_part<Real>& part, const token_scores<Real>& s, const policy_objective& objective, std::uint64_t seed) {
  if (objective.selection.index() == 0) return {};
  const auto shaped = [&](auto& x) { return attune::as_view(x.data(), part.rows.rows, part.rows.length); };
  std::vector<std::uint8_t> selected(s.logps.size());
  const attune::covariance::samples<Real> x{
      .logp = shaped(s.logps), .old_logp = shaped(part.old_logp), .advantage = part.advantage, .mask = shaped(part.rows.mask)};
  if (auto rule = std::get_if<attune::covariance::clip_cov>(&objective.selection)) {
    attune::covariance::clip_cov chance = *rule;
    chance.seed = seed;
    std::vector<std::uint64_t> scratch(selected.size());
    attune::covariance::select(chance, x, shaped(selected), scratch);
  } else {
    std::vector<double> scratch(selected.size());
    attune::covariance::select(std::get<attune::covariance::kl_cov>(objective.selection), x, shaped(selected), scratch);
  }
  return selected;
}

/// A part as an objective reads it. Reference and entropy are there for the report too.
template <class Real>
attune::tokens<Real> tokens_of(const sampled_part<Real>& part, const token_scores<Real>& s, const std::vector<std::uint8_t>& selected) {
  const auto shaped = [&](const auto& x) { return attune::as_view(x.data(), part.rows.rows, part.rows.length); };
  attune::tokens<Real> tokens{.logp = shaped(s.logps), .old_logp = shaped(part.old_logp), .ref_logp = shaped(part.ref_logp),
                              .advantage = part.advantage, .entropy = shaped(s.entropies), .mask = shaped(part.rows.mask)};
  if (!selected.empty()) tokens.selected = shaped(selected);
  return tokens;
}

/// Stage 3 and backward pass, after score_tokens() of the same batch. d_entropy is empty where the objective reads no entropy. The gradient
/// of the parameters is added inside `net`.
template <class Real>
void backpropagate_tokens(network<Real>& net, const std::vector<Real>& parameters, const batch& b, const token_scores<Real>& s,
                          const std::vector<Real>& d_logp, const std::vector<Real>& d_entropy) {
  attune::row_terms<Real> terms;
  if (!d_entropy.empty()) terms = {.entropies = s.entropies, .entropy_coefficients = d_entropy};
  attune::logits_gradient(net.threads(), logits_view(net, b), b.targets, s.states, d_logp, gradient_view(net, b), {.mask = b.mask}, terms);
  net.backward(parameters, b);
}

/// What stage 2 says of a part.
template <class Real> struct part_gradient {
  attune::policy_report report;
  std::vector<Real> d_logp, d_entropy;  ///< [B, T]; d_entropy is empty where the objective reads no entropy
};

/// Stage 2. With the denominator of the whole step, the gradients of its parts add up to the gradient of the whole.
template <class Real>
part_gradient<Real> evaluate_part(const sampled_part<Real>& part, const token_scores<Real>& s, const policy_objective& objective,
                                  const std::vector<std::uint8_t>& selected, double denominator) {
  part_gradient<Real> g;
  g.d_logp.resize(s.logps.size());
  attune::token_gradients<Real> to{.logp = attune::as_view(g.d_logp.data(), part.rows.rows, part.rows.length)};
  if (objective.reads_entropy) {
    g.d_entropy.resize(s.logps.size());
    to.entropy = attune::as_view(g.d_entropy.data(), part.rows.rows, part.rows.length);
  }
  g.report = objective(tokens_of(part, s, selected), to, denominator);
  return g;
}

/// Completions of a step.
struct sampled_step {
  std::vector<sampled_part<float>> parts;
  policy_evaluation found;  ///< of the rewards
  std::size_t tokens = 0, completions = 0;
};

/// The on-policy half of the trainer: who writes, what it is worth, and one gradient step on it.
class on_policy {
 public:
  /// Throws attune::error for settings without meaning.
  explicit on_policy(const settings& s)
      : objective_(make_policy_objective(s.policy, s.set, s.model.context)), reward_(make_reward(s.policy.reward, s.data.empty())),
        advantage_(find_advantage(s.policy.advantage, s.policy.name)), group_(s.policy.group) {}

  const policy_objective& objective() const { return objective_; }
  const advantage_rule& advantage() const { return advantage_; }

  /// A group of completions of each of these prompts by the policy `parameters`, its old policy from now on.
  sampled_step sample(network<float>& net, const std::vector<float>& parameters, const std::vector<float>& reference,
                      const std::vector<preference_tokens>& prompts, const random_source& random) const {
    std::vector<preference_tokens> asked;
    for (const preference_tokens& p : prompts) asked.insert(asked.end(), group_, p);
    const std::vector<preference_tokens> samples = sample_all(net, parameters, asked, random);
    sampled_step step;
    step.completions = samples.size();
    const std::vector<float> rewards = rewards_of(asked, samples), lengths = lengths_of(samples);
    std::vector<float> advantages(samples.size());
    const attune::advantage::group_report groups = advantage_.form({rewards, lengths, group_}, advantages);
    step.found = describe(samples, rewards, net.dimensions().context);
    step.found.groups = groups.groups;
    step.found.constant_groups = groups.constant;
    step.parts = parts_of(net, parameters, reference, samples, advantages);
    for (const sampled_part<float>& part : step.parts) step.tokens += part.rows.active();
    return step;
  }

  /// The gradient of the loss on them, added inside `net`. `random` is for objectives that select tokens by chance.
  attune::policy_report gradient(network<float>& net, const std::vector<float>& parameters, const sampled_step& step, random_source random) const {
    attune::policy_report report;
    const double denominator = objective_.denominator(step.tokens, step.completions);
    for (const sampled_part<float>& part : step.parts) {
      const token_scores<float> s = score_tokens(net, parameters, part.rows);
      const part_gradient<float> g = evaluate_part(part, s, objective_, select_tokens(part, s, objective_, random.next()), denominator);
      backpropagate_tokens(net, parameters, part.rows, s, g.d_logp, g.d_entropy);
      report += g.report;
    }
    return report;
  }

  /// What the policy `parameters` writes to these prompts, once each: rewards and lengths, KL divergence from the reference, entropy.
  policy_evaluation measure(network<float>& net, const std::vector<float>& parameters, const std::vector<float>& reference,
                            const std::vector<preference_tokens>& prompts, const random_source& random) const {
    const std::vector<preference_tokens> samples = sample_all(net, parameters, prompts, random);
    policy_evaluation found = describe(samples, rewards_of(prompts, samples), net.dimensions().context);
    for (const auto& part : parts_of(net, parameters, reference, samples, std::vector<float>(samples.size()))) {
      const token_scores<float> s = score_tokens(net, parameters, part.rows);
      found.tokens += objective_(tokens_of(part, s, select_tokens(part, s, objective_, 0)), {}, 1);  // of which the loss is not looked at
    }
    return found;
  }

 private:
  std::vector<float> rewards_of(const std::vector<preference_tokens>& prompts, const std::vector<preference_tokens>& samples) const {
    std::vector<float> rewards;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const auto &asked = prompts[i].chosen, &y = samples[i].chosen;
      const std::size_t p = samples[i].prompt;
      rewards.push_back(float(reward_({text_of(y, 1, p), text_of(y, p, y.size()), text_of(asked, p, asked.size())})));
    }
    return rewards;
  }
  /// Tokens of the completions, the end token included.
  static std::vector<float> lengths_of(const std::vector<preference_tokens>& samples) {
    std::vector<float> lengths;
    for (const preference_tokens& y : samples) lengths.push_back(float(y.chosen.size() - y.prompt));
    return lengths;
  }
  static policy_evaluation describe(const std::vector<preference_tokens>& samples, const std::vector<float>& rewards, std::size_t context) {
    const std::vector<float> lengths = lengths_of(samples);
    policy_evaluation found;
    found.rewards = attune::reward::statistics_of(rewards);
    found.lengths = attune::reward::statistics_of(lengths);
    for (const preference_tokens& y : samples) found.truncated += y.chosen.back() != end_token && y.chosen.size() == context + 1;
    return found;
  }

  policy_objective objective_;
  text_reward reward_;
  advantage_rule advantage_;
  std::size_t group_;
};

}  // namespace align
