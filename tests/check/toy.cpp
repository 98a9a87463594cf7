// SPDX-License-Identifier: MIT
#include <attune/check/toy.hpp>

#include "support/catch.hpp"

#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>

#include <cmath>
#include <functional>
#include <limits>

namespace toy = attune::toy;
using toy::softmax_policy;

namespace {

const double infinity = std::numeric_limits<double>::infinity();

toy::vector log_of(toy::vector p) {
  for (double& x : p) x = std::log(x);
  return p;
}
double dot(const toy::vector& a, const toy::vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
double norm(const toy::vector& a) { return std::sqrt(dot(a, a)); }
double relative_error(toy::vector a, const toy::vector& exact) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= exact[i];
  return norm(a) / norm(exact);
}
double cosine(const toy::vector& a, const toy::vector& b) { return dot(a, b) / (norm(a) * norm(b)); }
void scale(toy::vector& a, double factor) {
  for (double& x : a) x *= factor;
}

/// Central differences of a function of the logits.
toy::vector finite_differences(const std::function<double(const softmax_policy&)>& f, softmax_policy policy) {
  toy::vector result;
  for (double& logit : policy.logits) {
    const double x = logit, h = 1e-5;
    logit = x + h;
    const double above = f(policy);
    logit = x - h;
    result.push_back((above - f(policy)) / (2 * h));
    logit = x;
  }
  return result;
}

/// The problem of the EXO tests: reference, reward, and a policy that differs from both.
struct exo_problem {
  softmax_policy reference{log_of({.35, .25, .2, .15, .05})};
  toy::vector reward = {0, 1, 2, -1, 3};
  softmax_policy policy{{.3, -.2, .5, .1, -.4}};
  double policy_temperature = .7;  ///< beta_pi
  double reward_temperature = .4;  ///< beta_r

  softmax_policy tempered(const softmax_policy& p) const {  // pi^beta_pi reference^(1 - beta_pi)
    return toy::geometric_mixture(p, policy_temperature, reference, 1 - policy_temperature);
  }
  softmax_policy target() const { return toy::tilted(reference, reward, reward_temperature); }

  /// Gradient with respect to the policy's own logits of a function whose coefficients on the tempered policy are given.
  toy::vector gradient(const softmax_policy& q, const toy::vector& coefficients) const {
    toy::vector result = q.gradient(coefficients);
    scale(result, policy_temperature);  // d log q_i = beta_pi d log pi_i + a constant
    return result;
  }
};

/// Calls f(counts, probability) for every multiset of `size` draws from p.
void for_each_multiset(const toy::vector& p, int size, const std::function<void(const std::vector<int>&, double)>& f) {
  std::vector<int> counts(p.size(), 0);
  const std::function<void(std::size_t, int, double)> place = [&](std::size_t outcome, int left, double log_probability) {
    if (outcome + 1 == p.size()) {
      counts[outcome] = left;
      f(counts, std::exp(log_probability + left * std::log(p[outcome]) - std::lgamma(left + 1.0)));
      return;
    }
    for (int c = 0; c <= left; ++c) {
      counts[outcome] = c;
      place(outcome + 1, left - c, log_probability + c * std::log(p[outcome]) - std::lgamma(c + 1.0));
    }
  };
  place(0, size, std::lgamma(size + 1.0));
}

}  // namespace

TEST_CASE("toy: log-probabilities of logits of any size") {
  const softmax_policy policy{{1000, 1000 + std::log(3.0), -infinity}};
  const toy::vector log_pi = policy.log_probabilities(), pi = policy.probabilities();
  CHECK(log_pi[0] == Approx(std::log(.25)).epsilon(1e-12));
  CHECK(log_pi[1] == Approx(std::log(.75)).epsilon(1e-12));
  CHECK(log_pi[2] == -infinity);
  CHECK(pi[2] == 0);
  CHECK(policy.entropy() == Approx(-.25 * std::log(.25) - .75 * std::log(.75)).epsilon(1e-12));
  CHECK(policy.expectation(toy::vector{4, 8, 100}) == Approx(7).epsilon(1e-12));
}

TEST_CASE("toy: entropy of a uniform policy is log K") {
  for (std::size_t k : {1u, 2u, 7u}) CHECK(softmax_policy{toy::vector(k, -3.0)}.entropy() == Approx(std::log(double(k))).margin(1e-15));
}

TEST_CASE("toy: gradients with respect to logits agree with finite differences") {
  const exo_problem problem;
  const softmax_policy& policy = problem.policy;
  const toy::vector c = {.3, -1.2, 2, .7, -.1};
  const auto weighted = [&](const softmax_policy& p) { return dot(c, p.log_probabilities()); };
  CHECK(relative_error(policy.gradient(c), finite_differences(weighted, policy)) < 1e-9);

  const softmax_policy target = problem.target();
  const auto check = [&](const auto& f) {
    const auto value = [&](const softmax_policy& p) { return toy::divergence(f, p, target); };
    CHECK(relative_error(policy.gradient(toy::divergence_coefficients(f, policy, target)), finite_differences(value, policy)) < 1e-8);
  };
  check(attune::divergence::forward_kl{});
  check(attune::divergence::reverse_kl{});
  check(attune::divergence::jensen_shannon{});
}

TEST_CASE("toy: divergences are the textbook sums") {
  const softmax_policy pi{log_of({.5, .3, .2})}, p{log_of({.1, .6, .3})};
  const double reverse = .5 * std::log(.5 / .1) + .3 * std::log(.3 / .6) + .2 * std::log(.2 / .3);
  const double forward = .1 * std::log(.1 / .5) + .6 * std::log(.6 / .3) + .3 * std::log(.3 / .2);
  CHECK(toy::kl(pi, p) == Approx(reverse).epsilon(1e-13));
  CHECK(toy::divergence(attune::divergence::forward_kl{}, pi, p) == Approx(forward).epsilon(1e-13));
  CHECK(toy::kl(p, pi) == Approx(forward).epsilon(1e-13));
  CHECK(toy::kl(pi, pi) == 0);
}

TEST_CASE("toy: outcomes that one side excludes contribute their atoms") {
  const softmax_policy wide{log_of({.5, .25, .25})}, narrow{{std::log(.5), std::log(.5), -infinity}};
  CHECK(toy::kl(wide, narrow) == infinity);
  CHECK(toy::kl(narrow, wide) == Approx(.5 * std::log(2.0)).epsilon(1e-13));
  CHECK(toy::divergence(attune::divergence::forward_kl{}, narrow, wide) == infinity);
  CHECK(toy::divergence(attune::divergence::forward_kl{}, wide, narrow) == Approx(.5 * std::log(2.0)).epsilon(1e-13));
  // With m = (.5, .375, .125):  KL(wide || m) + KL(narrow || m).
  const double sum = .25 * std::log(.25 / .375) + .25 * std::log(2.0) + .5 * std::log(.5 / .375);
  CHECK(toy::divergence(attune::divergence::jensen_shannon{}, wide, narrow) == Approx(sum).epsilon(1e-13));
  CHECK(toy::divergence(attune::divergence::jensen_shannon{}, narrow, wide) == Approx(sum).epsilon(1e-13));
}

TEST_CASE("toy: sizes that differ are refused") {
  const softmax_policy two{{0, 0}}, three{{0, 0, 0}};
  CHECK_THROWS_WITH(two.expectation(toy::vector{1, 2, 3}), "attune::toy: function has 3 outcomes; expected 2");
  CHECK_THROWS_AS(two.gradient(toy::vector{1}), attune::error);
  CHECK_THROWS_AS(toy::kl(two, three), attune::error);
  CHECK_THROWS_AS(toy::geometric_mixture(two, 1, three, 1), attune::error);
  CHECK_THROWS_AS(toy::tilted(two, toy::vector{1}, 1), attune::error);
  CHECK_THROWS_AS(softmax_policy{}.probabilities(), attune::error);
}

// arXiv:2402.00856: with J = E_q[r] - beta_r KL(q || reference), q the tempered policy and target = reference e^(r / beta_r) / Z,
//   J = -beta_r KL(q || target) + beta_r log Z     and so     grad KL(q || target) = -(1 / beta_r) grad J     at every policy.
TEST_CASE("toy: the reverse KL to the tilted reference has the gradient of RLHF, exactly") {
  const exo_problem problem;
  const softmax_policy q = problem.tempered(problem.policy), target = problem.target();
  const double beta_r = problem.reward_temperature;
  const auto objective = [&](const softmax_policy& p) {
    const softmax_policy tempered = problem.tempered(p);
    return tempered.expectation(problem.reward) - beta_r * toy::kl(tempered, problem.reference);
  };

  const toy::vector log_q = q.log_probabilities(), log_ref = problem.reference.log_probabilities(), probability = q.probabilities();
  toy::vector j_coefficients;
  for (std::size_t i = 0; i < 5; ++i) j_coefficients.push_back(probability[i] * (problem.reward[i] - beta_r * (log_q[i] - log_ref[i])));
  toy::vector from_j = problem.gradient(q, j_coefficients);
  scale(from_j, -1 / beta_r);
  const toy::vector from_kl = problem.gradient(q, toy::divergence_coefficients(attune::divergence::reverse_kl{}, q, target));

  const toy::vector expected = {.334697, -.108359, -.513508, .610093, -.322922};
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(from_kl[i] == Approx(from_j[i]).epsilon(1e-13));
    CHECK(from_kl[i] == Approx(expected[i]).epsilon(0).margin(6e-7));
  }
  toy::vector numeric = finite_differences(objective, problem.policy);
  scale(numeric, -1 / beta_r);
  CHECK(relative_error(from_kl, numeric) < 1e-9);

  double z = 0;
  for (std::size_t i = 0; i < 5; ++i) z += std::exp(log_ref[i] + problem.reward[i] / beta_r);
  CHECK(std::abs(objective(problem.policy) + beta_r * toy::kl(q, target) - beta_r * std::log(z)) < 1e-14);
  CHECK(toy::kl(q, target) == Approx(2.844543).epsilon(0).margin(6e-7));
  CHECK(toy::kl(target, q) == Approx(1.412045).epsilon(0).margin(6e-7));
}

// Groups of K completions drawn from the reference; policy softmax_K(beta_pi log-ratio), target softmax_K(r / beta_r). The reverse KL between
// them (EXO) tends to the reverse KL of the distributions, its gradient's error halving as K doubles; the forward KL (DPO with rewards) to
// the forward one, more slowly. Expectations over groups are exact: every multiset is visited.
TEST_CASE("toy: EXO's group gradient converges to that of RLHF") {
  const exo_problem problem;
  const softmax_policy q = problem.tempered(problem.policy), target = problem.target();
  const attune::divergence::reverse_kl reverse;
  const attune::divergence::forward_kl forward;
  const toy::vector exact_reverse = problem.gradient(q, toy::divergence_coefficients(reverse, q, target));
  const toy::vector exact_forward = problem.gradient(q, toy::divergence_coefficients(forward, q, target));
  const toy::vector log_pi = problem.policy.log_probabilities(), log_ref = problem.reference.log_probabilities();

  struct row {
    int k;
    double exo_loss, exo_error, exo_cosine, dpo_loss, dpo_error;
  };
  const row table[] = {{2, .919216, .62472, .971952, .374870, .94686},
                       {4, 1.652811, .35074, .992864, .677689, .86606},
                       {8, 2.166897, .18499, .998177, .913473, .72145},
                       {16, 2.487198, .09479, .999538, 1.109654, .48343}};
  for (const row& r : table) {
    double exo_loss = 0, dpo_loss = 0, total = 0;
    toy::vector exo(5, 0.0), dpo(5, 0.0);
    for_each_multiset(problem.reference.probabilities(), r.k, [&](const std::vector<int>& counts, double probability) {
      softmax_policy group, group_target;
      std::vector<std::size_t> outcome;
      for (std::size_t i = 0; i < 5; ++i) {
        for (int c = 0; c < counts[i]; ++c) {
          outcome.push_back(i);
          group.logits.push_back(problem.policy_temperature * (log_pi[i] - log_ref[i]));
          group_target.logits.push_back(problem.reward[i] / problem.reward_temperature);
        }
      }
      total += probability;
      exo_loss += probability * toy::divergence(reverse, group, group_target);
      dpo_loss += probability * toy::divergence(forward, group, group_target);
      // d group logit = beta_pi d log pi(outcome): group gradients become coefficients of the outcomes.
      const toy::vector exo_group = group.gradient(toy::divergence_coefficients(reverse, group, group_target));
      const toy::vector dpo_group = group.gradient(toy::divergence_coefficients(forward, group, group_target));
      for (std::size_t j = 0; j < outcome.size(); ++j) {
        exo[outcome[j]] += probability * problem.policy_temperature * exo_group[j];
        dpo[outcome[j]] += probability * problem.policy_temperature * dpo_group[j];
      }
    });
    const toy::vector exo_gradient = problem.policy.gradient(exo), dpo_gradient = problem.policy.gradient(dpo);
    CHECK(total == Approx(1).epsilon(1e-12));
    CHECK(exo_loss == Approx(r.exo_loss).epsilon(0).margin(6e-7));
    CHECK(dpo_loss == Approx(r.dpo_loss).epsilon(0).margin(6e-7));
    CHECK(relative_error(exo_gradient, exact_reverse) == Approx(r.exo_error).epsilon(0).margin(6e-6));
    CHECK(cosine(exo_gradient, exact_reverse) == Approx(r.exo_cosine).epsilon(0).margin(6e-7));
    CHECK(relative_error(dpo_gradient, exact_forward) == Approx(r.dpo_error).epsilon(0).margin(6e-6));
  }
}
