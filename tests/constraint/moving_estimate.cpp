// SPDX-License-Identifier: MIT
#include <attune/constraint/moving_estimate.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <limits>

using attune::moving_estimate;

TEST_CASE("moving_estimate: the weight is the new batch's (three steps by hand)") {
  moving_estimate c{.weight = .25};
  CHECK(c.update(0) == 0);
  CHECK(c.update(1) == .25);
  CHECK(c.update(1) == .4375);
  CHECK(c.update(1) == .578125);
  CHECK(c.value() == .578125);
  CHECK(c.count == 4);
}

TEST_CASE("moving_estimate: starts at the first batch, not at 0") {
  moving_estimate c;
  CHECK(c.weight == .1);
  CHECK(c.update(3.5) == 3.5);
  CHECK(c.update(2.5) == Approx(.9 * 3.5 + .1 * 2.5).epsilon(1e-15));
  c.reset();
  CHECK(c.count == 0);
  CHECK(c.weight == .1);
  CHECK(c.update(-8) == -8);
}

TEST_CASE("moving_estimate: equal batches leave it exactly where it is, weight 1 follows the batch") {
  moving_estimate c{.weight = .1};
  for (int i = 0; i < 1000; ++i) CHECK(c.update(.3) == .3);
  moving_estimate follower{.weight = 1};
  for (double batch : {.1, 1e30, -7.0, .3}) CHECK(follower.update(batch) == batch);
}

TEST_CASE("moving_estimate: a batch without a finite value is refused and changes nothing") {
  moving_estimate c;
  c.update(1);
  c.update(2);
  const double before = c.value();
  for (double bad : {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    CHECK_THROWS_AS(c.update(bad), attune::error);
    CHECK(c.value() == before);
    CHECK(c.count == 2);
  }
  CHECK_THROWS_WITH(c.update(std::numeric_limits<double>::infinity()),
                    "attune: batch value 3 of a moving estimate is inf; expected a finite number");
}

TEST_CASE("moving_estimate: refuses a weight outside (0, 1], and to be read before the first batch") {
  for (double weight : {0.0, -.1, 1.1, std::nan("")}) CHECK_THROWS_AS(moving_estimate{.weight = weight}.update(1), attune::error);
  CHECK_THROWS_AS(moving_estimate{}.value(), attune::error);
}
