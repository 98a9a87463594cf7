// SPDX-License-Identifier: MIT
#include <attune/constraint/schedule.hpp>

#include "support/catch.hpp"

#include <cmath>

using attune::exponential_schedule;

TEST_CASE("exponential_schedule: exact at both ends, geometric between") {
  const exponential_schedule mu;
  CHECK(mu.at(0) == 1);
  CHECK(mu.at(1) == 1e-6);
  CHECK(mu.at(.5) == Approx(1e-3).epsilon(1e-14));
  CHECK(mu.at(1.0 / 6) == Approx(.1).epsilon(1e-14));
  const exponential_schedule awkward{.start = .3, .end = 7e-5};
  CHECK(awkward.at(0) == .3);
  CHECK(awkward.at(1) == 7e-5);
}

TEST_CASE("exponential_schedule: equal steps multiply by equal factors, falling or rising") {
  for (const exponential_schedule s : {exponential_schedule{1, 1e-6}, exponential_schedule{.2, 5}, exponential_schedule{2, 2}}) {
    const double factor = std::pow(s.end / s.start, .01);
    for (int i = 0; i < 100; ++i) CHECK(s.at((i + 1) / 100.0) / s.at(i / 100.0) == Approx(factor).epsilon(1e-13));
  }
}

TEST_CASE("exponential_schedule: no overflow between representable ends") {
  CHECK(exponential_schedule{1e-200, 1e200}.at(.5) == Approx(1).epsilon(1e-12));
  CHECK(exponential_schedule{1e300, 1e300}.at(.5) == Approx(1e300).epsilon(1e-12));
}

TEST_CASE("exponential_schedule: refuses what has no meaning") {
  CHECK_THROWS_AS((exponential_schedule{.start = 0}.at(0)), attune::error);
  CHECK_THROWS_AS((exponential_schedule{.start = 1, .end = -1}.at(0)), attune::error);
  CHECK_THROWS_AS((exponential_schedule{.start = std::nan("")}.at(0)), attune::error);
  CHECK_THROWS_AS(exponential_schedule{}.at(-.01), attune::error);
  CHECK_THROWS_AS(exponential_schedule{}.at(std::nan("")), attune::error);
  CHECK_THROWS_WITH(exponential_schedule{}.at(1.5), "attune: progress is 1.5; expected a value in [0, 1] (step / steps)");
}
