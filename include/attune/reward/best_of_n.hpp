// SPDX-License-Identifier: MIT
#pragma once

#include <attune/reward/rewards.hpp>

#include <span>

namespace attune::reward {

/// Best-of-n as a trainer or a sampler does it: the completion with the highest of the n rewards; of equal ones the first, which is a fair
/// choice where completions are independent draws. rewards [n]: float or double, any stride.
/// Throws attune::error: no rewards; a reward that is NaN or infinite.
template <tensor Rewards>
std::int64_t best_of(Rewards&& rewards) {
  return detail::first_extreme(detail::comparable(static_cast<Rewards&&>(rewards)), 1, "rewards");
}

/// The policy that best-of-n is, over K outcomes of known probability: that of outcome i to be the best of n independent draws,
///
///   P_n(i) = p_i (F_i^n - G_i^n) / (F_i - G_i),     F_i = sum of p_j with r_j <= r_i,   G_i = sum of p_j with r_j < r_i
///
/// so F_i^n - F_(i-1)^n where all rewards differ; outcomes of equal reward share what they win by their probabilities. probability, reward,
/// result [K]: p >= 0, summing to 1; rewards any finite number, of which only the order matters; result, other memory than they.
/// n = 1 is p; n -> infinity is p on the highest reward. Differences of powers keep their digits also for tiny p and large n.
/// Throws attune::error, before anything is written: sizes that differ; n < 1; a p outside [0, 1]; a reward that is NaN or infinite.
/// No allocation; time O(K^2).
/// Source   best-of-n sampling: Stiennon et al. 2020, arXiv:2009.01325; the distribution: Beirami et al. 2024, arXiv:2401.01879.
inline void best_of_n(std::span<const double> probability, std::span<const double> reward, std::int64_t n, std::span<double> result) {
  attune::detail::require_extent(std::int64_t(reward.size()), std::int64_t(probability.size()), "reward", "probability");
  attune::detail::require_extent(std::int64_t(result.size()), std::int64_t(probability.size()), "result", "probability");
  if (n < 1) throw error("attune: n of best-of-n is " + attune::detail::text((long long)n) + "; expected 1 or more");
  for (double p : probability) {
    if (!(p >= 0 && p <= 1)) throw error("attune: a probability is " + attune::detail::text(p) + "; expected a number in [0, 1]");
  }
  detail::comparable(reward);
  for (std::size_t i = 0; i < probability.size(); ++i) {
    double above = 0, level = 0, below = 0;
    for (std::size_t j = 0; j < probability.size(); ++j) (reward[j] > reward[i] ? above : reward[j] < reward[i] ? below : level) += probability[j];
    // F^n - G^n = F^n (1 - (1 - level/F)^n), F from the smaller side
    const double log_f = above < 0.5 ? std::log1p(-above) : std::log(below + level), share = level / (below + level);
    result[i] = level > 0 ? probability[i] / level * std::exp(double(n) * log_f) * (share < 1 ? -std::expm1(double(n) * std::log1p(-share)) : 1) : 0;
  }
}

/// KL(P_n || p) <= log n - (n - 1)/n [nat], with equality where no two draws have the same reward (an infinity of outcomes).
/// n >= 1; 0 at n = 1. Throws attune::error for n < 1.
/// Source   the formula: Stiennon et al. 2020, arXiv:2009.01325; that it is a bound: Beirami et al. 2024, arXiv:2401.01879.
inline double best_of_n_kl_bound(std::int64_t n) {
  if (n < 1) throw error("attune: n of best-of-n is " + attune::detail::text((long long)n) + "; expected 1 or more");
  return std::log(double(n)) - double(n - 1) / double(n);
}

}  // namespace attune::reward
