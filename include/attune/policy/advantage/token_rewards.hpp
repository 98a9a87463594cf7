// SPDX-License-Identifier: MIT
// From completions to their tokens: a reward goes to the last token, an advantage to all of them.
#pragma once

#include <attune/policy/advantage/tokens.hpp>

namespace attune::advantage {

/// "KL in reward": what is subtracted at each token.
template <real T>
struct kl_penalty {
  view<const T, 2> kl{};   ///< [B, T] (or packed [1, N]): an estimate of the KL divergence to the reference at each token, as log pi - log pi_ref [nat]
  double coefficient = 0;  ///< [unit of the reward / nat]; a controller's
};

/// Rewards of tokens from those of completions:
///
///   result[s, t] = -coefficient kl[s, t] + (rewards[s] if t is the last active token of s)
///
/// rewards [S], result [B, T] (or packed [1, N]), exactly 0 where no token is active; it may be the memory of kl. A sequence without active
/// tokens has nowhere to put its reward: it is not read, the sequence counts as `empty`. A kl with coefficient 0 is not read. No allocation.
/// Throws attune::error, before anything is written: sizes that differ; a coefficient that is not finite, or not 0 without kl.
/// Source   RLHF on language models: Ziegler et al. 2019, arXiv:1909.08593; placement as in TRL, verl, OpenRLHF. TRL's RLOO subtracts the
///          sum of kl from the reward of the completion instead, before its baseline: sequence_logps sums the tokens.
template <tensor Rewards>
token_report token_rewards(const sequences& where, Rewards&& rewards, view<detail::element_of<Rewards, 1>, 2> result,
                           const std::type_identity_t<kl_penalty<detail::element_of<Rewards, 1>>>& penalty = {}) {
  using T = detail::element_of<Rewards, 1>;
  const auto r = detail::readable<1>(static_cast<Rewards&&>(rewards));
  attune::detail::require_extent(r.extent(0), where.size(), "rewards", "the number of sequences");
  detail::require_token_results(result, where, "result");
  if (!penalty.kl.absent()) detail::require_tokens(penalty.kl, where, "kl_penalty.kl");
  if (!std::isfinite(penalty.coefficient) || (penalty.kl.absent() && penalty.coefficient != 0)) {
    throw error("attune: kl_penalty.coefficient is " + attune::detail::text(penalty.coefficient) + (penalty.kl.absent() ? " without kl" : "") +
                "; expected a finite number, and kl beside one that is not 0");
  }
  token_report report;
  for (std::int64_t s = 0; s < where.size(); ++s) {
    std::int64_t tokens = 0;
    detail::for_each_active_backwards(where, s, [&](std::int64_t row, std::int64_t t) {
      const double kl = penalty.coefficient != 0 ? penalty.coefficient * static_cast<double>(penalty.kl(row, t)) : 0;
      const double x = (tokens++ == 0 ? static_cast<double>(r(s)) : 0) - kl;
      result(row, t) = static_cast<T>(x);
      report.non_finite += !std::isfinite(x);
    });
    detail::count_sequence(report, tokens);
  }
  detail::clear_inactive(where, result);
  return report;
}

/// result[s, t] = values[s] on the active tokens of sequence s, exactly 0 elsewhere: the advantage of a completion, as that of its tokens.
/// values [S], result [B, T] (or packed [1, N]). Throws attune::error, before anything is written, for sizes that differ. No allocation.
template <tensor Values>
token_report on_every_token(const sequences& where, Values&& values, view<detail::element_of<Values, 1>, 2> result) {
  const auto x = detail::readable<1>(static_cast<Values&&>(values));
  attune::detail::require_extent(x.extent(0), where.size(), "values", "the number of sequences");
  detail::require_token_results(result, where, "result");
  token_report report;
  for (std::int64_t s = 0; s < where.size(); ++s) {
    std::int64_t tokens = 0;
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      result(row, t) = x(s);
      report.non_finite += !std::isfinite(x(s));
      ++tokens;
    });
    detail::count_sequence(report, tokens);
  }
  detail::clear_inactive(where, result);
  return report;
}

}  // namespace attune::advantage
