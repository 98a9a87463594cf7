// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/generator.hpp>

namespace attune::divergence {

/// Forward KL divergence, KL(target || policy) = sum p log(p / pi): covers every mode of the target.
///
///   f(t)  = t - 1 - log t          u = log t = log policy - log target [nat], any real
///   f'(t) = 1 - 1/t = 1 - e^-u     (papers without the normalisation f'(1) = 0 write f = -log t, f' = -1/t: the same divergence)
///
/// Limits   f(0) = +inf, f(1) = 0, f'(inf) = 1; the slope is -e^-u for u -> -inf (it overflows to -inf at u < -88.7 in float).
/// Source   f-DPG, arXiv:2302.08215, table 1 ("KL"); as KL(p || pi) also the loss of maximum likelihood and of DPO.
struct forward_kl {
  template <class S> ATTUNE_FN S value(S u) const { return exp_remainder(u); }
  template <class S> ATTUNE_FN S slope(S u) const { return -expm1(-u); }
  template <class S> ATTUNE_FN S curvature(S u) const { return exp(-u); }
  template <class S> ATTUNE_FN S slope_difference(S a, S b) const { return detail::exp_difference(-1, a, b); }

  // p (t - 1 - log t): near t = 1 through the remainder series, else with p t = pi, which cannot overflow.
  template <class S> ATTUNE_FN S term(S p, S pi, S u) const {
    const S central = select(abs(u) < S(1), u, S(0));
    return select(abs(u) < S(1), p * exp_remainder(central), (pi - p) - p * u);
  }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return select(abs(u) < S(1), -pi * expm1(-u), pi - p); }

  static ATTUNE_FN constexpr double value_at_zero() { return infinity<double>; }
  static ATTUNE_FN constexpr double slope_at_infinity() { return 1; }
  static ATTUNE_FN constexpr double weight_at_zero() { return -1; }
  static ATTUNE_FN constexpr double power() { return 0; }
};

}  // namespace attune::divergence
