// SPDX-License-Identifier: MIT
// What a sampled estimator gives on average: not from many samples, but from every tuple of draws that there can be. So "unbiased" is a
// matter of rounding error, and a variance has all its digits.
#pragma once

#include <attune/check/toy/distribution.hpp>

#include <concepts>
#include <string>

namespace attune::toy {

/// estimator(draws): from n outcomes, in the order in which they were drawn, to M numbers, for instance a gradient.
template <class E>
concept estimator = requires(const E& e, std::span<const std::size_t> draws) {
  { e(draws) } -> std::convertible_to<vector>;
};

/// Exact mean and variance of each of an estimator's M numbers [M].
struct estimator_moments {
  vector mean, variance;
  vector magnitude;         ///< E|number|: what rounding errors of the mean are relative to
  long long tuples = 0;     ///< visited: those of outcomes with mass
  double probability = 0;   ///< their sum, 1 up to rounding
};

namespace detail {

inline constexpr long long most_tuples = 20'000'000;

/// The outcomes that can be drawn; there must be few enough tuples of them.
inline std::vector<std::size_t> support_of(const vector& q, int draws) {
  if (draws < 1) throw error("attune::toy: an estimator is given " + attune::detail::text((long long)draws) + " draws; expected 1 or more");
  std::vector<std::size_t> support;
  for (std::size_t i = 0; i < q.size(); ++i) {
    if (q[i] > 0) support.push_back(i);
  }
  double tuples = 1;
  for (int n = 0; n < draws; ++n) tuples *= static_cast<double>(support.size());
  if (!(tuples <= static_cast<double>(most_tuples))) {
    throw error("attune::toy: " + attune::detail::text((long long)draws) + " draws of " + attune::detail::text((long long)support.size()) +
                " outcomes are too many tuples to visit; expected at most " + attune::detail::text(most_tuples));
  }
  return support;
}

/// The next tuple of positions in the support, the last draw fastest; false after the last one.
inline bool next_tuple(std::vector<std::size_t>& position, std::size_t support) {
  for (std::size_t n = position.size(); n-- > 0;) {
    if (++position[n] < support) return true;
    position[n] = 0;
  }
  return false;
}

/// Takes one value of probability w into running moments (West 1979): no difference of large numbers.
inline void accumulate(estimator_moments& m, const vector& value, double w) {
  if (m.tuples++ == 0) m.mean = m.variance = m.magnitude = vector(value.size(), 0.0);
  if (value.size() != m.mean.size()) {
    throw error("attune::toy: an estimator gave " + attune::detail::text((long long)value.size()) + " numbers after " +
                attune::detail::text((long long)m.mean.size()) + "; expected as many for all draws");
  }
  m.probability += w;
  for (std::size_t j = 0; j < value.size(); ++j) {
    const double difference = value[j] - m.mean[j];
    m.mean[j] += w / m.probability * difference;
    m.variance[j] += w * difference * (value[j] - m.mean[j]);
    m.magnitude[j] += w * std::abs(value[j]);
  }
}

}  // namespace detail

/// Mean and variance of an estimator on `draws` independent draws from `proposal`, over all K^draws ordered tuples, each with its
/// probability. Outcomes without mass are never drawn. A tuple whose estimate is NaN or infinite makes the moments so.
/// Throws attune::error for fewer than 1 draw, more than 20 million tuples, and estimates of different lengths.
/// Source of the running moments   West 1979, "Updating mean and variance estimates".
template <distribution Q, estimator E>
estimator_moments exact_moments(const Q& proposal, int draws, const E& estimate) {
  const vector q = probabilities(proposal);
  const std::vector<std::size_t> support = detail::support_of(q, draws);
  std::vector<std::size_t> position(static_cast<std::size_t>(draws), 0), outcome(position.size());
  estimator_moments result;
  do {
    double probability = 1;
    for (std::size_t n = 0; n < position.size(); ++n) {
      outcome[n] = support[position[n]];
      probability *= q[outcome[n]];
    }
    if (probability > 0) detail::accumulate(result, estimate(std::span<const std::size_t>(outcome)), probability);
  } while (detail::next_tuple(position, support.size()));
  return result;
}

/// The verdict: converts to bool; `explanation` says what was compared, or which number is biased and by how much.
struct estimator_check {
  bool passed = true;
  estimator_moments moments;
  double worst = 0;  ///< largest |mean - exact|, relative to E|number| + |exact|
  std::string explanation;

  explicit operator bool() const { return passed; }
};

namespace detail {

inline std::string describe_bias(std::size_t j, double mean, double exact) {
  const std::string what = "number " + attune::detail::text((long long)j) + ": its mean is " + attune::detail::text(mean) + ", exact is " +
                           attune::detail::text(exact) + ": ";
  if (!std::isfinite(mean)) return what + "some draws give no finite number";
  if (exact == 0) return what + "it is biased by " + attune::detail::text(mean);
  if (std::abs(mean / exact + 1) < 1e-6) return what + "the sign is wrong";
  return what + "it is biased by " + attune::detail::text(mean - exact) + ", a factor of " + attune::detail::text(mean / exact);
}

}  // namespace detail

/// Checks that an estimator is unbiased: that its mean over everything that `draws` draws from `proposal` can be is `exact` [M]. Passes where
/// |mean_j - exact_j| <= tolerance (E|number_j| + |exact_j|) for each j; the mean is a sum of up to K^draws products, so that the default
/// leaves some hundred ulps to rounding. Throws attune::error as exact_moments does, and where `exact` has another length or none.
template <distribution Q, estimator E>
estimator_check check_unbiased(const Q& proposal, int draws, const E& estimate, std::span<const double> exact, double tolerance = 1e-12) {
  estimator_check check;
  check.moments = exact_moments(proposal, draws, estimate);
  const vector& mean = check.moments.mean;
  if (exact.size() != mean.size() || exact.empty()) {
    throw error("attune::toy: an estimator gives " + attune::detail::text((long long)mean.size()) + " numbers, and " +
                attune::detail::text((long long)exact.size()) + " exact ones are given; expected as many, and 1 or more");
  }
  for (std::size_t j = 0; j < mean.size(); ++j) {
    const double difference = std::abs(mean[j] - exact[j]), scale = check.moments.magnitude[j] + std::abs(exact[j]);
    if (difference > 0) check.worst = std::fmax(check.worst, difference / scale);
    if (difference <= tolerance * scale) continue;  // not for NaN
    if (check.passed) check.explanation = detail::describe_bias(j, mean[j], exact[j]);
    check.passed = false;
  }
  if (check.passed) {
    check.explanation = "the means of " + attune::detail::text((long long)mean.size()) + " numbers over " + attune::detail::text(check.moments.tuples) +
                        " tuples of draws are exact; largest relative difference " + attune::detail::text(check.worst);
  }
  return check;
}

}  // namespace attune::toy
