// SPDX-License-Identifier: MIT
// Coefficients that follow a run: by hand, at their bounds, in closed loop, and refusing what would stay in them.
#include "support/catch.hpp"

#include <attune/policy/controller/adaptive_entropy.hpp>
#include <attune/policy/controller/kl.hpp>

#include <limits>

using attune::adaptive_entropy;
using attune::adaptive_kl;
using attune::fixed_kl;

namespace {
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
}

TEST_CASE("adaptive_kl: the update of Ziegler et al., by hand") {
  adaptive_kl c{.target = 6, .coefficient = .2};
  CHECK(c.update(6, 256) == .2);                                        // on target
  CHECK(c.update(6.6, 100) == Approx(.2 * (1 + .1 * .01)).epsilon(1e-15));  // 10 percent above
  c.coefficient = 1;
  CHECK(c.update(600, 1000) == Approx(1.02).epsilon(1e-15));  // errors beyond 20 percent count as 20
  c.coefficient = 1;
  CHECK(c.update(0, 1000) == Approx(.98).epsilon(1e-15));
  c.coefficient = 1;
  CHECK(c.update(-3, 1000) == Approx(.98).epsilon(1e-15));  // an estimate may be negative
  c.coefficient = 1;
  CHECK(c.update(1e300, 0) == 1);
  CHECK(adaptive_kl{}.horizon == 10000);
  CHECK(adaptive_kl{}.target == .1);
  CHECK(adaptive_kl{}.coefficient == .001);
}

TEST_CASE("adaptive_kl: in closed loop with KL ~ 1/coefficient^2 it settles on its target, from both sides") {
  for (double start : {.05, 5.0}) {
    adaptive_kl c{.target = 4, .coefficient = start};
    for (int step = 0; step < 4000; ++step) c.update(1 / (c.coefficient * c.coefficient), 256);
    CHECK(c.coefficient == Approx(.5).epsilon(1e-9));
  }
  adaptive_kl saved{.target = 4, .coefficient = 2}, copy;
  saved.update(1, 256);
  copy = saved;  // members are the whole state
  CHECK(copy.update(9, 256) == saved.update(9, 256));
}

TEST_CASE("adaptive_kl: what would spoil the coefficient is refused, and changes nothing") {
  adaptive_kl c{.coefficient = .3};
  for (double kl : {not_a_number, infinity, -infinity}) CHECK_THROWS_AS(c.update(kl, 1), attune::error);
  for (double n : {-1.0, 50000.0, 1e9, not_a_number}) CHECK_THROWS_AS(c.update(0, n), attune::error);  // 1 - .2 n/horizon <= 0
  CHECK_THROWS_WITH(c.update(0, 50000), "attune: n given to adaptive_kl is 5e+04; expected 0 or more, and less than horizon / clip = 5e+04");
  CHECK(c.coefficient == .3);
  CHECK(c.update(0, 49999) > 0);
  for (const adaptive_kl& bad : {adaptive_kl{.target = 0}, adaptive_kl{.horizon = 0}, adaptive_kl{.clip = -1}, adaptive_kl{.coefficient = -1}, adaptive_kl{.target = not_a_number}}) {
    adaptive_kl b = bad;
    CHECK_THROWS_AS(b.update(1, 1), attune::error);
  }
}

TEST_CASE("fixed_kl: stays") {
  fixed_kl c{.coefficient = .05};
  CHECK(c.update(1e9, 256) == .05);
  CHECK(c.coefficient == .05);
  CHECK_THROWS_AS((fixed_kl{.coefficient = -1}).update(0, 0), attune::error);
}

TEST_CASE("adaptive_entropy: steps of .005 in [0, 1], and no bonus while the entropy is above its target") {
  adaptive_entropy c;
  CHECK(c.applied(.1) == 0);
  CHECK(c.update(.1) == .005);
  CHECK(c.applied(.1) == .005);
  CHECK(c.applied(.2) == .005);  // at the target it acts
  CHECK(c.applied(.21) == 0);    // above it does not, whatever the coefficient
  CHECK(c.update(.2) == .01);
  CHECK(c.update(.3) == .005);
  CHECK(c.update(.3) == 0);
  CHECK(c.update(.3) == 0);
  for (int step = 0; step < 300; ++step) c.update(0);
  CHECK(c.coefficient == 1);
  adaptive_entropy other{.target = 1, .step = .5, .lower = .25, .upper = .5, .coefficient = .25};
  CHECK(other.update(2) == .25);
  CHECK(other.update(1) == .5);
  for (double entropy : {not_a_number, infinity}) {
    CHECK_THROWS_AS(other.update(entropy), attune::error);
    CHECK_THROWS_AS(other.applied(entropy), attune::error);
  }
  CHECK(other.coefficient == .5);
  CHECK_THROWS_AS((adaptive_entropy{.lower = .6, .upper = .5}).update(1), attune::error);
  CHECK_THROWS_AS((adaptive_entropy{.step = 0}).update(1), attune::error);
}
