// SPDX-License-Identifier: MIT
// What the papers show of their divergences, on problems small enough to be exact. No number comes from this code.
#include "support/catch.hpp"

#include <attune/check/toy.hpp>
#include <attune/divergence/alpha_u.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/generalized_jensen_shannon.hpp>
#include <attune/divergence/jeffreys.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/squared_hellinger.hpp>
#include <attune/divergence/total_variation.hpp>

#include <array>
#include <cmath>
#include <vector>

using namespace attune::divergence;
using attune::toy::softmax_policy;

namespace {

using vector = std::vector<double>;

/// A Gaussian policy on a grid, fitted to a mixture of two.
struct fit {
  vector grid, log_target;

  fit(double lower, double upper, int points, double weight, double mean1, double deviation1, double mean2, double deviation2) {
    const auto density = [](double x, double m, double s) { return std::exp(-0.5 * (x - m) * (x - m) / (s * s)) / s; };
    for (int i = 0; i < points; ++i) {
      const double x = lower + (upper - lower) * i / (points - 1);
      grid.push_back(x);
      log_target.push_back(std::log(weight * density(x, mean1, deviation1) + (1 - weight) * density(x, mean2, deviation2)));
    }
    log_target = softmax_policy{log_target}.log_probabilities();
  }

  struct result {
    double value = 0, d_mean = 0, d_log_deviation = 0;
  };
  template <class G>
  result at(const G& g, double mean, double log_deviation) const {
    const double variance = std::exp(2 * log_deviation);
    vector logits, gradient(grid.size(), 0.0);
    for (double x : grid) logits.push_back(-0.5 * (x - mean) * (x - mean) / variance);
    result r;
    r.value = group_divergence(g, logits, log_target, gradient);
    for (std::size_t i = 0; i < grid.size(); ++i) {
      r.d_mean += gradient[i] * (grid[i] - mean) / variance;
      r.d_log_deviation += gradient[i] * (grid[i] - mean) * (grid[i] - mean) / variance;
    }
    return r;
  }

  /// Newton steps from the published optimum must stay there: {mean, deviation, value} of the stationary point.
  template <class G>
  std::array<double, 3> optimum(const G& g, double mean, double deviation) const {
    double s = std::log(deviation);
    for (int step = 0; step < 4; ++step) {
      const double h = 1e-4;
      const result r = at(g, mean, s), mp = at(g, mean + h, s), mm = at(g, mean - h, s), sp = at(g, mean, s + h), sm = at(g, mean, s - h);
      const double a = (mp.d_mean - mm.d_mean) / (2 * h), b = (sp.d_mean - sm.d_mean) / (2 * h),
                   c = (sp.d_log_deviation - sm.d_log_deviation) / (2 * h), determinant = a * c - b * b;
      CHECK((a > 0 && determinant > 0));  // a minimum
      mean -= (c * r.d_mean - b * r.d_log_deviation) / determinant;
      s -= (a * r.d_log_deviation - b * r.d_mean) / determinant;
    }
    return {mean, std::exp(s), at(g, mean, s).value};
  }
};

template <class G>
void check_fit(const fit& problem, const G& g, double mean, double deviation, double tolerance) {
  const auto found = problem.optimum(g, mean, deviation);
  CHECK(found[0] == Approx(mean).epsilon(0).margin(tolerance));
  CHECK(found[1] == Approx(deviation).epsilon(0).margin(tolerance));
}

}  // namespace

TEST_CASE("f-PO figure: Gaussian fits to a bimodal target, from mode-seeking to mass-covering") {
  const fit problem(-12, 12, 4801, 1.0 / 3, -3, 0.39, 2, 1.4);
  check_fit(problem, reverse_kl{}, 1.8990, 1.5371, 1e-4);
  check_fit(problem, alpha_u{0.2}, 1.5106, 1.9433, 1e-4);  // f-PO's alpha: 0 is the reverse KL
  check_fit(problem, jeffreys{}, 1.0064, 2.2326, 1e-4);
  check_fit(problem, squared_hellinger{}, 0.9184, 2.3530, 1.5e-4);
  check_fit(problem, alpha_u{0.5}, 0.9185, 2.353, 1.5e-4);
  check_fit(problem, jensen_shannon{}, 0.9137, 2.3871, 1e-4);
  check_fit(problem, alpha_u{0.8}, 0.5334, 2.5484, 1e-4);
  check_fit(problem, forward_kl{}, 0.3334, 2.6294, 1e-4);
}

TEST_CASE("EXO figure: the reverse KL sits on the taller mode, the forward KL spreads over both, Jensen-Shannon between") {
  const fit problem(-8, 18, 5201, 0.64, 0, 1, 5, 0.85);
  const auto check = [&](const auto& g, double mean, double deviation, double value) {
    check_fit(problem, g, mean, deviation, 2e-5);
    CHECK(problem.at(g, mean, std::log(deviation)).value == Approx(value).epsilon(0).margin(6e-6));
  };
  check(reverse_kl{}, .03568, 1.04914, .43661);
  check(forward_kl{}, 1.79923, 2.58217, .36253);
  check(generalized_jensen_shannon{}, 1.74103, 2.52591, .09991);  // with its halves
  CHECK(problem.at(total_variation{}, .35134, std::log(1.51782)).value == Approx(.32881).epsilon(0).margin(6e-6));
}
