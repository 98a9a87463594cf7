// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/divergence/alpha_family.hpp>

namespace attune::divergence {

/// Alpha divergence in the convention of f-DPO, whose papers write u for the ratio t:
///
///   f'(t) = (1 - t^-alpha) / alpha                                      u = log t = log policy - log target [nat], any real
///   f(t)  = ((1 - alpha) t + alpha - t^(1 - alpha)) / (alpha (1 - alpha))                alpha: any real number
///
///   alpha   -1                       0                  1/2                        1                  2
///   is      pearson_chi_squared / 2  reverse_kl         2 squared_hellinger        forward_kl         neyman_chi_squared / 2
///
/// It is alpha_t with alpha_t's alpha = 1 - this one. The limits at 0 and 1 are exact, and so are values beside them.
/// Limits   f(0) = 1/(1 - alpha) (+inf for alpha >= 1), f(1) = 0, f'(inf) = 1/alpha (+inf for alpha <= 0).
/// Source   f-DPO, arXiv:2309.16240, table 1 (alpha-divergence).
struct alpha_u {
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
    return std::array{parameter<alpha_u>{"alpha", &alpha_u::alpha, real_line, "exponent of 1/t in f': 0 is the reverse KL, 1 the forward"}};
  }

  /// The same with its constants.
  template <class R> ATTUNE_FN constexpr detail::alpha_family<R> prepared() const { return detail::alpha_family<R>::of(1 - alpha, -alpha); }
};

}  // namespace attune::divergence
