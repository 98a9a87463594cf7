// SPDX-License-Identifier: MIT
// The check of estimators, on estimators whose mean and variance are known, and on biased ones, which it must reject.
#include <attune/check/toy.hpp>

#include "support/catch.hpp"

namespace toy = attune::toy;

namespace {

using draws = std::span<const std::size_t>;
const toy::softmax_policy q = toy::categorical({.5, .2, 0, .3});
const toy::vector x{1, 4, 100, -2};  // of the third outcome, which is never drawn, nothing is seen
const double mean = .5 * 1 + .2 * 4 + .3 * -2, variance = .5 * 1 + .2 * 16 + .3 * 4 - mean * mean;

double mean_of(draws d) {
  double sum = 0;
  for (std::size_t i : d) sum += x[i];
  return sum / static_cast<double>(d.size());
}
double squares_of(draws d) {
  double sum = 0;
  for (std::size_t i : d) sum += (x[i] - mean_of(d)) * (x[i] - mean_of(d));
  return sum;
}

}  // namespace

TEST_CASE("estimator: the sample mean has the mean of the distribution, and its variance over n") {
  for (int n : {1, 2, 5}) {
    const toy::estimator_check check = toy::check_unbiased(q, n, [](draws d) { return toy::vector{mean_of(d)}; }, toy::vector{mean});
    INFO(check.explanation);
    CHECK(check);
    CHECK(check.moments.tuples == (n == 1 ? 3 : n == 2 ? 9 : 243));
    CHECK(check.moments.probability == Approx(1).epsilon(1e-14));
    CHECK(check.moments.variance[0] == Approx(variance / n).epsilon(1e-13));
  }
}

TEST_CASE("estimator: draws are ordered, so an estimator may treat the first one apart") {
  const auto check = toy::check_unbiased(q, 2, [](draws d) { return toy::vector{x[d[0]] * x[d[1]], x[d[0]]}; }, toy::vector{mean * mean, mean});
  CHECK(check);
  CHECK(check.moments.variance[1] == Approx(variance).epsilon(1e-13));
}

TEST_CASE("estimator: a biased one is rejected, with its bias") {
  const auto divided_by = [](double divisor) { return [divisor](draws d) { return toy::vector{mean_of(d), squares_of(d) / divisor}; }; };
  const toy::vector exact{mean, variance};
  CHECK(toy::check_unbiased(q, 3, divided_by(2), exact));
  const auto biased = toy::check_unbiased(q, 3, divided_by(3), exact);  // the textbook mistake, by (n - 1)/n
  CHECK_FALSE(biased);
  CHECK(biased.worst == Approx((1. / 3) / (5. / 3)).epsilon(1e-12));
  CHECK_THAT(biased.explanation, Catch::Matchers::StartsWith("number 1: its mean is "));
  CHECK(biased.explanation.find("a factor of 0.66666") != std::string::npos);

  CHECK_THAT(toy::check_unbiased(q, 1, [](draws d) { return toy::vector{-x[d[0]]}; }, toy::vector{mean}).explanation, Catch::Matchers::EndsWith("the sign is wrong"));
  CHECK_FALSE(toy::check_unbiased(q, 1, [](draws) { return toy::vector{1e-9}; }, toy::vector{0}));
  CHECK(toy::check_unbiased(q, 1, [](draws) { return toy::vector{0}; }, toy::vector{0}));
  CHECK_FALSE(toy::check_unbiased(q, 2, [](draws d) { return toy::vector{std::sqrt(mean_of(d))}; }, toy::vector{mean}));  // NaN for some draws
}

TEST_CASE("estimator: what cannot be enumerated or compared is refused") {
  const auto one = [](draws d) { return toy::vector{x[d[0]]}; };
  CHECK_THROWS_WITH(toy::exact_moments(q, 0, one), "attune::toy: an estimator is given 0 draws; expected 1 or more");
  CHECK_THROWS_AS(toy::exact_moments(q, 16, one), attune::error);  // 3^16 tuples
  CHECK_THROWS_WITH(toy::check_unbiased(q, 1, one, toy::vector{1, 2}),
                    "attune::toy: an estimator gives 1 numbers, and 2 exact ones are given; expected as many, and 1 or more");
  CHECK_THROWS_AS(toy::exact_moments(q, 1, [](draws d) { return toy::vector(d[0] + 1, 0.0); }), attune::error);
}
