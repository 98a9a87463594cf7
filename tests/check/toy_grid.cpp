// SPDX-License-Identifier: MIT
// Densities on a grid: moments and divergences are those of the densities, gradients are derivatives.
#include <attune/check/toy.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>

#include "support/catch.hpp"

namespace toy = attune::toy;

namespace {

static_assert(toy::distribution<toy::gaussian_policy> && toy::distribution<toy::gaussian_mixture>);

const toy::grid wide{-20, 20, 4001};

toy::gaussian_policy gaussian(const toy::grid& x, double mean, double deviation) { return {x, {mean, std::log(deviation)}}; }

template <class D>
double moment(const D& pi, int power, double about = 0) {
  toy::vector f;
  for (std::size_t i = 0; i < pi.x.points; ++i) f.push_back(std::pow(pi.x[i] - about, power));
  return toy::expectation(pi, f);
}

/// d sum_i c_i log pi_i / d theta against central differences, for coefficients without any symmetry, and for those of a divergence.
template <class D>
void check_gradient(const D& policy) {
  toy::vector c;
  for (std::size_t i = 0; i < policy.x.points; ++i) c.push_back(std::sin(double(i)) + 0.3 * std::cos(0.2 * double(i)));
  const toy::gaussian_policy target = gaussian(policy.x, -0.4, 1.7);
  const auto check = [&](const toy::vector& gradient, const auto& value) {
    for (std::size_t j = 0; j < gradient.size(); ++j) {
      const auto at = [&](double h) {
        D moved = policy;
        moved.parameters()[j] += h;
        return value(moved);
      };
      CHECK(gradient[j] == Approx((at(1e-5) - at(-1e-5)) / 2e-5).epsilon(1e-7).margin(1e-8));
    }
  };
  check(policy.gradient(c), [&](const D& pi) {
    const toy::vector log_pi = pi.log_probabilities();
    double sum = 0;
    for (std::size_t i = 0; i < c.size(); ++i) sum += c[i] * log_pi[i];
    return sum;
  });
  const attune::divergence::jensen_shannon js;
  check(policy.gradient(toy::divergence_coefficients(js, policy, target)), [&](const D& pi) { return toy::divergence(js, pi, target); });
}

}  // namespace

TEST_CASE("toy: a Gaussian on a wide grid has its mean, deviation, entropy and divergences") {
  const auto p = gaussian(wide, 0.7, 1.3), q = gaussian(wide, -0.5, 2);
  CHECK(toy::detail::total(toy::probabilities(p)) == Approx(1).epsilon(1e-13));
  CHECK(moment(p, 1) == Approx(0.7).epsilon(1e-12));
  CHECK(std::sqrt(moment(p, 2, 0.7)) == Approx(1.3).epsilon(1e-12));
  CHECK(p.mean() == 0.7);
  CHECK(p.deviation() == Approx(1.3).epsilon(1e-15));
  const double pi = 3.14159265358979323846;
  CHECK(toy::entropy(p) + std::log(wide.step()) == Approx(0.5 * std::log(2 * pi * std::exp(1.0) * 1.3 * 1.3)).epsilon(1e-12));
  CHECK(toy::kl(p, q) == Approx(std::log(2 / 1.3) + (1.3 * 1.3 + 1.2 * 1.2) / 8 - 0.5).epsilon(1e-12));
}

TEST_CASE("toy: a Gaussian that its grid cuts off is the truncated one") {
  const auto half = gaussian({0, 30, 60001}, 0, 1);  // the half-normal's mean, sqrt(2/pi), less what the point at 0 takes
  CHECK(moment(half, 1) == Approx(std::sqrt(2 / 3.14159265358979323846)).epsilon(3e-4));
}

TEST_CASE("toy: a mixture has the moments of its components, and one component is the Gaussian") {
  const toy::component both[] = {{3, -2, 0.5}, {1, 4, 1.5}};  // weights 3/4 and 1/4
  const auto p = toy::mixture(wide, both);
  CHECK(moment(p, 1) == Approx(-0.5).epsilon(1e-12));
  CHECK(moment(p, 2) == Approx(0.75 * (4 + 0.25) + 0.25 * (16 + 2.25)).epsilon(1e-12));
  const toy::component alone[] = {{5, 0.7, 1.3}};
  CHECK(toy::kl(toy::mixture(wide, alone), gaussian(wide, 0.7, 1.3)) == Approx(0).margin(1e-13));
}

TEST_CASE("toy: gradients of Gaussians and mixtures agree with finite differences, also where the grid cuts them off") {
  check_gradient(gaussian({-6, 6, 61}, 0.7, 1.3));
  check_gradient(gaussian({-1, 3, 41}, 0.2, 2.5));
  const toy::component three[] = {{0.5, -2, 0.6}, {0.3, 1, 1.1}, {0.2, 2.5, 0.4}};
  check_gradient(toy::mixture({-6, 6, 61}, three));
  check_gradient(toy::mixture({-2, 2, 41}, three));
}

TEST_CASE("toy: a mixture fitted by descent finds the mixture, a Gaussian its moments") {
  const toy::grid x{-5, 5, 201};
  const toy::component target_of[] = {{0.6, -1.5, 0.7}, {0.4, 1.5, 0.5}};
  const auto target = toy::mixture(x, target_of);
  const attune::divergence::forward_kl forward;

  auto single = gaussian(x, 0, 1);
  for (int step = 0; step < 400; ++step) toy::descend(single, toy::divergence_coefficients(forward, single, target), 0.5);
  CHECK(moment(single, 1) == Approx(moment(target, 1)).margin(1e-9));  // on the grid, which cuts the fit off a little
  CHECK(moment(single, 2) == Approx(moment(target, 2)).epsilon(1e-9));

  const toy::component start[] = {{0.5, -1, 1}, {0.5, 1, 1}};
  auto fitted = toy::mixture(x, start);
  for (int step = 0; step < 2000; ++step) toy::descend(fitted, toy::divergence_coefficients(forward, fitted, target), 0.5);
  CHECK(toy::kl(target, fitted) < 1e-10);
}

TEST_CASE("toy: grids and mixtures that are none are refused") {
  CHECK_THROWS_WITH(gaussian({0, 1, 1}, 0, 1).log_probabilities(), "attune::toy: the grid has 1 points from 0 to 1; expected 2 or more, in ascending order");
  CHECK_THROWS_AS(gaussian({1, 0, 5}, 0, 1).log_probabilities(), attune::error);
  CHECK_THROWS_WITH((toy::gaussian_mixture{wide, {0, 0}}.log_probabilities()),
                    "attune::toy: theta of a mixture has 2 numbers; expected 3 a component, and 1 component or more");
  CHECK_THROWS_AS((toy::gaussian_mixture{wide, {}}.log_probabilities()), attune::error);
  const toy::component flat[] = {{1, 0, 0}}, negative[] = {{-1, 0, 1}};
  CHECK_THROWS_WITH(toy::mixture(wide, flat), "attune::toy: a deviation of a mixture is 0; expected a number in (0, inf)");
  CHECK_THROWS_AS(toy::mixture(wide, negative), attune::error);
}
