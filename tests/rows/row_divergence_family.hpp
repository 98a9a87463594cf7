// SPDX-License-Identifier: MIT
// row_divergence with every generator of the catalogue: values and gradients by the generators' textbook formulas in long double. What
// depends on rows and memory, not on the generator, is in row_divergence.cpp.
#pragma once

#include <attune/rows/row_divergence.hpp>

#include <attune/catalog/divergence.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

#include <string>

namespace attune_test {

using namespace attune::divergence;
using real = long double;

struct formula {
  real f, slope;  // at t
};

// As their papers write them, with f'(1) = 0.
inline formula exact(forward_kl, real t) { return {t - 1 - std::log(t), 1 - 1 / t}; }
inline formula exact(reverse_kl, real t) { return {t * std::log(t) - t + 1, std::log(t)}; }
inline formula exact(jensen_shannon, real t) { return {t * std::log(2 * t / (1 + t)) + std::log(2 / (1 + t)), std::log(2 * t / (1 + t))}; }
inline formula exact(total_variation, real t) { return {std::abs(t - 1) / 2, t < 1 ? real(-0.5) : real(t > 1) / 2}; }
inline formula exact(pearson_chi_squared, real t) { return {(t - 1) * (t - 1), 2 * (t - 1)}; }
inline formula exact(neyman_chi_squared, real t) { return {(t - 1) * (t - 1) / t, 1 - 1 / (t * t)}; }
inline formula exact(squared_hellinger, real t) { return {(std::sqrt(t) - 1) * (std::sqrt(t) - 1), 1 - 1 / std::sqrt(t)}; }
inline formula exact(jeffreys, real t) { return {(t - 1) * std::log(t), std::log(t) + 1 - 1 / t}; }
inline formula exact(alpha_t g, real t) {
  const real a = g.alpha;
  return {(std::pow(t, a) - a * t - (1 - a)) / (a * (a - 1)), (std::pow(t, a - 1) - 1) / (a - 1)};
}
inline formula exact(alpha_u g, real t) { return exact(alpha_t{1 - g.alpha}, t); }
inline formula exact(skewed_forward_kl g, real t) {
  const real s = g.skew, m = s + (1 - s) * t;
  return {-std::log(m) + (1 - s) * (t - 1), (1 - s) - (1 - s) / m};
}
inline formula exact(skewed_reverse_kl g, real t) {
  const real s = g.skew, m = s * t + (1 - s);
  return {t * std::log(t / m) - (1 - s) * (t - 1), std::log(t / m) + (1 - s) / m - (1 - s)};
}
inline formula exact(generalized_jensen_shannon g, real t) {
  const real b = g.beta, m = b + (1 - b) * t;
  return {-b * std::log(m) + (1 - b) * t * std::log(t / m), (1 - b) * std::log(t / m)};
}
inline formula exact(chi_squared_kl, real t) { return {(t - 1) * (t - 1) / 2 + t * std::log(t) - t + 1, t - 1 + std::log(t)}; }
inline formula exact(mixed_kl g, real t) {
  const formula a = exact(forward_kl{}, t), b = exact(reverse_kl{}, t);
  return {g.forward * a.f + (1 - g.forward) * b.f, g.forward * a.slope + (1 - g.forward) * b.slope};
}
inline formula exact(scaled_jensen_shannon g, real t) {
  const formula f = exact(generalized_jensen_shannon{g.beta}, t);
  return {f.f / (g.beta * (1 - g.beta)), f.slope / (g.beta * (1 - g.beta))};
}

template <class Test> void for_generators(const Test& test) {
  attune::catalog::for_each_divergence([&](const auto& entry) {
    INFO(entry.name);
    test(typename std::remove_cvref_t<decltype(entry)>::unit{});
  });
}

/// One row.
template <class T> struct result {
  T value = 7;
  std::vector<T> gradient;
};
template <class T, class G> result<T> run(const G& g, const std::vector<T>& policy, const std::vector<T>& target, double temperature = 1) {
  result<T> r{7, std::vector<T>(policy.size(), 7)};
  const std::int64_t classes = std::int64_t(policy.size());
  attune::row_divergence(g, as_view(policy.data(), 1, classes), as_view(target.data(), 1, classes), as_view(&r.value, 1),
                         as_view(r.gradient.data(), 1, classes), {}, {.temperature = temperature});
  return r;
}

/// A few roundings of each class's u (|logits| up to 20), on the size of what changes: p f and pi f' and their derivatives in u.
template <class T, class G> void check_textbook(const G& g, std::int64_t classes, double apart, double temperature) {
  const auto policy = normals<T>(classes, 2, 1);
  auto target = normals<T>(classes, apart, 2);
  for (std::size_t i = 0; i < target.size(); ++i) target[i] += policy[i];
  const auto pi = softmax(policy.data(), classes, temperature), p = softmax(target.data(), classes, temperature);
  real value = 0, weights = 0, scale = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const real t = pi[i] / p[i];
    const formula x = exact(g, t);
    value += p[i] * x.f;
    weights += pi[i] * x.slope;
    scale += pi[i] * (std::abs(x.slope) + real(g.curvature(double(std::log(t)))));
  }
  const auto found = run(g, policy, target, temperature);
  const double u = half_ulp<T>();
  INFO("V " << classes << ", T " << temperature << ", apart " << apart << ", value " << double(value) << ", found " << double(found.value));
  CHECK(std::abs(double(found.value) - double(value)) <= 10 * u * double(scale + value));
  CHECK(found.value >= 0);
  double worst = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const real t = pi[i] / p[i], slope = exact(g, t).slope, gradient = pi[i] * (slope - weights) / temperature;
    const real size = std::abs(slope) + std::abs(weights) + real(g.curvature(double(std::log(t)))) + 1;
    worst = std::max(worst, double(std::abs(real(found.gradient[i]) - gradient) / (30 * u * pi[i] * size / temperature + 1e-37L)));
  }
  CHECK(worst <= 1);
}

template <class T> void check_textbook_of_every_generator() {
  for_generators([](auto g) {
    for (std::int64_t classes : {2, 33, 2049}) check_textbook<T>(g, classes, 1, 1);
    for (double apart : {0.05, 3.0}) check_textbook<T>(g, 500, apart, 1);
    for (double temperature : {0.7, 2.0}) check_textbook<T>(g, 500, 1, temperature);
  });
}

template <class T> void check_limits_of_every_generator() {
  for_generators([](auto g) {
    const auto policy = normals<T>(3000, 3, 8);
    const auto equal = run(g, policy, policy, 0.7);
    CHECK(equal.value == 0);
    for (T x : equal.gradient) CHECK(x == 0);
    for (double apart : {1e-7, 1e-5, 1e-3, 1.0, 30.0, 300.0}) {
      auto target = normals<T>(3000, apart, 9);
      for (std::size_t i = 0; i < target.size(); ++i) target[i] += policy[i];
      const auto x = run(g, policy, target);
      CHECK(x.value >= 0);
      for (T d : x.gradient) CHECK(!std::isnan(d));
    }
    // both sides without mass, by -inf or by underflow
    const T none = -std::numeric_limits<T>::infinity();
    const auto three = run<T>(g, {1, 0, none}, {0, 1, none}), two = run<T>(g, {1, 0}, {0, 1});
    CHECK(three.value == two.value);
    CHECK(three.gradient[0] == two.gradient[0]);
    CHECK(three.gradient[2] == 0);
    CHECK(run<T>(g, {0, -5000, -6000}, {0, -6000, -5000}).value == 0);
    // one side without mass: the atoms
    const T third = T(std::log(1 / 3.0)), half = T(std::log(0.5));
    const auto atom = [](T found, double wanted) { return found == T(wanted) || found == Approx(wanted).epsilon(2e-6); };
    const auto excluded = run<T>(g, {third, third, third}, {half, half, none});
    const auto unused = run<T>(g, {half, half, none}, {third, third, third});
    CHECK(atom(excluded.value, g.value(std::log(2 / 3.0)) + g.slope_at_infinity() / 3));
    CHECK(atom(unused.value, 2 * g.value(std::log(1.5)) / 3 + g.value_at_zero() / 3));
    for (T d : excluded.gradient) CHECK(!std::isnan(d));
    for (T d : unused.gradient) CHECK(!std::isnan(d));
  });
}

}  // namespace attune_test
