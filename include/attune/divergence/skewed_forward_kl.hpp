// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/mixture.hpp>

namespace attune::divergence {

/// Skewed forward KL divergence, KL(target || skew target + (1 - skew) policy): bounded where the policy has no mass (unlike the
/// forward KL, which it is at skew = 0). With s = skew, w = 1 - s and m = s + w t:
///
///   f(t)  = w (t - 1) - log m      u = log t = log policy - log target [nat], any real
///   f'(t) = w (m - 1) / m = w^2 (t - 1) / m
///
/// Limits   f(0) = -log s - w, f(1) = 0, f'(inf) = w; the slope tends to -w^2/s for u -> -inf. skew in [0, 1).
/// Source   DistiLLM, Ko et al. 2024, arXiv:2402.03898 (SKL; its alpha is skew, 0.1 in its experiments).
struct skewed_forward_kl {
  double skew = 0.1;

  template <class S> ATTUNE_FN S value(S u) const { return detail::value_by_term(prepared<lane_of<S>>(), u); }

  // With h = w t/m: w^2 (1 - 1/t) / (w + s/t); for small t, where s is the larger part of m, w (h - w) / s.
  template <class S> ATTUNE_FN S slope(S u) const {
    using R = lane_of<S>;
    const S w = S(R(1 - skew)), rest = S(R((1 - skew) / skew)) * (mixture<R>().share(u) - w);
    return select(u < S(R(low())), rest, -w * w * expm1(-u) / scaled(u));
  }
  // w^2 t / m^2 = h w/m, likewise
  template <class S> ATTUNE_FN S curvature(S u) const {
    using R = lane_of<S>;
    const S h = mixture<R>().share(u), rest = S(R((1 - skew) / skew)) * (S(1) - h);
    return h * select(u < S(R(low())), rest, S(R(1 - skew)) * exp(-u) / scaled(u));
  }
  template <class S> ATTUNE_FN S slope_difference(S a, S b) const {  // w^2 (t_a - t_b) / (m_a m_b)
    using R = lane_of<S>;
    const S s = S(R(skew)), w = S(R(1 - skew)), lower = min(a, b);
    const S size = w * mixture<R>().share(max(a, b)) * -expm1(-abs(a - b)) * min(S(1) / (s + w * exp(lower)), S(largest<R>));
    return select(a < b, -size, size);
  }

  template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return prepared<lane_of<S>>().term(p, pi, u); }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return prepared<lane_of<S>>().weight(p, pi, u); }

  ATTUNE_FN double value_at_zero() const { return exp_remainder(mixture<double>().log_kept); }
  ATTUNE_FN constexpr double slope_at_infinity() const { return 1 - skew; }
  ATTUNE_FN constexpr double weight_at_zero() const { return skew > 0 ? 0 : -1; }

  static constexpr auto parameters() {
    return std::array{parameter<skewed_forward_kl>{"skew", &skewed_forward_kl::skew, {.lower = 0, .upper = 1, .includes_lower = true},
                                                   "weight of the target in the mixture that stands for the policy"}};
  }

  /// What the classes of a row need of it, with its constants.
  template <class R> struct on_classes {
    detail::mixture<R> m;

    template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return m.kl_term(p, pi, u); }
    template <class S> ATTUNE_FN S weight(S p, S pi, S u) const {  // w h (pi - p)
      const S n = expm1(-abs(u));
      return S(m.moved) * m.share(u) * select(u < S(0), p, -pi) * n;
    }
  };
  template <class R> ATTUNE_FN on_classes<R> prepared() const { return {mixture<R>()}; }

 private:
  template <class R> ATTUNE_FN detail::mixture<R> mixture() const { return detail::mixture<R>::of(skew, 1 - skew); }

  /// log t below which s > w t; at most -1, because near t = 1 the forms for small t cancel.
  ATTUNE_FN double low() const {
    const double equal = std::log(skew / (1 - skew));
    return equal < -1 ? equal : -1;
  }
  template <class S> ATTUNE_FN S scaled(S u) const {  // m/t = w + s/t
    using R = lane_of<S>;
    return S(R(1 - skew)) + S(R(skew)) * min(exp(-u), S(largest<R>));
  }
};

}  // namespace attune::divergence
