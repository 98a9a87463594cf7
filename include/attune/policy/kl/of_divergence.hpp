// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/generator.hpp>

namespace attune::kl {

/// The estimator that any f-divergence makes, f in the normalised form of divergence/generator.hpp, t = pi/pi_ref = e^u, y ~ pi:
///
///   value = e^-u f(e^u) = f(t)/t >= 0         E_pi[value] = sum_y ref f(pi/ref) = D_f(pi || ref)
///   slope = f'(e^u)                           E_pi[slope grad log pi] = grad D_f(pi || ref)       not the derivative of the value
///
/// reverse_kl is straight_through<k3, k2>; forward_kl has the value e^-u (e^u - 1 - u) and k3's slope. A bounded f' bounds what
/// a token can do to the loss: jensen_shannon, total_variation.
/// Limits   u = +inf (the reference excludes y): f'(inf), the value and the slope. u -> -inf: f(0) e^-u, which overflows as late as it can.
/// Source   f-DPG, arXiv:2302.08215, theorem 1, with the reference as target.
template <divergence::generator G>
struct of_divergence {
  static constexpr bool slope_is_derivative = false;

  G generator{};

  // For t < 1 the term of masses (1, t), divided by t in two halves, because 1/t may overflow where f(t)/t does not; above, of (1/t, 1).
  template <class S> ATTUNE_FN S value(S u) const {
    const S root = exp(S(lane_of<S>(0.5)) * max(-u, S(0)));
    const S inside = generator.term(exp(min(-u, S(0))), exp(min(u, S(0))), u) * root * root;
    return select(u >= S(infinity<lane_of<S>>), at_infinity<S>(), inside);
  }
  template <class S> ATTUNE_FN S slope(S u) const { return select(u >= S(infinity<lane_of<S>>), at_infinity<S>(), generator.slope(u)); }

  template <class Visit> constexpr void for_each_part(Visit&& visit) const { visit(generator); }

 private:
  template <class S> ATTUNE_FN S at_infinity() const { return S(lane_of<S>(generator.slope_at_infinity())); }
};
template <class G>
of_divergence(G) -> of_divergence<G>;

}  // namespace attune::kl
