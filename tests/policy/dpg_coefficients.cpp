// SPDX-License-Identifier: MIT
// The coefficients that a trainer gets: over every tuple of draws their mean is the exact gradient; what biases it is rejected.
#include "dpg_problem.hpp"
#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#include <attune/catalog/divergence.hpp>
#include <attune/policy/dpg/alpha_dpg.hpp>
#include <attune/policy/dpg/baseline.hpp>
#include <attune/policy/dpg/coefficients.hpp>

using namespace attune_test;
namespace dpg = attune::dpg;
using attune::divergence::forward_kl;
using attune::divergence::jensen_shannon;
using attune::divergence::reverse_kl;
using attune::divergence::total_variation;
using draws = std::span<const std::size_t>;

namespace {

const dpg_problem problem;

dpg::partitions known(double log_z) {
  dpg::partitions z;
  z.set(0, log_z);
  return z;
}
const dpg::partitions exact_z = known(std::log(problem.z));

/// A step of a trainer on some draws: the gradient of the policy's logits.
template <class G>
vector step(const G& f, bool on_policy, draws d, const dpg::partitions& z, const dpg::coefficient_options<double>& o = {}) {
  const dpg_batch batch(problem, on_policy ? problem.policy : problem.proposal, d);
  vector coefficients(d.size());
  dpg::policy_coefficients(f, on_policy ? batch.on_policy() : batch.off_policy(), z, coefficients, o);
  return gradient_of(problem.policy, d, coefficients);
}
template <class G>
vector exact_gradient(const G& f) {
  return problem.policy.gradient(toy::divergence_coefficients(f, problem.policy, problem.target()));
}

}  // namespace

TEST_CASE("dpg: the mean of the coefficients is the gradient of every divergence, on and off policy, for any baseline") {
  attune::catalog::for_each_divergence([](const auto& entry) {
    INFO(entry.name);
    const typename std::remove_cvref_t<decltype(entry)>::unit f{};
    const vector exact = exact_gradient(f);
    if (!std::isfinite(exact[7])) return;  // f'(inf) = inf at the outcome that the target excludes
    for (bool on_policy : {true, false}) {
      for (double baseline : {0.0, 0.7, -3.0}) {
        const auto check = toy::check_unbiased(on_policy ? problem.policy : problem.proposal, 2,
                                               [&](draws d) { return step(f, on_policy, d, exact_z, {.baseline = baseline}); }, exact);
        INFO(check.explanation);
        CHECK(check);
      }
    }
  });
}

TEST_CASE("dpg: leave-one-out baselines leave the mean of the gradient, the batch's own mean and its own Z do not") {
  const auto with_baselines = [](bool on_policy, bool own_mean) {
    return [=](draws d) {
      const dpg_batch batch(problem, on_policy ? problem.policy : problem.proposal, d);
      const auto samples = on_policy ? batch.on_policy() : batch.off_policy();
      vector rewards(d.size()), baselines(d.size());
      dpg::pseudo_rewards(jensen_shannon{}, samples, exact_z, rewards);
      dpg::leave_one_out leave_one_out;
      leave_one_out(samples, rewards, baselines);
      double mean = 0;
      for (double r : rewards) mean += r / double(d.size());
      if (own_mean) return step(jensen_shannon{}, on_policy, d, exact_z, {.baseline = mean});
      return step(jensen_shannon{}, on_policy, d, exact_z, {.baselines = baselines});
    };
  };
  const vector exact = exact_gradient(jensen_shannon{});
  for (bool on_policy : {true, false}) {
    const auto& q = on_policy ? problem.policy : problem.proposal;
    const auto right = toy::check_unbiased(q, 3, with_baselines(on_policy, false), exact);
    INFO(right.explanation);
    CHECK(right);
    CHECK_FALSE(toy::check_unbiased(q, 3, with_baselines(on_policy, true), exact));
  }
  // On policy the bias of the own mean is known: a factor (n - 1)/n.
  const auto biased = toy::exact_moments(problem.policy, 3, with_baselines(true, true));
  for (std::size_t j = 0; j < 8; ++j) CHECK(biased.mean[j] == Approx(exact[j] * 2 / 3).epsilon(1e-12));

  CHECK_FALSE(toy::check_unbiased(problem.proposal, 3, [](draws d) {
    const dpg_batch batch(problem, problem.proposal, d);
    dpg::partitions z;
    z.update(batch.off_policy());
    return step(jensen_shannon{}, false, d, z);
  }, exact));
}

TEST_CASE("dpg: pseudo-rewards are those of the papers, but for the constant") {
  const std::size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
  const dpg_batch batch(problem, problem.policy, all);
  const vector pi = problem.policy.probabilities(), p = problem.target().probabilities();
  vector r(8);
  const auto check = [&](const auto& f, const auto& expected) {
    const dpg::sample_report report = dpg::pseudo_rewards(f, batch.on_policy(), exact_z, r);
    CHECK(report.samples == 8);
    CHECK(report.excluded == 1);
    CHECK(report.effective_samples() == Approx(8));
    for (std::size_t i = 0; i < 7; ++i) CHECK(r[i] == Approx(expected(pi[i] / p[i])).epsilon(1e-12));
    return report;
  };
  CHECK(check(forward_kl{}, [](double t) { return 1 / t - 1; }).non_finite == 0);
  CHECK(r[7] == -1);
  CHECK(check(jensen_shannon{}, [](double t) { return std::log((1 + 1 / t) / 2); }).non_finite == 0);
  CHECK(r[7] == Approx(-std::log(2.0)));
  CHECK(check(total_variation{}, [](double t) { return t < 1 ? .5 : -.5; }).non_finite == 0);
  CHECK(r[7] == -.5);
  CHECK(check(reverse_kl{}, [](double t) { return -std::log(t); }).non_finite == 1);
  CHECK(r[7] == -infinity);
}

TEST_CASE("dpg: alpha-DPG limits a pseudo-reward without the family's factor") {
  const dpg::alpha_dpg method{.alpha = .25, .limit = .5};
  const std::size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
  const dpg_batch batch(problem, problem.proposal, all);
  const vector pi = problem.policy.probabilities(), p = problem.target().probabilities(), q = problem.proposal.probabilities();
  vector r(8), c(8);
  dpg::pseudo_rewards(method.generator(), batch.off_policy(), exact_z, r, method.reward());
  dpg::policy_coefficients(method.generator(), batch.off_policy(), exact_z, c, {.baseline = .1, .reward = method.reward(), .normalizer = 16.0});
  int limited = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    const double unlimited = std::pow(p[i] / pi[i], .75) - 1, expected = std::min(unlimited, .5);
    limited += unlimited > .5;
    CHECK(r[i] == Approx(expected).epsilon(1e-12));
    CHECK(c[i] == Approx(-pi[i] / q[i] * (expected - .1) / 16).epsilon(1e-12));
  }
  CHECK(limited > 0);
  CHECK_THROWS_AS((dpg::alpha_dpg{.alpha = 1}.generator()), attune::error);
  CHECK_THROWS_AS((dpg::alpha_dpg{.limit = 0}.reward()), attune::error);
}

TEST_CASE("dpg: parts of a batch give the whole's coefficients, masked samples nothing, strides and floats the same") {
  const std::size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
  const dpg_batch batch(problem, problem.proposal, all);
  vector whole(8), part(8, not_a_number);
  const auto x = batch.off_policy();
  const auto report = dpg::policy_coefficients(forward_kl{}, x, exact_z, whole);
  CHECK(report.non_finite == 0);
  for (std::size_t odd : {0u, 1u}) {
    std::vector<std::uint8_t> mask(8);
    dpg_batch half = batch;
    for (std::size_t i = 0; i < 8; ++i) {
      mask[i] = static_cast<std::uint8_t>(i % 2 == odd);
      if (!mask[i]) half.log_policy[i] = half.log_target[i] = half.log_proposal[i] = not_a_number;
    }
    auto masked = half.off_policy();
    masked.mask = mask;
    const auto found = dpg::policy_coefficients(forward_kl{}, masked, exact_z, part, {.normalizer = 8.0});
    CHECK(found.masked == 4);
    CHECK(found.non_finite == 0);
    for (std::size_t i = 0; i < 8; ++i) CHECK(part[i] == (mask[i] ? whole[i] : 0));
  }

  std::vector<float> policy, target, proposal, wide(16, -7.f);
  for (std::size_t i = 0; i < 8; ++i) {
    policy.push_back(float(batch.log_policy[i])), target.push_back(float(batch.log_target[i])), proposal.push_back(float(batch.log_proposal[i]));
  }
  const dpg::samples<float> narrow{.log_policy = policy, .log_target = target, .log_proposal = proposal};
  dpg::policy_coefficients(forward_kl{}, narrow, exact_z, attune::view<float>(wide.data(), {8}, {2}));
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(wide[2 * i] == Approx(whole[i]).epsilon(1e-5).margin(1e-7));
    CHECK(wide[2 * i + 1] == -7.f);
  }
}

TEST_CASE("dpg: contexts are normalised by their own Z") {
  const vector log_policy{-1, -1}, log_target{-1, -1};
  const std::vector<std::int64_t> context{0, 1};
  const dpg::samples<double> batch{.log_policy = log_policy, .log_target = log_target, .context = context};
  dpg::partitions z(2);
  z.set(0, 0);
  z.set(1, 1);
  vector r(2);
  dpg::pseudo_rewards(reverse_kl{}, batch, z, r);
  CHECK(r == vector{0, -1});
}

TEST_CASE("dpg: products that do not overflow are not lost to factors that do") {
  const vector log_policy{-2000, -2000}, log_target{-1000, -infinity}, log_proposal{-1000, -1000};
  const dpg::samples<double> batch{.log_policy = log_policy, .log_target = log_target, .log_proposal = log_proposal};
  vector c(2);
  CHECK(dpg::policy_coefficients(forward_kl{}, batch, known(0), c).non_finite == 0);  // (pi - p)/q with pi/q = 0, p/q = 1
  CHECK(c == vector{-.5, 0});
}

TEST_CASE("dpg: what is not a number is counted and stays visible") {
  const vector log_policy{-1, not_a_number, -1, -1}, log_target{-1, -1, not_a_number, -infinity};
  const dpg::samples<double> batch{.log_policy = log_policy, .log_target = log_target};
  vector r(4), c(4);
  for (const auto& report : {dpg::pseudo_rewards(jensen_shannon{}, batch, known(0), r), dpg::policy_coefficients(jensen_shannon{}, batch, known(0), c)}) {
    CHECK(report.non_finite == 2);
    CHECK(report.excluded == 1);
  }
  for (const vector& found : {r, c}) {
    CHECK(std::isnan(found[1]));
    CHECK(std::isnan(found[2]));
    CHECK((std::isfinite(found[0]) && std::isfinite(found[3])));
  }
  // A context that has seen excluded samples only: P is 0 there whatever Z is.
  const vector one{-1}, excluded{-infinity};
  const dpg::samples<double> hopeless{.log_policy = one, .log_target = excluded};
  dpg::partitions z;
  z.update(hopeless);
  CHECK(z.log_z() == -infinity);
  vector only(1);
  CHECK(dpg::policy_coefficients(forward_kl{}, hopeless, z, only).non_finite == 0);
  CHECK(only[0] == 1);
}

TEST_CASE("dpg: bad input is refused before anything is written") {
  const vector log_policy{-1, -2}, log_target{-1, -2}, short_vector{-1};
  const std::vector<std::int64_t> context{0, 3};
  const dpg::samples<double> good{.log_policy = log_policy, .log_target = log_target};
  vector c{7, 7}, shorter(1);
  const auto refuses = [&](const dpg::samples<double>& x, const dpg::partitions& z, const dpg::coefficient_options<double>& o = {}) {
    CHECK_THROWS_AS(dpg::policy_coefficients(jensen_shannon{}, x, z, c, o), attune::error);
    CHECK(c == vector{7, 7});
  };
  refuses({.log_policy = log_policy, .log_target = short_vector}, exact_z);
  refuses({.log_policy = log_policy, .log_target = log_target, .log_proposal = short_vector}, exact_z);
  refuses({.log_policy = log_policy, .log_target = log_target, .context = context}, exact_z);
  refuses(good, dpg::partitions(1));  // no estimate yet
  refuses(good, exact_z, {.baselines = short_vector});
  refuses(good, exact_z, {.baseline = 1, .baselines = log_policy});
  refuses(good, exact_z, {.reward = {.scale = 0}});
  refuses(good, exact_z, {.reward = {.limit = not_a_number}});
  refuses(good, exact_z, {.normalizer = 0.0});
  CHECK_THROWS_AS(dpg::policy_coefficients(jensen_shannon{}, good, exact_z, shorter), attune::error);
  CHECK_THROWS_WITH(dpg::policy_coefficients(jensen_shannon{}, good, exact_z, attune::view<double>(c.data(), {2}, {0})),
                    "attune: coefficients has stride 0; expected an element for every sample");
  const dpg::samples<double> elsewhere{.log_policy = log_policy, .log_target = log_target, .context = context};
  CHECK_THROWS_WITH(dpg::pseudo_rewards(jensen_shannon{}, elsewhere, exact_z, c),
                    "attune: samples.context of sample 1 is 3; expected one in [0, 1)");
}

TEST_CASE("dpg: a step allocates nothing") {
  const std::size_t all[] = {0, 1, 2, 3, 4, 5, 6, 7};
  const dpg_batch batch(problem, problem.proposal, all);
  const auto x = batch.off_policy();
  vector r(8), b(8), c(8);
  dpg::partitions z;
  dpg::windowed_mean mean(16);
  dpg::leave_one_out leave_one_out;
  const auto before = allocations();
  z.update(x);
  dpg::pseudo_rewards(jensen_shannon{}, x, z, r);
  leave_one_out(x, r, b);
  dpg::policy_coefficients(jensen_shannon{}, x, z, c, {.baselines = b});
  dpg::policy_coefficients(jensen_shannon{}, x, z, c, {.baseline = mean.value()});
  mean.update(r);
  CHECK(allocations() == before);
}
