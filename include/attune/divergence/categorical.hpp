// SPDX-License-Identifier: MIT
// Divergences of distributions over a few outcomes, from log-masses: one class, and a group of K.
#pragma once

#include <attune/core/error.hpp>
#include <attune/divergence/generator.hpp>

#include <cmath>
#include <span>

namespace attune::divergence {

namespace detail {
/// An infinite limit costs infinitely much also where the mass beside it underflows to 0.
ATTUNE_FN double atom(double limit, double log_mass) { return std::isinf(limit) ? limit : limit * std::exp(log_mass); }
}  // namespace detail

/// p f(pi/p) of one class, from log pi and log p [nat], which may be -inf: with the atoms pi f'(inf) where p = 0 and p f(0) where pi = 0;
/// 0 where both are.
template <generator G>
ATTUNE_FN double class_term(const G& f, double log_pi, double log_p) {
  const bool unused = log_pi == -infinity<double>, excluded = log_p == -infinity<double>;
  if (unused) return excluded ? 0 : detail::atom(f.value_at_zero(), log_p);
  if (excluded) return detail::atom(f.slope_at_infinity(), log_pi);
  return f.term(std::exp(log_p), std::exp(log_pi), log_pi - log_p);
}

/// pi f'(pi/p) of one class, the derivative of its term in log pi; with the limits of class_term.
template <generator G>
ATTUNE_FN double class_weight(const G& f, double log_pi, double log_p) {
  const bool unused = log_pi == -infinity<double>, excluded = log_p == -infinity<double>;
  if (unused) return excluded ? 0 : detail::atom(f.weight_at_zero(), log_p);
  if (excluded) return detail::atom(f.slope_at_infinity(), log_pi);
  return f.weight(std::exp(log_p), std::exp(log_pi), log_pi - log_p);
}

namespace detail {

/// Of `size` outcomes, at least one. gradient may be null.
template <generator G, real T>
ATTUNE_FN double group_divergence(const G& f, const T* logits, const T* log_target, T* gradient, int size) {
  int top = 0;
  double others = 0, value = 0, weight = 0;
  for (int i = 1; i < size; ++i) top = logits[i] > logits[top] ? i : top;
  const double highest = double(logits[top]);
  for (int i = 0; i < size; ++i) others += i == top ? 0 : std::exp(double(logits[i]) - highest);
  const double log_sum = std::log1p(others);
  const auto log_q = [&](int i) { return (double(logits[i]) - highest) - log_sum; };
  for (int i = 0; i < size; ++i) {
    value += class_term(f, log_q(i), double(log_target[i]));
    if (gradient) weight += class_weight(f, log_q(i), double(log_target[i]));
  }
  double rest = 0;
  for (int i = 0; gradient && i < size; ++i) {
    const double log_qi = log_q(i), w = class_weight(f, log_qi, double(log_target[i]));
    const bool limit = std::isinf(weight) && !std::isinf(w);  // of w - q W for infinite W
    const double d = limit ? (log_qi == -infinity<double> ? 0 : -weight) : std::isinf(weight) ? w : w - std::exp(log_qi) * weight;
    rest += i == top ? 0 : d;
    gradient[i] = T(d);
  }
  // The derivatives add up to 0. Of an outcome with most of the mass, the difference above has lost its digits.
  if (gradient && others < 1 && std::isfinite(rest) && std::isfinite(weight)) gradient[top] = T(-rest);
  return value;
}

template <generator G, real T>
double group_divergence(const G& f, std::span<const T> logits, std::span<const T> log_target, std::span<T> gradient) {
  const std::size_t size = logits.size();
  const auto require_classes = [&](std::size_t given, const char* name) {
    if (given != size) {
      throw error(std::string("attune: ") + name + " has " + attune::detail::text((long long)given) + " classes; expected " +
                  attune::detail::text((long long)size) + ", as logits has");
    }
  };
  if (size == 0) throw error("attune: logits has 0 classes; expected 1 or more");
  require_classes(log_target.size(), "log_target");
  if (!gradient.empty()) require_classes(gradient.size(), "gradient");
  return group_divergence(f, logits.data(), log_target.data(), gradient.empty() ? nullptr : gradient.data(), static_cast<int>(size));
}

}  // namespace detail

/// f-divergence of a group of K outcomes, and its gradient: with q = softmax(logits) and p = e^log_target,
///
///   value       = D_f(q || p) = sum_i p_i f(q_i / p_i)
///   gradient_i  = d value / d logits_i = q_i (f'(t_i) - sum_j q_j f'(t_j)),     t = q / p
///
/// logits, log_target [K, nat], log_target of probabilities that sum to 1; a -inf in either is an outcome without mass there. gradient [K],
/// optional; it may be the memory of the logits. Computed in double. With the reverse KL it is the loss of EXO on K completions, with the
/// forward KL that of DPO with rewards.
/// Limits   outcomes of one side only contribute f'(inf) q_i or f(0) p_i; for an infinite sum the gradient is its limit: infinite on the
///          outcomes that make it so, of the other sign on the others. NaN or +inf among the logits, or none finite, gives NaN.
/// Throws   attune::error for sizes that differ, or 0, before anything is written. No allocation; time O(K).
/// Source   f-DPG, arXiv:2302.08215, theorem 1, for the distributions of EXO, arXiv:2402.00856.
template <generator G>
double group_divergence(const G& f, std::span<const double> logits, std::span<const double> log_target, std::span<double> gradient = {}) {
  return detail::group_divergence<G, double>(f, logits, log_target, gradient);
}
template <generator G>
double group_divergence(const G& f, std::span<const float> logits, std::span<const float> log_target, std::span<float> gradient = {}) {
  return detail::group_divergence<G, float>(f, logits, log_target, gradient);
}

}  // namespace attune::divergence
