// SPDX-License-Identifier: MIT
#pragma once

#include <attune/constraint/cgpo/codpo.hpp>
#include <attune/core/parameter.hpp>

namespace attune::cgpo {

/// Calibrated-regularised reward ranking fine-tuning (CRRAFT): of K completions of a prompt, fine-tuning on the one with the highest reward
/// among those that satisfy all judges and have
///
///   log( pi(y) / pi_ref(y) ) <= KL_max,     weighted by its calibrated reward:   loss = -R(y) log pi(y)
///
/// None: on the prompt's baseline answer y_base, whose R is sigmoid(0) = 1/2; or on nothing (the caller's choice).
/// max_kl > 0 [nat], of whole completions; the paper gives no value; infinity: no filter.
/// Source   CGPO, arXiv:2409.20370, eqs. 16 to 18 (which print a ratio of logarithms; the logarithm of the ratio is meant).
struct crraft {
  double max_kl = 1;

  static constexpr auto parameters() {
    return std::array{parameter<crraft>{"max_kl", &crraft::max_kl, {.lower = 0, .includes_upper = true}, "bound of log pi/pi_ref [nat]"}};
  }
};

/// Completions in groups of `size` (judged_groups), with what the filter and the weight need.
template <real T>
struct ranked_groups {
  view<const T> logp{};                  ///< [M] log pi(y) [nat]
  view<const T> ref_logp{};              ///< [M] log pi_ref(y)
  view<const T> reward{};                ///< [M] r(y)
  view<const std::uint8_t> satisfied{};  ///< [M] 1 if every judge finds its constraint met, else 0
  view<const T> baseline_reward{};       ///< [G] r(y_base) of the prompt
  std::int64_t size = 0;                 ///< completions of a prompt, >= 1
  view<const std::uint8_t> mask{};       ///< [M] 0 leaves the completion out: its numbers are never read
};

/// The completion of each group to fine-tune on, and its weight: chosen[g] in [0, M), or -1 for the baseline answer; weight[g] = R.
///
/// chosen, weight [G]. d loss / d log pi = -weight[g] / G on the answer that was chosen (sft on singles with these weights). To leave
/// prompts without a completion out, give them weight 0. Of equal rewards the first one is taken. `skipped` counts fall-backs.
/// No allocation.
/// Throws attune::error, before anything is written: max_kl outside its domain, sizes that differ or are no multiple of `size`, active
/// numbers that are NaN or infinite (counted, the first named).
template <real T>
selection_report crraft_select(const crraft& objective, const ranked_groups<T>& y, view<std::int64_t> chosen,
                               std::type_identity_t<view<T>> weight) {
  validate(objective);
  const std::int64_t groups = detail::require_groups(y.reward, y.satisfied, y.mask, y.size);
  const completion_weights<T> active{.mask = y.mask};
  detail::require_extent(y.logp.extent(0), y.reward.extent(0), "logp", "reward");
  detail::require_extent(y.ref_logp.extent(0), y.reward.extent(0), "ref_logp", "reward");
  detail::require_extent(y.baseline_reward.extent(0), groups, "baseline_reward", "the groups");
  detail::require_extent(chosen.extent(0), groups, "chosen", "the groups");
  detail::require_extent(weight.extent(0), groups, "weight", "the groups");
  detail::require_distinct(chosen, "chosen");
  detail::require_distinct(weight, "weight");
  detail::require_finite(y.logp, active, "logp");
  detail::require_finite(y.ref_logp, active, "ref_logp");
  detail::require_finite(y.baseline_reward, completion_weights<T>{}, "baseline_reward");
  selection_report report;
  for (std::int64_t g = 0; g < groups; ++g) {
    std::int64_t best = -1;
    for (std::int64_t i = g * y.size; i < (g + 1) * y.size; ++i) {
      if (!active.active(i)) continue;
      const bool good = y.satisfied(i) != 0;
      ++(good ? report.satisfied : report.violated);
      const bool kept = good && static_cast<double>(y.logp(i)) - static_cast<double>(y.ref_logp(i)) <= objective.max_kl;
      if (kept && (best < 0 || y.reward(i) > y.reward(best))) best = i;
    }
    ++(best >= 0 ? report.selected : report.skipped);
    const auto base = static_cast<double>(y.baseline_reward(g));
    chosen(g) = best;
    weight(g) = static_cast<T>(calibrated_reward(best >= 0 ? static_cast<double>(y.reward(best)) : base, base));
  }
  return report;
}

}  // namespace attune::cgpo
