// SPDX-License-Identifier: MIT
#pragma once

#include <attune/constraint/baseline.hpp>
#include <attune/constraint/cgpo/regularised_reward.hpp>
#include <attune/core/parameter.hpp>

namespace attune::cgpo {

/// Calibrated-regularised policy gradient (CRPG): REINFORCE on a reward that is 0 where a judge is not satisfied, and falls to 0 as the
/// completion's log-ratio approaches KL_max:
///
///   Rt_b = max{ 1 - log( pi(y_b)/pi_ref(y_b) ) / KL_max, 0 } R_cr(y_b)                      a constant of the step: no gradient through it
///   d loss / d log pi(y_b) = -(w_b / W) (Rt_b - mean Rt),   W = sum_b w_b                   loss to minimise: -E_pi[Rt]
///
/// max_kl > 0 [nat], of whole completions; the paper gives no value; infinity: no KL factor. At the fixed point KL(pi || pi_ref) <= KL_max.
/// Source   CGPO, arXiv:2409.20370, eqs. 10 to 12.
struct crpg {
  double max_kl = 1;

  double reward(double log_ratio, double regularised) const {
    const double left = 1 - log_ratio / max_kl;
    return left > 0 ? left * regularised : 0;
  }
  static constexpr auto parameters() {
    return std::array{parameter<crpg>{"max_kl", &crpg::max_kl, {.lower = 0, .includes_upper = true}, "bound of KL(pi || pi_ref) [nat]"}};
  }
};

/// Average of Rt over a batch, for crpg_coefficients; those of micro-batches and ranks are merged by +=.
/// Throws attune::error: max_kl outside its domain, sizes that differ, active numbers that are NaN or infinite (counted, the first named).
template <real T>
batch_average crpg_average(const crpg& objective, const judged_completions<T>& y) {
  validate(objective);
  detail::require_judged(y);
  batch_average average;
  for (std::int64_t b = 0; b < y.logp.extent(0); ++b) {
    if (y.weights.active(b)) detail::add(average, y.weights(b), objective.reward(y.log_ratio(b), y.regularised(b)));
  }
  return average;
}

/// d loss / d log pi(y_b), see crpg, for the backward pass; exactly 0 for masked and weightless completions. d_logp [B]. No allocation.
/// `average` is that of the whole batch; the paper's baseline is its mean, `leave_one_out` makes the gradient unbiased.
/// Throws attune::error as crpg_average, before anything is written; also for fewer active completions than the baseline needs.
template <real T>
void crpg_coefficients(const crpg& objective, const judged_completions<T>& y, const batch_average& average,
                       std::type_identity_t<view<T>> d_logp, baseline kind = baseline::batch_mean) {
  validate(objective);
  detail::require_judged(y);
  detail::require_extent(d_logp.extent(0), y.logp.extent(0), "d_logp", "logp");
  detail::require_distinct(d_logp, "d_logp");
  attune::detail::require_baseline(kind, average, "the batch");
  for (std::int64_t b = 0; b < d_logp.extent(0); ++b) {
    const bool active = y.weights.active(b);
    const double reward = active ? objective.reward(y.log_ratio(b), y.regularised(b)) : 0;
    d_logp(b) = active ? static_cast<T>(-attune::detail::centred(kind, reward, y.weights(b), average)) : T(0);
  }
}
/// For a batch that is whole.
template <real T>
judged_report crpg_coefficients(const crpg& objective, const judged_completions<T>& y, std::type_identity_t<view<T>> d_logp,
                                baseline kind = baseline::batch_mean) {
  crpg_coefficients(objective, y, crpg_average(objective, y), d_logp, kind);
  return report_of(y);
}

}  // namespace attune::cgpo
