// SPDX-License-Identifier: MIT
#pragma once

#include <attune/constraint/average_constraint.hpp>
#include <attune/constraint/baseline.hpp>
#include <attune/constraint/multiplier_rule.hpp>

#include <span>

namespace attune {

/// Completions that the policy wrote, and what the constraints say of them: view i of `values` is [B], the quantity r of constraint i.
/// Constraints of one quantity have the same view. The views are the trainer's tensors; nothing is copied.
template <real T>
struct constrained_samples {
  std::span<const view<const T>> values;
  completion_weights<T> weights{};
};

/// Where a constraint stands, at the moving estimate. At a constrained optimum (KKT) slack >= 0, multiplier >= 0, complementarity = 0.
struct constraint_state {
  double average;          ///< E[r]
  double slack;            ///< -C: how far the constraint is from its limit, in its unit; negative where it is violated
  double multiplier;       ///< lambda
  double complementarity;  ///< lambda C: about -mu on the central path of a barrier
  bool feasible;           ///< C <= 0
};

/// A loss under constraints on averages over the policy's own completions:
///
///   minimise L(theta)  subject to  C_i(theta) <= 0,   by the gradient   grad L + sum_i lambda_i grad C_i
///   grad C_i = +-E_pi[ (r_i - baseline) grad log pi(y) ] / unit_i    (+ at_most, - at_least)
///
/// where the rule sets lambda_i from the moving estimate of C_i, and grad C_i is estimated on the batch. A training step:
///
///   const attune::view<const float> values[] = {rewards, lengths};                    // of the completions just sampled, [B] each
///   l3m.step(double(step) / steps, attune::constrained_samples<float>{values}, d_logp);
///   backward of d_logp[b] on each sampled log pi(y_b), and of l3m.loss_weight() x the loss on the data; clip; optimiser
///
/// With several ranks: average_of on each, merged by +=, then update() and coefficients() instead of step().
/// normalise: divides everything, the loss too, by 1 + sum_i lambda_i, so that the step stays bounded when lambda = 1/mu. A convention of
/// this library, not of the paper, which clips the gradient.
/// The lagrangian is its own state: save the constraints and go on.
/// Source   L3M, arXiv:2410.21533, with barrier_multiplier.
template <multiplier_rule Rule>
struct lagrangian {
  std::vector<average_constraint> constraints;
  Rule rule{};
  bool normalise = false;

  /// Takes the batch averages, in the order of the constraints, into the moving estimates, and sets the multipliers.
  /// Throws attune::error, with nothing changed: a parameter outside its domain, a name that is empty or occurs twice, a limit that is not
  /// finite, another number of averages than constraints, an average that is not finite or of no completions, progress outside [0, 1].
  void update(double progress, std::span<const batch_average> batch) {
    require_valid(progress);
    require_count(static_cast<std::int64_t>(batch.size()), "batch averages");
    for (std::size_t i = 0; i < batch.size(); ++i) require_average(batch[i], constraints[i]);
    for (std::size_t i = 0; i < batch.size(); ++i) take(progress, constraints[i], batch[i]);
  }

  /// d (sum_i lambda_i C_i) / d log pi(y_b), for the backward pass of the sampled completions, from the newest batch and multipliers:
  ///
  ///   d_logp[b] = loss_weight() sum_i lambda_i dC_i/dE[r_i] a_ib,     a_ib: see baseline; exactly 0 for masked and weightless completions
  ///
  /// d_logp [B]: float or double. Sums in double. No allocation.
  /// Throws attune::error, before anything is written: sizes that differ, values that are not finite, before the first update, fewer
  /// active completions than the baseline needs.
  template <tensor Gradient>
  void coefficients(const constrained_samples<detail::value_in<Gradient>>& samples, Gradient&& d_logp,
                    baseline kind = baseline::leave_one_out) const {
    const auto d = as_view<1>(static_cast<Gradient&&>(d_logp));
    require_samples(samples, d);
    for (const average_constraint& c : constraints) detail::require_baseline(kind, c.batch, c.name);
    write(samples, d, kind);
  }

  /// Both, for a batch that is whole.
  template <tensor Gradient>
  void step(double progress, const constrained_samples<detail::value_in<Gradient>>& samples, Gradient&& d_logp,
            baseline kind = baseline::leave_one_out) {
    const auto d = as_view<1>(static_cast<Gradient&&>(d_logp));
    require_valid(progress);
    require_samples(samples, d);
    const auto average = [&](std::size_t i) { return average_of(samples.values[i], samples.weights, constraints[i].name); };
    for (std::size_t i = 0; i < constraints.size(); ++i) {
      detail::require_baseline(kind, average(i), constraints[i].name);
      require_average(average(i), constraints[i]);
    }
    for (std::size_t i = 0; i < constraints.size(); ++i) take(progress, constraints[i], average(i));
    write(samples, d, kind);
  }

  double multiplier_sum() const {
    double sum = 0;
    for (const average_constraint& c : constraints) sum += c.multiplier;
    return sum;
  }
  /// What the gradient of the loss is multiplied with: 1, or 1 / (1 + sum_i lambda_i) if `normalise`.
  double loss_weight() const { return normalise ? 1 / (1 + multiplier_sum()) : 1; }

  /// Throws attune::error before the first batch, and for a name that is not there.
  constraint_state state(std::string_view name) const { return state_of(constraint(name)); }
  const average_constraint& constraint(std::string_view name) const {
    for (const average_constraint& c : constraints) {
      if (c.name == name) return c;
    }
    throw error("attune: there is no constraint \"" + std::string(name) + "\"");
  }
  /// max_i C_i: at most 0 where all constraints are met.
  double largest_violation() const {
    double largest = -std::numeric_limits<double>::infinity();
    for (const average_constraint& c : constraints) largest = c.value() > largest ? c.value() : largest;
    return largest;
  }
  /// Where no KKT condition on the constraints is missed by more: max_i max(C_i, |lambda_i C_i|). The third condition is a gradient of 0.
  double kkt_residual() const {
    double largest = 0;
    for (const average_constraint& c : constraints) {
      for (double x : {c.value(), std::abs(c.multiplier * c.value())}) largest = x > largest ? x : largest;
    }
    return largest;
  }

 private:
  static constraint_state state_of(const average_constraint& c) {
    return {c.estimate.value(), -c.value(), c.multiplier, c.multiplier * c.value(), c.value() <= 0};
  }

  void require_valid(double progress) const {
    validate(rule);
    if (!unit_interval.contains(progress)) {
      throw error("attune: progress is " + detail::text(progress) + "; expected a value in " + unit_interval.text() + " (step / steps)");
    }
    for (std::size_t i = 0; i < constraints.size(); ++i) {
      validate(constraints[i]);
      for (std::size_t j = 0; j < i; ++j) {
        if (constraints[j].name == constraints[i].name) {
          throw error("attune: two constraints are named \"" + constraints[i].name + "\"; expected a name of its own for each");
        }
      }
    }
  }
  void require_count(std::int64_t given, const char* name) const {
    detail::require_extent(given, static_cast<std::int64_t>(constraints.size()), name, "the constraints");
  }
  static void require_average(const batch_average& batch, const average_constraint& c) {
    detail::require_baseline(baseline::none, batch, c.name);
    if (!std::isfinite(batch.mean())) {
      throw error("attune: the average of " + c.name + " is " + detail::text(batch.mean()) + "; expected a finite number");
    }
  }
  template <real T>
  void require_samples(const constrained_samples<T>& samples, const view<T>& d) const {
    require_count(static_cast<std::int64_t>(samples.values.size()), "values");
    detail::require_weights(samples.weights, d.extent(0));
    detail::require_distinct(d, "d_logp");
    for (std::size_t i = 0; i < constraints.size(); ++i) {
      detail::require_extent(samples.values[i].extent(0), d.extent(0), constraints[i].name.c_str(), "d_logp");
      detail::require_finite(samples.values[i], samples.weights, constraints[i].name);
    }
  }

  void take(double progress, average_constraint& c, const batch_average& batch) const {
    c.batch = batch;
    c.estimate.update(batch.mean());
    c.multiplier = rule.multiplier(c.value(), c.multiplier, progress);
  }
  template <real T>
  void write(const constrained_samples<T>& samples, const view<T>& d, baseline kind) const {
    const double scale = loss_weight();
    for (std::int64_t b = 0; b < d.extent(0); ++b) {
      double sum = 0;
      for (std::size_t i = 0; i < constraints.size() && samples.weights.active(b); ++i) {
        const average_constraint& c = constraints[i];
        sum += c.multiplier * c.slope() * detail::centred(kind, static_cast<double>(samples.values[i](b)), samples.weights(b), c.batch);
      }
      d(b) = static_cast<T>(scale * sum);
    }
  }
};

/// L3M with the paper's schedule and smoothing:  attune::l3m l3m{.constraints = {{.name = "reward", .limit = 2}}};
using l3m = lagrangian<barrier_multiplier>;

}  // namespace attune
