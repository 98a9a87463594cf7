// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/length_view.hpp>
#include <attune/core/view.hpp>
#include <attune/policy/token.hpp>

#include <optional>

namespace attune {

/// A batch of sampled completions, as views of tensors that the trainer owns: padded [B, T], or packed [1, N] (`packed(x)`) with offsets;
/// see `sequences`. S is the number of sequences, B or one less than there are offsets. Masked tokens are never read.
template <storage T, class Space = host>
struct tokens {
  using kind = token_kind;  ///< whose table has a row for every column

  view<const T, 2, Space> logp{};                 ///< [B, T] log pi(token) [nat]
  view<const T, 2, Space> old_logp{};             ///< [B, T] log pi_old(token); left out with token_options.on_policy
  view<const T, 2, Space> ref_logp{};             ///< [B, T] log pi_ref(token)
  view<const T, 1, Space> advantage{};            ///< [S] of a whole sequence; or
  view<const T, 2, Space> token_advantage{};      ///< [B, T] of each token
  view<const T, 2, Space> correction{};           ///< [B, T] multiplies the surrogate, not the denominators; 1 if left out
  view<const T, 2, Space> entropy{};              ///< [B, T] of the policy [nat]
  view<const std::uint8_t, 2, Space> selected{};  ///< [B, T] by a rule over the batch
  view<const std::uint8_t, 2, Space> mask{};      ///< [B, T] 0 leaves the token out
  view<const T, 2, Space> token_weight{};         ///< [B, T] >= 0; 0 leaves the token out
  view<const T, 1, Space> weight{};               ///< [S] >= 0; 0 leaves the sequence out
  basic_length_view<Space> offsets{};             ///< [S + 1] of packed tensors
};

/// Where derivatives of the loss are written, of the tokens' shape; exactly 0 for tokens that are left out. Left out: value only.
template <storage T, class Space = host>
struct token_gradients {
  view<T, 2, Space> logp{};     ///< d loss / d log pi(token): the coefficients that logits_gradient takes
  view<T, 2, Space> entropy{};  ///< d loss / d entropy: those of its entropy term
};

/// How evaluate runs a batch of tokens. What is left out is as the objective says (recipe_of).
struct token_options {
  /// What the loss is divided by in the gradients; left out: this batch's own denominator (report.weight), 1 for token_sum. A trainer that
  /// splits a batch gives that of the whole: the tokens or the sequences of all micro-batches and ranks.
  std::optional<double> normalizer{};
  std::optional<ratio_level> ratio{};
  std::optional<token_reduction> reduction{};
  double constant_length = 0;  ///< [tokens] > 0 with, and only with, token_reduction::constant_length
  bool on_policy = false;      ///< the samples are the policy's own: every ratio is 1, with the derivative of log pi; old_logp is left out
};

}  // namespace attune
