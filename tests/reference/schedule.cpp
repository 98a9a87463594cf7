// SPDX-License-Identifier: MIT
#include <attune/reference/schedule.hpp>

#include "support/catch.hpp"

#include <attune/preference/dpo.hpp>
#include <attune/preference/ipo.hpp>

#include <cmath>
#include <vector>

using attune::reference_schedule;

namespace {

/// One preference pair whose margin delta = log pi(chosen) - log pi(rejected) is the policy's only parameter, and reference likewise:
/// plain gradient descent, the reference moving by the schedule.
template <class Objective>
struct one_pair {
  Objective objective;
  double rate = 1;
  double label = 1;  ///< share of the labels that prefer the chosen completion
  std::vector<double> policy = {0}, reference = {0};
  std::int64_t step = 0;

  /// d loss / d delta, by a dual number; the loss of a pair seen the other way round is that of the swapped pair.
  double gradient() const {
    const auto delta = attune::dual<double, 1>::variable(policy[0], 0);
    const attune::completion<attune::dual<double, 1>> first{delta, reference[0], 1}, second{0.0, 0, 1};
    const auto preferred = objective(attune::pair<attune::dual<double, 1>>{first, second, 0});
    const auto swapped = objective(attune::pair<attune::dual<double, 1>>{second, first, 0});
    return label * preferred.grad[0] + (1 - label) * swapped.grad[0];
  }
  void run_to(std::int64_t last, const reference_schedule& schedule) {
    while (step < last) {
      policy[0] -= rate * gradient();
      attune::apply(schedule, ++step, reference, policy);
    }
  }
  double delta() const { return policy[0]; }
};

const attune::dpo dpo{.beta = .5};

}  // namespace

TEST_CASE("reference_schedule: names, and the paper's defaults") {
  CHECK(reference_schedule{} == reference_schedule::soft());
  CHECK(reference_schedule::soft() == reference_schedule{.policy_weight = .6, .every = 1});
  CHECK(reference_schedule::hard() == reference_schedule{.policy_weight = 1, .every = 512});
  CHECK(reference_schedule::frozen().policy_weight == 0);
}

TEST_CASE("reference_schedule: due at multiples of `every`, steps counted from 1") {
  const auto hard = reference_schedule::hard(4);
  for (std::int64_t step = 1; step <= 20; ++step) {
    CHECK(hard.due(step) == (step == 4 || step == 8 || step == 12 || step == 16 || step == 20));
    CHECK(reference_schedule::soft(.6).due(step));
    CHECK_FALSE(reference_schedule::frozen().due(step));
  }
  CHECK_THROWS_WITH(hard.due(0), "attune: step is 0; expected 1 or more: steps count from 1");
  CHECK_THROWS_AS(reference_schedule::hard(0).due(1), attune::error);
  CHECK_THROWS_AS(reference_schedule::soft(1.2).due(1), attune::error);
}

TEST_CASE("reference_schedule: reads and writes the forms of a command line") {
  CHECK(reference_schedule::parse("frozen") == reference_schedule::frozen());
  CHECK(reference_schedule::parse("soft:0.6") == reference_schedule::soft(.6));
  CHECK(reference_schedule::parse("soft:0.6:32") == reference_schedule::soft(.6, 32));
  CHECK(reference_schedule::parse("hard:512") == reference_schedule::hard(512));
  for (const char* form : {"frozen", "soft:0.6", "soft:0.6:32", "soft:0.1", "hard:512", "hard:1"}) {
    CHECK(reference_schedule::parse(form).text() == form);
  }
  for (const char* nonsense : {"", "soft", "hard", "soft:", "soft:1.5", "soft:-0.1", "soft:nan", "soft:0.6:0", "soft:0.6:", "soft:0.6:3:4",
                               "soft:0.6x", "soft:0.6:2.5", "hard:0", "hard:-1", "hard:", "hard:1e3", "hard:512:1", "frozen:1", " frozen",
                               "Soft:0.6", "ema:0.9", "hard:99999999999999999999"}) {
    INFO(nonsense);
    CHECK_THROWS_AS(reference_schedule::parse(nonsense), attune::error);
  }
  CHECK_THROWS_WITH(reference_schedule::parse("ema:0.9"),
                    "attune: reference schedule is 'ema:0.9'; expected frozen, soft:WEIGHT, soft:WEIGHT:EVERY or hard:EVERY, with WEIGHT in "
                    "[0, 1] and EVERY at least 1 step");
}

TEST_CASE("apply: moves the reference when due, else writes nothing") {
  const std::vector<float> policy(5, 1.0f);
  std::vector<float> reference(5, 0.0f);
  const auto every_third = reference_schedule::soft(.5, 3);
  for (std::int64_t step = 1; step <= 6; ++step) {
    const attune::update_report r = attune::apply(every_third, step, reference, policy);
    CHECK(r.elements == (step % 3 == 0 ? 5 : 0));
    CHECK(reference[4] == (step < 3 ? 0.0f : step < 6 ? .5f : .75f));
  }
  attune::apply(attune::threads{2, 0}, reference_schedule::hard(7), 7, reference, policy);
  CHECK(reference == policy);
}

TEST_CASE("apply: checks its tensors at every step, also when not due") {
  std::vector<float> reference(5), policy(4);
  CHECK_THROWS_AS(attune::apply(reference_schedule::hard(512), 1, reference, policy), attune::error);
  CHECK_THROWS_AS(attune::apply(reference_schedule::frozen(), 1, reference, reference), attune::error);
}

TEST_CASE("apply: a 16-bit reference is copied or compensated, never silently stuck") {
  const std::vector<attune::bfloat16> policy(3, attune::bfloat16(2.0f));
  std::vector<attune::bfloat16> reference(3), residual(3);
  attune::apply(reference_schedule::hard(1), 1, reference, policy);
  CHECK(float(reference[2]) == 2);
  CHECK_THROWS_AS(attune::apply(reference_schedule::soft(.1), 1, reference, policy), attune::error);
  CHECK_NOTHROW(attune::apply(reference_schedule::soft(.1), 1, reference, policy, attune::compensation{residual}));
}

TEST_CASE("apply: weight 1 at every step is a hard copy at every step, weight 0 is a frozen reference") {
  one_pair<attune::dpo> always{dpo}, hard{dpo}, never{dpo}, frozen{dpo};
  for (std::int64_t step = 1; step <= 300; ++step) {
    always.run_to(step, reference_schedule{.policy_weight = 1, .every = 1});
    hard.run_to(step, reference_schedule::hard(1));
    never.run_to(step, reference_schedule{.policy_weight = 0, .every = 1});
    frozen.run_to(step, reference_schedule::frozen());
    CHECK(always.delta() == hard.delta());
    CHECK(always.reference == hard.reference);
    CHECK(always.reference == always.policy);
    CHECK(hard.delta() == Approx(.25 * double(step)).epsilon(1e-13));  // beta/2 a step: the gradient never fades
    CHECK(never.delta() == frozen.delta());
    CHECK(frozen.reference[0] == 0);
  }
}

TEST_CASE("TR-DPO on one pair: DPO slows down like a logarithm, a moving reference does not") {
  struct row {
    std::int64_t step;
    double frozen, hard_32, hard_512, soft;
  };
  const row table[] = {{1, .25, .25, .25, .25},
                       {10, 1.921811497, 1.921811497, 1.921811497, 2.416038533},
                       {100, 6.285845943, 12.758495757, 6.285845943, 24.016499947},
                       {1000, 11.011472976, 124.049446265, 19.205577333, 240.021105294},
                       {2000, 12.411082539, 247.514169192, 38.406153078, 480.026222346}};
  one_pair<attune::dpo> frozen{dpo}, hard_32{dpo}, hard_512{dpo}, soft{dpo};
  const auto digits = [](double x) { return Approx(x).epsilon(0).margin(6e-10); };
  for (const row& r : table) {
    frozen.run_to(r.step, reference_schedule::frozen());
    hard_32.run_to(r.step, reference_schedule::hard(32));
    hard_512.run_to(r.step, reference_schedule::hard(512));
    soft.run_to(r.step, reference_schedule::soft(.6));
    CHECK(frozen.delta() == digits(r.frozen));
    CHECK(hard_32.delta() == digits(r.hard_32));
    CHECK(hard_512.delta() == digits(r.hard_512));
    CHECK(soft.delta() == digits(r.soft));
  }
}

TEST_CASE("TR-DPO on one pair: the gap to a soft reference settles where the two speeds agree") {
  const struct {
    double weight, gap;
  } table[] = {{.1, 1.462260419}, {.6, .160003411}, {.8, .061538536}};
  for (const auto& r : table) {
    one_pair<attune::dpo> pair{dpo};
    pair.run_to(2000, reference_schedule::soft(r.weight));
    const double gap = pair.policy[0] - pair.reference[0];
    CHECK(gap == Approx(r.gap).epsilon(0).margin(1e-9));
    CHECK(r.weight * gap / (1 - r.weight) == Approx(.5 / (1 + std::exp(.5 * gap))).epsilon(1e-9));
  }
}

TEST_CASE("TR-DPO on one pair with 75/25 labels: DPO has a fixed point, a moving reference walks on") {
  const double fixed_point = std::log(3.0) / .5;
  one_pair<attune::dpo> frozen{dpo, 1, .75}, hard{dpo, 1, .75}, soft{dpo, 1, .75};
  frozen.run_to(2000, reference_schedule::frozen());
  hard.run_to(2000, reference_schedule::hard(512));
  soft.run_to(1999, reference_schedule::soft(.6));
  const double before = soft.delta();
  soft.run_to(2000, reference_schedule::soft(.6));
  CHECK(frozen.delta() == Approx(fixed_point).epsilon(1e-12));
  CHECK(hard.delta() == Approx(4 * fixed_point).epsilon(1e-9));
  CHECK(soft.policy[0] - soft.reference[0] == Approx(.080000427).epsilon(0).margin(1e-9));
  CHECK(soft.delta() - before == Approx(.120000640).epsilon(0).margin(1e-9));
}

TEST_CASE("TR-IPO on one pair: every reset adds another 1/(2 beta)") {
  const attune::ipo ipo{.beta = .5};
  one_pair<attune::ipo> frozen{ipo, .05}, hard{ipo, .05}, soft{ipo, .05};
  frozen.run_to(2000, reference_schedule::frozen());
  hard.run_to(2000, reference_schedule::hard(512));
  soft.run_to(2000, reference_schedule::soft(.6));
  CHECK(frozen.delta() == Approx(1).epsilon(1e-12));
  CHECK(hard.delta() == Approx(4).epsilon(1e-12));
  CHECK(soft.delta() == Approx(187.509765625).epsilon(1e-12));
  CHECK(soft.policy[0] - soft.reference[0] == Approx(.0625).epsilon(1e-12));
}

TEST_CASE("TR-DPO: the reference carries no gradient") {
  one_pair<attune::dpo> pair{dpo};
  pair.policy[0] = pair.reference[0] = .7;  // were both differentiated, the gradient at equality would be 0
  CHECK(pair.gradient() == Approx(-.25).epsilon(1e-15));
}
