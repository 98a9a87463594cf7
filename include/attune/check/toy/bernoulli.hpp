// SPDX-License-Identifier: MIT
#pragma once

#include <attune/check/toy/distribution.hpp>
#include <attune/core/functions.hpp>

namespace attune::toy {

/// Bit k of an outcome of N bits: outcome x = sum_k bit_k 2^k, so that x in [0, 2^N) is its index among log-probabilities too.
constexpr int bit(std::size_t outcome, std::size_t k) { return static_cast<int>(outcome >> k & 1u); }
/// How many of its bits are 1.
constexpr int bits_set(std::size_t outcome) {
  int count = 0;
  for (; outcome != 0; outcome &= outcome - 1) ++count;
  return count;
}

namespace detail {
inline constexpr std::size_t most_bits = 20;
inline void require_bits(std::size_t bits) {
  if (bits > most_bits) {
    throw error("attune::toy: an outcome has " + attune::detail::text((long long)bits) + " bits; expected at most " +
                attune::detail::text((long long)most_bits) + ", whose outcomes can be enumerated");
  }
}
}  // namespace detail

/// A product of N independent Bernoulli distributions over {0, 1}^N, all 2^N outcomes enumerated; one logit a bit:
///
///   P(bit_k = 1) = sigmoid(theta_k),     log pi_x = sum_k log sigmoid(+-theta_k), + where bit k of x is 1
///
/// A policy that cannot be every target: what it gives up depends on the divergence it is trained with. N <= 20, N = 0 has one outcome.
struct bernoulli_policy {
  vector logits;

  std::size_t bits() const { return logits.size(); }
  std::size_t size() const { return std::size_t{1} << logits.size(); }
  std::span<double> parameters() { return logits; }

  vector log_probabilities() const {
    detail::require_bits(bits());
    vector result{0.0};
    for (double z : logits) {  // each bit doubles the outcomes: first those without it, then those with it
      const std::size_t known = result.size();
      for (std::size_t x = 0; x < known; ++x) result.push_back(result[x] + log_sigmoid(z));
      for (std::size_t x = 0; x < known; ++x) result[x] += log_sigmoid(-z);
    }
    return result;
  }

  /// sum_x c_x (bit_k(x) - sigmoid(theta_k)) = sigmoid(-theta_k) sum_{x with k} c_x - sigmoid(theta_k) sum_{x without} c_x
  vector gradient(std::span<const double> coefficient) const {
    detail::require_bits(bits());
    detail::require_size(coefficient.size(), size(), "coefficient");
    vector result;
    for (std::size_t k = 0; k < bits(); ++k) {
      double with = 0, without = 0;
      for (std::size_t x = 0; x < coefficient.size(); ++x) (bit(x, k) == 1 ? with : without) += coefficient[x];
      result.push_back(sigmoid(-logits[k]) * with - sigmoid(logits[k]) * without);
    }
    return result;
  }
};

/// P(bit_k = 1) for each k, of any distribution over the 2^N outcomes of N bits: for the Bernoulli policy sigmoid(theta).
/// The forward KL is least for the policy that has the target's.
template <distribution D>
vector marginals(const D& pi) {
  const vector p = probabilities(pi);
  vector result;
  for (std::size_t k = 0; (std::size_t{1} << k) < p.size(); ++k) {
    double sum = 0;
    for (std::size_t x = 0; x < p.size(); ++x) sum += bit(x, k) * p[x];
    result.push_back(sum);
  }
  detail::require_size(p.size(), std::size_t{1} << result.size(), "a distribution over bits");
  return result;
}

}  // namespace attune::toy
