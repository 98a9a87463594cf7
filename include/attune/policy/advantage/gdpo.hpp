// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/advantage/group.hpp>
#include <attune/policy/advantage/whiten.hpp>

namespace attune::advantage {

/// How GDPO normalises: each reward in its group, then the sum over the batch.
struct gdpo_options {
  group_options each{};                                                                        ///< spread::none or group
  std::optional<whitening> sum = whitening{.variance_eps = 0, .deviation_eps = 1e-4};  ///< none: left to the caller, to whiten over ranks or tokens
};

namespace detail {

template <class T>
view<const T> column(const view<const T, 2>& v, std::int64_t c) {
  return {v.data() + c * v.stride(1), {v.extent(0)}, {v.stride(0)}};
}
inline void require_weights(std::span<const double> weights, std::int64_t rewards, std::span<reward::statistics> scratch) {
  attune::detail::require_extent(std::int64_t(weights.size()), rewards, "weights", "the columns of rewards");
  attune::detail::require_extent(std::int64_t(scratch.size()), rewards, "scratch", "the columns of rewards");
  for (double w : weights) {
    if (!std::isfinite(w)) throw error("attune: a weight of gdpo is " + attune::detail::text(w) + "; expected a finite number");
  }
}
/// One reward's part of an advantage.
inline double part(double r, const reward::statistics& s, const group_options& o) {
  if (s.count == 1) return alone(r, o.single);
  return centred(r, s, o.mean) / (o.scale == spread::group ? scale_of(s, o.ddof, o.eps) : 1);
}

}  // namespace detail

/// GDPO: group advantages of several rewards. Each of them is normalised in its group, so that one of large spread does not hide the others:
///
///   A'_i = sum_k w_k (r_ik - mean_k) / (std_k + eps)     mean_k, std_k of reward k in the group of i
///   A_i  = (A'_i - mean) / (std + eps')                  of all A' of the batch
///
/// rewards [M, R]: float or double, any stride; weights [R], finite; scratch [R]; result [M], exactly 0 for completions in no group; it may
/// be a column of the rewards. Defaults: TRL's (normalize_then_sum, 1e-4 in both; ddof 1). verl whitens over tokens: .sum = std::nullopt,
/// then on_every_token and whiten_tokens. With ranks: .sum = std::nullopt, then merged statistics and whiten. No allocation.
/// Throws attune::error, before anything is written: as of_groups; weights or scratch of another size; each.scale that needs the batch or
/// the others; sum given and one completion alone active.
/// Source   arXiv:2601.05242, as TRL computes it.
template <tensor Rewards>
group_report gdpo(Rewards&& rewards, std::span<const double> weights, const grouping& where, std::span<reward::statistics> scratch,
                  view<detail::element_of<Rewards, 2>> result, const gdpo_options& o = {}) {
  using T = detail::element_of<Rewards, 2>;
  const auto r = detail::readable<2>(static_cast<Rewards&&>(rewards));
  const sequences groups = detail::groups_of(r.extent(0), where);
  detail::require_options(o.each);
  detail::require_weights(weights, r.extent(1), scratch);
  if (o.each.scale != spread::none && o.each.scale != spread::group) {
    throw error("attune: gdpo_options.each.scale is leave_one_out or batch; expected none or group");
  }
  for (std::int64_t k = 0; k < r.extent(1); ++k) detail::require_groups(groups, detail::column(r, k), result, o.each.single);
  attune::detail::require_extent(result.extent(0), r.extent(0), "result", "rewards (in rows)");
  if (o.sum) detail::map_of({.count = detail::active_tokens(groups)}, 0, *o.sum);  // throws for too few

  const auto out = detail::folded(result, groups);
  group_report report;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    reward::statistics together;  // constant if every reward is
    for (std::int64_t k = 0; k < r.extent(1); ++k) {
      reward::statistics& s = scratch[std::size_t(k)];
      s = detail::statistics_of_group(groups, detail::folded(detail::column(r, k), groups), g);
      if (k == 0 || s.lowest < s.highest) together = s;
    }
    detail::count_group(report, together);
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
      const std::int64_t i = detail::completion(groups, row, t);
      double sum = 0;
      for (std::size_t k = 0; k < scratch.size(); ++k) {
        if (weights[k] != 0) sum += weights[k] * detail::part(static_cast<double>(r(i, std::int64_t(k))), scratch[k], o.each);
      }
      out(row, t) = static_cast<T>(sum);
    });
  }
  detail::clear_inactive(groups, out);
  if (o.sum) {
    const view<const T, 2> sums(out);
    const auto all = detail::statistics_of_batch(groups, sums);
    detail::write_whitened(groups, sums, out, detail::map_of(all, all.count, *o.sum));
  }
  return report;
}

}  // namespace attune::advantage
