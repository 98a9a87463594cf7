// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/core/unit.hpp>

namespace attune {

/// Relaxed logarithmic barrier of L3M, for a constraint C <= 0 estimated at z = C:
///
///   B(z)  = -mu log(-z)                          z <= -s
///         = (mu/s) z + mu - mu log s             z >  -s, the tangent: finite and increasing where the constraint is violated
///   B'(z) = mu / max(-z, s)                      the Lagrange multiplier of the constraint
///
/// z: value of the constraint [its units], any real; mu > 0: barrier weight; s > 0: where the tangent begins, s = 0 (default) means the
/// paper's mu^2, whose multiplier is 1/mu outside. C^1, convex, increasing; as mu -> 0, B -> 0 inside and infinity outside.
/// The multiplier is at most mu/s. At an optimum of loss + B(C) the objective is within mu of the constrained optimum.
/// Source   L3M, arXiv:2410.21533, figure 1; as log-barrier extension, Kervadec et al. 2019, arXiv:1904.04205, eq. 5 (t = 1/mu).
struct log_barrier {
  double mu = 1;
  double s = 0;

  ATTUNE_FN constexpr double threshold() const { return s > 0 ? s : mu * mu; }

  template <class S> ATTUNE_FN S value(S z) const {
    using R = lane_of<S>;
    const S m = S(R(mu)), t = S(R(threshold()));
    const auto inside = z <= -t;
    return select(inside, -m * log(select(inside, -z, t)), (m / t) * (z + t) - m * log(t));
  }
  template <class S> ATTUNE_FN S slope(S z) const {
    using R = lane_of<S>;
    return S(R(mu)) / max(-z, S(R(threshold())));
  }
  /// The slope by the name it has in optimisation.
  template <class S> ATTUNE_FN S multiplier(S z) const { return slope(z); }
  /// Whether the estimate violates the constraint.
  ATTUNE_FN static bool infeasible(double z) { return !(z <= 0); }

  static constexpr auto parameters() {
    return std::array{parameter<log_barrier>{"mu", &log_barrier::mu, positive, "barrier weight"},
                      parameter<log_barrier>{"s", &log_barrier::s, nonnegative, "slack at which the tangent begins; 0 means mu^2"}};
  }
};

}  // namespace attune
