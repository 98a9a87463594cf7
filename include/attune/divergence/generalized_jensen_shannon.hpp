// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/mixture.hpp>

namespace attune::divergence {

/// Generalised Jensen-Shannon divergence, b KL(target || m) + (1 - b) KL(policy || m), with the mixture m = b target + (1 - b) policy.
/// With b = beta and w = 1 - b:
///
///   f(t)  = w t log(t / (b + w t)) - b log(b + w t)               u = log t = log policy - log target [nat], any real
///   f'(t) = w log(t / (b + w t))
///
/// At beta = 1/2 it is the Jensen-Shannon divergence with its halves, so HALF of `jensen_shannon`, which is KL + KL.
/// beta in (0, 1), ends excluded: there the divergence tends to 0, while D/beta tends to the forward KL for beta -> 0 and D/(1 - beta) to
/// the reverse KL for beta -> 1. Systems that switch to a KL at beta 0 and 1 jump there; ask for forward_kl or reverse_kl instead.
/// Limits   f(0) = -b log b, f(1) = 0, f'(inf) = -w log w; the slope is w (u - log b) for u -> -inf.
/// Source   GKD, Agarwal et al. 2023, arXiv:2306.13649 (JSD(beta)).
struct generalized_jensen_shannon {
  double beta = 0.5;

  template <class S> ATTUNE_FN S value(S u) const { return detail::value_by_term(prepared<lane_of<S>>(), u); }
  template <class S> ATTUNE_FN S slope(S u) const { return prepared<lane_of<S>>().slope(u); }
  template <class S> ATTUNE_FN S curvature(S u) const { return prepared<lane_of<S>>().curvature(u); }
  template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return prepared<lane_of<S>>().term(p, pi, u); }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return prepared<lane_of<S>>().weight(p, pi, u); }

  ATTUNE_FN double value_at_zero() const { return -beta * prepared<double>().m.log_kept; }
  ATTUNE_FN double slope_at_infinity() const { return (beta - 1) * prepared<double>().m.log_moved; }
  static ATTUNE_FN constexpr double weight_at_zero() { return 0; }

  static constexpr auto parameters() {
    return std::array{parameter<generalized_jensen_shannon>{"beta", &generalized_jensen_shannon::beta, {.lower = 0, .upper = 1},
                                                            "weight of the target in the mixture and of KL(target || mixture)"}};
  }

  /// The same with its constants.
  template <class R> struct on_classes {
    R b, w;
    detail::mixture<R> m;

    template <class S> ATTUNE_FN S slope(S u) const { return -S(w) * m.swapped().log_of(-u); }
    template <class S> ATTUNE_FN S curvature(S u) const { return S(w) * m.swapped().share(-u); }  // w b / (b + w t)
    template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return S(b) * m.kl_term(p, pi, u) + S(w) * m.swapped().kl_term(pi, p, -u); }
    template <class S> ATTUNE_FN S weight(S, S pi, S u) const { return pi * slope(u); }
  };
  template <class R> ATTUNE_FN on_classes<R> prepared() const { return {static_cast<R>(beta), static_cast<R>(1 - beta), detail::mixture<R>::of(beta, 1 - beta)}; }
};

}  // namespace attune::divergence
