// SPDX-License-Identifier: MIT
// Distributions small enough that every expectation is a sum: what an objective does on them is known exactly, so that its gradient, its
// optimum and the claims of its paper can be checked to rounding error.
#pragma once

#include <attune/core/error.hpp>
#include <attune/divergence/categorical.hpp>
#include <attune/divergence/reverse_kl.hpp>

#include <cmath>
#include <concepts>
#include <span>
#include <vector>

namespace attune::toy {

using vector = std::vector<double>;

/// A distribution over K outcomes that depends smoothly on parameters theta:
///
///   log_probabilities()   log pi_i [K, nat], -inf for an outcome without mass
///   parameters()          theta, to read and to move
///   gradient(c)           from d loss / d log pi_i = c_i to d loss / d theta = sum_i c_i d log pi_i / d theta
///
/// A policy of your own is one if it has these three.
template <class D>
concept distribution = requires(D& pi, const D& fixed, std::span<const double> c) {
  { fixed.log_probabilities() } -> std::convertible_to<vector>;
  { pi.parameters() } -> std::convertible_to<std::span<double>>;
  { fixed.gradient(c) } -> std::convertible_to<vector>;
};

namespace detail {
inline void require_size(std::size_t given, std::size_t expected, const char* name) {
  if (given != expected) {
    throw error(std::string("attune::toy: ") + name + " has " + attune::detail::text((long long)given) + " outcomes; expected " +
                attune::detail::text((long long)expected));
  }
}
/// [K, nat], for logits of any size: the largest one is subtracted first.
inline vector log_softmax(std::span<const double> logits) {
  if (logits.empty()) throw error("attune::toy: logits has 0 outcomes; expected 1 or more");
  double largest = logits[0], sum = 0;
  for (double x : logits) largest = max(largest, x);
  for (double x : logits) sum += std::exp(x - largest);
  vector result;
  const double log_sum = std::log(sum);
  for (double x : logits) result.push_back((x - largest) - log_sum);
  return result;
}
inline double total(std::span<const double> x) {
  double sum = 0;
  for (double y : x) sum += y;
  return sum;
}
}  // namespace detail

/// pi_i [K]
template <distribution D>
vector probabilities(const D& pi) {
  vector result = pi.log_probabilities();
  for (double& x : result) x = std::exp(x);
  return result;
}

/// E_pi[f] = sum_i pi_i f_i.  f [K]; what it says of an outcome without mass is not read.
template <distribution D>
double expectation(const D& pi, std::span<const double> f) {
  const vector p = probabilities(pi);
  detail::require_size(f.size(), p.size(), "function");
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += p[i] > 0 ? p[i] * f[i] : 0;
  return sum;
}
/// d E_pi[f] / d log pi_i = pi_i f_i, for pi.gradient(): exact policy gradient of a reward f.
template <distribution D>
vector expectation_coefficients(const D& pi, std::span<const double> f) {
  vector result = probabilities(pi);
  detail::require_size(f.size(), result.size(), "function");
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = result[i] > 0 ? result[i] * f[i] : 0;
  return result;
}

/// H = -sum_i pi_i log pi_i [nat]
template <distribution D>
double entropy(const D& pi) {
  double sum = 0;
  for (double log_pi : pi.log_probabilities()) sum -= std::exp(log_pi) > 0 ? std::exp(log_pi) * log_pi : 0;
  return sum;
}
/// -sum_i p_i log pi_i [nat]: the loss of fine-tuning on data from p. Its coefficients on log pi are -p.
template <distribution P, distribution D>
double cross_entropy(const P& p, const D& pi) {
  vector loss = pi.log_probabilities();
  for (double& x : loss) x = -x;
  return expectation(p, loss);
}

/// D_f(policy || target) = sum_i p_i f(pi_i / p_i), with the atoms f'(inf) pi_i where p_i = 0 and f(0) p_i where pi_i = 0; exact.
template <divergence::generator G, distribution D, distribution P>
double divergence(const G& f, const D& policy, const P& target) {
  const vector log_pi = policy.log_probabilities(), log_p = target.log_probabilities();
  detail::require_size(log_p.size(), log_pi.size(), "target");
  double sum = 0;
  for (std::size_t i = 0; i < log_pi.size(); ++i) sum += attune::divergence::class_term(f, log_pi[i], log_p[i]);
  return sum;
}
/// d D_f(policy || target) / d log pi_i = pi_i f'(pi_i / p_i), for policy.gradient() (f-DPG, arXiv:2302.08215, theorem 1).
template <divergence::generator G, distribution D, distribution P>
vector divergence_coefficients(const G& f, const D& policy, const P& target) {
  const vector log_pi = policy.log_probabilities(), log_p = target.log_probabilities();
  detail::require_size(log_p.size(), log_pi.size(), "target");
  vector result;
  for (std::size_t i = 0; i < log_pi.size(); ++i) result.push_back(attune::divergence::class_weight(f, log_pi[i], log_p[i]));
  return result;
}
/// KL(a || b) = sum_i a_i log(a_i / b_i) [nat]; infinite where b excludes what a does not.
template <distribution A, distribution B>
double kl(const A& a, const B& b) {
  return divergence(attune::divergence::reverse_kl{}, a, b);
}

/// theta <- theta - rate d loss / d theta, with d loss / d log pi given: one step of gradient descent.
template <distribution D>
void descend(D& policy, std::span<const double> coefficients, double rate) {
  const vector gradient = policy.gradient(coefficients);
  const std::span<double> theta = policy.parameters();
  for (std::size_t j = 0; j < theta.size(); ++j) theta[j] -= rate * gradient[j];
}

}  // namespace attune::toy
