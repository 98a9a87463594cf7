// SPDX-License-Identifier: MIT
// Shapings of rewards: published and hand-computed numbers, ends of the line, kinks.
#include "support/catch.hpp"

#include <attune/core/pack.hpp>
#include <attune/reward/arctan.hpp>
#include <attune/reward/clip.hpp>
#include <attune/reward/length_penalty.hpp>
#include <attune/reward/lsc.hpp>
#include <attune/reward/par.hpp>
#include <attune/reward/polynomial.hpp>
#include <attune/reward/sgfc.hpp>
#include <attune/reward/shaped.hpp>
#include <attune/reward/tanh.hpp>

#include <cmath>
#include <vector>

using namespace attune::reward;
using attune::dual;

namespace {

const double infinity = std::numeric_limits<double>::infinity(), no_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("shaped: the derivative of a mean over references is a derivative") {
  const std::vector<double> references{-1, -.5, 0, .5, 1, 1.5, -2, 0, .2, -.3};
  for (double r : {-3.0, -1.0, 0.0, 0.5, 2.0, 8.0}) {
    const double h = 1e-5, difference = shaped(par{}, r + h, references).value - shaped(par{}, r - h, references).value;
    CHECK(shaped(par{}, r, references).slope == Approx(difference / (2 * h)).epsilon(1e-9).margin(1e-10));
  }
}

TEST_CASE("shaped: one reference is the unit itself, references of float or any stride, none is an error") {
  const double one[] = {0.25};
  CHECK(shaped(par{.k = 2}, 1.0, one).value == par{.k = 2}.value(0.75));
  CHECK(shaped(arctan{}, 1.0, one).slope == arctan{}.slope(0.75));
  const std::vector<float> padded{1, 99, 2, 99, 4, 99};
  const auto every_other = attune::as_view(padded.data(), {3}, {2});
  CHECK(shaped(lsc{}, 2.0, every_other).value == Approx((lsc{}.value(1.0) + lsc{}.value(0.0) + lsc{}.value(-2.0)) / 3).epsilon(1e-15));
  const double broken[] = {0, no_number};
  CHECK(std::isnan(shaped(par{}, 0.0, broken).value));
  const std::vector<double> none;
  CHECK_THROWS_WITH(shaped(par{}, 0.0, none), "attune: references has 0 elements; expected the reward of 1 reference answer or more");
}

TEST_CASE("tanh and arctan: the library's functions, odd, and scaled to (0, 1) they are PAR of twice the steepness, and 1/2 + atan/pi") {
  for (double k : {0.3, 1.0, 2.0}) {
    for (double x : {0.0, 1e-300, 1e-9, 0.01, 0.4, 1.0, 3.0, 20.0, 400.0}) {
      const attune::reward::tanh t{.k = k};
      const arctan a{.k = k};
      CHECK(t.value(x) == Approx(std::tanh(k * x)).epsilon(4e-16));
      CHECK(t.value(-x) == -t.value(x));
      CHECK((1 + t.value(x)) / 2 == Approx(par{.k = 2 * k}.value(x)).epsilon(4e-16));
      CHECK(t.slope(x) / 2 == Approx(par{.k = 2 * k}.slope(x)).epsilon(4e-16));
      CHECK(a.value(x) == std::atan(k * x));
      CHECK(a.value(-x) == -a.value(x));
      CHECK(a.slope(x) == a.slope(-x));
    }
  }
  CHECK(attune::reward::tanh{}.value(infinity) == 1);
  CHECK(attune::reward::tanh{}.value(-infinity) == -1);
  CHECK(attune::reward::tanh{}.slope(infinity) == 0);
  CHECK(arctan{}.value(-infinity) == -std::atan(infinity));
  CHECK(arctan{}.slope(infinity) == 0);
  CHECK(arctan{}.slope(1e30f) == 0);  // the square overflows
  CHECK(std::isnan(attune::reward::tanh{}.value(no_number)));
  CHECK(std::isnan(arctan{}.value(no_number)));
}

TEST_CASE("par, lsc: limits, symmetry, and that of LSC at a quantile") {
  CHECK(par{}.value(0.0) == 0.5);
  CHECK(par{}.value(infinity) == 1);
  CHECK(par{}.value(-infinity) == 0);
  for (double x : {0.1, 1.0, 5.0, 30.0}) CHECK(par{.k = 3}.value(x) + par{.k = 3}.value(-x) == Approx(1).epsilon(1e-15));
  CHECK(lsc{}.value(0.0) == Approx(-std::log(2.0)).epsilon(1e-16));
  CHECK(lsc{}.value(-1e4) == -1e4);
  CHECK(lsc{}.value(infinity) == 0);
  CHECK(lsc{}.value(-infinity) == -infinity);
  CHECK(lsc{}.slope(-infinity) == 1);
}

TEST_CASE("sgfc: PAR moved to the right") {
  for (double x : {-40.0, -1.0, 0.0, 2.5, 3.0, 7.0}) {
    CHECK(sgfc{}.value(x) == par{.k = 3}.value(x - 3));
    CHECK(sgfc{.k = 0.5, .shift = 0}.slope(x) == par{.k = 0.5}.slope(x));
  }
  CHECK(sgfc{}.value(3.0) == 0.5);
  CHECK(sgfc{}.slope(3.0) == 0.75);
  CHECK((sgfc{}.value(infinity) == 1 && sgfc{}.value(-infinity) == 0 && sgfc{}.slope(infinity) == 0));
  CHECK(std::isnan(sgfc{}.value(no_number)));
}

// The residual of a least-squares fit is orthogonal to every power that was fitted, at the points of the fit.
TEST_CASE("polynomial: its default is the least-squares fit of degree 5 to the sigmoid at 100 points of [-5, 5]") {
  double moment[6] = {}, largest = 0;
  for (int i = 0; i < 100; ++i) {
    const double x = -5 + 10.0 * i / 99, p = .5 + x * (polynomial{}.first + x * x * (polynomial{}.third + x * x * polynomial{}.fifth));
    for (int k = 0; k < 6; ++k) moment[k] += (p - attune::sigmoid(x)) * std::pow(x / 5, k);
    if (std::abs(x) < 5) CHECK(polynomial{}.value(x) == Approx(p).epsilon(1e-14));
    largest = std::max(largest, std::abs(p - attune::sigmoid(x)));
  }
  for (double m : moment) CHECK(m == Approx(0).margin(1e-13));
  CHECK(largest == Approx(.017612558).epsilon(1e-6));  // at the ends: 1.011 and -0.011
  for (double x = -4.99; x < 5; x += 0.01) CHECK(polynomial{}.slope(x) > 0);
}

TEST_CASE("polynomial: 0 and 1 beyond its width, where it jumps") {
  const polynomial p;
  CHECK((p.value(5.0) == 1 && p.value(-5.0) == 0 && p.slope(5.0) == 0 && p.slope(-5.0) == 0));
  CHECK(p.value(std::nextafter(5.0, 0.0)) == Approx(1.0109197).epsilon(1e-7));
  CHECK((p.value(infinity) == 1 && p.value(-infinity) == 0 && p.slope(infinity) == 0 && p.value(1e300) == 1));
  CHECK(p.value(0.0) == 0.5);
  CHECK(p.slope(0.0) == p.first);
  CHECK((std::isnan(p.value(no_number)) && std::isnan(p.slope(no_number))));
  CHECK(p.value(attune::native_pack<double>(infinity))[0] == 1);
}

TEST_CASE("clip, ceiling, length penalty: exact inside, kinks have slope 0, also for dual numbers and lanes") {
  const clip c{.width = 2};
  const ceiling top{.top = -1};
  const length_penalty penalty;
  struct row {
    double x, value, slope;
  };
  const auto check = [](const auto& unit, const std::vector<row>& rows) {
    for (const row& r : rows) {
      INFO("x = " << r.x);
      CHECK(unit.value(r.x) == r.value);
      CHECK(unit.slope(r.x) == r.slope);
      const auto d = dual<double, 1>::variable(r.x, 0);
      CHECK(unit.value(d).grad[0] == r.slope);
      CHECK(attune::apply(unit, d).grad[0] == r.slope);
      const attune::native_pack<double> x(r.x);
      CHECK(unit.value(x)[0] == r.value);
      CHECK(unit.slope(x)[0] == r.slope);
    }
  };
  check(c, {{-5, -2, 0}, {-2, -2, 0}, {-1.99, -1.99, 1}, {0, 0, 1}, {1.99, 1.99, 1}, {2, 2, 0}, {infinity, 2, 0}, {-infinity, -2, 0}});
  check(top, {{-5, -5, 1}, {-1, -1, 0}, {3, -1, 0}, {infinity, -1, 0}});
  check(penalty, {{-300, 0, 0}, {0, 0, 0}, {1, -0.01, -0.01}, {700, -0.01 * 700, -0.01}});
  CHECK(penalty.value(412.0 - 300) == Approx(-1.12).epsilon(1e-15));
  CHECK(std::isnan(c.value(no_number)));
  CHECK(std::isnan(top.value(no_number)));
  CHECK(std::isnan(penalty.value(no_number)));
}
