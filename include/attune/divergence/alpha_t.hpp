// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/divergence/alpha_family.hpp>

namespace attune::divergence {

/// Alpha divergence in the convention of f-DPG (Cressie and Read), in which f' is a power of t:
///
///   f(t)  = (t^alpha - alpha t - (1 - alpha)) / (alpha (alpha - 1))     u = log t = log policy - log target [nat], any real
///   f'(t) = (t^(alpha - 1) - 1) / (alpha - 1)                           alpha: any real number
///
///   alpha   -1                      0                  1/2                        1                  2
///   is      neyman_chi_squared / 2  forward_kl         2 squared_hellinger        reverse_kl         pearson_chi_squared / 2
///
/// The limits at 0 and 1 are exact, and so are values beside them. Exchanging policy and target is alpha -> 1 - alpha. The convention of
/// f-DPO is alpha_u, with its alpha = 1 - this one: they agree at 1/2 only, and systems have silently changed from one to the other.
/// Limits   f(0) = 1/alpha (+inf for alpha <= 0), f(1) = 0, f'(inf) = 1/(1 - alpha) (+inf for alpha >= 1).
/// Source   Cressie and Read 1984 (their lambda is alpha - 1); the alpha family of f-DPG's authors (arXiv:2302.08215).
struct alpha_t {
  double alpha = 0.5;

  template <class S> ATTUNE_FN S value(S u) const { return prepared<lane_of<S>>().value(u); }
  template <class S> ATTUNE_FN S slope(S u) const { return prepared<lane_of<S>>().slope(u); }
  template <class S> ATTUNE_FN S curvature(S u) const { return prepared<lane_of<S>>().curvature(u); }
  template <class S> ATTUNE_FN S slope_difference(S a, S b) const { return prepared<lane_of<S>>().slope_difference(a, b); }
  template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return prepared<lane_of<S>>().term(p, pi, u); }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return prepared<lane_of<S>>().weight(p, pi, u); }

  ATTUNE_FN constexpr double value_at_zero() const { return prepared<double>().value_at_zero(); }
  ATTUNE_FN constexpr double slope_at_infinity() const { return prepared<double>().slope_at_infinity(); }
  ATTUNE_FN constexpr double weight_at_zero() const { return prepared<double>().weight_at_zero(); }
  ATTUNE_FN constexpr double power() const { return prepared<double>().a; }

  static constexpr auto parameters() {
    return std::array{parameter<alpha_t>{"alpha", &alpha_t::alpha, real_line, "exponent of t in f: 1 is the reverse KL, 0 the forward KL"}};
  }

  /// The same with its constants.
  template <class R> ATTUNE_FN constexpr detail::alpha_family<R> prepared() const { return detail::alpha_family<R>::of(alpha, alpha - 1); }
};

}  // namespace attune::divergence
