// SPDX-License-Identifier: MIT
#pragma once

#include <attune/check/toy/softmax_policy.hpp>

#include <cstdint>

namespace attune::toy {

/// The outcome where the cumulated probability first exceeds u in [0, 1): with uniform u a draw from pi. Never one without mass.
template <distribution D>
std::size_t draw(const D& pi, double u) {
  const vector p = probabilities(pi);
  std::size_t last = 0;
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (!(p[i] > 0)) continue;
    last = i;
    sum += p[i];
    if (u < sum) return i;
  }
  return last;  // u above a sum that rounding left below 1
}

/// A prompt with K answers: what a reference model makes of them, what they are worth, and which of them a judge accepts.
///
///   value(pi)   = E_pi[r] - temperature KL(pi || reference)                      RLHF's objective
///   optimum()   = reference e^(r / temperature) / Z on the accepted answers      its maximum without violations
///   violation() = pi(not accepted)
///
/// reward [K], any unit; temperature > 0 [that unit / nat]; accepted [K] bytes, or empty: all are.
struct bandit {
  softmax_policy reference;
  vector reward;
  std::vector<std::uint8_t> accepted{};
  double temperature = 1;

  bool accepts(std::size_t i) const { return accepted.empty() || accepted[i] != 0; }

  template <distribution D> double value(const D& pi) const { return toy::expectation(pi, reward) - temperature * kl(pi, reference); }
  /// d value / d log pi_i, for pi.gradient():  pi_i (r_i - temperature log(pi_i / reference_i)); constants have no gradient.
  template <distribution D> vector value_coefficients(const D& pi) const {
    const vector log_pi = pi.log_probabilities(), log_ref = reference.log_probabilities();
    detail::require_size(reward.size(), log_pi.size(), "reward");
    vector f = reward;
    for (std::size_t i = 0; i < f.size(); ++i) f[i] -= temperature * (log_pi[i] - log_ref[i]);
    return expectation_coefficients(pi, f);
  }
  template <distribution D> double violation(const D& pi) const {
    vector outside;
    for (std::size_t i = 0; i < reward.size(); ++i) outside.push_back(accepts(i) ? 0 : 1);
    return toy::expectation(pi, outside);
  }
  softmax_policy optimum() const {
    softmax_policy result = tilted(reference, reward, temperature);
    for (std::size_t i = 0; i < result.size(); ++i) {
      if (!accepts(i)) result.logits[i] = -infinity<double>;
    }
    return result;
  }
};

}  // namespace attune::toy
