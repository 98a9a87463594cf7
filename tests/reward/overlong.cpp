// SPDX-License-Identifier: MIT
#include <attune/core/pack.hpp>
#include <attune/reward/overlong.hpp>

#include "support/catch.hpp"

using attune::reward::soft_overlong;
using attune::reward::stop_properly;
using vector = std::vector<double>;

namespace {
constexpr double infinity = std::numeric_limits<double>::infinity(), not_a_number = std::numeric_limits<double>::quiet_NaN();
}

TEST_CASE("overlong: DAPO's punishment, and the floors of its peers") {
  const soft_overlong paper;  // 16384 tokens for free, then 4096
  CHECK(paper.value(1.0) == 0);
  CHECK(paper.value(16384.0) == 0);
  CHECK(paper.value(18432.0) == -.5);
  CHECK(paper.value(20480.0) == -1);
  CHECK(paper.value(1e9) == -1);
  const soft_overlong trl{.max_length = 100, .buffer = 20}, openrlhf{.max_length = 100, .buffer = 20, .factor = .5, .lowest = -.5},
      verl{.max_length = 100, .buffer = 20, .factor = .5, .lowest = -infinity};
  const double at[] = {70, 80, 90, 100, 110, 140};
  const double of_trl[] = {0, 0, -.5, -1, -1, -1}, of_openrlhf[] = {0, 0, -.25, -.5, -.5, -.5}, of_verl[] = {0, 0, -.25, -.5, -.75, -1.5};
  for (int i = 0; i < 6; ++i) {
    CHECK(trl.value(at[i]) == of_trl[i]);
    CHECK(openrlhf.value(at[i]) == of_openrlhf[i]);
    CHECK(verl.value(at[i]) == of_verl[i]);
    CHECK(verl.value(float(at[i])) == float(of_verl[i]));
  }
  CHECK(soft_overlong{.max_length = 100, .buffer = 20, .factor = 0}.value(140.0) == 0);
}

TEST_CASE("overlong: its slope is its derivative, and 0 at the kinks") {
  for (const soft_overlong& f : {soft_overlong{.max_length = 100, .buffer = 20}, soft_overlong{.max_length = 100, .buffer = 20, .factor = 3, .lowest = -infinity}}) {
    for (double n : {50.0, 79.5, 80.5, 93.0, 99.5, 100.5, 300.0}) CHECK(f.slope(n) == Approx((f.value(n + .25) - f.value(n - .25)) / .5).margin(1e-13));
    CHECK(f.slope(80.0) == 0);
  }
  CHECK(soft_overlong{.max_length = 100, .buffer = 20}.slope(100.0) == 0);
  using pack = attune::native_pack<double>;
  const soft_overlong f{.max_length = 100, .buffer = 20};
  const pack n(90.0), y = f.value(n), d = f.slope(n);
  CHECK(y[0] == -.5);
  CHECK(d[0] == -.05);
}

TEST_CASE("overlong: parameters outside their domain are refused") {
  for (const soft_overlong& f : {soft_overlong{.buffer = 0}, soft_overlong{.factor = -1}, soft_overlong{.lowest = .5}, soft_overlong{.max_length = not_a_number}}) {
    CHECK_THROWS_AS(attune::validate(f), attune::error);
  }
  attune::validate(soft_overlong{.lowest = -infinity});
  attune::validate(soft_overlong{.lowest = 0});
}

TEST_CASE("stop_properly: rewards of completions that were cut are multiplied") {
  const vector rewards{1, 2, not_a_number, -4};
  const std::vector<std::uint8_t> truncated{0, 1, 1, 1}, mask{1, 1, 0, 1};
  vector x(4, 9.0);
  stop_properly(rewards, truncated, .25, x, mask);
  CHECK(x == vector{1, .5, 0, -1});
  stop_properly(rewards, truncated, 0, x);
  CHECK(x[1] == 0);
  CHECK(std::isnan(x[2]));  // active: visible
  std::vector<float> same{1, 2};
  const std::vector<std::uint8_t> second{0, 1};
  stop_properly(same, second, .5, same);
  CHECK(same == std::vector<float>{1, 1});
  x.assign(4, 9.0);
  for (double factor : {-.1, 1.1, not_a_number}) CHECK_THROWS_AS(stop_properly(rewards, truncated, factor, x), attune::error);
  CHECK_THROWS_AS(stop_properly(rewards, second, .5, x), attune::error);
  CHECK_THROWS_AS(stop_properly(rewards, truncated, .5, x, second), attune::error);
  CHECK(x == vector(4, 9.0));
}
