// SPDX-License-Identifier: MIT
// Advantages of completions that are the reward less a baseline which is not the group's plain mean, and GPG's scale.
#pragma once

#include <attune/policy/advantage/group.hpp>

namespace attune::advantage {

namespace detail {

inline void require_lengths(const length_view& lengths, const sequences& groups, std::int64_t completions) {
  attune::detail::require_extent(lengths.extent(0), completions, "lengths", "rewards");
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
      const double n = lengths(completion(groups, row, t));
      if (n > 0 && std::isfinite(n)) return;
      throw error("attune: lengths[" + attune::detail::text((long long)completion(groups, row, t)) + "] is " + attune::detail::text(n) +
                  "; expected a length of 1 token or more, or a mask that leaves the completion out");
    });
  }
}

}  // namespace detail

/// OPO: the reward less the group's mean weighted by length, the baseline of least variance where a completion's squared score
/// |grad log pi|^2 grows with its length:
///
///   A_i = r_i - sum_j L_j r_j / sum_j L_j,     j over the group of i, L [tokens] > 0
///
/// Exactly 0 where a group's rewards compare equal. rewards [M], groups and errors as in of_groups; lengths [M]; result [M] may be the
/// rewards' memory. No allocation.
/// Source   arXiv:2505.23585.
template <tensor Rewards>
group_report opo(Rewards&& rewards, const length_view& lengths, const grouping& where, view<detail::element_of<Rewards, 1>> result,
                 group_of_one single = group_of_one::refuse) {
  using T = detail::element_of<Rewards, 1>;
  const auto r = detail::readable<1>(static_cast<Rewards&&>(rewards));
  const sequences groups = detail::groups_of(r.extent(0), where);
  detail::require_groups(groups, r, result, single);
  detail::require_lengths(lengths, groups, r.extent(0));
  const auto out = detail::folded(result, groups);
  group_report report;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    const reward::statistics s = detail::statistics_of_group(groups, detail::folded(r, groups), g);
    detail::count_group(report, s);
    double length = 0, above = 0;  // from the lowest reward, so that equal ones leave exactly 0
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
      const std::int64_t i = detail::completion(groups, row, t);
      length += lengths(i);
      above += lengths(i) * (static_cast<double>(r(i)) - s.lowest);
    });
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
      const auto x = static_cast<double>(r(detail::completion(groups, row, t)));
      out(row, t) = static_cast<T>(s.count == 1 ? detail::alone(x, single) : (x - s.lowest) - above / length);
    });
  }
  detail::clear_inactive(groups, out);
  return report;
}

/// ReMax: the reward less that of the prompt's greedy completion, which does not depend on the sample, so that the gradient is unbiased
/// even for one sample a prompt:
///
///   A_i = r_i - greedy_g,     g the group of i
///
/// rewards [M]; greedy [G], one a group (group_size 1: one a completion); both finite where they are read; result [M] may be the rewards'
/// memory. Errors as of_groups, but a group of one is welcome. No allocation.
/// Source   Li et al. 2023, arXiv:2310.10505.
template <tensor Rewards>
group_report remax(Rewards&& rewards, view<const detail::element_of<Rewards, 1>> greedy, const grouping& where,
                   view<detail::element_of<Rewards, 1>> result) {
  using T = detail::element_of<Rewards, 1>;
  const auto r = detail::readable<1>(static_cast<Rewards&&>(rewards));
  const sequences groups = detail::groups_of(r.extent(0), where);
  detail::require_groups(groups, r, result, group_of_one::raw);
  attune::detail::require_extent(greedy.extent(0), groups.size(), "greedy", "the number of groups");
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    if (groups.active_tokens(g) > 0 && !std::isfinite(greedy(g))) {
      throw error("attune: greedy[" + attune::detail::text((long long)g) + "] is " + attune::detail::text(double(greedy(g))) + "; expected a finite number");
    }
  }
  const auto out = detail::folded(result, groups);
  group_report report;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    detail::count_group(report, detail::statistics_of_group(groups, detail::folded(r, groups), g));
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
      out(row, t) = static_cast<T>(static_cast<double>(r(detail::completion(groups, row, t))) - static_cast<double>(greedy(g)));
    });
  }
  detail::clear_inactive(groups, out);
  return report;
}

namespace detail {

/// Active completions over those of them whose score is not 0; 1 where all are 0.
template <class T>
double inverse_share_of_nonzero(const sequences& groups, const view<const T>& scores) {
  double active = 0, nonzero = 0;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
      ++active;
      nonzero += scores(completion(groups, row, t)) != 0;
    });
  }
  return nonzero > 0 ? active / nonzero : 1;
}

}  // namespace detail

/// GPG's scale: alpha = B / (number of non-zero scores), over the B active completions; 1 where all are 0. It gives a batch in which many
/// completions teach nothing the gradient of one in which all teach. scores [B]: float or double; mask [B], optional.
template <tensor Scores>
double gpg_scale(Scores&& scores, view<const std::uint8_t> mask = {}) {
  const auto x = detail::readable<1>(static_cast<Scores&&>(scores));
  return detail::inverse_share_of_nonzero(detail::batch_of(x.extent(0), mask), x);
}

struct gpg_options {
  std::optional<double> alpha{};  ///< of the batch of all ranks; else that of the rewards given, as verl's
  double f_norm = 1;              ///< > 0
  group_of_one single = group_of_one::refuse;
};

/// GPG: A_i = alpha (r_i - mean of the group) / f_norm, with alpha as gpg_scale has it.
///
/// Convention: "non-zero" are the rewards before the mean is subtracted, as in verl, where a group of wrong answers (reward 0) counts as
/// teaching nothing, and one of right answers does not. To count both, set alpha = gpg_scale of the centred rewards (dr_grpo's).
/// Arguments and errors as of_groups; result may be the rewards' memory. No allocation.
/// Source   GPG, arXiv:2504.02546; the convention: verl (gpg).
template <tensor Rewards>
group_report gpg(Rewards&& rewards, const grouping& where, view<detail::element_of<Rewards, 1>> result, const gpg_options& o = {}) {
  using T = detail::element_of<Rewards, 1>;
  const auto r = detail::readable<1>(static_cast<Rewards&&>(rewards));
  const double alpha = o.alpha ? *o.alpha : detail::inverse_share_of_nonzero(detail::groups_of(r.extent(0), where), r), scale = alpha / o.f_norm;
  if (!(o.f_norm > 0 && scale > 0 && std::isfinite(scale))) {
    throw error("attune: gpg_options gives the scale alpha / f_norm = " + attune::detail::text(scale) + "; expected alpha > 0 and f_norm > 0, finite");
  }
  const group_report report = of_groups(r, where, result, {.scale = spread::none, .single = o.single});
  for (std::int64_t i = 0; i < result.extent(0); ++i) result(i) = static_cast<T>(scale * static_cast<double>(result(i)));
  return report;
}

}  // namespace attune::advantage
