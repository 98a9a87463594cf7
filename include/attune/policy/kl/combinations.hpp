// SPDX-License-Identifier: MIT
// KL estimators made of others: whose value is one's and whose gradient another's, and those that systems make by weights and clamps.
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/policy/kl/estimators.hpp>

namespace attune::kl {

namespace detail {
/// Whether a unit's slope is the derivative of its value; false where it is that of an expectation, or another estimator's.
template <class K>
inline constexpr bool differentiates = true;
template <class K>
  requires requires { K::slope_is_derivative; }
inline constexpr bool differentiates<K> = K::slope_is_derivative;
}  // namespace detail

/// The value of one estimator with the slope of another:  value = Value::value(u),  slope = Gradient::slope(u).
/// straight_through<k3, k2> reports k3 and descends along grad KL(pi || ref): the "+" estimators of verl (k3+, with verl's clamp
/// straight_through<clipped<k3>, k2>).
template <scalar_unit Value, scalar_unit Gradient>
struct straight_through {
  static constexpr bool slope_is_derivative = false;

  Value estimate{};
  Gradient gradient{};

  template <class S> ATTUNE_FN S value(S u) const { return apply(estimate, u); }
  template <class S> ATTUNE_FN S slope(S u) const { return apply_slope(gradient, u); }
  template <class Visit> constexpr void for_each_part(Visit&& visit) const {
    visit(estimate);
    visit(gradient);
  }
};
template <class Value, class Gradient>
straight_through(Value, Gradient) -> straight_through<Value, Gradient>;

/// An estimator with the score-function term that its sampling asks for:  value k(u),  slope k(u) + k'(u).
///
///   E_pi[(k + k') grad log pi] = grad E_pi[k(u)]
///
/// so the slope's expectation is the gradient of what the value estimates: for k1 and k3 grad KL(pi || ref), with slopes u + 1 and u; for k2,
/// u + u^2/2. It is the derivative of e^(log pi - sg log pi) k, by which systems write it. K's slope must be its derivative.
/// Source   arXiv:2506.09477, as NeMo-RL has it; with NeMo's clamp clipped<scored<k3>>.
template <scalar_unit K>
struct scored {
  static constexpr bool slope_is_derivative = false;
  static_assert(detail::differentiates<K>,
                "attune: scored takes an estimator whose slope is the derivative of its value; this one's is an expected gradient already");

  K estimator{};

  template <class S> ATTUNE_FN S value(S u) const { return apply(estimator, u); }
  template <class S> ATTUNE_FN S slope(S u) const {
    if constexpr (requires { estimator.scored_slope(u); }) {
      return estimator.scored_slope(u);  // in closed form, where k and k' would cancel or overflow
    } else {
      return apply(estimator, u) + apply_slope(estimator, u);
    }
  }
  template <class Visit> constexpr void for_each_part(Visit&& visit) const { visit(estimator); }
};
template <class K>
scored(K) -> scored<K>;

/// An estimator whose value is held in [-limit, limit]:
///
///   value = min(max(k(u), -limit), limit),     slope = k's for |k(u)| < limit, exactly 0 elsewhere
///
/// The tokens that stray furthest from the reference are the ones that are no longer pulled back: k3 at its usual limit of 10 has no gradient
/// for log pi_ref - log pi > 2.61. straight_through<clipped<K>, k2> keeps it. limit > 0 [nat]; infinity: none. NaN stays.
/// Source   OpenRLHF (every estimator), verl (k3), NeMo-RL: limit 10. Where two of them also clamp u to +-20, this limit acts first.
template <scalar_unit K>
struct clipped {
  static constexpr bool slope_is_derivative = detail::differentiates<K>;

  double limit = 10;
  K estimator{};

  template <class S> ATTUNE_FN S value(S u) const {
    const S bound = S(lane_of<S>(limit));
    return min(max(apply(estimator, u), -bound), bound);
  }
  template <class S> ATTUNE_FN S slope(S u) const {
    return select(abs(apply(estimator, u)) >= S(lane_of<S>(limit)), S(0), apply_slope(estimator, u));
  }

  static constexpr auto parameters() {
    return std::array{parameter<clipped>{"limit", &clipped::limit, {.lower = 0, .includes_upper = true}, "largest size of the value [nat]"}};
  }
  template <class Visit> constexpr void for_each_part(Visit&& visit) const { visit(estimator); }
};
template <class K>
clipped(double, K) -> clipped<K>;

}  // namespace attune::kl
