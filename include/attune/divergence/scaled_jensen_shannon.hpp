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
    return is_forward<S>() ? forward_kl{}.value(u) : is_reverse<S>() ? reverse_kl{}.value(u) : detail::value_by_term(*this, u);
  }
  template <class S> ATTUNE_FN S slope(S u) const {
    return is_forward<S>() ? forward_kl{}.slope(u) : -mixture().swapped().log_of(-u) / S(lane_of<S>(beta));
  }
  template <class S> ATTUNE_FN S curvature(S u) const {  // 1 / (b + w t)
    return is_forward<S>() ? forward_kl{}.curvature(u) : mixture().swapped().share(-u) / S(lane_of<S>(beta));
  }
  template <class S> ATTUNE_FN S slope_difference(S a, S b) const {
    return is_forward<S>() ? forward_kl{}.slope_difference(a, b) : slope(a) - slope(b);
  }

  template <class S> ATTUNE_FN S term(S p, S pi, S u) const {
    using R = lane_of<S>;
    if (is_forward<S>()) return forward_kl{}.term(p, pi, u);
    if (is_reverse<S>()) return reverse_kl{}.term(p, pi, u);
    return mixture().kl_term(p, pi, u) / S(R(1 - beta)) + mixture().swapped().kl_term(pi, p, -u) / S(R(beta));
  }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return is_forward<S>() ? forward_kl{}.weight(p, pi, u) : pi * slope(u); }

  ATTUNE_FN double value_at_zero() const { return beta == 0 ? infinity<double> : beta == 1 ? 1 : -mixture().log_kept() / (1 - beta); }
  ATTUNE_FN double slope_at_infinity() const { return beta == 0 ? 1 : beta == 1 ? infinity<double> : -mixture().swapped().log_kept() / beta; }
  ATTUNE_FN constexpr double weight_at_zero() const { return beta == 0 ? -1 : 0; }

  static constexpr auto parameters() {
    return std::array{parameter<scaled_jensen_shannon>{"beta", &scaled_jensen_shannon::beta, unit_interval,
                                                       "weight of the target in the mixture: 0 is the forward KL, 1 the reverse KL"}};
  }

 private:
  ATTUNE_FN constexpr detail::mixture mixture() const { return {beta, 1 - beta}; }

  /// Choices by a parameter, the same for all lanes. So near to an end the difference to the KL is far below rounding, and b or w may be no normal
  /// number by which to divide.
  template <class S> static ATTUNE_FN constexpr double least() { return std::is_same_v<lane_of<S>, float> ? 1e-30 : 1e-150; }
  template <class S> ATTUNE_FN constexpr bool is_forward() const { return beta < least<S>(); }
  template <class S> ATTUNE_FN constexpr bool is_reverse() const { return 1 - beta < least<S>(); }
};

}  // namespace attune::divergence
