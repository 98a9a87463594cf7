// SPDX-License-Identifier: MIT
#pragma once

#include <attune/constraint/batch_average.hpp>
#include <attune/reward/par.hpp>

namespace attune::cgpo {

/// Calibrated reward:  R = sigmoid( r(y) - r(y_base) ),   in (0, 1), comparable between prompts.  y_base: baseline answer of the prompt.
/// The same as PAR with one reference (reward::par). Source   CGPO, arXiv:2409.20370, eq. 5.
inline double calibrated_reward(double reward, double baseline_reward) { return reward::par{}.value(reward - baseline_reward); }

/// Constraint-regularised reward:  R_cr = R if all judges are satisfied, else 0.  Since R > 0, a violation is worse than any answer without
/// one. Source   CGPO, arXiv:2409.20370, eq. 8.
inline double regularised_reward(double reward, double baseline_reward, bool satisfied) {
  return satisfied ? calibrated_reward(reward, baseline_reward) : 0;
}

/// Completions that the policy wrote, judged; [B] each.
template <real T>
struct judged_completions {
  view<const T> logp{};                    ///< log pi(y), summed over completion tokens [nat]
  view<const T> ref_logp{};                ///< log pi_ref(y)
  view<const T> reward{};                  ///< r(y) of the reward model
  view<const T> baseline_reward{};         ///< r(y_base) of its prompt's baseline answer
  view<const std::uint8_t> satisfied{};    ///< 1 if every judge finds its constraint met, else 0
  completion_weights<T> weights{};

  double log_ratio(std::int64_t b) const { return static_cast<double>(logp(b)) - static_cast<double>(ref_logp(b)); }
  double calibrated(std::int64_t b) const {
    return calibrated_reward(static_cast<double>(reward(b)), static_cast<double>(baseline_reward(b)));
  }
  double regularised(std::int64_t b) const { return satisfied(b) != 0 ? calibrated(b) : 0; }
};

/// What a batch says of the policy: weighted means.
struct judged_report {
  batch_average reward;      ///< R, whether judges are satisfied or not
  batch_average violations;  ///< 1 where some judge is not: the share of violations
  batch_average kl;          ///< log pi/pi_ref [nat]: the estimate of KL(pi || pi_ref) from samples of pi

  judged_report& operator+=(const judged_report& other) {
    reward += other.reward, violations += other.violations, kl += other.kl;
    return *this;
  }
};

namespace detail {

using attune::detail::require_distinct;
using attune::detail::require_extent;
using attune::detail::require_finite;
using attune::detail::text;

inline void add(batch_average& average, double weight, double value) {
  average.sum += weight * value;
  average.weight += weight;
  ++average.count;
}

/// Throws attune::error: sizes that differ, active numbers that are NaN or infinite.
template <real T>
void require_judged(const judged_completions<T>& y) {
  const std::int64_t count = y.logp.extent(0);
  attune::detail::require_weights(y.weights, count);
  require_extent(y.satisfied.extent(0), count, "satisfied", "logp");
  const auto expect = [&](const view<const T>& column, const char* name) {
    require_extent(column.extent(0), count, name, "logp");
    require_finite(column, y.weights, name);
  };
  expect(y.logp, "logp");
  expect(y.ref_logp, "ref_logp");
  expect(y.reward, "reward");
  expect(y.baseline_reward, "baseline_reward");
}

}  // namespace detail

/// Throws attune::error: sizes that differ, active numbers that are NaN or infinite.
template <real T>
judged_report report_of(const judged_completions<T>& y) {
  detail::require_judged(y);
  judged_report found;
  for (std::int64_t b = 0; b < y.logp.extent(0); ++b) {
    if (!y.weights.active(b)) continue;
    detail::add(found.reward, y.weights(b), y.calibrated(b));
    detail::add(found.violations, y.weights(b), y.satisfied(b) != 0 ? 0 : 1);
    detail::add(found.kl, y.weights(b), y.log_ratio(b));
  }
  return found;
}

}  // namespace attune::cgpo
