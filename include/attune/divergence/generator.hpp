// SPDX-License-Identifier: MIT
// f-divergences  D_f(policy || target) = sum_y p(y) f(t(y)),  t = policy / target = pi / p,  f convex, f(1) = 0, with the atom
// pi(p = 0) f'(inf) where the target is 0 (f-DPG, arXiv:2302.08215, theorem 1).
//
// A generator is given in log space, its argument is u = log t, and it is normalised to f'(1) = 0: adding c (t - 1) to f changes no
// divergence between distributions, and with this choice every term p f(t) is >= 0 (no cancellation between classes), the f-DPO score
// f'(t) vanishes where policy and reference agree, and the f-DPG pseudo-reward -f'(t) needs no constant baseline.
//
//   value(u)              f(e^u)                                            >= 0, 0 at u = 0
//   slope(u)              f'(e^u), the derivative in t                      increasing, 0 at u = 0: the f-DPO score
//   curvature(u)          d slope / du = t f''(t)                           >= 0
//   term(p, pi, u)        p f(pi/p)      \  products whose factors may overflow, written so that they
//   weight(p, pi, u)      pi f'(pi/p)    /  do not, for p > 0, pi > 0 and u = log(pi/p)
//   value_at_zero()       f(0)      = lim t -> 0        p f(0) is the term of a class that the policy never uses
//   slope_at_infinity()   f'(inf)   = lim f(t)/t        pi f'(inf) is the term of a class that the target never uses
//   weight_at_zero()      lim t f'(t) at t -> 0         p times it is the weight of a class that the policy never uses
//
// A class whose two masses both underflow to 0 contributes 0, also where f grows faster than t or 1/t. And where they apply:
//
//   slope_difference(a, b)   f'(e^a) - f'(e^b) of an f' that overflows like an exponential: not NaN, and of the right sign, where both do
//   power()                  a, if f'(t) is a multiple of (t^(a-1) - 1)/(a - 1): then sum pi f'(t) = a D_f, and one sum over the classes gives D_f
//   prepared<R>()            term and weight as members of an object that holds logarithms of the parameters: found once a call, see class_generator
//   strictly_convex          false if f' is constant in places (as a score it would have no gradient there); true if absent
#pragma once

#include <attune/core/dual.hpp>
#include <attune/core/unit.hpp>

namespace attune::divergence {

template <class G>
concept generator = scalar_unit<G> && requires(const G& g, double x) {
  { g.curvature(x) } -> std::convertible_to<double>;
  { g.term(x, x, x) } -> std::convertible_to<double>;
  { g.weight(x, x, x) } -> std::convertible_to<double>;
  { g.value_at_zero() } -> std::convertible_to<double>;
  { g.slope_at_infinity() } -> std::convertible_to<double>;
  { g.weight_at_zero() } -> std::convertible_to<double>;
};

/// Whether f' increases strictly, as a score must.
template <generator G>
inline constexpr bool strictly_convex = true;
template <generator G>
  requires requires { G::strictly_convex; }
inline constexpr bool strictly_convex<G> = G::strictly_convex;

/// A generator of the alpha family: sum pi^a p^(1-a), or its limits at a = 0 and 1, gives the divergence.
template <class G>
concept power_generator = generator<G> && requires(const G& g) {
  { g.power() } -> std::convertible_to<double>;
};

/// A generator as it is applied to the classes of many rows, in numbers of type R: what follows from its parameters alone is found once. A generator whose
/// parameters take logarithms says by prepared<R>() what has its term and weight; others are used as they are.
template <class R, generator G>
class class_generator {
  static ATTUNE_FN auto prepared(const G& g) {
    if constexpr (requires { g.template prepared<R>(); }) return g.template prepared<R>();
    else return g;
  }

 public:
  explicit ATTUNE_FN class_generator(const G& g)
      : f_(prepared(g)), value_at_zero_(static_cast<R>(g.value_at_zero())), slope_at_infinity_(static_cast<R>(g.slope_at_infinity())),
        weight_at_zero_(static_cast<R>(g.weight_at_zero())) {}

  template <class S> ATTUNE_FN S term(S p, S pi, S u) const { return f_.term(p, pi, u); }
  template <class S> ATTUNE_FN S weight(S p, S pi, S u) const { return f_.weight(p, pi, u); }
  ATTUNE_FN R value_at_zero() const { return value_at_zero_; }
  ATTUNE_FN R slope_at_infinity() const { return slope_at_infinity_; }
  ATTUNE_FN R weight_at_zero() const { return weight_at_zero_; }

 private:
  decltype(prepared(std::declval<const G&>())) f_;
  R value_at_zero_, slope_at_infinity_, weight_at_zero_;
};

/// f-DPG pseudo-reward  R = -f'(pi(x) / p(x)):  grad D_f(pi || p) = E_{x ~ pi}[ -R grad log pi(x) ]   (arXiv:2302.08215, eq. 6).
/// log_policy and log_target in nat; log_target = -inf (a class that the target excludes) gives -f'(inf). NaN stays.
template <class G, class S>
ATTUNE_FN S pseudo_reward(const G& g, S log_policy, S log_target) {
  using R = lane_of<S>;
  const S excluded = S(-infinity<R>);
  return -select(log_target <= excluded, S(R(g.slope_at_infinity())), g.slope(log_policy - log_target));
}

}  // namespace attune::divergence
