// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/generator.hpp>

namespace attune::divergence {

/// Neyman's chi-squared divergence, chi2(target || policy) = sum (p - pi)^2 / pi: Pearson's with policy and target exchanged, and the
/// variance under the policy of f-DPG's pseudo-reward for the forward KL.
///
///   f(t)  = (t - 1)^2 / t          u = log t = log policy - log target [nat], any real
///   f'(t) = 1 - 1/t^2
///
/// Limits   f(0) = +inf, f(1) = 0, f'(inf) = 1; the slope falls like -e^-2u (it overflows to -inf at u < -44.3 in float).
/// Source   Neyman 1949; among the losses of f-DPG's authors (arXiv:2302.08215) as the chi-squared.
struct neyman_chi_squared {
  template <class S> ATTUNE_FN S value(S u) const { return -expm1(u) * expm1(-u); }
  template <class S> ATTUNE_FN S slope(S u) const { return -expm1(S(-2) * u); }
  template <class S> ATTUNE_FN S curvature(S u) const { return S(2) * exp(S(-2) * u); }
  template <class S> ATTUNE_FN S slope_difference(S a, S b) const { return S(2) * detail::exp_difference(-2, a, b); }

  // p (t - 1)^2 / t = pi (1/t - 1)^2 = (p/t) (1 - t)^2 and pi (1 - 1/t^2) = (p/t) (t^2 - 1), the right-hand sides for t < 1/e.
  template <class S> ATTUNE_FN S term(S p, S pi, S u) const {
    const S m = expm1(-max(u, S(-1))), n = expm1(min(u, S(-1)));
    return select(u > S(-1), pi * m * m, detail::times_exp(p, -u) * n * n);
  }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const {
    const S m = expm1(S(-2) * max(u, S(-1))), n = expm1(S(2) * min(u, S(-1)));
    return select(u > S(-1), -pi * m, detail::times_exp(p, -u) * n);
  }

  static ATTUNE_FN constexpr double value_at_zero() { return infinity<double>; }
  static ATTUNE_FN constexpr double slope_at_infinity() { return 1; }
  static ATTUNE_FN constexpr double weight_at_zero() { return -infinity<double>; }
  static ATTUNE_FN constexpr double power() { return -1; }
};

}  // namespace attune::divergence
