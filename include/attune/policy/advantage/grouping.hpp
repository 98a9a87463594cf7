// SPDX-License-Identifier: MIT
// Which of a batch's completions answer the same prompt.
#pragma once

#include <attune/policy/advantage/tokens.hpp>
#include <attune/reward/statistics.hpp>

namespace attune::advantage {

/// The groups of M completions: one of
///
///   group_size   K >= 1: group g is completions g K .. g K + K - 1; M is a multiple of K
///   offsets      [G + 1]: group g is completions offsets[g] .. offsets[g + 1] - 1, as in `sequences`; what lies outside is in no group
///   mask         [M], optional: a completion under a 0 is in no group; its reward is not read
///
/// A completion that is in no group has the advantage 0.
struct grouping {
  std::int64_t group_size = 0;
  length_view offsets{};
  view<const std::uint8_t> mask{};
};

/// What is to be made of a group with one active completion: its mean is its reward and its deviation is 0 or not defined, so that an
/// advantage would be 0 (training is a silent no-op), NaN, or the reward.
enum class group_of_one {
  refuse,  ///< attune::error
  zero,    ///< 0: no gradient
  raw      ///< the reward itself, neither centred nor scaled (verl)
};

/// What a function on groups has seen.
struct group_report {
  std::int64_t groups = 0;    ///< with an active completion or more
  std::int64_t empty = 0;     ///< without
  std::int64_t constant = 0;  ///< groups of 2 and more whose rewards all compare equal: they teach nothing
  std::int64_t ones = 0;      ///< groups with one active completion
};

namespace detail {

/// A vector [M] in the shape of its groups: rows of group_size, or one row.
template <class T>
view<T, 2> folded(const view<T>& v, const sequences& groups) {
  return {v.data(), {groups.rows(), groups.columns()}, {groups.columns() * v.stride(0), v.stride(0)}};
}

/// Groups of completions are sequences of completions: padded (of one size) or packed (by offsets).
inline sequences groups_of(std::int64_t completions, const grouping& g) {
  const bool by_size = g.offsets.absent();
  if (!g.mask.absent()) attune::detail::require_extent(g.mask.extent(0), completions, "grouping.mask", "the completions");
  if (!by_size && g.group_size != 0) throw error("attune: grouping.group_size and offsets are both given; expected one of them");
  if (by_size && (g.group_size < 1 || completions % g.group_size != 0)) {
    throw error("attune: grouping.group_size is " + attune::detail::text((long long)g.group_size) + " for " +
                attune::detail::text((long long)completions) + " completions; expected 1 or more completions of each prompt, dividing them, or offsets");
  }
  const std::int64_t columns = by_size ? g.group_size : completions, rows = by_size ? completions / columns : 1;
  const view<const std::uint8_t, 2> mask(g.mask.data(), {rows, columns}, {columns * g.mask.stride(0), g.mask.stride(0)});
  return sequences(rows, columns, g.mask.absent() ? view<const std::uint8_t, 2>() : mask, g.offsets);
}

/// All completions as one group.
inline sequences batch_of(std::int64_t completions, const view<const std::uint8_t>& mask) {
  return groups_of(completions, {.group_size = completions > 0 ? completions : 1, .mask = mask});
}

/// Completion number of the t-th of a row.
inline std::int64_t completion(const sequences& groups, std::int64_t row, std::int64_t t) { return row * groups.columns() + t; }

/// Statistics of a group's rewards; of all but number `without`, if that is one of them.
template <class T>
reward::statistics statistics_of_group(const sequences& groups, const view<const T, 2>& rewards, std::int64_t g, std::int64_t without = -1) {
  return reward::detail::two_passes(
      [&](const auto& visit) {
        groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
          if (completion(groups, row, t) != without) visit(completion(groups, row, t), static_cast<double>(rewards(row, t)));
        });
      },
      "reward");
}

/// Throws unless rewards [M] are finite where they are active, `result` [M] can be written, and no group of one is to be refused.
template <class T>
void require_groups(const sequences& groups, const view<const T>& rewards, const view<T>& result, group_of_one single, const char* name = "result") {
  attune::detail::require_extent(result.extent(0), rewards.extent(0), name, "rewards");
  attune::detail::require_distinct(result, name);
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    const reward::statistics s = statistics_of_group(groups, folded(rewards, groups), g);
    if (s.count != 1 || single != group_of_one::refuse) continue;
    throw error("attune: group " + attune::detail::text((long long)g) + " has 1 active completion; expected 2 or more, or .single = group_of_one::zero or raw");
  }
}
inline void count_group(group_report& report, const reward::statistics& s) {
  ++(s.count == 0 ? report.empty : report.groups);
  report.constant += s.count > 1 && s.lowest == s.highest;
  report.ones += s.count == 1;
}

/// The deviation by which advantages are divided. 1, so no scaling, where there is none: all numbers are equal, or no more than ddof.
inline double scale_of(const reward::statistics& s, int ddof, double eps) {
  const double deviation = s.count > ddof ? s.deviation(ddof) : 0;
  return deviation > 0 ? deviation + eps : 1;
}
inline void require_scale(int ddof, double eps, const char* name) {
  if (ddof != 0 && ddof != 1) throw error(std::string("attune: ") + name + ".ddof is " + attune::detail::text((long long)ddof) + "; expected 0 or 1");
  if (!(eps >= 0 && std::isfinite(eps))) throw error(std::string("attune: ") + name + ".eps is " + attune::detail::text(eps) + "; expected a finite number >= 0");
}

}  // namespace detail
}  // namespace attune::advantage
