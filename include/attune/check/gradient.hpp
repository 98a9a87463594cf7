// SPDX-License-Identifier: MIT
// Verifies derivatives against finite differences of values: attune's own, and those of any unit a user writes.
#pragma once

#include <attune/check/derivative.hpp>
#include <attune/core/parameter.hpp>  // validate
#include <attune/divergence/generator.hpp>
#include <attune/policy/token.hpp>
#include <attune/policy/value_loss.hpp>
#include <attune/preference/group.hpp>
#include <attune/preference/pair.hpp>
#include <attune/preference/single.hpp>

#include <cstdint>
#include <string>

namespace attune {

struct check_options {
  int points = 300;          ///< samples to try
  double tolerance = 1e-7;   ///< allowed relative difference, beyond the finite differences' own error
  std::uint64_t seed = 1;    ///< of the samples; the same seed gives the same samples everywhere
};

/// The verdict: converts to bool; `explanation` says what was compared, or where and how the first failure differs.
struct gradient_check {
  bool passed = true;
  int compared = 0;          ///< derivatives compared
  int unresolved = 0;        ///< skipped: finite differences found no digits there (a kink, an overflow)
  double worst = 0;          ///< largest relative difference among those compared
  std::string explanation;

  explicit operator bool() const { return passed; }
};

namespace detail {

/// splitmix64: small, portable, and the same everywhere, unlike the distributions of <random>.
class sampler {
 public:
  explicit sampler(std::uint64_t seed) : state_(seed) {}
  double uniform(double lower, double upper) {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return lower + (upper - lower) * static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

/// Samples as trainers see them, log-ratios from nearly 0 to large.
inline void draw(sampler& random, completion<double>& y, double spread) {
  y.ref_logp = random.uniform(-60, -1);
  y.logp = y.ref_logp + spread * random.uniform(-1, 1);
  y.length = std::floor(random.uniform(1, 40));
  if (y.logp > -1e-3) y.logp = -1e-3;  // a log-probability
}
inline double draw_spread(sampler& random) { return std::exp(random.uniform(-3, 3)); }

inline void draw(sampler& random, pair<double>& x) {
  const double spread = draw_spread(random);
  for (completion<double>* y : {&x.chosen, &x.rejected}) draw(random, *y, spread);
  x.margin = random.uniform(-1, 1);
  x.rejected.reward = random.uniform(0.01, 0.5);
  x.chosen.reward = random.uniform(0.5, 0.99);
}
inline void draw(sampler& random, detailed_pair<double>& x) {
  draw(random, static_cast<pair<double>&>(x));
  x.chosen_kl = random.uniform(0, 20);
  x.rejected_kl = random.uniform(0, 20);
  x.target_logp = random.uniform(-60, -1);
  x.target_length = std::floor(random.uniform(1, 40));
}
inline void draw(sampler& random, single<double>& x) {
  draw(random, x.y, draw_spread(random));
  x.label = random.uniform(-1, 1) > 0 ? 1 : -1;
  x.y.reward = random.uniform(0.01, 0.99);
}
inline void draw(sampler& random, token<double>& x) {
  x.old_logp = -std::exp(random.uniform(-4, 2));
  x.logp = x.old_logp + 0.1 * draw_spread(random) * random.uniform(-1, 1);
  if (x.logp > -1e-3) x.logp = -1e-3;  // a log-probability
  x.log_ratio = x.logp - x.old_logp;
  x.ref_logp = x.logp + random.uniform(-1, 1);
  x.advantage = random.uniform(-2, 2);
  x.correction = random.uniform(0, 2);
  x.entropy = random.uniform(0, 4);
  x.selected = random.uniform(-1, 1) > 0 ? 1 : 0;
}
inline void draw(sampler& random, value_estimate<double>& x) {
  x.value = random.uniform(-2, 2);
  x.old_value = x.value + random.uniform(-1, 1);
  x.target = x.value + random.uniform(-2, 2);
}
template <class Kind>
typename Kind::template sample<double> random_sample(sampler& random) {
  typename Kind::template sample<double> x;
  draw(random, x);
  return x;
}

inline std::string describe(double claimed, const estimated_derivative& found) {
  const std::string verdict = std::string("the derivative given is ") + text(claimed) + ", finite differences of the value give " + text(found.value) +
                              " (error about " + text(found.error) + "): ";
  const double ratio = claimed / found.value;
  if (std::fabs(ratio + 1) < 1e-3) return verdict + "the sign is wrong";
  if (claimed == 0) return verdict + "a term is missing";
  if (!(std::fabs(claimed) <= std::numeric_limits<double>::max())) return verdict + "it is not finite";
  return verdict + "they differ by a factor of " + text(ratio);
}

/// Compares one claimed derivative; on the first failure `where()` is asked for the place.
template <class Where>
void compare(gradient_check& check, double claimed, const estimated_derivative& found, double scale, double tolerance, Where&& where) {
  const double size = std::fmax(std::fabs(found.value), std::fabs(claimed));
  const double noise = 4 * found.error + 1e-13 * scale;  // scale: the size of the values whose difference was taken
  if (!(found.error <= 1e-6 * std::fabs(found.value) + 1e-10 * scale)) {  // a kink nearby, an overflow, noise
    ++check.unresolved;
    return;
  }
  ++check.compared;
  const double difference = std::fabs(claimed - found.value);
  if (difference > noise && size > 0) check.worst = std::fmax(check.worst, (difference - noise) / size);
  if (difference <= tolerance * size + noise) return;
  if (check.passed) check.explanation = where() + describe(claimed, found);
  check.passed = false;
}

inline gradient_check conclude(gradient_check check) {
  if (check.passed && check.compared == 0) {
    check.passed = false;
    check.explanation = "nothing could be compared: the value is not finite, or not smooth, at every sample";
  } else if (check.passed) {
    check.explanation = text((long long)check.compared) + " derivatives agree with finite differences; largest relative difference " + text(check.worst);
  }
  return check;
}

/// What is checked, as functions: the loops below are compiled once, not for every objective.
template <class Kind>
struct checked_objective {
  using sample = typename Kind::template sample<double>;
  using jet = dual<double, policy_members<Kind>>;
  const void* self;
  double (*value)(const void*, const sample&);
  jet (*derivatives)(const void*, const sample&);
};
template <class Kind>
gradient_check compare_samples(const checked_objective<Kind>& objective, const check_options& options) {
  gradient_check check;
  sampler random(options.seed);
  for (int n = 0; n < options.points; ++n) {
    auto x = random_sample<Kind>(random);
    const auto loss = objective.derivatives(objective.self, x);
    const auto place = [&](const char* what) {
      std::string at;
      for (const member_of<Kind>& m : members<Kind>()) at += (at.empty() ? "" : ", ") + std::string(m.name) + " = " + text(m.of(x));
      return std::string(what) + " at " + at + ": ";
    };
    const double value = objective.value(objective.self, x);
    if (check.passed && !(std::fabs(loss.value - value) <= 1e-12 * std::fabs(value)) && value == value) {
      check.passed = false;
      check.explanation = place("the loss") + "its value is " + text(value) + " on numbers but " + text(loss.value) + " on dual numbers";
    }
    // Values are known to a rounding of their own and of their arguments: |value| and, a hundredth of it, the condition.
    double scale = std::fabs(value);
    int k = 0;
    for (const member_of<Kind>& m : members<Kind>()) scale += m.is == role::policy ? 0.01 * std::fabs(m.of(x) * loss.grad[k++]) : 0;
    int i = 0;
    for (const member_of<Kind>& m : members<Kind>()) {
      if (m.is != role::policy) continue;
      const auto along = [&](double moved) {
        auto y = x;
        m.of(y) = moved;
        return objective.value(objective.self, y);
      };
      compare(check, loss.grad[i++], differentiate(along, m.of(x), 0.25), scale, options.tolerance,
              [&] { return place((std::string("d loss/d ") + m.name).c_str()); });
    }
  }
  return conclude(check);
}

/// A group objective: loss, and the gradient unless it is null.
struct checked_group {
  const void* self;
  double (*loss)(const void*, const group<double>&, double* gradient);
};
inline gradient_check check_groups(const checked_group& objective, const check_options& options) {
  gradient_check check;
  sampler random(options.seed);
  constexpr int largest = 6;
  for (int n = 0; n < options.points; ++n) {
    const int size = 1 + n % largest;
    completion<double> y[largest];
    const double spread = draw_spread(random);
    for (int i = 0; i < size; ++i) {
      draw(random, y[i], spread);
      y[i].reward = random.uniform(0, 1);
    }
    double d[max_group_size];
    const double loss = objective.loss(objective.self, group<double>(y, size), d);
    for (int i = 0; i < size; ++i) {
      const auto along = [&](double moved) {
        completion<double> other[largest];
        for (int j = 0; j < size; ++j) other[j] = y[j];
        other[i].logp = moved;
        return objective.loss(objective.self, group<double>(other, size), nullptr);
      };
      compare(check, d[i], differentiate(along, y[i].logp, 0.25), std::fabs(loss), options.tolerance, [&] {
        std::string at;
        for (int j = 0; j < size; ++j) {
          for (const auto& m : members<group_kind>()) at += (at.empty() ? "" : ", ") + std::string(m.name) + " = " + text(m.of(y[j]));
        }
        return "d loss/d logp of completion " + text((long long)i) + " at " + at + ": ";
      });
    }
  }
  return conclude(check);
}

/// A scalar unit. in_t: its argument is log t, and its slope the derivative in t.
struct checked_unit {
  const void* self;
  double (*value)(const void*, double);
  double (*slope)(const void*, double);
  bool in_t;
};
inline gradient_check check_line(const checked_unit& unit, double lower, double upper, const check_options& options) {
  gradient_check check;
  sampler random(options.seed);
  for (int n = 0; n < options.points; ++n) {
    const double x = random.uniform(lower, upper);
    const double room = std::fmin(0.25, 0.5 * std::fmin(x - lower, upper - x));
    if (!(room > 0)) continue;
    estimated_derivative found = differentiate([&](double y) { return unit.value(unit.self, y); }, x, room);
    if (unit.in_t) {
      found.value *= std::exp(-x);
      found.error *= std::exp(-x);
    }
    compare(check, unit.slope(unit.self, x), found, std::fabs(unit.value(unit.self, x)), options.tolerance,
            [&] { return std::string("slope at x = ") + text(x) + ": "; });
  }
  return conclude(check);
}

}  // namespace detail

/// Checks the gradient of an objective, your own included: at each sample the derivatives that dual numbers give with respect to its policy
/// members (x.chosen.logp and x.rejected.logp of a pair) are compared with finite differences of the plain value, and the value on duals
/// with the plain one. Throws attune::error if the objective's parameters lie outside their domains.
template <class Kind, objective_on<Kind> O>
gradient_check check_gradient_on(const O& objective, const check_options& options = {}) {
  using checked = detail::checked_objective<Kind>;
  using sample = typename checked::sample;
  validate(objective);
  const auto value = [](const void* self, const sample& x) { return double((*static_cast<const O*>(self))(x)); };
  const auto derivatives = [](const void* self, const sample& x) { return typename checked::jet((*static_cast<const O*>(self))(differentiable<Kind, double>(x))); };
  return detail::compare_samples<Kind>({&objective, value, derivatives}, options);
}

template <pair_objective O>
gradient_check check_gradient(const O& objective, const check_options& options = {}) {
  return check_gradient_on<pair_kind>(objective, options);
}
template <detailed_pair_objective O>
gradient_check check_gradient(const O& objective, const check_options& options = {}) {
  return check_gradient_on<detailed_pair_kind>(objective, options);
}
template <single_objective O>
gradient_check check_gradient(const O& objective, const check_options& options = {}) {
  return check_gradient_on<single_kind>(objective, options);
}

/// Of a policy-gradient objective: the derivatives with respect to log pi, to the log-ratio (as a variable of its own) and to the entropy.
template <token_objective O>
gradient_check check_gradient(const O& objective, const check_options& options = {}) {
  return check_gradient_on<token_kind>(objective, options);
}
template <value_objective O>
gradient_check check_gradient(const O& objective, const check_options& options = {}) {
  return check_gradient_on<value_kind>(objective, options);
}

/// Of a group objective: groups of 1 to 6 completions; the derivatives with respect to each one's log-probability.
template <group_objective O>
gradient_check check_gradient(const O& objective, const check_options& options = {}) {
  validate(objective);
  const auto loss = [](const void* self, const group<double>& g, double* gradient) { return group_loss(*static_cast<const O*>(self), g, gradient); };
  return detail::check_groups({&objective, loss}, options);
}

/// Checks the slope of a scalar unit against finite differences of its value over [lower, upper]. A divergence generator's argument is
/// log t and its slope the derivative in t, which is what is compared.
template <scalar_unit U>
gradient_check check_gradient(const U& unit, double lower = -8, double upper = 8, const check_options& options = {}) {
  validate(unit);
  const auto value = [](const void* self, double x) { return double(static_cast<const U*>(self)->value(x)); };
  const auto slope = [](const void* self, double x) { return double(static_cast<const U*>(self)->slope(x)); };
  return detail::check_line({&unit, value, slope, divergence::generator<U>}, lower, upper, options);
}

}  // namespace attune
