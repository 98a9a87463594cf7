// SPDX-License-Identifier: MIT
// Rules by which the multiplier of a constraint C <= 0 is set at each step, of which a lagrangian takes one. A rule is a constant: what it
// remembers is the last multiplier, which the constraint has.
//
//   multiplier(C, previous, progress) -> lambda >= 0,     C: estimate of the constraint's value; progress = step / steps, in [0, 1]
#pragma once

#include <attune/constraint/log_barrier.hpp>
#include <attune/constraint/schedule.hpp>

namespace attune {

template <class R>
concept multiplier_rule = requires(const R& rule, double x) {
  { rule.multiplier(x, x, x) } -> std::convertible_to<double>;
};

/// L3M:  lambda = B'(C) = mu / max(-C, s),   B the relaxed logarithmic barrier, mu = start^(1 - progress) end^progress.
///
/// Not learned: a function of where the constraint stands. Where it is violated lambda = mu/s, by default (s = 0, read as mu^2) 1/mu: the
/// loss and the constraint begin with equal weight, and an infeasible start is allowed. As mu falls the optimum follows the central path
/// to the constrained one, and lambda to its KKT multiplier, with an error of order mu. The learning rate has to fall as well: at a
/// constant one lambda ends by jumping between 0 and 1/mu, and the last iterate is wrong.
/// Source   L3M, arXiv:2410.21533 (mu from 1 to 1e-6).
struct barrier_multiplier {
  exponential_schedule mu{};
  double s = 0;

  double multiplier(double c, double, double progress) const { return barrier(progress).multiplier(c); }
  /// The barrier of a step, for its value.
  log_barrier barrier(double progress) const { return {.mu = mu.at(progress), .s = s}; }

  template <class Visit> void for_each_part(Visit&& visit) const { visit(mu); }
  static constexpr auto parameters() {
    return std::array{
        parameter<barrier_multiplier>{"s", &barrier_multiplier::s, nonnegative, "slack at which the tangent begins; 0 means mu^2"}};
  }
};

/// Dual ascent, the learned multiplier of a saddle-point method:  lambda <- min(max(0, lambda + rate C), largest).
///
/// rate > 0 [1/C^2, loss in nat]: lambda moves as long as C is not 0, so with a loss that is not strongly convex it overshoots and circles.
/// largest: a bound that users of such methods set against runaway multipliers while the constraint cannot be met; infinity for none.
/// Source   Arrow, Hurwicz, Uzawa 1958; for language models Safe RLHF, Dai et al. 2023, arXiv:2310.12773 (there on log lambda).
struct dual_ascent {
  double rate = 0.01;
  double largest = std::numeric_limits<double>::infinity();

  double multiplier(double c, double previous, double) const {
    const double raised = previous + rate * c;
    return raised > 0 ? (raised < largest ? raised : largest) : 0;
  }
  static constexpr auto parameters() {
    return std::array{
        parameter<dual_ascent>{"rate", &dual_ascent::rate, positive, "step of the multiplier"},
        parameter<dual_ascent>{"largest", &dual_ascent::largest, {.lower = 0, .includes_upper = true}, "bound of the multiplier"}};
  }
};

/// The heuristic that constraints replace: lambda = weight, whatever the constraint does, as a reward's weight in a sum of objectives.
/// Its optimum is that of the constraint only where weight is the KKT multiplier, which is not known before.
struct fixed_penalty {
  double weight = 1;

  double multiplier(double, double, double) const { return weight; }
  static constexpr auto parameters() {
    return std::array{parameter<fixed_penalty>{"weight", &fixed_penalty::weight, nonnegative, "multiplier of every constraint"}};
  }
};

}  // namespace attune
