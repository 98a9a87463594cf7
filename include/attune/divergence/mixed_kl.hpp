// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/divergence/exponentials.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/reverse_kl.hpp>

namespace attune::divergence {

/// Mixed KL divergence, a KL(target || policy) + b KL(policy || target), with a = forward and b = 1 - a: from the forward KL at 1 to the
/// reverse KL at 0. At 1/2 it is HALF of `jeffreys`, which is the sum of both.
///
///   f(t)  = a (t - 1 - log t) + b (t log t - t + 1)        u = log t = log policy - log target [nat], any real
///   f'(t) = a (1 - 1/t) + b log t
///
/// forward in [0, 1]; a part with weight 0 is not there: it costs nothing also where it is infinite.
/// Limits   f(0) = +inf (1 at a = 0), f(1) = 0, f'(inf) = +inf (1 at b = 0); the slope is -a e^-u for u -> -inf (-88.7 in float).
/// Source   torchtune's SymmetricKLLoss (sym_kd_ratio is a) and NeMo-RL's mixed KL, both 0.5; adaptive KL, arXiv:2404.02657, sets a row by row.
struct mixed_kl {
  double forward = 0.5;

  template <class S> ATTUNE_FN S value(S u) const { return mix(forward_kl{}.value(u), reverse_kl{}.value(u)); }
  // a e^-u as one product: finite for a small a also where e^-u is not.
  template <class S> ATTUNE_FN S slope(S u) const {
    const S a = S(lane_of<S>(forward)), inner = select(abs(u) < S(1), u, S(0));
    const S ahead = select(abs(u) < S(1), -a * expm1(-inner), a - detail::times_exp(a, -u));
    return forward == 1 ? ahead : ahead + S(lane_of<S>(1 - forward)) * u;
  }
  template <class S> ATTUNE_FN S curvature(S u) const {
    using R = lane_of<S>;
    return detail::times_exp(S(R(forward)), -u) + S(R(1 - forward));
  }
  template <class S> ATTUNE_FN S slope_difference(S a, S b) const { return mix(forward_kl{}.slope_difference(a, b), a - b); }

  template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return mix(forward_kl{}.term(p, pi, u), reverse_kl{}.term(p, pi, u)); }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return mix(forward_kl{}.weight(p, pi, u), reverse_kl{}.weight(p, pi, u)); }

  ATTUNE_FN constexpr double value_at_zero() const { return forward > 0 ? infinity<double> : 1; }
  ATTUNE_FN constexpr double slope_at_infinity() const { return forward < 1 ? infinity<double> : 1; }
  ATTUNE_FN constexpr double weight_at_zero() const { return -forward; }

  static constexpr auto parameters() {
    return std::array{parameter<mixed_kl>{"forward", &mixed_kl::forward, unit_interval, "weight of KL(target || policy); the reverse KL has the rest"}};
  }

 private:
  template <class S> ATTUNE_FN S mix(const S& ahead, const S& back) const {  // a choice by a parameter, the same for all lanes
    using R = lane_of<S>;
    if (forward == 1) return ahead;
    if (forward == 0) return back;
    return S(R(forward)) * ahead + S(R(1 - forward)) * back;
  }
};

}  // namespace attune::divergence
