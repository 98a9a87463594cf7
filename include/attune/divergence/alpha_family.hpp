// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/generator.hpp>

namespace attune::divergence::detail {

/// The alpha family once, for both of its conventions (alpha_t.hpp, alpha_u.hpp), by its exponent a and c = a - 1:
///
///   f(t)  = (t^a - a t - (1 - a)) / (a c)          f'(t) = (t^c - 1) / c          t f''(t) = t^c          u = log t [nat], any real
///
/// f is the second divided difference of the function x -> t^x at the points 0, a, 1: with x0 <= x1 <= x2 those points in order,
///
///   f(t) = ( [x1, x2] - [x0, x1] ) / (x2 - x0),    [x, y] = (t^y - t^x) / (y - x), which is log(t) t^x at x = y
///
/// This form divides by no a and no c: it is the forward KL at a = 0, the reverse KL at a = 1, and accurate beside them. For |u| below
/// 1 / (x2 - x0) its Taylor series, u^2/2 sum_n 2 u^n (1 + a + ... + a^n) / (n + 2)!.
/// Both a and c are given because each may be too small to be found from the other.
template <class R> struct alpha_family {
  R a, c, reach;  ///< reach = 1 / (x2 - x0)

  static ATTUNE_FN constexpr alpha_family of(double a, double c) {
    return {static_cast<R>(a), static_cast<R>(c), static_cast<R>(1 / (a < 0 ? -c : a > 1 ? a : 1))};
  }

  template <class S> ATTUNE_FN S value(S u) const { return value_by_term(*this, u); }
  template <class S> ATTUNE_FN S slope(S u) const { return expm1_over(c, u); }
  template <class S> ATTUNE_FN S curvature(S u) const { return exp(S(c) * u); }
  template <class S> ATTUNE_FN S slope_difference(S u, S v) const { return exp_difference(c, u, v); }

  // p t^x is p at x = 0, pi at x = 1 and the power mean p^(1-a) pi^a at x = a; p [x, y] is the larger of its two masses times
  // (1 - e^-(y-x)|u|) / (y - x).
  template <class S> ATTUNE_FN S term(S p, S pi, S u) const {
    const S bound = S(reach), inner = select(abs(u) < bound, u, S(0));
    const S q = p * bound, qi = pi * bound, mean = power_mean(q, qi, u);  // divided by x2 - x0 before they may overflow
    const S lowest = a < 0 ? mean : q, middle = a < 0 ? q : a > 1 ? qi : mean, highest = a > 1 ? mean : qi;
    const R below = a < 0 ? -a : a > 1 ? R(1) : a, above = a < 0 ? R(1) : a > 1 ? c : -c;  // x1 - x0 and x2 - x1
    const S upper = select(u < S(0), -middle, highest) * expm1_over(-above, abs(u));
    const S lower = select(u < S(0), -lowest, middle) * expm1_over(-below, abs(u));
    return select(abs(u) < bound, p * central(inner), upper - lower);
  }
  // pi (t^c - 1)/c: where t^c is above 1, pi t^c = p^(1-a) pi^a is taken out of the bracket.
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const {
    const S bracket = expm1_over(c < 0 ? c : -c, abs(u));
    return select(S(c) * u > S(0), power_mean(p, pi, u), pi) * select(u < S(0), -bracket, bracket);
  }

  ATTUNE_FN constexpr R value_at_zero() const { return a > 0 ? 1 / a : infinity<R>; }
  ATTUNE_FN constexpr R slope_at_infinity() const { return c < 0 ? -1 / c : infinity<R>; }
  ATTUNE_FN constexpr R weight_at_zero() const { return a > 0 ? R(0) : a < 0 ? -infinity<R> : R(-1); }

 private:
  template <class S> ATTUNE_FN S power_mean(S p, S pi, S u) const {  // p t^a = pi t^c, from the larger mass
    return times_exp(select(u < S(0), p, pi), select(u < S(0), S(a), S(c)) * u);
  }
  // With y = u, x = a u:  p_n = 1 + y/n p_(n+1),  q_n = p_n + x/n q_(n+1),  f = u^2/2 q_3.
  template <class S> ATTUNE_FN S central(S u) const {
    const S x = S(a) * u;
    S p = S(1), q = S(1);
    for (int n = std::same_as<R, float> ? 12 : 20; n >= 3; --n) {
      p = S(1) + u * p * S(R(1) / R(n));
      q = p + x * q * S(R(1) / R(n));
    }
    return S(R(0.5)) * u * u * q;
  }
};

}  // namespace attune::divergence::detail
