// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/scalar.hpp>
#include <attune/core/view.hpp>

#include <cmath>

namespace attune {

/// Completions of prompts that were sampled and scored, in groups of `size`: completion k of prompt g is element g size + k of [M].
template <real T>
struct scored_groups {
  view<const T> reward{};                ///< [M] by a reward model, or 1 and 0 of a judge that compares two
  std::int64_t size = 2;                 ///< completions of a prompt, >= 2
  view<const std::uint8_t> ended{};      ///< [M] 1 if the completion has its end-of-sequence token; read if there is a penalty
  view<const std::uint8_t> mask{};       ///< [M] 0 leaves the completion out: its numbers are never read
};

/// What was found. Reports of parts add up.
struct online_pair_report {
  std::int64_t selected = 0;   ///< prompts with a pair
  std::int64_t skipped = 0;    ///< prompts with fewer than two active completions
  std::int64_t ties = 0;       ///< of the selected: both have the same reward
  std::int64_t penalised = 0;  ///< active completions without an end

  online_pair_report& operator+=(const online_pair_report& other) {
    selected += other.selected;
    skipped += other.skipped;
    ties += other.ties;
    penalised += other.penalised;
    return *this;
  }
};

namespace detail {

template <real T>
std::int64_t require_scored(const scored_groups<T>& y, double missing_eos_penalty) {
  const std::int64_t count = y.reward.extent(0);
  if (y.size < 2) throw error("attune: size is " + text((long long)y.size) + "; expected 2 completions a prompt or more");
  if (count % y.size != 0) {
    throw error("attune: reward has " + text((long long)count) + " elements; expected a multiple of size, " + text((long long)y.size));
  }
  if (!y.mask.absent()) require_extent(y.mask.extent(0), count, "mask", "reward");
  if (!std::isfinite(missing_eos_penalty)) throw error("attune: missing_eos_penalty is " + text(missing_eos_penalty) + "; expected a finite number");
  if (missing_eos_penalty != 0) {
    if (y.ended.absent() && count > 0) throw error("attune: ended is missing; missing_eos_penalty needs to know which completions have an end");
    require_extent(y.ended.extent(0), count, "ended", "reward");
  }
  for (std::int64_t i = 0; i < count; ++i) {
    if ((y.mask.absent() || y.mask(i) != 0) && !std::isfinite(y.reward(i))) {
      throw error("attune: reward " + text((long long)i) + " is " + text(double(y.reward(i))) + "; expected a finite number");
    }
  }
  return count / y.size;
}

}  // namespace detail

/// The pair of each prompt on which online DPO, online IPO and XPO train, as indices into [M]; -1 in both where the prompt is skipped.
///
///   r'       = reward - missing_eos_penalty (1 - ended)
///   chosen   = the first of the highest r',     rejected = the last of the lowest r'
///
/// so of two completions the first is chosen if they tie (a pair all the same, counted: leave it out by a weight of 0, if you like). chosen,
/// rejected [G]. missing_eos_penalty [reward], 0: none. No allocation.
/// Throws attune::error, before anything is written: sizes that differ or are no multiple of `size`, size < 2, active rewards that are NaN or
/// infinite, a penalty without `ended`.
/// Source   online DPO, Guo et al. 2024, arXiv:2402.04792; tie and penalty as in TRL's online trainers. Of more than two completions best and
///          worst are our choice.
template <real T>
online_pair_report online_pairs(const scored_groups<T>& y, view<std::int64_t> chosen, view<std::int64_t> rejected, double missing_eos_penalty = 0) {
  const std::int64_t groups = detail::require_scored(y, missing_eos_penalty);
  detail::require_extent(chosen.extent(0), groups, "chosen", "the groups");
  detail::require_extent(rejected.extent(0), groups, "rejected", "the groups");
  detail::require_distinct(chosen, "chosen");
  detail::require_distinct(rejected, "rejected");
  online_pair_report report;
  for (std::int64_t g = 0; g < groups; ++g) {
    std::int64_t best = -1, worst = -1, active = 0;
    double highest = 0, lowest = 0;
    for (std::int64_t i = g * y.size; i < (g + 1) * y.size; ++i) {
      if (!y.mask.absent() && y.mask(i) == 0) continue;
      const bool cut = missing_eos_penalty != 0 && y.ended(i) == 0;
      const double r = double(y.reward(i)) - (cut ? missing_eos_penalty : 0);
      report.penalised += cut;
      if (active == 0 || r > highest) best = i, highest = r;
      if (active == 0 || r <= lowest) worst = i, lowest = r;
      ++active;
    }
    const bool usable = active >= 2;
    ++(usable ? report.selected : report.skipped);
    report.ties += usable && highest == lowest;
    chosen(g) = usable ? best : -1;
    rejected(g) = usable ? worst : -1;
  }
  return report;
}

}  // namespace attune
