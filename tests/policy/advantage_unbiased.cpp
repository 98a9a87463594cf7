// SPDX-License-Identifier: MIT
// What advantages do to the gradient, from every tuple of draws that there can be: which leave it unbiased, which scale it and by how much,
// which turn it.
#include "support/catch.hpp"

#include <attune/check/toy.hpp>
#include <attune/policy/advantage/baselines.hpp>
#include <attune/policy/advantage/gae.hpp>
#include <attune/policy/advantage/pass_at_k.hpp>
#include <attune/policy/advantage/v_trace.hpp>

#include <algorithm>
#include <functional>

namespace adv = attune::advantage;
namespace toy = attune::toy;
using adv::spread;
using draws = std::span<const std::size_t>;
using toy::vector;

namespace {

/// A prompt with answers of known rewards: the exact gradient of E[r], and that of a trainer which draws a group.
struct problem {
  toy::softmax_policy policy;
  vector reward;

  vector exact() const { return policy.gradient(toy::expectation_coefficients(policy, reward)); }
  vector rewards_of(draws d) const {
    vector r;
    for (std::size_t i : d) r.push_back(reward[i]);
    return r;
  }
  /// sum_i weight A_i grad log pi(y_i)
  vector gradient(draws d, const vector& advantages, double weight) const {
    vector c(policy.size(), 0.0);
    for (std::size_t n = 0; n < d.size(); ++n) c[d[n]] += weight * advantages[n];
    return policy.gradient(c);
  }
  auto step(const adv::group_options& o) const {
    return [this, o](draws d) {
      vector a(d.size());
      const vector r = rewards_of(d);
      adv::of_groups(r, {.group_size = std::int64_t(d.size())}, a, o);
      return gradient(d, a, 1.0 / double(d.size()));
    };
  }
};
const problem graded{{{.1, -.4, .6, -1.2}}, {1, .25, -.5, 3}}, binary{{{.1, -.4, .6, -1.2}}, {1, 0, 0, 1}};

vector scaled(vector x, double factor) {
  for (double& v : x) v *= factor;
  return x;
}
double cosine(const vector& a, const vector& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return ab / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("unbiased: RLOO's advantages are, those around the group's own mean are (n-1)/n of the gradient") {
  for (const problem& p : {graded, binary}) {
    for (int n : {2, 3, 4}) {
      const auto loo = toy::check_unbiased(p.policy, n, p.step(adv::rloo), p.exact());
      INFO(loo.explanation);
      CHECK(loo);
      CHECK_FALSE(toy::check_unbiased(p.policy, n, p.step(adv::dr_grpo), p.exact()));
      CHECK(toy::check_unbiased(p.policy, n, p.step(adv::dr_grpo), scaled(p.exact(), double(n - 1) / n)));
    }
  }
}

TEST_CASE("unbiased: ReMax is, with one sample and with more") {
  const double greedy = graded.reward[2];  // the likeliest answer's
  for (int n : {1, 3}) {
    const auto check = toy::check_unbiased(graded.policy, n, [&](draws d) {
      const vector baseline{greedy};
      vector a(d.size());
      const vector r = graded.rewards_of(d);
      adv::remax(r, baseline, {.group_size = std::int64_t(d.size())}, a);
      return graded.gradient(d, a, 1.0 / double(d.size()));
    }, graded.exact());
    INFO(check.explanation);
    CHECK(check);
  }
}

TEST_CASE("unbiased: the group's deviation biases the gradient, in direction where rewards have three values and more") {
  for (int n : {3, 5}) {
    for (const adv::group_options& o : {adv::grpo, adv::group_options{.mean = adv::centre::leave_one_out}}) {
      CHECK_FALSE(toy::check_unbiased(graded.policy, n, graded.step(o), graded.exact()));
      const vector mean = toy::exact_moments(graded.policy, n, graded.step(o)).mean;
      CHECK(cosine(mean, graded.exact()) < .99);  // .971 for 3 samples, .979 for 5
      CHECK_FALSE(toy::check_unbiased(binary.policy, n, binary.step(o), binary.exact()));
      CHECK(cosine(toy::exact_moments(binary.policy, n, binary.step(o)).mean, binary.exact()) == Approx(1).epsilon(1e-12));
    }
  }
}

TEST_CASE("unbiased: the others' mean and deviation keep the direction, and stretch it by the mean of 1/deviation") {
  const adv::group_options o = adv::leave_one_out_normalised;
  for (const problem& p : {graded, binary}) {
    for (int n : {3, 4}) {
      const auto stretch = toy::exact_moments(p.policy, n - 1, [&](draws d) {
        const vector r = p.rewards_of(d);
        const double s = attune::reward::statistics_of(r).deviation(1);
        return vector{s > 0 ? 1 / (s + o.eps) : 1};
      });
      const auto check = toy::check_unbiased(p.policy, n, p.step(o), scaled(p.exact(), stretch.mean[0]));
      INFO(check.explanation);
      CHECK(check);
    }
  }
}

TEST_CASE("unbiased: pass@k's advantages are those of the best of the group") {
  for (const problem& p : {graded, binary}) {
    for (int n : {2, 3, 4}) {
      const auto best = [&](draws d) {
        const vector r = p.rewards_of(d);
        return *std::max_element(r.begin(), r.end());
      };
      const vector exact = toy::exact_moments(p.policy, n, [&](draws d) { return p.gradient(d, vector(d.size(), best(d)), 1); }).mean;
      const auto check = toy::check_unbiased(p.policy, n, [&](draws d) {
        vector a(d.size());
        const vector r = p.rewards_of(d);
        adv::pass_at_k(r, {.group_size = std::int64_t(d.size())}, a, {.scaled = false});
        return p.gradient(d, a, 1);
      }, exact);
      INFO(check.explanation);
      CHECK(check);
    }
  }
}

namespace {

/// Strings of up to three tokens, a reward on each token; a critic's values of prefixes.
struct strings {
  toy::tree_policy policy = toy::tree_policy::strings(2, 3);
  vector reward;                               // of entering each node
  std::vector<std::vector<std::size_t>> path;  // nodes of each leaf, without the root

  strings() {
    for (std::size_t n = 0; n < policy.nodes(); ++n) {
      policy.logits[n] = .8 * std::sin(double(3 * n + 1));
      reward.push_back(n == 0 ? 0 : std::cos(double(5 * n)));
    }
    for (std::size_t leaf : policy.leaves()) {
      path.emplace_back();
      for (std::size_t n = leaf; n != toy::tree_policy::root; n = policy.parent[n]) path.back().insert(path.back().begin(), n);
    }
  }
  vector exact() const {
    vector total;
    for (const auto& nodes : path) {
      total.push_back(0);
      for (std::size_t n : nodes) total.back() += reward[n];
    }
    return policy.gradient(toy::expectation_coefficients(policy, total));
  }
  /// sum_t A_t grad log pi(node t | its parent), A from rewards and the values of the prefixes
  vector step(std::size_t leaf, const vector& values, const adv::gae_options& o) const {
    vector r, v, result(policy.nodes(), 0.0);
    for (std::size_t n : path[leaf]) r.push_back(reward[n]), v.push_back(values[policy.parent[n]]);
    vector a(r.size());
    adv::gae(attune::sequences(1, std::int64_t(r.size())), attune::packed(std::as_const(r)), attune::packed(std::as_const(v)), attune::packed(a), {}, o);
    const vector log_step = policy.step_log_probabilities();
    for (std::size_t t = 0; t < a.size(); ++t) {
      const std::size_t n = path[leaf][t];
      result[n] += a[t];
      for (std::size_t m = 1; m < policy.nodes(); ++m) {
        if (policy.parent[m] == policy.parent[n]) result[m] -= a[t] * std::exp(log_step[m]);
      }
    }
    return result;
  }
};

}  // namespace

TEST_CASE("unbiased: GAE is with true values for every lambda, with any values for lambda 1, and else not") {
  const strings s;
  const vector truth = s.policy.values(s.reward), exact = s.exact();
  vector guess;
  for (std::size_t n = 0; n < truth.size(); ++n) guess.push_back(.5 * std::sin(double(n)));
  const auto check = [&](const vector& values, const adv::gae_options& o) {
    return toy::check_unbiased(s.policy, 1, [&](draws d) { return s.step(d[0], values, o); }, exact);
  };
  for (double lambda : {0.0, .5, .95, 1.0}) {
    const auto with_truth = check(truth, {.lambda = lambda});
    INFO(with_truth.explanation);
    CHECK(with_truth);
    CHECK(bool(check(guess, {.lambda = lambda})) == (lambda == 1));
  }
  CHECK(check(truth, {.lambda = 0, .length_alpha = .4}).passed == false);  // the length is not known when a token is chosen
  CHECK_FALSE(check(truth, {.gamma = .9, .lambda = .5}));
}

TEST_CASE("unbiased: V-trace finds the value under pi, and with a finite rho_bar that of the policy between, for any trace") {
  const strings pi;
  toy::tree_policy mu = pi.policy;
  for (std::size_t n = 0; n < mu.nodes(); ++n) mu.logits[n] = .9 * std::cos(double(7 * n));
  const vector log_pi = pi.policy.step_log_probabilities(), log_mu = mu.step_log_probabilities();
  const auto root_target = [&](const vector& values, const adv::v_trace_options& o) {
    return [&, values, o](draws d) {
      vector l, r, v;
      for (std::size_t n : pi.path[d[0]]) l.push_back(log_pi[n] - log_mu[n]), r.push_back(pi.reward[n]), v.push_back(values[pi.policy.parent[n]]);
      vector a(r.size()), target(r.size());
      adv::v_trace(attune::sequences(1, std::int64_t(r.size())), attune::packed(std::as_const(l)), attune::packed(std::as_const(r)), attune::packed(std::as_const(v)),
                   attune::packed(a), attune::packed(target), o);
      return vector{target[0]};
    };
  };
  const vector truth = pi.policy.values(pi.reward), exact{truth[0]}, zero(truth.size(), 0.0);
  const auto unbounded = toy::check_unbiased(mu, 1, root_target(zero, {.rho_bar = attune::infinity<double>, .c_bar = attune::infinity<double>}), exact);
  INFO(unbounded.explanation);
  CHECK(unbounded);
  CHECK_FALSE(toy::check_unbiased(mu, 1, root_target(zero, {.rho_bar = attune::infinity<double>, .c_bar = 1}), exact));

  for (double rho_bar : {.5, 1.0, 1.5}) {
    toy::tree_policy between = pi.policy;  // proportional to min(rho_bar mu, pi) at every prefix
    for (std::size_t n = 1; n < mu.nodes(); ++n) between.logits[n] = std::min(std::log(rho_bar) + log_mu[n], log_pi[n]);
    const vector values = between.values(pi.reward);
    for (double c_bar : {.3, 1.0, attune::infinity<double>}) {
      const auto fixed_point = toy::check_unbiased(mu, 1, root_target(values, {.rho_bar = rho_bar, .c_bar = c_bar}), vector{values[0]});
      INFO(fixed_point.explanation);
      CHECK(fixed_point);
      CHECK_FALSE(toy::check_unbiased(mu, 1, root_target(truth, {.rho_bar = rho_bar, .c_bar = c_bar}), exact));
    }
  }
}
