// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/generator.hpp>

namespace attune::divergence {

/// Pearson's chi-squared divergence, chi2(policy || target) = sum (pi - p)^2 / p: the variance of the importance weight pi/p under p.
///
///   f(t)  = (t - 1)^2              u = log t = log policy - log target [nat], any real
///   f'(t) = 2 (t - 1)
///
/// Limits   f(0) = 1, f(1) = 0, f'(inf) = +inf; the slope grows like 2 e^u (it overflows at u > 88.0 in float).
/// Source   Pearson 1900; among the losses of f-DPG's authors (arXiv:2302.08215) as the reverse chi-squared.
struct pearson_chi_squared {
  template <class S> ATTUNE_FN S value(S u) const {
    const S m = expm1(u);
    return m * m;
  }
  template <class S> ATTUNE_FN S slope(S u) const { return S(2) * expm1(u); }
  template <class S> ATTUNE_FN S curvature(S u) const { return S(2) * exp(u); }
  template <class S> ATTUNE_FN S slope_difference(S a, S b) const { return S(2) * detail::exp_difference(1, a, b); }

  // p (t - 1)^2 = pi t (1 - 1/t)^2 and pi (t - 1) = pi t (1 - 1/t), the right-hand sides for t > e.
  template <class S> ATTUNE_FN S term(S p, S pi, S u) const {
    const S m = expm1(min(u, S(1))), n = expm1(-max(u, S(1)));
    return select(u < S(1), p * m * m, detail::times_exp(pi, u) * n * n);
  }
  template <class S> ATTUNE_FN S weight(S, S pi, S u) const {
    const S m = expm1(min(u, S(1))), n = expm1(-max(u, S(1)));
    return S(2) * select(u < S(1), pi * m, -detail::times_exp(pi, u) * n);
  }

  static ATTUNE_FN constexpr double value_at_zero() { return 1; }
  static ATTUNE_FN constexpr double slope_at_infinity() { return infinity<double>; }
  static ATTUNE_FN constexpr double weight_at_zero() { return 0; }
  static ATTUNE_FN constexpr double power() { return 2; }
};

}  // namespace attune::divergence
