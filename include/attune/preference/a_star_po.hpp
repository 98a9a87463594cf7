// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/math.hpp>
#include <attune/core/parameter.hpp>
#include <attune/preference/single.hpp>

#include <span>

namespace attune {

/// A*-PO: regression of the implicit reward on the advantage over the optimal value.
///
///   loss = ( beta D - A )^2,   A = r(x, y) - V*(x),   D = log pi(y) - log pi_ref(y);      d loss / d log pi(y) = 2 beta (beta D - A)
///
/// singles.reward holds the advantage A [reward]; V*(x) comes from completions of the reference: optimal_value. log pi(y): sum over tokens.
/// SPPO's regression on rewards, (log pi(y) - log pi_old(y) - eta (r - softmean r))^2 with softmean r = 1/eta log mean e^(eta r), is
/// a_star_po{.beta = 1} with log pi_old as ref_logp and eta (r - optimal_value(rewards of the group, 1/eta)) as reward.
/// Source   Brantley et al. 2025, arXiv:2505.20686 (beta is its beta_2).
struct a_star_po {
  double beta = 1e-3;

  template <class S> ATTUNE_FN S operator()(const single<S>& x) const {
    const S residual = reward(x.y) - x.y.reward;
    return residual * residual;
  }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return real_of<S>(lane_of<S>(beta)) * y.log_ratio(); }

  static constexpr auto parameters() {
    return std::array{parameter<a_star_po>{"beta", &a_star_po::beta, positive, "of the regression [reward/nat]"}};
  }
};

/// Optimal value of KL-regularised reward maximisation, estimated from rewards of completions of the reference:
///
///   V* = temperature log( (1/n) sum_i e^(r_i / temperature) ),   between the mean and the maximum of r
///
/// n >= 1 rewards, finite; temperature > 0 [reward/nat], in the source beta_1 = 0.5. Throws attune::error otherwise.
/// Source   Brantley et al. 2025, arXiv:2505.20686.
inline double optimal_value(std::span<const double> rewards, double temperature) {
  if (rewards.empty()) throw error("attune: optimal_value was given 0 rewards; expected 1 or more");
  if (!positive.contains(temperature)) throw error("attune: temperature is " + detail::text(temperature) + "; expected a value in (0, inf)");
  double best = rewards[0], sum = 0;
  for (double r : rewards) best = max(best, r);
  for (double r : rewards) sum += expm1((r - best) / temperature);
  return best + temperature * log1p(sum / static_cast<double>(rewards.size()));
}

}  // namespace attune
