// SPDX-License-Identifier: MIT
// Estimators of KL(pi || pi_ref) [nat] from the log-probabilities of sampled tokens: scalar units in
//
//   u = log pi(y) - log pi_ref(y),     y ~ pi
//
// `value` is what is logged, or charged in a reward; `slope` is what a loss hands to log pi(y) when the estimator is part of it. These are two
// questions, and a good answer to the one may be a wrong one to the other. With E over y ~ pi, and grad KL = E[u grad log pi]:
//
//                          E[value]                        E[slope grad log pi]
//   k1                     KL(pi || ref)                   0: the loss does nothing but add noise
//   k2                     E[u^2]/2, near KL for pi ~ ref  grad KL(pi || ref)
//   k3                     KL(pi || ref)                   grad KL(ref || pi), the forward KL
//   absolute               E|u|                            that of total variation: 2 grad TV(pi, ref)
//   straight_through<k3, k2>   KL(pi || ref)               grad KL(pi || ref)
//   scored<k1>, scored<k3>     KL(pi || ref)               grad KL(pi || ref)
//   of_divergence<G>           D_f(pi || ref)              grad D_f(pi || ref)
//   clipped<K>             less than K's                   that of K without the tokens outside of the limit
//
// Off policy, y ~ q, all of it holds with the weight pi/q on value and slope (importance sampling), where q covers pi.
// Source   the names and values: J. Schulman, "Approximating KL divergence", 2020; the gradients: derived here, and tested by enumeration.
#pragma once

#include <attune/core/unit.hpp>

namespace attune::kl {

/// k1 = u;   slope 1.   Unbiased, of both signs and of large variance. In a loss its expected gradient is 0, because E_pi[grad log pi] = 0:
/// it belongs in a reward, or under `scored`.
struct k1 {
  template <class S> ATTUNE_FN S value(S u) const { return u; }
  template <class S> ATTUNE_FN S slope(S u) const { return select(u == u, S(1), u); }  // NaN stays
  template <class S> ATTUNE_FN S scored_slope(S u) const { return u + S(1); }
};

/// k2 = u^2/2;   slope u.   Biased as a value, its gradient is that of KL(pi || ref). Overflows where the square does.
struct k2 {
  template <class S> ATTUNE_FN S value(S u) const { return S(0.5) * u * u; }
  template <class S> ATTUNE_FN S slope(S u) const { return u; }
  template <class S> ATTUNE_FN S scored_slope(S u) const { return u + S(0.5) * u * u; }
};

/// k3 = e^-u - 1 + u >= 0;   slope 1 - e^-u.   Unbiased, never negative, exact also for tiny u. Its gradient is that of KL(ref || pi).
/// Limits   grows like e^-u where the reference has much more mass, and saturates at e^88 in float, e^709 in double, with slope -e^88, -e^709:
///          a token that the policy all but excludes must not make the run infinite. u - 1 and 1 for large u; +inf where the reference
///          excludes y (u = +inf).
struct k3 {
  template <class S> ATTUNE_FN S value(S u) const { return exp_remainder(held(-u)); }
  template <class S> ATTUNE_FN S slope(S u) const { return -expm1(held(-u)); }
  template <class S> ATTUNE_FN S scored_slope(S u) const { return u; }  // e^-u - 1 + u + 1 - e^-u

 private:
  template <class S> static ATTUNE_FN S held(S x) { return min(x, S(largest_log<lane_of<S>>)); }
};

/// |u|;   slope sign(u), 0 at 0.   A bound on the size of k1, no estimate of a KL divergence.
struct absolute {
  template <class S> ATTUNE_FN S value(S u) const { return max(u, S(0)) - min(u, S(0)); }  // as a dual, slope 0 at 0
  template <class S> ATTUNE_FN S slope(S u) const { return select(u < S(0), S(-1), select(u > S(0), S(1), S(0) * u)); }  // NaN stays
};

}  // namespace attune::kl
