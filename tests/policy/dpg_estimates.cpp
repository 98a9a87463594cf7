// SPDX-License-Identifier: MIT
// What f-DPG estimates on the way: Z of each context, baselines, divergences, and which of policy and proposal is nearer to the target.
#include "dpg_problem.hpp"
#include "support/catch.hpp"

#include <attune/divergence/generalized_jensen_shannon.hpp>
#include <attune/divergence/total_variation.hpp>
#include <attune/policy/dpg/baseline.hpp>
#include <attune/policy/dpg/divergence.hpp>

using namespace attune_test;
namespace dpg = attune::dpg;
using attune::divergence::forward_kl;
using draws = std::span<const std::size_t>;

namespace {
const dpg_problem problem;
const double log_z = std::log(problem.z);

dpg::partitions known(double value) {
  dpg::partitions z;
  z.set(0, value);
  return z;
}
}  // namespace

TEST_CASE("dpg: the estimate of Z is unbiased for any proposal that covers the target") {
  for (const auto& q : {problem.proposal, problem.policy}) {
    const auto check = toy::check_unbiased(q, 3, [&](draws d) {
      dpg::partitions z;
      z.update(dpg_batch(problem, q, d).off_policy());
      return vector{std::exp(z.log_z())};
    }, vector{1.07});
    INFO(check.explanation);
    CHECK(check);
  }
  CHECK_FALSE(toy::check_unbiased(problem.proposal, 2, [&](draws d) {
    dpg::partitions z;
    z.update(dpg_batch(problem, problem.proposal, d).on_policy());  // weights of the wrong proposal
    return vector{std::exp(z.log_z())};
  }, vector{1.07}));
}

TEST_CASE("dpg: every context has its own Z, over all batches, and merges") {
  const vector log_policy{-1, -2, -3}, log_target{0, -2, -infinity};
  const std::vector<std::int64_t> context{2, 0, 2};
  const std::vector<std::uint8_t> mask{1, 1, 0};
  dpg::partitions z(3), other(3);
  z.update(dpg::samples<double>{.log_policy = log_policy, .log_target = log_target, .context = context, .mask = mask});
  CHECK(z.log_z(0) == Approx(0).margin(1e-15));
  CHECK(z.log_z(2) == Approx(1));
  CHECK_THROWS_AS(z.log_z(1), attune::error);
  CHECK_THROWS_WITH(z.log_z(3), "attune: context 3 does not exist; expected one in [0, 3)");
  z.update(dpg::samples<double>{.log_policy = log_policy, .log_target = log_target, .context = context});
  CHECK(z.log_z(2) == Approx(std::log(2 * std::exp(1.0) / 3)));  // of three samples one is excluded
  other.set(1, 5, 3);
  z += other;
  CHECK(z.log_z(1) == Approx(5));
  CHECK(z.estimate(1).count == 3);
  CHECK_THROWS_AS(z += dpg::partitions(2), attune::error);
}

TEST_CASE("dpg: Z has a largest value if one is asked for") {
  const vector log_policy{-10}, log_target{-1};
  dpg::partitions z(1, 0.0);
  z.update(dpg::samples<double>{.log_policy = log_policy, .log_target = log_target});
  CHECK(z.log_z() == 0);
  CHECK(z.estimate(0).value() == Approx(9));
  CHECK_THROWS_AS(dpg::partitions(0), attune::error);
  CHECK_THROWS_AS(dpg::partitions(1, not_a_number), attune::error);
  CHECK_THROWS_AS(z.set(0, infinity), attune::error);
  CHECK_THROWS_AS(z.set(0, 0, 0), attune::error);
}

TEST_CASE("dpg: a weight that is not a number changes no Z") {
  const vector log_policy{-1, -1}, bad{-1, not_a_number};
  dpg::partitions z;
  CHECK_THROWS_AS(z.update(dpg::samples<double>{.log_policy = log_policy, .log_target = bad}), attune::error);
  CHECK(z.estimate(0).count == 0);
  const vector excluded{-1, -infinity};
  CHECK_THROWS_AS(z.update(dpg::samples<double>{.log_policy = log_policy, .log_target = log_policy, .log_proposal = excluded}), attune::error);
  CHECK(z.estimate(0).count == 0);
}

TEST_CASE("dpg: the running baseline is the mean of a window, 0 before it has seen any") {
  dpg::windowed_mean baseline(3);
  CHECK(baseline.value() == 0);
  const vector first{1, 5}, second{infinity, 2, not_a_number}, third{6};
  const std::vector<std::uint8_t> mask{0};
  baseline.update(first);
  CHECK(baseline.value() == 3);
  baseline.update(second);
  CHECK(baseline.value() == Approx(8. / 3));
  baseline.update(third, mask);
  CHECK(baseline.value() == Approx(8. / 3));
  baseline.update(std::as_const(third));
  CHECK(baseline.value() == Approx(13. / 3));  // 5, 2, 6
  baseline.reset();
  CHECK(baseline.value() == 0);
  CHECK_THROWS_AS(dpg::windowed_mean(0), attune::error);
  CHECK_THROWS_AS(baseline.update(first, mask), attune::error);
}

TEST_CASE("dpg: a leave-one-out baseline is the mean of the others in the context") {
  const vector log{-1, -1, -1, -1, -1, -1}, rewards{1, 10, 3, not_a_number, 5, 7};
  const std::vector<std::int64_t> context{0, 1, 0, 0, 0, 2};
  const std::vector<std::uint8_t> mask{1, 1, 1, 1, 0, 1};
  const dpg::samples<double> batch{.log_policy = log, .log_target = log, .context = context, .mask = mask};
  vector b(6, not_a_number);
  dpg::leave_one_out leave_one_out(3);
  for (int repeated = 0; repeated < 2; ++repeated) {
    leave_one_out(batch, rewards, b);
    CHECK(b == vector{3, 0, 1, 2, 0, 0});
  }
  vector in_place = rewards;
  CHECK_THROWS_AS(leave_one_out(batch, in_place, in_place), attune::error);
  CHECK_THROWS_AS(dpg::leave_one_out(2)(batch, rewards, b), attune::error);
  CHECK_THROWS_AS(dpg::leave_one_out(0), attune::error);

  const vector enormous{1, 1e300, 3}, three{-1, -1, -1};  // no digits of the others are lost to the enormous one
  leave_one_out(dpg::samples<double>{.log_policy = three, .log_target = three}, enormous, attune::view<double>(b.data(), {3}));
  CHECK(b[1] == 2);
  CHECK(b[0] == 5e299);
}

TEST_CASE("dpg: sampled divergences are unbiased, and are those of the authors' code but for a term of mean 0") {
  const dpg::partitions z = known(log_z);
  const vector pi = problem.policy.probabilities(), p = problem.target().probabilities(), q = problem.proposal.probabilities();
  const auto check = [&](const auto& f, const auto& theirs, double exact) {
    const auto verdict = toy::check_unbiased(problem.proposal, 2, [&](draws d) {
      const dpg_batch batch(problem, problem.proposal, d);
      double mean = 0;
      for (std::size_t i : d) mean += theirs(i) / double(d.size());
      return vector{dpg::estimated_divergence(f, batch.off_policy(), z).value(), mean};
    }, vector{toy::divergence(f, problem.policy, problem.target()), exact});
    INFO(verdict.explanation);
    CHECK(verdict);
  };
  const double kl = toy::kl(problem.target(), problem.policy);
  check(forward_kl{}, [&](std::size_t i) {
    const double log_policy = std::log(pi[i]), log_target = problem.log_target[i];
    return p[i] > 0 ? -log_z + p[i] / q[i] * (log_target - log_policy) : -log_z;
  }, kl);
  const attune::divergence::generalized_jensen_shannon js{.beta = .5};
  check(js, [&](std::size_t i) {  // halves against the mixture
    const double m = (p[i] + pi[i]) / 2;
    return .5 * ((p[i] > 0 ? p[i] / q[i] * std::log(p[i] / m) : 0) + pi[i] / q[i] * std::log(pi[i] / m));
  }, toy::divergence(js, problem.policy, problem.target()));

  for (std::size_t i = 0; i < 8; ++i) {  // total variation: the same for every sample
    const std::size_t one[] = {i};
    const dpg_batch batch(problem, problem.proposal, one);
    CHECK(dpg::estimated_divergence(attune::divergence::total_variation{}, batch.off_policy(), z).value() ==
          Approx(.5 * std::abs(pi[i] / q[i] - p[i] / q[i])).epsilon(1e-12));
  }
}

TEST_CASE("dpg: a sampled mean has the textbook standard error, in parts too") {
  dpg::sampled_mean all, a, b;
  int n = 0;
  for (double x : {1.0, 4.0, 2.0, 9.0}) {
    all.add(x);
    (n++ < 1 ? a : b).add(x);
  }
  a += b;
  for (const auto& m : {all, a}) {
    CHECK(m.value() == Approx(4));
    CHECK(m.standard_error() == Approx(std::sqrt((9 + 0 + 4 + 25) / 3. / 4)));
    CHECK(m.non_finite == 0);
  }
  CHECK_THROWS_AS(dpg::sampled_mean{}.value(), attune::error);
  all.add(infinity);
  CHECK(all.non_finite == 1);
  CHECK_FALSE(std::isfinite(all.value()));
}

TEST_CASE("dpg: the proposal is replaced only by a policy that is nearer to the target") {
  const std::size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
  const double policy = toy::kl(problem.target(), problem.policy), proposal = toy::kl(problem.target(), problem.proposal);
  REQUIRE(policy < proposal);
  // Every outcome as often as it is drawn: the estimates are exact but for rounding of the counts.
  const auto exactly = [&](const dpg_problem& x) {
    dpg::proposal_choice<> choice;
    const vector q = x.proposal.probabilities();
    std::vector<std::size_t> drawn;
    for (std::size_t i : all) drawn.insert(drawn.end(), std::size_t(std::lround(1e5 * q[i])), i);
    const dpg_batch batch(x, x.proposal, drawn);
    choice.update(batch.off_policy(), known(log_z));
    return choice;
  };
  dpg::proposal_choice<> choice = exactly(problem);
  CHECK(choice.policy.value() == Approx(policy).epsilon(1e-3));
  CHECK(choice.proposal.value() == Approx(proposal).epsilon(1e-3));
  CHECK(choice.difference.value() == Approx(policy - proposal).epsilon(1e-2));
  CHECK(choice.replaces());
  dpg_problem swapped = problem;
  std::swap(swapped.policy, swapped.proposal);
  CHECK_FALSE(exactly(swapped).replaces());
  dpg_problem equal = problem;
  equal.policy = equal.proposal;
  CHECK_FALSE(exactly(equal).replaces());  // not nearer

  const dpg_batch batch(problem, problem.proposal, all);
  CHECK_THROWS_AS(choice.update(batch.on_policy(), known(log_z)), attune::error);
  choice.reset();
  CHECK_THROWS_AS(choice.replaces(), attune::error);
  const auto unbiased = toy::check_unbiased(problem.proposal, 2, [&](draws d) {
    dpg::proposal_choice<> c;
    const dpg_batch drawn(problem, problem.proposal, d);
    c.update(drawn.off_policy(), known(log_z));
    return vector{c.policy.value(), c.proposal.value(), c.difference.value()};
  }, vector{policy, proposal, policy - proposal});
  INFO(unbiased.explanation);
  CHECK(unbiased);
}
