// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/correction/report.hpp>
#include <attune/policy/token_tensors.hpp>

namespace attune::correction {

/// The tokens of completions with their advantages: padded [B, T], or packed [1, N] with offsets; see `sequences`.
template <real T>
struct judged_samples {
  view<const T, 2> logp{};                 ///< [B, T] log-probability by the policy as it is now [nat]
  view<const T, 2> sampler_logp{};         ///< [B, T] by the sampler; where there is none of its own, by the old policy
  view<const T> advantage{};               ///< [S] of a whole sequence; or
  view<const T, 2> token_advantage{};      ///< [B, T] of each token
  view<const std::uint8_t, 2> mask{};      ///< [B, T] 0 leaves the token out
  length_view offsets{};                   ///< [S + 1] of packed tensors
};

/// Multipliers of the off-policy sequence mask: a bad completion that the policy would hardly write any more is no longer trained on.
///
///   multiplier = 0 if advantage < 0 and mean over the sequence's active tokens of (sampler_logp - logp) > threshold, else 1
///
/// threshold >= 0 [nat]; the paper gives no value; infinity: all are 1. multipliers: of the tokens' shape, exactly 0 for tokens that are not
/// active; memory of its own. They multiply the surrogate and leave the denominators alone. Good completions stay, however old. A
/// mean that is NaN masks nothing, so that it shows in the loss. masked_sequences counts the sequences beyond the threshold of which a token
/// was masked.
/// Throws attune::error, before anything is written: sizes that differ; a threshold that is negative or NaN; not exactly one of advantage and
/// token_advantage. No allocation.
/// Source   DeepSeek-V3.2, arXiv:2512.02556; TRL: off_policy_mask_threshold.
template <real T>
report off_policy_mask(double threshold, const judged_samples<T>& x, std::type_identity_t<view<T, 2>> multipliers) {
  if (!(threshold >= 0)) {
    throw error("attune: threshold of off_policy_mask is " + attune::detail::text(threshold) + "; expected 0 or more, or infinity [nat]");
  }
  attune::detail::require_token_shape(x.sampler_logp, "sampler_logp", x.logp, "logp");
  const sequences where(x.logp.extent(0), x.logp.extent(1), x.mask, x.offsets);
  const auto advantage = attune::detail::require_advantages(x.advantage, x.token_advantage, where, x.logp, "logp");
  attune::detail::require_token_results(multipliers, "multipliers", x.logp, "logp");
  attune::detail::fill(multipliers, T(0));

  report result;
  for (std::int64_t s = 0; s < where.size(); ++s) {
    double sum = 0, tokens = 0;
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      sum += double(x.sampler_logp(row, t)) - double(x.logp(row, t));
      ++tokens;
    });
    if (tokens == 0) continue;
    const bool old = sum / tokens > threshold;
    const std::int64_t before = result.masked;
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      const bool masked = old && advantage(s, row, t) < 0;
      multipliers(row, t) = masked ? T(0) : T(1);
      result.masked += masked;
      result.sum += !masked;
      result.squares += !masked;
      ++result.tokens;
    });
    ++result.sequences;
    result.masked_sequences += result.masked > before;
  }
  result.largest = result.masked < result.tokens ? 1 : 0;
  return result;
}

}  // namespace attune::correction
