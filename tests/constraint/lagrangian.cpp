// SPDX-License-Identifier: MIT
#include <attune/constraint/lagrangian.hpp>

#include "support/catch.hpp"

#include <attune/check/toy/softmax_policy.hpp>

#include <cmath>
#include <limits>
#include <vector>

using attune::average_constraint;
using attune::barrier_multiplier;
using attune::baseline;
using attune::batch_average;
using attune::bound;
using attune::constrained_samples;
using attune::lagrangian;
using attune::view;

namespace {

const double not_a_number = std::nan(""), infinity = std::numeric_limits<double>::infinity();

batch_average average(double mean, std::int64_t count = 2) { return {.sum = mean * double(count), .weight = double(count), .count = count}; }

attune::l3m reward_and_length() {
  return {.constraints = {{.name = "reward", .side = bound::at_least, .limit = 2}, {.name = "length", .side = bound::at_most, .limit = 20}}};
}

}  // namespace

TEST_CASE("average_constraint: sign, value and slack of both sides") {
  average_constraint least{.name = "r", .side = bound::at_least, .limit = 2}, most{.name = "r", .side = bound::at_most, .limit = 2};
  CHECK(least.at(3) == -1);
  CHECK(most.at(3) == 1);
  CHECK_THROWS_AS(least.value(), attune::error);
  least.estimate.update(1.5);
  CHECK(least.value() == .5);
}

TEST_CASE("average_constraint: is read from a text, and other texts are refused") {
  const average_constraint c = average_constraint::parse("length<=20.5");
  CHECK(c.name == "length");
  CHECK(c.side == bound::at_most);
  CHECK(c.limit == 20.5);
  CHECK(average_constraint::parse("reward>=-1e-3").side == bound::at_least);
  CHECK(average_constraint::parse("reward>=-1e-3").limit == -1e-3);
  for (const char* bad : {"", "length", "length<20", "<=3", "a<=", "a<=3x", "a<= 3", "a<=nan", "a>=inf", "a=>3"}) {
    CHECK_THROWS_AS(average_constraint::parse(bad), attune::error);
  }
  CHECK_THROWS_WITH(average_constraint::parse("x<3"), "attune: the constraint is \"x<3\"; expected NAME>=NUMBER or NAME<=NUMBER");
}

TEST_CASE("average_of: weighted, masked, mergeable") {
  const std::vector<float> x{1, float(not_a_number), 3, 7};
  const std::vector<std::uint8_t> mask{1, 0, 1, 1};
  const std::vector<float> weight{1, 5, 3, 0};
  const batch_average a = attune::average_of(x, {.mask = mask, .weight = weight});
  CHECK(a.count == 2);
  CHECK(a.weight == 4);
  CHECK(a.mean() == 2.5);
  CHECK((a + average(10, 4)).mean() == 6.25);
  CHECK_THROWS_AS(batch_average{}.mean(), attune::error);
}

TEST_CASE("average_of: values that are not finite are counted and refused, and so are weights without meaning") {
  const std::vector<double> x{1, not_a_number, 3, infinity};
  CHECK_THROWS_WITH(attune::average_of(x, {}, "length"),
                    "attune: length has 2 values that are not finite, the first length[1] = nan; expected finite numbers, or a mask that "
                    "leaves these completions out");
  const std::vector<double> finite{1, 2, 3, 4};
  for (double bad : {-1.0, not_a_number, infinity}) {
    const std::vector<double> weight{1, 1, bad, 1};
    CHECK_THROWS_AS(attune::average_of(finite, {.weight = weight}), attune::error);
  }
  const std::vector<std::uint8_t> mask(3, 1);
  CHECK_THROWS_AS(attune::average_of(x, {.mask = mask}), attune::error);
}

TEST_CASE("multiplier rules: the barrier follows its schedule, dual ascent what it was, the penalty nothing") {
  const barrier_multiplier barrier{};
  CHECK(barrier.multiplier(.9, 7, 0) == 1);
  CHECK(barrier.multiplier(.9, 7, 1) == Approx(1e6).epsilon(1e-14));
  CHECK(barrier.multiplier(-.5, 7, .5) == Approx(1e-3 / .5).epsilon(1e-14));
  const attune::dual_ascent ascent{.rate = .5, .largest = 3};
  CHECK(ascent.multiplier(.4, 1, 0) == 1.2);
  CHECK(ascent.multiplier(-4, 1, 0) == 0);
  CHECK(ascent.multiplier(40, 1, 0) == 3);
  CHECK(attune::fixed_penalty{.weight = .3}.multiplier(-40, 1, 0) == .3);
}

TEST_CASE("lagrangian: a step by hand, in float and double, with leave-one-out and the batch mean") {
  attune::l3m l3m = reward_and_length();
  const std::vector<float> rewards{1, 2, 3}, lengths{10, 20, 30};
  const view<const float> values[] = {rewards, lengths};
  std::vector<float> d(3, 99);
  l3m.step(0, {values}, d);  // both at their limit, mu = 1: multipliers 1
  CHECK(d == std::vector<float>{-4.5f, 0, 4.5f});
  l3m.coefficients({values}, d, baseline::batch_mean);
  CHECK(d[0] == Approx(-3).epsilon(1e-6));
  l3m.coefficients({values}, d, baseline::none);
  CHECK(d[0] == Approx((-1 + 10) / 3.0).epsilon(1e-6));
  CHECK(l3m.loss_weight() == 1);
  l3m.normalise = true;
  CHECK(l3m.loss_weight() == Approx(1 / 3.0));
  l3m.coefficients({values}, d);
  CHECK(d[2] == Approx(1.5).epsilon(1e-6));
}

TEST_CASE("lagrangian: estimates move by their weight, multipliers follow them, and the state says where the constraints stand") {
  attune::l3m l3m = reward_and_length();
  const std::vector<batch_average> first{average(3), average(30)}, second{average(5), average(10)};
  l3m.update(0, first);
  l3m.update(.5, second);
  const attune::constraint_state reward = l3m.state("reward"), length = l3m.state("length");
  CHECK(reward.average == Approx(3.2).epsilon(1e-14));
  CHECK(reward.slack == Approx(1.2).epsilon(1e-14));
  CHECK(reward.multiplier == Approx(1e-3 / 1.2).epsilon(1e-13));
  CHECK(reward.complementarity == Approx(-1e-3).epsilon(1e-13));  // -mu on the logarithmic branch
  CHECK(reward.feasible);
  CHECK(length.slack == Approx(-8).epsilon(1e-13));
  CHECK(length.multiplier == Approx(1e3).epsilon(1e-13));
  CHECK_FALSE(length.feasible);
  CHECK(l3m.largest_violation() == Approx(8).epsilon(1e-13));
  CHECK(l3m.kkt_residual() == Approx(8e3).epsilon(1e-13));
  CHECK(l3m.multiplier_sum() == Approx(1e3 + 1e-3 / 1.2).epsilon(1e-13));
  CHECK_THROWS_AS(l3m.state("size"), attune::error);
}

TEST_CASE("lagrangian: a saved state goes on as if nothing had happened") {
  lagrangian<attune::dual_ascent> whole{.constraints = reward_and_length().constraints, .rule = {.rate = .1}};
  const std::vector<batch_average> batches[] = {{average(1), average(25)}, {average(2.5), average(22)}, {average(1.5), average(15)}};
  for (const auto& batch : batches) whole.update(0, batch);
  lagrangian<attune::dual_ascent> half{.constraints = reward_and_length().constraints, .rule = {.rate = .1}};
  half.update(0, batches[0]);
  const std::vector<average_constraint> saved = half.constraints;
  lagrangian<attune::dual_ascent> resumed{.constraints = saved, .rule = {.rate = .1}};
  for (int i : {1, 2}) resumed.update(0, batches[i]);
  for (const char* name : {"reward", "length"}) {
    CHECK(resumed.state(name).multiplier == whole.state(name).multiplier);
    CHECK(resumed.state(name).average == whole.state(name).average);
  }
}

// For a softmax over K outcomes, E[sum_b a_b grad log pi(y_b)] over every pair of draws is the exact gradient of E[r]: for leave-one-out as it
// is, for the batch mean times (n - 1)/n.
TEST_CASE("lagrangian: the score-function gradient is unbiased with leave-one-out, and short by (n-1)/n with the batch mean") {
  const double p[] = {.5, .3, .2}, r[] = {1, -2, 4};
  const double mean = p[0] * r[0] + p[1] * r[1] + p[2] * r[2];
  for (const auto& [kind, factor] : {std::pair{baseline::leave_one_out, 1.0}, {baseline::batch_mean, .5}, {baseline::none, 1.0}}) {
    double gradient[3] = {};
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) {
        lagrangian<attune::fixed_penalty> l{.constraints = {{.name = "r", .side = bound::at_most}}, .rule = {.weight = 2}};
        const std::vector<double> drawn{r[i], r[j]};
        const view<const double> values[] = {drawn};
        std::vector<double> d(2);
        l.step(0, {values}, d, kind);
        for (int k = 0; k < 3; ++k) gradient[k] += p[i] * p[j] * (d[0] * ((i == k) - p[k]) + d[1] * ((j == k) - p[k]));
      }
    }
    for (int k = 0; k < 3; ++k) CHECK(gradient[k] == Approx(factor * 2 * p[k] * (r[k] - mean)).margin(1e-14));
  }
}

TEST_CASE("lagrangian: with probabilities as weights the gradient is exact") {
  const std::vector<double> p{.5, .3, .2}, r{1, -2, 4};
  const view<const double> values[] = {r};
  lagrangian<attune::fixed_penalty> l{.constraints = {{.name = "r", .side = bound::at_least}}};
  std::vector<double> d(3);
  l.step(0, {values, {.weight = p}}, d, baseline::batch_mean);
  for (std::size_t k = 0; k < 3; ++k) CHECK(d[k] == Approx(-p[k] * (r[k] - .7)).epsilon(1e-14));
}

TEST_CASE("lagrangian: masked completions are not read and get exactly 0, strided views are followed") {
  attune::l3m l3m{.constraints = {{.name = "r", .limit = 1}}};
  const std::vector<float> r{1, -7, float(not_a_number), -7, 3, -7};  // stride 2
  const std::vector<std::uint8_t> mask{1, 0, 1};
  const view<const float> values[] = {view<const float>(r.data(), {3}, {2})};
  std::vector<float> d(6, 99);
  l3m.step(0, {values, {.mask = mask}}, view<float>(d.data(), {3}, {2}));
  CHECK(l3m.state("r").average == 2);
  CHECK(d == std::vector<float>{1, 99, 0, 99, -1, 99});
  CHECK(!std::signbit(d[2]));
}

TEST_CASE("lagrangian: averages merged over ranks give what the whole batch gives") {
  const std::vector<double> r{1, 4, -2, 5}, n{3, 9, 4, 4};
  attune::l3m whole = reward_and_length(), ranks = reward_and_length();
  const view<const double> values[] = {r, n};
  std::vector<double> d(4), part(4);
  whole.step(.2, {values}, d);
  std::vector<batch_average> merged;
  for (const auto& x : {r, n}) {
    merged.push_back(attune::average_of(view<const double>(x.data(), {2})) + attune::average_of(view<const double>(x.data() + 2, {2})));
  }
  ranks.update(.2, merged);
  for (int rank : {0, 2}) {
    const view<const double> mine[] = {{r.data() + rank, {2}}, {n.data() + rank, {2}}};
    ranks.coefficients({mine}, view<double>(part.data() + rank, {2}));
  }
  for (std::size_t b = 0; b < 4; ++b) CHECK(part[b] == d[b]);
}

TEST_CASE("lagrangian: bad input is refused before anything is written") {
  const std::vector<double> r{1, 2, 3}, n{10, 20, 30}, bad{10, not_a_number, 30}, few{1, 2};
  const view<const double> values[] = {r, n}, with_nan[] = {r, bad}, one[] = {r}, uneven[] = {r, few};
  const std::vector<std::uint8_t> single{0, 1, 0}, none{0, 0, 0};
  const std::vector<double> huge(3, 1e308);
  const view<const double> overflowing[] = {r, huge};
  std::vector<double> d(3, 99);
  attune::l3m l3m = reward_and_length();
  const auto untouched = [&] {
    return d == std::vector<double>(3, 99) && l3m.constraints[0].estimate.count == 0 && l3m.constraints[0].batch.count == 0;
  };
  const auto refuses = [&](auto samples, double progress = 0) {
    CHECK_THROWS_AS(l3m.step(progress, samples, d), attune::error);
    CHECK(untouched());
  };
  using samples = constrained_samples<double>;
  refuses(samples{with_nan});
  refuses(samples{one});
  refuses(samples{uneven});
  refuses(samples{overflowing});
  refuses(samples{values, {.mask = single}});  // leave-one-out needs two
  refuses(samples{values, {.mask = none}});
  refuses(samples{values}, 1.5);
  CHECK_THROWS_AS(l3m.coefficients(samples{values}, d), attune::error);  // no batch yet
  CHECK_THROWS_AS(l3m.step(0, samples{values}, view<double>(d.data(), {3}, {0})), attune::error);
  attune::l3m updated = reward_and_length();
  updated.update(0, std::vector<batch_average>{average(1), average(30)});
  CHECK_THROWS_AS(updated.coefficients(samples{with_nan}, d), attune::error);
  CHECK(untouched());
  CHECK_THROWS_AS(l3m.update(0, std::vector<batch_average>{average(1)}), attune::error);
  CHECK_THROWS_AS(l3m.update(0, std::vector<batch_average>{average(1), average(not_a_number)}), attune::error);
  CHECK_THROWS_AS(l3m.update(0, std::vector<batch_average>{average(1), {}}), attune::error);
  l3m.rule.mu.end = 0;
  refuses(samples{values});
  l3m = reward_and_length();
  l3m.constraints[1].name = "reward";
  refuses(samples{values});
  for (const auto& wrong : {average_constraint{.name = ""}, {.name = "a", .limit = infinity}, {.name = "a", .estimate = {.weight = 0}},
                            {.name = "a", .multiplier = -1}}) {
    l3m = reward_and_length();
    l3m.constraints[1] = wrong;
    refuses(samples{values});
  }
}

// Cross-entropy to d over five actions under E[r] >= 2, whose KKT multiplier is 0.398645208 (examples/papers/l3m.cpp, 1C).
TEST_CASE("lagrangian: dual ascent learns the KKT multiplier, and a fixed penalty misses the constraint unless it is given it") {
  const std::vector<double> d{.4, .3, .15, .1, .05}, r{0, 1, 2, 3, 4};
  const view<const double> values[] = {r};
  const auto train = [&](auto rule) {
    lagrangian<decltype(rule)> l{.constraints = {{.name = "r", .limit = 2, .estimate = {.weight = 1}}}, .rule = rule};
    attune::toy::softmax_policy policy;
    for (double x : d) policy.logits.push_back(std::log(x));
    std::vector<double> c(5);
    for (int i = 0; i < 4000; ++i) {
      const std::vector<double> pi = policy.probabilities();
      l.step(double(i) / 4000, {values, {.weight = pi}}, c, baseline::batch_mean);
      for (std::size_t k = 0; k < 5; ++k) c[k] -= d[k];
      attune::toy::descend(policy, c, .2);
    }
    return l.state("r");
  };
  const double multiplier = .398645208;
  const attune::constraint_state learned = train(attune::dual_ascent{.rate = .1});
  CHECK(learned.multiplier == Approx(multiplier).epsilon(1e-7));
  CHECK(learned.slack == Approx(0).margin(1e-7));
  CHECK(train(attune::fixed_penalty{.weight = multiplier}).slack == Approx(0).margin(1e-7));
  CHECK(train(attune::fixed_penalty{.weight = .1}).slack < -.5);
  CHECK(train(attune::fixed_penalty{.weight = 1}).slack > .5);
}

TEST_CASE("constraint: a unit is a change of units, of the quantity and of its limit") {
  const std::vector<double> length{120, 60, 80, 70, 250}, hundreds{1.2, .6, .8, .7, 2.5};
  attune::l3m tokens{.constraints = {{.name = "length", .side = attune::bound::at_most, .limit = 90, .unit = 100}}};
  attune::l3m scaled{.constraints = {{.name = "length", .side = attune::bound::at_most, .limit = .9}}};
  const attune::view<const double> a[] = {length}, b[] = {hundreds};
  std::vector<double> d(5), expected(5);
  for (double progress : {0.0, 0.4, 0.9}) {
    tokens.step(progress, {a}, d);
    scaled.step(progress, {b}, expected);
    CHECK(tokens.state("length").multiplier == Approx(scaled.state("length").multiplier).epsilon(1e-12));
    CHECK(tokens.state("length").slack == Approx(scaled.state("length").slack).epsilon(1e-12));
    for (std::size_t i = 0; i < 5; ++i) CHECK(d[i] == Approx(expected[i]).epsilon(1e-12));
  }
  tokens.constraints[0].unit = 0;
  CHECK_THROWS_AS(tokens.step(1, {a}, d), attune::error);
}
