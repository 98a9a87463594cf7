// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/advantage/group.hpp>

namespace attune::advantage {

struct pass_at_k_options {
  bool scaled = true;  ///< false: not divided by the deviation
  int ddof = 1;
  double eps = 1e-6;
  group_of_one single = group_of_one::refuse;
};

/// Advantages for pass@k: what a group achieves is its best completion, so that one alone gets an advantage, by what it is better than the
/// next:
///
///   A_i = (r_i - r_second) / (std + eps) for the best of its group, 0 for all others            std of the group's rewards
///
/// Where two and more are best, r_second = r_i: all are 0. rewards [M] as in of_groups; result [M] may be their memory. No allocation.
/// Throws attune::error, before anything is written, as of_groups.
/// Source   arXiv:2503.19595; eps and scaling as verl's grpo_passk.
template <tensor Rewards>
group_report pass_at_k(Rewards&& rewards, const grouping& where, view<detail::element_of<Rewards, 1>> result, const pass_at_k_options& o = {}) {
  using T = detail::element_of<Rewards, 1>;
  const auto r = detail::readable<1>(static_cast<Rewards&&>(rewards));
  const sequences groups = detail::groups_of(r.extent(0), where);
  detail::require_scale(o.ddof, o.eps, "pass_at_k_options");
  detail::require_groups(groups, r, result, o.single);
  const auto in = detail::folded(r, groups);
  const auto out = detail::folded(result, groups);
  group_report report;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    const reward::statistics s = detail::statistics_of_group(groups, in, g);
    detail::count_group(report, s);
    double second = s.lowest;
    std::int64_t bests = 0;
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
      const auto x = static_cast<double>(in(row, t));
      if (x < s.highest && x > second) second = x;
      bests += x == s.highest;
    });
    const double lead = bests > 1 ? 0 : (s.highest - second) / (o.scaled ? detail::scale_of(s, o.ddof, o.eps) : 1);
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
      const auto x = static_cast<double>(in(row, t));
      out(row, t) = static_cast<T>(s.count == 1 ? detail::alone(x, o.single) : x == s.highest ? lead : 0);
    });
  }
  detail::clear_inactive(groups, out);
  return report;
}

}  // namespace attune::advantage
