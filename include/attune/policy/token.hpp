// SPDX-License-Identifier: MIT
// One sample of policy gradient: a token that was sampled, and how its importance ratio and its share of the loss are formed.
#pragma once

#include <attune/preference/sample.hpp>

namespace attune {

/// The argument of a policy-gradient objective. What carries derivatives: logp, log_ratio, entropy; log_ratio is a variable of its own, because
/// it may be that of the whole sequence (ratio_level), and carries the derivatives of all its tokens.
template <class S>
struct token {
  S logp{};                  ///< log pi(token) [nat]
  S log_ratio{};             ///< log of the importance ratio pi / pi_old, of the token or of its sequence [nat]
  S entropy{};               ///< entropy of the policy's distribution at this place [nat]
  real_of<S> old_logp{};     ///< log pi_old(token): of the policy whose samples these count as
  real_of<S> ref_logp{};     ///< log pi_ref(token)
  real_of<S> advantage{};    ///< of this token, or of its sequence
  real_of<S> correction{1};  ///< multiplies the surrogate: truncated importance weights of the sampler, 0 or 1 of a mask
  real_of<S> selected{};     ///< 1: chosen by a rule over the batch (covariance), else 0

  /// log pi(token) - log pi_ref(token) [nat]
  ATTUNE_FN S ref_log_ratio() const { return logp - ref_logp; }
};

/// Policy-gradient tokens as a kind of sample: the table of their members.
struct token_kind {
  template <class S>
  using sample = token<S>;
  static constexpr const char* batch = "tokens", *gradients = "token_gradients";

  ATTUNE_MEMBER(at_logp, logp);
  ATTUNE_MEMBER(at_log_ratio, log_ratio);
  ATTUNE_MEMBER(at_entropy, entropy);
  ATTUNE_MEMBER(at_old_logp, old_logp);
  ATTUNE_MEMBER(at_ref_logp, ref_logp);
  ATTUNE_MEMBER(at_advantage, advantage);
  ATTUNE_MEMBER(at_correction, correction);
  ATTUNE_MEMBER(at_selected, selected);
  static constexpr auto members = std::tuple{
      sample_member{"logp", role::policy, at_logp{}, -1.25},
      sample_member{"log_ratio", role::policy, at_log_ratio{}, 0.0625},
      sample_member{"entropy", role::policy, at_entropy{}, 0.5, presence::exact},
      sample_member{"old_logp", role::reference, at_old_logp{}, -1.3125},
      sample_member{"ref_logp", role::reference, at_ref_logp{}, -1.5},
      sample_member{"advantage", role::data, at_advantage{}, -0.75},
      sample_member{"correction", role::data, at_correction{}, 1, presence::optional},
      sample_member{"selected", role::data, at_selected{}, 0, presence::exact},
  };
};

template <class O>
concept token_objective = objective_on<O, token_kind>;

namespace detail {
/// The value alone, for what an objective takes as a constant.
template <class S> ATTUNE_FN real_of<S> constant(const S& x) {
  if constexpr (is_dual<S>) return x.value;
  else return x;
}
}  // namespace detail

/// Whose importance ratio a token's log_ratio is. With l[t] = log pi - log pi_old of token t, w[t] its weight (1, if none is given) and sums over
/// the active tokens of its sequence:
///
///   token            l[t]                          PPO, GRPO
///   sequence         sum w l / sum w               the same for all its tokens, geometric mean of the ratios (GSPO, arXiv:2507.18071)
///   sequence_token   its value is that of `sequence`, its derivative that of l[t]   (GSPO-token)
///   sequence_sum     sum w l                       the sequence's own ratio, a product (RLOO, TOPR, VESPO)
enum class ratio_level { token, sequence, sequence_token, sequence_sum };

/// A level, and the range within which a token's l[t] counts in a sequence's mean: where its advantage is positive l[t] <= upper, where it is
/// negative l[t] >= lower (GMPO's clip, arXiv:2507.20673); beyond it counts as the bound, with derivative 0.
struct ratio_form {
  ratio_level level = ratio_level::token;
  double lower = -infinity<double>, upper = infinity<double>;  ///< [nat]
};

/// How the losses x[s, t] of tokens become one. Of active tokens; w is a token's weight times its sequence's; S counts sequences with active
/// tokens (with weights: sum of these), L is token_options.constant_length.
///
///   token_mean                 sum w x / sum w                        DAPO; with local denominators BNPO
///   sequence_mean_token_mean   1/S sum_s (sum_t w x / sum_t w)        GRPO
///   sequence_mean_token_sum    1/S sum_s sum_t w x                    LUSPO, with the ratio of the sequence
///   constant_length            1/S sum_s 1/L sum_t w x                Dr. GRPO
///   token_sum                  sum w x                                gradients are those of report.loss_sum
///
/// The denominator of the whole batch (report.weight, or what token_options.normalizer says) serves all its parts.
enum class token_reduction { token_mean, sequence_mean_token_mean, sequence_mean_token_sum, constant_length, token_sum };

/// What an objective is used with unless token_options say otherwise.
struct token_recipe {
  ratio_form ratio{};
  token_reduction reduction = token_reduction::token_mean;
};

/// An objective says so by member functions ratio() and reduction(); else it is that of single tokens, and their mean.
template <token_objective O>
constexpr token_recipe recipe_of(const O& objective) {
  token_recipe r;
  if constexpr (requires { objective.ratio(); }) r.ratio = objective.ratio();
  if constexpr (requires { objective.reduction(); }) r.reduction = objective.reduction();
  return r;
}

}  // namespace attune
