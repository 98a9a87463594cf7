// SPDX-License-Identifier: MIT
// Stage 2 of policy gradient: an objective over a batch of tokens.
#pragma once

#include <attune/exec/token_loop.hpp>

namespace attune {
namespace detail {

inline double token_normalizer(const token_options& o, token_reduction reduction, double weight) {
  const double normalizer = o.normalizer.value_or(reduction == token_reduction::token_sum ? 1 : weight);
  if (normalizer >= 0 && normalizer <= largest<double> && (normalizer > 0 || !(weight > 0))) return normalizer;
  throw error("attune: token_options.normalizer is " + text(normalizer) + "; expected a finite number > 0, the denominator of the whole batch");
}

inline constexpr std::int64_t token_bytes = 32;  // what a token costs, in bytes that memory would move in the same time (run_chunks)

template <class Pack, execution_policy Policy, storage T>
policy_report evaluate_tokens(const Policy& policy, const objective_ref<token_kind, arithmetic<T>>& objective, const tokens<T>& batch, const token_gradients<T>& gradients, const token_options& o) {
  policy_report total = check_tokens(objective, batch, gradients, o);
  const double normalizer = token_normalizer(o, recipe_of(objective, o).reduction, total.weight);
  const double scale = normalizer > 0 ? 1 / normalizer : 0;
  const sequences layout = sequences_of(batch);
  clear_outside(layout, gradients, !batch.offsets.absent());

  const partition cut(layout.size(), 1);
  std::array<policy_report, max_chunks> parts;
  const auto run = [&](int c) { parts[static_cast<std::size_t>(c)] = token_loop<T, Pack>(objective, batch, gradients, o, scale).run(cut[c]); };
  run_chunks(policy, cut.chunks(), run, batch.logp.size() * token_bytes);
  for (int c = 0; c < cut.chunks(); ++c) {
    const policy_report& part = parts[static_cast<std::size_t>(c)];
    total.loss_sum += part.loss_sum;
    total.non_finite += part.non_finite;
    for (double policy_report::*sum : policy_report::means()) total.*sum += part.*sum;
  }
  for (double policy_report::*mean : policy_report::means()) total.*mean = total.tokens > 0 ? total.*mean / total.tokens : 0;
  return total;
}

}  // namespace detail

/// Evaluates a policy-gradient objective over sampled tokens:
///
///   report.loss()   = the objective's losses x[s, t], reduced as token_reduction says; loss_sum is its numerator, weight its denominator
///   gradients.logp  = d (loss_sum / normalizer) / d log pi(token), exactly 0 for tokens that are left out or masked by the objective
///
/// objective: ppo, grpo, gspo, cispo, ..., penalised{...}, or any value struct with a call operator on one token<S>. Its recipe (whose ratio, which mean)
/// may be overruled by the options. Gradients are exact (dual numbers). Padded and packed batches of the same tokens, and any execution policy, give the
/// same bits. Where sequences share a ratio the cost is twice that of single tokens. No allocation.
/// Throws attune::error, before anything is written: parameters outside their domain, tensors of other shapes, members that the objective reads but the
/// batch lacks, options and members that contradict each other or have no effect, weights that are negative or not finite.
template <execution_policy Policy, class O, storage T, class Pack = native_pack<arithmetic<T>>>
policy_report evaluate(Policy policy, const O& objective, const tokens<T>& batch, const std::type_identity_t<token_gradients<T>>& gradients = {},
                       const token_options& o = {}) {
  static_assert(token_objective<O>, "attune: a policy-gradient objective is called as objective(const attune::token<S>&) for any scalar S");
  validate(objective);
  return detail::evaluate_tokens<Pack>(policy, detail::refer_to<token_kind, Pack>(objective), batch, gradients, o);
}
template <class O, storage T, class Pack = native_pack<arithmetic<T>>>
policy_report evaluate(const O& objective, const tokens<T>& batch, const std::type_identity_t<token_gradients<T>>& gradients = {}, const token_options& o = {}) {
  return evaluate<serial, O, T, Pack>(serial{}, objective, batch, gradients, o);
}

}  // namespace attune
