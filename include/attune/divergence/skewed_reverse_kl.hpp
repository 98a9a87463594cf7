// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/mixture.hpp>

namespace attune::divergence {

/// Skewed reverse KL divergence, KL(policy || skew policy + (1 - skew) target): bounded where the target has no mass (unlike the
/// reverse KL, which it is at skew = 0). The skewed forward KL with policy and target exchanged. With s = skew, w = 1 - s, m = w + s t:
///
///   f(t)  = t log(t/m) - w (t - 1)                 u = log t = log policy - log target [nat], any real
///   f'(t) = log(t/m) + w/m - w
///
/// Limits   f(0) = w, f(1) = 0, f'(inf) = -log s - w; the slope tends to u - log w + s for u -> -inf. skew in [0, 1).
/// Source   DistiLLM, Ko et al. 2024, arXiv:2402.03898 (SRKL; its alpha is skew, 0.1 in its experiments).
struct skewed_reverse_kl {
  double skew = 0.1;

  template <class S> ATTUNE_FN S value(S u) const { return detail::value_by_term(prepared<lane_of<S>>(), u); }
  template <class S> ATTUNE_FN S slope(S u) const { return prepared<lane_of<S>>().slope(u); }
  template <class S> ATTUNE_FN S curvature(S u) const {  // (w/m)^2
    const S share = prepared<lane_of<S>>().m.share(-u);
    return share * share;
  }
  template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return prepared<lane_of<S>>().term(p, pi, u); }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return prepared<lane_of<S>>().weight(p, pi, u); }

  ATTUNE_FN constexpr double value_at_zero() const { return 1 - skew; }
  ATTUNE_FN double slope_at_infinity() const { return exp_remainder(detail::log_of_weight(skew, 1 - skew)); }
  static ATTUNE_FN constexpr double weight_at_zero() { return 0; }

  static constexpr auto parameters() {
    return std::array{parameter<skewed_reverse_kl>{"skew", &skewed_reverse_kl::skew, {.lower = 0, .upper = 1, .includes_lower = true},
                                                   "weight of the policy in the mixture that stands for the target"}};
  }

  /// The same with its constants: log_odds = log(w/s), large: log t beyond which f' is near f'(inf).
  template <class R> struct on_classes {
    detail::mixture<R> m;
    R large, slope_at_infinity;

    // With y = log(t/m): w - w/m = w q, q = s (t - 1)/m, and w q = s (e^y - 1), so near t = 1 f' = w y - s (e^y - 1 - y). For large t, with
    // z = log(s t/m) = log(1 - w/m), f' = f'(inf) - (e^z - 1 - z): what is left of f'(inf), and its derivative, without cancellation.
    template <class S> ATTUNE_FN S slope(S u) const {
      const S s = S(m.kept), w = S(m.moved), y = -m.log_of(-u), inner = select(abs(y) < S(R(0.75)), y, S(0));
      const S n = expm1(-abs(u)), q = select(u < S(0), n * s / (w + s * exp(min(u, S(0)))), -n * (S(1) - m.share(-u)));
      const S body = select(abs(y) < S(R(0.75)), w * inner - s * attune::detail::exp_remainder_series(inner), y - w * q);
      return select(u < S(large), body, S(slope_at_infinity) - exp_remainder(log_sigmoid(u - S(m.log_odds))));
    }
    template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return m.kl_term(pi, p, -u); }
    template <class S> ATTUNE_FN S weight(S, S pi, S u) const { return pi * slope(u); }
  };
  template <class R> ATTUNE_FN on_classes<R> prepared() const {
    const double log_odds = detail::log_of_odds(skew, 1 - skew);
    return {detail::mixture<R>::of(skew, 1 - skew), static_cast<R>(log_odds > 1 ? log_odds : 1), static_cast<R>(slope_at_infinity())};
  }
};

}  // namespace attune::divergence
