// SPDX-License-Identifier: MIT
#include <attune/reference/bema.hpp>

#include "support/catch.hpp"

#include <vector>

using attune::bema;

TEST_CASE("bema: weights are powers of the clock, with a floor") {
  const bema x{.kappa = 0.5, .eta = 0.2, .rho = 10, .gamma = 1, .min_weight = 0.05};
  CHECK(x.policy_weight(90) == Approx(0.1).epsilon(1e-14));
  CHECK(x.correction_weight(90) == Approx(std::pow(100, -0.2)).epsilon(1e-14));
  CHECK(x.policy_weight(1000000) == 0.05);
}

// By hand: clock t + 1, so b = 1/sqrt(t + 1), a = 1/(t + 1); at t = 3: b = 1/2, a = 1/4; at t = 8: b = 1/3, a = 1/9.
TEST_CASE("bema: two updates by hand, in float and for a 16-bit reference") {
  const bema schedule{.kappa = 0.5, .eta = 1, .rho = 1, .gamma = 1, .min_weight = 0, .every = 1};
  const std::vector<float> start{1, -2, 0};
  std::vector<float> average = start, policy{3, -2, 8}, reference(3);
  std::vector<attune::bfloat16> weights(3);
  attune::apply(schedule, 3, average, start, policy, reference);
  CHECK(average == std::vector<float>{2, -2, 4});
  CHECK(reference == std::vector<float>{2.5f, -2, 6});
  policy = {5, 1, 4};
  attune::apply(schedule, 8, average, start, policy, weights);
  const double expected[] = {3 + 4 / 9.0, -1 + 3 / 9.0, 4 + 4 / 9.0};
  for (std::size_t i = 0; i < 3; ++i) CHECK(double(float(weights[i])) == Approx(expected[i]).epsilon(0.004));
}

TEST_CASE("bema: a policy that rests pulls the average to itself, and the correction fades") {
  const bema schedule{.every = 1};
  const std::vector<double> start{0}, policy{1};
  std::vector<double> average = start, reference{0};
  for (std::int64_t step = 1; step <= 20000; ++step) attune::apply(schedule, step, average, start, policy, reference);
  CHECK(average[0] == Approx(1).epsilon(1e-12));
  CHECK(reference[0] == Approx(1 + std::pow(20010.0, -0.2)).epsilon(1e-12));
}

// For a policy that moves by 1 a step the average lags behind by about 1/b; the correction makes the lag smaller.
TEST_CASE("bema: lags less than its average behind a policy that moves") {
  const bema schedule{.every = 1};
  const std::vector<double> start{0};
  std::vector<double> average = start, reference{0}, policy{0};
  for (std::int64_t step = 1; step <= 100; ++step) {
    policy[0] = double(step);
    attune::apply(schedule, step, average, start, policy, reference);
  }
  CHECK(average[0] < 95);
  CHECK(std::abs(policy[0] - reference[0]) > 0);
  CHECK(reference[0] > average[0]);
}

TEST_CASE("bema: any execution policy, length and stride gives the same bits") {
  const bema schedule{.every = 2, .after = 1};
  const std::int64_t n = 40001;
  std::vector<float> start, policy;
  for (std::int64_t i = 0; i < n; ++i) start.push_back(float(i % 97) / 7), policy.push_back(float(i % 89) / 5);
  std::vector<float> average = start, other = start, reference(start.size()), spread(2 * start.size()), strided(2 * start.size());
  for (std::size_t i = 0; i < start.size(); ++i) spread[2 * i] = start[i];
  const attune::update_report r = attune::apply(schedule, 3, average, start, policy, reference);
  CHECK(r.elements == n);
  CHECK(r.non_finite == 0);
  std::vector<float> threaded(start.size());
  attune::apply(attune::threads{3, 0}, schedule, 3, other, start, policy, threaded);
  CHECK(average == other);
  CHECK(reference == threaded);
  attune::apply(schedule, 3, attune::view<float>(spread.data(), {n}, {2}), start, policy, attune::view<float>(strided.data(), {n}, {2}));
  for (std::size_t i = 0; i < start.size(); ++i) {
    if (spread[2 * i] != average[i] || strided[2 * i] != reference[i]) FAIL("element " << i);
  }
}

TEST_CASE("bema: not due, nothing is written, and what is wrong is refused") {
  const bema schedule{.every = 4, .after = 2};
  std::vector<float> average{1, 2}, reference{7, 7}, policy{3, 4}, three{1, 2, 3};
  const std::vector<float> start{1, 2};
  for (std::int64_t step : {1, 2, 3, 4, 5, 7}) CHECK(attune::apply(schedule, step, average, start, policy, reference).elements == 0);
  CHECK(average == start);
  CHECK(reference == std::vector<float>{7, 7});
  CHECK(schedule.due(6));
  CHECK(schedule.due(10));
  CHECK_THROWS_WITH(attune::apply(schedule, 0, average, start, policy, reference), "attune: step is 0; expected 1 or more: steps count from 1");
  CHECK_THROWS_AS(attune::apply(schedule, 6, average, start, policy, three), attune::error);
  CHECK_THROWS_AS(attune::apply(schedule, 6, average, three, policy, reference), attune::error);
  CHECK_THROWS_AS(attune::apply(schedule, 6, average, start, average, reference), attune::error);
  CHECK_THROWS_AS(attune::apply(schedule, 6, average, start, policy, average), attune::error);
  CHECK_THROWS_AS(attune::apply(bema{.rho = 0}, 6, average, start, policy, reference), attune::error);
  CHECK(average == start);
  CHECK(reference == std::vector<float>{7, 7});
}
