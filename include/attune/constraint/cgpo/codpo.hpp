// SPDX-License-Identifier: MIT
#pragma once

#include <attune/constraint/cgpo/regularised_reward.hpp>
#include <attune/preference/dpo_nll.hpp>

namespace attune::cgpo {

/// Loss of constrained online DPO (CODPO), on the pairs that codpo_pairs selects:
///
///   loss = -log sigmoid( beta (D_+ - D_-) ) - (lambda / |y_+|) log pi(y_+),   D = log pi(y) - log pi_ref(y),  nll_weight = lambda
///
/// It is DPO with a likelihood term per token: `attune::evaluate(cgpo::codpo{.beta = 0.1, .nll_weight = lambda}, pairs, ...)`. The paper's
/// equations 14 and 15 differ in the sign of the second term; this is the one that regularises. No value of lambda is given.
/// Source   CGPO, arXiv:2409.20370, eqs. 13 to 15.
using codpo = dpo_nll;

/// Completions of prompts in groups of `size`, judged: completion k of prompt g is element g size + k of [M].
template <real T>
struct judged_groups {
  view<const T> reward{};                ///< [M] r(y)
  view<const std::uint8_t> satisfied{};  ///< [M] 1 if every judge finds its constraint met, else 0
  std::int64_t size = 0;                 ///< completions of a prompt, >= 1
  view<const std::uint8_t> mask{};       ///< [M] 0 leaves the completion out: its numbers are never read
};

/// How many prompts gave a pair, and how many completions satisfied all judges.
struct selection_report {
  std::int64_t selected = 0, skipped = 0;     ///< prompts
  std::int64_t satisfied = 0, violated = 0;   ///< active completions
};

namespace detail {

template <real T>
std::int64_t require_groups(const view<const T>& reward, const view<const std::uint8_t>& satisfied, const view<const std::uint8_t>& mask,
                            std::int64_t size) {
  const std::int64_t count = reward.extent(0);
  if (size < 1) throw error("attune: size is " + text((long long)size) + "; expected 1 completion a group or more");
  if (count % size != 0) {
    throw error("attune: reward has " + text((long long)count) + " elements; expected a multiple of size, " + text((long long)size));
  }
  require_extent(satisfied.extent(0), count, "satisfied", "reward");
  if (!mask.absent()) require_extent(mask.extent(0), count, "mask", "reward");
  require_finite(reward, completion_weights<T>{.mask = mask}, "reward");
  return count / size;
}
inline bool is_active(const view<const std::uint8_t>& mask, std::int64_t i) { return mask.absent() || mask(i) != 0; }

}  // namespace detail

/// The pair of each group, as indices into [M]; -1 in both where the prompt is skipped.
///
///   chosen     the highest reward among the completions that satisfy all judges; none: the prompt is skipped
///   rejected   the lowest reward among those that do not; none: the lowest reward of all. If that is the highest as well, the prompt is
///              skipped, since equal rewards say nothing
///
/// chosen, rejected [G]. Of equal rewards the first one is taken. No allocation.
/// Throws attune::error, before anything is written: sizes that differ or are no multiple of `size`, active rewards that are NaN or
/// infinite. Source   CGPO, arXiv:2409.20370, eq. 13.
template <real T>
selection_report codpo_pairs(const judged_groups<T>& y, view<std::int64_t> chosen, view<std::int64_t> rejected) {
  const std::int64_t groups = detail::require_groups(y.reward, y.satisfied, y.mask, y.size);
  detail::require_extent(chosen.extent(0), groups, "chosen", "the groups");
  detail::require_extent(rejected.extent(0), groups, "rejected", "the groups");
  detail::require_distinct(chosen, "chosen");
  detail::require_distinct(rejected, "rejected");
  selection_report report;
  for (std::int64_t g = 0; g < groups; ++g) {
    std::int64_t best = -1, worst = -1, lowest = -1;
    for (std::int64_t i = g * y.size; i < (g + 1) * y.size; ++i) {
      if (!detail::is_active(y.mask, i)) continue;
      const bool good = y.satisfied(i) != 0;
      ++(good ? report.satisfied : report.violated);
      if (good && (best < 0 || y.reward(i) > y.reward(best))) best = i;
      if (!good && (worst < 0 || y.reward(i) < y.reward(worst))) worst = i;
      if (good && (lowest < 0 || y.reward(i) < y.reward(lowest))) lowest = i;
    }
    const bool differ = best >= 0 && (worst >= 0 || y.reward(lowest) < y.reward(best));
    ++(differ ? report.selected : report.skipped);
    chosen(g) = differ ? best : -1;
    rejected(g) = !differ ? -1 : worst >= 0 ? worst : lowest;
  }
  return report;
}

}  // namespace attune::cgpo
