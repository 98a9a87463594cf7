// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/advantage/grouping.hpp>

#include <optional>

namespace attune::advantage {

/// What is subtracted from a reward: the mean of its group, or of the group's others.
enum class centre { group, leave_one_out };
/// What it is divided by: nothing, or the standard deviation of its group, of the group's others, of the rewards of all groups.
enum class spread { none, group, leave_one_out, batch };

/// The advantages of completions from the rewards of their groups:
///
///   A_i = (r_i - m_i) / (s_i + eps)      m_i: mean, s_i: deviation, as chosen;  s_i^2 = sum (r_j - mean)^2 / (n - ddof)
///   A_i = r_i - m_i                      where scale is none, and where s_i = 0 or is not defined (n <= ddof)
///
///   leave-one-out mean   r_i - m_i = n/(n-1) (r_i - mean): with 1/n as the loss's weight the gradient is unbiased; the group's own mean
///                        makes it (n-1)/n of that
///   group's deviation    biases the gradient: a prompt counts the more, the less its rewards spread; and where rewards have three values
///                        and more, the gradient of a prompt turns as well
///   leave-one-out scale  the deviation of the others, without own influence: with the leave-one-out mean the gradient of a prompt keeps its
///                        direction, E[gradient] = gradient E[1/(s + eps)]. The deviation is 0 in groups of two and where all others
///                        are equal: there the advantage is not scaled, as in NeMo-RL, not divided by eps
///   batch                the deviation of the rewards of all groups, not of their distances from the group's mean (TRL)
///
/// eps >= 0 [unit of the reward]. Peers: 1e-4 TRL, torchtune; 1e-6 verl, NeMo-RL; 1e-9 OpenRLHF; 1e-2 HALOs (with ddof 0; all others 1).
/// Source   GRPO, Shao et al. 2024, arXiv:2402.03300; Dr. GRPO, Liu et al. 2025, arXiv:2503.20783; RLOO, Ahmadian et al. 2024,
///          arXiv:2402.14740; deviation of the batch: Lite-PPO, Liu et al. 2025, arXiv:2508.08221.
struct group_options {
  centre mean = centre::group;
  spread scale = spread::group;
  int ddof = 1;                             ///< 1 (Bessel) or 0
  double eps = 1e-4;                        ///< added to the deviation
  group_of_one single = group_of_one::refuse;
  std::optional<reward::statistics> batch{};  ///< of the rewards of all ranks, for spread::batch; else those that are given
};

inline constexpr group_options grpo{};
inline constexpr group_options dr_grpo{.scale = spread::none};
inline constexpr group_options rloo{.mean = centre::leave_one_out, .scale = spread::none};
inline constexpr group_options lite_ppo{.scale = spread::batch};
/// NeMo-RL's use_leave_one_out_baseline with normalize_rewards.
inline constexpr group_options leave_one_out_normalised{.mean = centre::leave_one_out, .scale = spread::leave_one_out, .eps = 1e-6};

namespace detail {

inline void require_options(const group_options& o) {
  require_scale(o.ddof, o.eps, "group_options");
  if (o.batch && o.scale != spread::batch) throw error("attune: group_options.batch is given with another scale; expected .scale = spread::batch");
}
/// r - m from r and the statistics of its group, n >= 2. Exactly 0 where all rewards are equal.
inline double centred(double r, const reward::statistics& s, centre mean) {
  const auto n = static_cast<double>(s.count);
  return mean == centre::group ? r - s.mean : n / (n - 1) * (r - s.mean);
}
/// The advantage of a group's only completion, see group_of_one; refused before.
inline double alone(double r, group_of_one single) { return single == group_of_one::raw ? r : 0; }

template <class T>
reward::statistics statistics_of_batch(const sequences& groups, const view<const T, 2>& rewards) {
  reward::statistics all;
  for (std::int64_t g = 0; g < groups.size(); ++g) all += statistics_of_group(groups, rewards, g);
  return all;
}

template <class T>
void write_group(const sequences& groups, const view<const T, 2>& rewards, std::int64_t g, const view<T, 2>& result, const group_options& o,
                 const reward::statistics& own, double batch_scale) {
  const double group_scale = o.scale == spread::group ? scale_of(own, o.ddof, o.eps) : batch_scale;
  groups.for_each_active(g, [&](std::int64_t row, std::int64_t t) {
    const auto r = static_cast<double>(rewards(row, t));
    if (own.count == 1) return void(result(row, t) = static_cast<T>(alone(r, o.single)));
    const double scale = o.scale != spread::leave_one_out
                             ? group_scale
                             : scale_of(statistics_of_group(groups, rewards, g, completion(groups, row, t)), o.ddof, o.eps);
    result(row, t) = static_cast<T>(centred(r, own, o.mean) / scale);
  });
}

}  // namespace detail

/// result[i] = A_i, see group_options; exactly 0 for completions that are in no group, and where all rewards of a group compare equal,
/// whatever eps. rewards [M]: float or double, any stride; sizes up to 1e150, beyond which squares overflow. result [M], of their type; it
/// may be their memory except for spread::leave_one_out, which costs O(K^2) a group and O(M) in all for the others. No allocation.
///
///   of_groups(rewards, {.group_size = 8}, advantages);                       // GRPO
///   of_groups(rewards, {.offsets = offsets, .mask = mask}, advantages, rloo);
///   of_groups(rewards, {.group_size = 8}, advantages, dr_grpo);              // REINFORCE++ baseline: the group's mean,
///   whiten(advantages, advantages);                                          // then whitened over the batch; or on_every_token, whiten_tokens
///
/// A bound on rewards is reward::clip: on the rewards before (TRL's RLOO), or on the advantages after (OpenRLHF).
/// Throws attune::error, before anything is written: sizes and groups that are wrong; an active reward that is NaN or infinite; a group
/// with one active completion, unless `single` says what it gets; options outside their domain or without meaning together.
template <tensor Rewards>
group_report of_groups(Rewards&& rewards, const grouping& where, view<detail::element_of<Rewards, 1>> result, const group_options& o = {}) {
  const auto r = detail::readable<1>(static_cast<Rewards&&>(rewards));
  const sequences groups = detail::groups_of(r.extent(0), where);
  detail::require_options(o);
  detail::require_groups(groups, r, result, o.single);
  if (o.scale == spread::leave_one_out && r.extent(0) > 0 && r.data() == result.data()) {
    throw error("attune: result is the memory of the rewards; expected memory of its own for spread::leave_one_out");
  }
  const auto in = detail::folded(r, groups);
  const auto out = detail::folded(result, groups);
  const double batch = o.scale == spread::batch ? detail::scale_of(o.batch ? *o.batch : detail::statistics_of_batch(groups, in), o.ddof, o.eps) : 1;
  group_report report;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    const reward::statistics own = detail::statistics_of_group(groups, in, g);
    detail::count_group(report, own);
    detail::write_group(groups, in, g, out, o, own, batch);
  }
  detail::clear_inactive(groups, out);
  return report;
}

}  // namespace attune::advantage
