// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/generator.hpp>

namespace attune::divergence {

/// Reverse KL divergence, KL(policy || target) = sum pi log(pi / p): seeks a mode; the regulariser of RLHF and DPO.
///
///   f(t)  = t log t - t + 1        u = log t = log policy - log target [nat], any real
///   f'(t) = log t = u              (papers without the normalisation f'(1) = 0 write f = t log t, f' = log t + 1)
///
/// Limits   f(0) = 1, f(1) = 0, f'(inf) = +inf: mass where the target has none costs infinitely much.
/// Source   f-DPG, arXiv:2302.08215, table 1 ("reverse KL").
struct reverse_kl {
  // t log t - t + 1 = t (e^-u - 1 + u), whose second factor is >= 0 without cancellation.
  template <class S> ATTUNE_FN S value(S u) const { return select(abs(u) < S(1), exp(u) * exp_remainder(-u), exp(u) * (u - S(1)) + S(1)); }
  template <class S> ATTUNE_FN S slope(S u) const { return u; }
  template <class S> ATTUNE_FN S curvature(S) const { return S(1); }

  template <class S> ATTUNE_FN S term(S p, S pi, S u) const {
    const S central = select(abs(u) < S(1), -u, S(0));
    return select(abs(u) < S(1), pi * exp_remainder(central), (p - pi) + pi * u);
  }
  template <class S> ATTUNE_FN S weight(S, S pi, S u) const { return pi * u; }

  static ATTUNE_FN constexpr double value_at_zero() { return 1; }
  static ATTUNE_FN constexpr double slope_at_infinity() { return infinity<double>; }
  static ATTUNE_FN constexpr double weight_at_zero() { return 0; }
  static ATTUNE_FN constexpr double power() { return 1; }
};

}  // namespace attune::divergence
