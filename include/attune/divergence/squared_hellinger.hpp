// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/generator.hpp>

namespace attune::divergence {

/// Squared Hellinger distance without a factor 1/2, sum (sqrt pi - sqrt p)^2 = 2 - 2 sum sqrt(pi p). Symmetric, in [0, 2].
///
///   f(t)  = (sqrt t - 1)^2         u = log t = log policy - log target [nat], any real
///   f'(t) = 1 - 1/sqrt t
///
/// Half of alpha_t at alpha = 1/2.
/// Limits   f(0) = 1, f(1) = 0, f'(inf) = 1; the slope falls like -e^(-u/2) (it overflows to -inf at u < -177.4 in float).
/// Source   Hellinger 1909; f-divergences of Liese and Vajda 2006.
struct squared_hellinger {
  template <class S> ATTUNE_FN S value(S u) const {
    const S m = expm1(S(0.5) * u);
    return m * m;
  }
  template <class S> ATTUNE_FN S slope(S u) const { return -expm1(S(-0.5) * u); }
  template <class S> ATTUNE_FN S curvature(S u) const { return S(0.5) * exp(S(-0.5) * u); }
  template <class S> ATTUNE_FN S slope_difference(S a, S b) const { return S(0.5) * detail::exp_difference(-0.5, a, b); }

  // With m = e^(-|u|/2) - 1: the larger mass times m^2; pi (1 - 1/sqrt t) is -pi m for t > 1 and sqrt(p pi) m = p e^(-|u|/2) m below.
  template <class S> ATTUNE_FN S term(S p, S pi, S u) const {
    const S m = expm1(S(-0.5) * abs(u));
    return select(u < S(0), p, pi) * m * m;
  }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const {
    const S x = S(-0.5) * abs(u);
    return select(u < S(0), p * exp(x), -pi) * expm1(x);
  }

  static ATTUNE_FN constexpr double value_at_zero() { return 1; }
  static ATTUNE_FN constexpr double slope_at_infinity() { return 1; }
  static ATTUNE_FN constexpr double weight_at_zero() { return 0; }
  static ATTUNE_FN constexpr double power() { return 0.5; }
};

}  // namespace attune::divergence
