// SPDX-License-Identifier: MIT
// Densities on a line, as toy distributions: their values at equally spaced points, normalised to sum to 1. Where the points are dense and
// reach far enough, the divergences of such distributions are those of the densities.
#pragma once

#include <attune/check/toy/softmax_policy.hpp>

namespace attune::toy {

/// K equally spaced points from lower to upper, both included.
struct grid {
  double lower = -1, upper = 1;
  std::size_t points = 2;

  double operator[](std::size_t i) const { return lower + (upper - lower) * double(i) / double(points - 1); }
  double step() const { return (upper - lower) / double(points - 1); }
};

namespace detail {
/// Throws attune::error unless there are two points or more, in ascending order.
inline void require_grid(const grid& x) {
  if (x.points < 2 || !(x.lower < x.upper)) {
    throw error("attune::toy: the grid has " + attune::detail::text((long long)x.points) + " points from " + attune::detail::text(x.lower) + " to " +
                attune::detail::text(x.upper) + "; expected 2 or more, in ascending order");
  }
}
}  // namespace detail

/// A Gaussian on a grid, theta = (mean, log of the deviation):
///
///   log pi_i = g_i - log sum_k e^g_k,   g_i = -1/2 ((x_i - mean)/deviation)^2
///   d g_i / d mean = (x_i - mean)/deviation^2,   d g_i / d log deviation = ((x_i - mean)/deviation)^2
///
/// The normalisation on the grid replaces the density's, so a Gaussian that the grid cuts off is the truncated one.
/// Throws attune::error for a grid of fewer than 2 points, or that does not ascend.
struct gaussian_policy {
  grid x;
  vector theta{0, 0};

  double mean() const { return theta[0]; }
  double deviation() const { return std::exp(theta[1]); }

  std::span<double> parameters() { return theta; }
  vector log_probabilities() const {
    detail::require_grid(x);
    vector logits(x.points);
    const double precision = std::exp(-2 * theta[1]);
    for (std::size_t i = 0; i < x.points; ++i) logits[i] = -0.5 * precision * (x[i] - mean()) * (x[i] - mean());
    return detail::log_softmax(logits);
  }
  vector gradient(std::span<const double> coefficient) const {
    const vector by_logit = softmax_policy{log_probabilities()}.gradient(coefficient);
    const double precision = std::exp(-2 * theta[1]);
    vector result{0, 0};
    for (std::size_t i = 0; i < x.points; ++i) {
      result[0] += by_logit[i] * precision * (x[i] - mean());
      result[1] += by_logit[i] * precision * (x[i] - mean()) * (x[i] - mean());
    }
    return result;
  }
};

/// A mixture of M Gaussians on a grid, theta = (logit of the weight, mean, log of the deviation) of one after the other [3 M]:
///
///   log pi_i = g_i - log sum_k e^g_k,   g_i = log sum_m e^h_im,   h_im = logit_m - log deviation_m - 1/2 ((x_i - mean_m)/deviation_m)^2
///   d g_i / d theta_m = share_im d h_im / d theta_m,   share_im = e^(h_im - g_i)
///
/// Weights are the softmax of the logits. Throws attune::error as gaussian_policy does, and where theta is not three numbers a component.
struct gaussian_mixture {
  grid x;
  vector theta;

  std::size_t components() const { return theta.size() / 3; }
  std::span<double> parameters() { return theta; }

  vector log_probabilities() const {
    require_valid();
    vector logits;
    for (std::size_t i = 0; i < x.points; ++i) logits.push_back(log_density(i));
    return detail::log_softmax(logits);
  }
  vector gradient(std::span<const double> coefficient) const {
    const vector by_logit = softmax_policy{log_probabilities()}.gradient(coefficient);
    vector result(theta.size(), 0.0);
    for (std::size_t i = 0; i < x.points; ++i) {
      const double total = log_density(i);
      for (std::size_t m = 0; m < components(); ++m) {
        const double share = by_logit[i] * std::exp(log_component(i, m) - total), z = standardised(i, m);
        result[3 * m] += share;
        result[3 * m + 1] += share * z * std::exp(-theta[3 * m + 2]);
        result[3 * m + 2] += share * (z * z - 1);
      }
    }
    return result;
  }

 private:
  void require_valid() const {
    detail::require_grid(x);
    if (theta.empty() || theta.size() % 3 != 0) {
      throw error("attune::toy: theta of a mixture has " + attune::detail::text((long long)theta.size()) + " numbers; expected 3 a component, and 1 component or more");
    }
  }
  double standardised(std::size_t i, std::size_t m) const { return (x[i] - theta[3 * m + 1]) * std::exp(-theta[3 * m + 2]); }
  double log_component(std::size_t i, std::size_t m) const {
    const double z = standardised(i, m);
    return theta[3 * m] - theta[3 * m + 2] - 0.5 * z * z;
  }
  double log_density(std::size_t i) const {
    double total = -infinity<double>;
    for (std::size_t m = 0; m < components(); ++m) total = log_add_exp(total, log_component(i, m));
    return total;
  }
};

/// One component of a mixture, by its weight (or a number proportional to it) and its deviation.
struct component {
  double weight, mean, deviation;
};
/// Throws attune::error for a weight or a deviation that is not positive and finite.
inline gaussian_mixture mixture(const grid& x, std::span<const component> components) {
  gaussian_mixture result{x, {}};
  const auto require_positive = [](double value, const char* name) {
    if (!(value > 0 && value < infinity<double>)) {
      throw error(std::string("attune::toy: ") + name + " of a mixture is " + attune::detail::text(value) + "; expected a number in (0, inf)");
    }
  };
  for (const component& c : components) {
    require_positive(c.weight, "a weight");
    require_positive(c.deviation, "a deviation");
    result.theta.insert(result.theta.end(), {std::log(c.weight), c.mean, std::log(c.deviation)});
  }
  return result;
}

}  // namespace attune::toy
