// SPDX-License-Identifier: MIT
#pragma once

#include <attune/check/toy/distribution.hpp>

namespace attune::toy {

/// A categorical distribution over K outcomes, one logit each:  log pi_i = theta_i - log sum_k e^theta_k.  A logit of -inf excludes its
/// outcome. Fixed targets are these too: logits need not be normalised.
struct softmax_policy {
  vector logits;

  std::size_t size() const { return logits.size(); }
  std::span<double> parameters() { return logits; }

  vector log_probabilities() const { return detail::log_softmax(logits); }
  vector probabilities() const { return toy::probabilities(*this); }
  double expectation(std::span<const double> f) const { return toy::expectation(*this, f); }
  double entropy() const { return toy::entropy(*this); }

  /// sum_i c_i d log pi_i / d theta_j = c_j - pi_j sum_i c_i
  vector gradient(std::span<const double> coefficient) const {
    detail::require_size(coefficient.size(), size(), "coefficient");
    const double sum = detail::total(coefficient);
    vector result = probabilities();
    for (std::size_t j = 0; j < size(); ++j) result[j] = coefficient[j] - result[j] * sum;
    return result;
  }
};

/// The policy with the given probabilities, or numbers proportional to them.
inline softmax_policy categorical(const vector& probability) {
  softmax_policy result;
  for (double p : probability) {
    if (!(p >= 0 && p < infinity<double>)) throw error("attune::toy: a probability is " + attune::detail::text(p) + "; expected a number in [0, inf)");
    result.logits.push_back(std::log(p));
  }
  return result;
}

/// A policy whose outcomes share parameters:  log pi_i = base_i + phi_i . theta - log Z.  features [K x M] row by row, base [K], theta [M].
struct linear_policy {
  vector base, features, theta;

  std::span<double> parameters() { return theta; }
  vector log_probabilities() const {
    detail::require_size(features.size(), base.size() * theta.size(), "features (K x M)");
    vector logits = base;
    for (std::size_t i = 0; i < base.size(); ++i) {
      for (std::size_t j = 0; j < theta.size(); ++j) logits[i] += features[i * theta.size() + j] * theta[j];
    }
    return detail::log_softmax(logits);
  }
  /// sum_i c_i (phi_i - E_pi[phi])
  vector gradient(std::span<const double> coefficient) const {
    const vector by_logit = softmax_policy{log_probabilities()}.gradient(coefficient);
    vector result(theta.size(), 0.0);
    for (std::size_t i = 0; i < base.size(); ++i) {
      for (std::size_t j = 0; j < theta.size(); ++j) result[j] += by_logit[i] * features[i * theta.size() + j];
    }
    return result;
  }
};

/// The policy proportional to a^weight_a b^weight_b, as EXO's pi^b reference^(1 - b).
template <distribution A, distribution B>
softmax_policy geometric_mixture(const A& a, double weight_a, const B& b, double weight_b) {
  const vector log_a = a.log_probabilities(), log_b = b.log_probabilities();
  detail::require_size(log_b.size(), log_a.size(), "second policy");
  const auto power = [](double weight, double log_probability) { return weight == 0 ? 0 : weight * log_probability; };  // 0^0 = 1
  softmax_policy result;
  for (std::size_t i = 0; i < log_a.size(); ++i) result.logits.push_back(power(weight_a, log_a[i]) + power(weight_b, log_b[i]));
  return result;
}

/// The policy proportional to reference e^(reward / temperature): the optimum of E[reward] - temperature KL(policy || reference).
template <distribution R>
softmax_policy tilted(const R& reference, std::span<const double> reward, double temperature) {
  softmax_policy result{reference.log_probabilities()};
  detail::require_size(reward.size(), result.size(), "reward");
  for (std::size_t i = 0; i < reward.size(); ++i) result.logits[i] += reward[i] / temperature;
  return result;
}

}  // namespace attune::toy
