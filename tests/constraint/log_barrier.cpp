// SPDX-License-Identifier: MIT
#include <attune/constraint/log_barrier.hpp>

#include "support/catch.hpp"

#include <attune/core/pack.hpp>

#include <cmath>
#include <limits>
#include <vector>

using attune::log_barrier;

namespace {

/// The formula as it is printed, by cases.
double textbook(double mu, double s, double z) { return z <= -s ? -mu * std::log(-z) : (mu / s) * z + mu - mu * std::log(s); }

const double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("log_barrier: values by hand (the paper's path and figure: examples/papers/l3m.cpp)") {
  CHECK(log_barrier{.mu = .01}.value(-1e-4) == Approx(0.0921034037).epsilon(0).margin(5e-11));
  const log_barrier b{.mu = .5, .s = .25};
  CHECK(b.value(.3) == Approx(1.793147181).epsilon(0).margin(5e-10));
  CHECK(b.value(-.1) == Approx(0.993147181).epsilon(0).margin(5e-10));
  CHECK(b.value(-1.0) == 0);
  CHECK(log_barrier{}.value(0.9) == Approx(1.9).epsilon(1e-15));
}

TEST_CASE("log_barrier: default threshold is mu squared, so the multiplier outside is 1/mu") {
  for (double mu : {1.0, .5, .03, 1e-6}) {
    CHECK(log_barrier{.mu = mu}.threshold() == mu * mu);
    CHECK(log_barrier{.mu = mu}.multiplier(1.0) == Approx(1 / mu).epsilon(1e-15));
    CHECK(log_barrier{.mu = mu}.value(.7) == log_barrier{.mu = mu, .s = mu * mu}.value(.7));
  }
}

TEST_CASE("log_barrier: agrees with the formula by cases, continuous with its slope, convex, increasing") {
  for (double mu : {1.0, .5, .01, 1e-3}) {
    for (double s : {mu * mu, .25, 1e-4}) {
      const log_barrier b{.mu = mu, .s = s};
      double last_value = -infinity, last_slope = 0;
      for (int i = -400; i <= 400; ++i) {
        const double z = i / 100.0, value = b.value(z), slope = b.slope(z);
        CHECK(value == Approx(textbook(mu, s, z)).epsilon(1e-13).margin(1e-14));
        CHECK(slope == Approx(mu / std::max(-z, s)).epsilon(1e-15));
        CHECK(value > last_value);
        CHECK(slope >= last_slope);
        last_value = value, last_slope = slope;
      }
      const double inside = std::nextafter(-s, -1.0), outside = std::nextafter(-s, 1.0);
      CHECK(b.value(inside) == Approx(b.value(outside)).epsilon(1e-13).margin(1e-15));  // one ulp of s apart
      CHECK(b.slope(inside) == Approx(b.slope(outside)).epsilon(1e-13));
    }
  }
}

TEST_CASE("log_barrier: multiplier is the finite difference of the value") {
  for (double mu : {1.0, .3, .05}) {
    const log_barrier b{.mu = mu};
    for (double z : {-3.0, -1.5, -.6, -.2, -.01, .0, .4, 2.0}) {
      const double h = 1e-6 * std::max(std::abs(z), mu * mu);
      const double difference = (b.value(z + h) - b.value(z - h)) / (2 * h);
      CHECK(b.multiplier(z) == Approx(difference).epsilon(1e-7));
    }
  }
}

TEST_CASE("log_barrier: tends to 0 inside and to infinity outside as mu falls") {
  for (double inside : {-2.0, -.5, -.01}) {
    CHECK(std::abs(log_barrier{.mu = 1e-6}.value(inside)) < 1e-5);
    CHECK(std::abs(log_barrier{.mu = 1e-6}.value(inside)) < std::abs(log_barrier{.mu = 1e-3}.value(inside)));
  }
  for (double outside : {.01, .5, 2.0}) {
    CHECK(log_barrier{.mu = 1e-6}.value(outside) > 9e3);
    CHECK(log_barrier{.mu = 1e-6}.value(outside) > log_barrier{.mu = 1e-3}.value(outside));
  }
}

TEST_CASE("log_barrier: finite and bounded where a plain logarithm is not") {
  for (double t : {1.0, 100.0}) {
    const log_barrier b{.mu = 1 / t};
    double last = -infinity;
    for (double g : {-1.0, -1e-3, -1e-7, 0.0, .1, 10.0}) {
      CHECK(std::isfinite(b.value(g)));
      CHECK(b.value(g) > last);
      CHECK(b.slope(g) > 0);
      CHECK(b.slope(g) <= t * (1 + 1e-15));
      last = b.value(g);
    }
  }
  CHECK(std::isnan(log_barrier{}.value(std::nan(""))));
  CHECK(log_barrier{}.slope(-infinity) == 0);
  CHECK(log_barrier{}.value(infinity) == infinity);
}

TEST_CASE("log_barrier: infeasible means above 0, and an unknown estimate is not feasible") {
  CHECK_FALSE(log_barrier::infeasible(-1e-9));
  CHECK_FALSE(log_barrier::infeasible(0));
  CHECK(log_barrier::infeasible(1e-9));
  CHECK(log_barrier::infeasible(std::nan("")));
}

TEST_CASE("log_barrier: a dual number passes through it with the multiplier, also at the joint") {
  for (double mu : {1.0, .1}) {
    const log_barrier b{.mu = mu};
    for (double z : {-2.0, -mu * mu, -mu * mu / 2, 0.0, 3.0}) {
      const auto x = attune::apply(b, attune::dual<double, 1>::variable(z, 0));
      CHECK(x.value == b.value(z));
      CHECK(x.grad[0] == b.multiplier(z));
    }
  }
}

TEST_CASE("log_barrier: lanes compute what numbers compute") {
  using lanes = attune::pack<float, 4>;
  const log_barrier b{.mu = .3};
  const float z[4] = {-2.0f, -.09f, -.01f, 1.5f};
  lanes x;
  for (int i = 0; i < 4; ++i) x.v[i] = z[i];
  const lanes value = b.value(x), slope = b.slope(x);
  for (int i = 0; i < 4; ++i) {
    CHECK(value[i] == Approx(b.value(double{z[i]})).epsilon(1e-6));
    CHECK(slope[i] == Approx(b.slope(double{z[i]})).epsilon(1e-6));
  }
}

TEST_CASE("log_barrier: parameters outside their domain are refused") {
  CHECK_NOTHROW(attune::validate(log_barrier{}));
  CHECK_THROWS_AS(attune::validate(log_barrier{.mu = 0}), attune::error);
  CHECK_THROWS_AS(attune::validate(log_barrier{.mu = std::nan("")}), attune::error);
  CHECK_THROWS_AS(attune::validate(log_barrier{.mu = 1, .s = -1}), attune::error);
}
