// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/forward_kl.hpp>  // the one generator whose difference needs care
#include <attune/preference/pair.hpp>  // completion

namespace attune::score {

/// f-DPO score  s(y) = f'(pi(y) / pi_ref(y)),  f the generator of the divergence that regularises the policy; u = log-ratio [nat].
///
///   s = generator.slope(u),   ds/du = generator.curvature(u)     reverse KL gives s = u, which is DPO
///
/// Source   f-DPO, Wang et al. 2023, arXiv:2309.16240, eq. 9 (theorem 1).
template <class Generator>
struct f_slope {
  Generator generator{};

  // Forward KL's f' falls like -e^-u and leaves the range of float at u = -88.7. Value and slope then stay at a quarter of the largest
  // number (u < -87.3 in float, -708.3 in double) and keep their sign: differences and products of them remain finite.
  template <class S> ATTUNE_FN S value(S u) const { return max(generator.slope(u), -limit<S>()); }
  template <class S> ATTUNE_FN S slope(S u) const { return min(generator.curvature(u), limit<S>()); }
  template <class S> ATTUNE_FN S operator()(const completion<S>& y) const { return apply(*this, y.log_ratio()); }

  /// s(chosen) - s(rejected)
  template <class S> ATTUNE_FN S difference(const completion<S>& chosen, const completion<S>& rejected) const {
    return difference_of(generator, chosen.log_ratio(), rejected.log_ratio());
  }

 private:
  template <class S> static ATTUNE_FN S limit() { return S(largest<lane_of<S>> / 4); }

  template <class G, class S> ATTUNE_FN S difference_of(const G&, const S& a, const S& b) const { return apply(*this, a) - apply(*this, b); }

  // Forward KL: e^-b - e^-a = sign(a - b) e^m (1 - e^-|a-b|) with m = max(-a, -b). No cancellation, and only e^m can saturate.
  template <class S> ATTUNE_FN S difference_of(const divergence::forward_kl& g, const S& a, const S& b) const {
    if constexpr (is_dual<S>) {
      return chain(a, b, difference_of(g, a.value, b.value), slope(a.value), -slope(b.value));
    } else {
      const S gap = a - b, size = -min(exp(max(-a, -b)), limit<S>()) * expm1(-abs(gap));
      return select(gap < S(0), -size, size);
    }
  }
};

}  // namespace attune::score
