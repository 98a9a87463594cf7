// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/mixture.hpp>
#include <attune/divergence/reverse_kl.hpp>

namespace attune::divergence {

/// Generalised Jensen-Shannon divergence divided by beta (1 - beta), continuous from one KL to the other. With b = beta, w = 1 - b and the mixture
/// m = b target + w policy:
///
///   D     = KL(target || m) / w + KL(policy || m) / b              forward KL(target || policy) at beta = 0, reverse KL(policy || target) at 1
///   f(t)  = t log(t / (b + w t)) / b - log(b + w t) / w            u = log t = log policy - log target [nat], any real
///   f'(t) = log(t / (b + w t)) / b
///
/// generalized_jensen_shannon (of GKD) itself tends to 0 at both ends, with its gradient: this one keeps the size of a KL whatever beta is, and needs
/// no other learning rate. At 1/2 it is 4 generalized_jensen_shannon and 2 jensen_shannon. beta in [0, 1], ends included: they are the KLs.
/// Limits   f(0) = -log(b) / w, f(1) = 0, f'(inf) = -log(w) / b, and their limits at the ends: +inf and 1 at b = 0, 1 and +inf at b = 1.
/// Source   Agarwal et al. 2023, arXiv:2306.13649 (JSD(beta)); the scale is this library's.
struct scaled_jensen_shannon {
  double beta = 0.5;

  template <class S> ATTUNE_FN S value(S u) const {
    const auto f = prepared<lane_of<S>>();
    return f.is_forward ? forward_kl{}.value(u) : f.is_reverse ? reverse_kl{}.value(u) : detail::value_by_term(f, u);
  }
  template <class S> ATTUNE_FN S slope(S u) const { return prepared<lane_of<S>>().slope(u); }
  template <class S> ATTUNE_FN S curvature(S u) const {  // 1 / (b + w t)
    const auto f = prepared<lane_of<S>>();
    return f.is_forward ? forward_kl{}.curvature(u) : f.m.swapped().share(-u) / S(f.b);
  }
  template <class S> ATTUNE_FN S slope_difference(S a, S b) const {
    return prepared<lane_of<S>>().is_forward ? forward_kl{}.slope_difference(a, b) : slope(a) - slope(b);
  }
  template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return prepared<lane_of<S>>().term(p, pi, u); }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return prepared<lane_of<S>>().weight(p, pi, u); }

  ATTUNE_FN double value_at_zero() const { return beta == 0 ? infinity<double> : beta == 1 ? 1 : -prepared<double>().m.log_kept / (1 - beta); }
  ATTUNE_FN double slope_at_infinity() const { return beta == 0 ? 1 : beta == 1 ? infinity<double> : -prepared<double>().m.log_moved / beta; }
  ATTUNE_FN constexpr double weight_at_zero() const { return beta == 0 ? -1 : 0; }

  static constexpr auto parameters() {
    return std::array{parameter<scaled_jensen_shannon>{"beta", &scaled_jensen_shannon::beta, unit_interval,
                                                       "weight of the target in the mixture: 0 is the forward KL, 1 the reverse KL"}};
  }

  /// The same with its constants. Two are choices by a parameter, the same for all lanes: so near to an end the difference to the KL is far below rounding,
  /// and b or w may be no normal number by which to divide.
  template <class R> struct on_classes {
    R b, w;
    detail::mixture<R> m;
    bool is_forward, is_reverse;

    template <class S> ATTUNE_FN S slope(S u) const { return is_forward ? forward_kl{}.slope(u) : -m.swapped().log_of(-u) / S(b); }
    template <class S> ATTUNE_FN S term(S p, S pi, S u) const {
      if (is_forward) return forward_kl{}.term(p, pi, u);
      if (is_reverse) return reverse_kl{}.term(p, pi, u);
      return m.kl_term(p, pi, u) / S(w) + m.swapped().kl_term(pi, p, -u) / S(b);
    }
    template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return is_forward ? forward_kl{}.weight(p, pi, u) : pi * slope(u); }
  };
  template <class R> ATTUNE_FN on_classes<R> prepared() const {
    constexpr double least = std::is_same_v<R, float> ? 1e-30 : 1e-150;
    return {static_cast<R>(beta), static_cast<R>(1 - beta), detail::mixture<R>::of(beta, 1 - beta), beta < least, 1 - beta < least};
  }
};

}  // namespace attune::divergence
