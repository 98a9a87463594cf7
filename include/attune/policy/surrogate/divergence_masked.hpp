// SPDX-License-Identifier: MIT
// DPPO: REINFORCE with a truncated ratio as weight, and a mask where the policy has moved too far in the direction in which the advantage
// drives it, measured by the divergence between the two Bernoulli distributions "this token or another one" instead of by the ratio.
//
//   loss = -sg(min(r, cap)) A log pi(token), exactly 0 where masked;     p = pi(token), p_old = pi_old(token)
//
// Source   arXiv:2602.04879; names and cap as in verl (where the cap of 20 is written but never reached, because another default wins).
#pragma once

#include <attune/core/math.hpp>
#include <attune/core/parameter.hpp>
#include <attune/core/weighted.hpp>
#include <attune/policy/token.hpp>

namespace attune {
namespace detail {
/// -sg(min(r, cap)) A log pi, or 0. A NaN in what decides stays visible.
template <class S, class Masked>
ATTUNE_FN S masked_reinforce(const token<S>& x, double cap, const Masked& masked) {
  using R = real_of<S>;
  const S weight = min(exp(detach(x.log_ratio)), S(R(lane_of<S>(cap))));
  const S kept = -(weight * x.logp * x.advantage);
  return select(x.old_logp == x.old_logp, select(masked, S(R(0)), kept), S(x.old_logp));
}
}  // namespace detail

/// Masked where, for A > 0, p - p_old > high, else p_old - p > low: their total variation distance.
struct dppo_tv {
  static constexpr bool stops_gradient = true;
  double low = 0.2;
  double high = 0.2;
  double cap = 20;

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    const R moved = exp(detail::constant(x.logp)) - exp(x.old_logp);
    const R excess = select(x.advantage > R(0), moved - R(lane_of<S>(high)), -moved - R(lane_of<S>(low)));
    return detail::masked_reinforce(x, cap, excess > R(0));
  }

  static constexpr auto parameters() {
    return std::array{parameter<dppo_tv>{"low", &dppo_tv::low, nonnegative, "how far the probability may fall [probability]"},
                      parameter<dppo_tv>{"high", &dppo_tv::high, nonnegative, "how far the probability may rise [probability]"},
                      parameter<dppo_tv>{"cap", &dppo_tv::cap, positive, "largest weight"}};
  }
};

/// Masked where the KL divergence p_old log(p_old/p) + (1 - p_old) log((1 - p_old)/(1 - p)) exceeds its bound, unless p is on the side of p_old
/// from which the advantage drives it back: masked for A > 0 if p > p_old and KL > high, else if p < p_old and KL > low.
struct dppo_kl {
  static constexpr bool stops_gradient = true;
  double low = 0.2;
  double high = 0.2;
  double cap = 20;

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    const R logp = detail::constant(x.logp), moved = logp - x.old_logp, zero(0);
    const R others = -expm1(x.old_logp);  // 1 - p_old; 0: nothing was left for others
    const R kl = weighted(others, log1mexp(x.old_logp) - log1mexp(logp)) - exp(x.old_logp) * moved;
    const R excess = select(x.advantage > zero, select(moved > zero, kl - R(lane_of<S>(high)), zero), select(moved < zero, kl - R(lane_of<S>(low)), zero));
    return detail::masked_reinforce(x, cap, excess > zero);
  }

  static constexpr auto parameters() {
    return std::array{parameter<dppo_kl>{"low", &dppo_kl::low, nonnegative, "bound where the probability falls [nat]"},
                      parameter<dppo_kl>{"high", &dppo_kl::high, nonnegative, "bound where the probability rises [nat]"},
                      parameter<dppo_kl>{"cap", &dppo_kl::cap, positive, "largest weight"}};
  }
};

}  // namespace attune
