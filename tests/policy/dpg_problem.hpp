// SPDX-License-Identifier: MIT
// The problem of the tests of f-DPG: a target that excludes its last outcome, a policy and a proposal; batches of drawn outcomes.
#pragma once

#include <attune/check/toy.hpp>
#include <attune/policy/dpg/samples.hpp>

#include <cmath>
#include <limits>

namespace attune_test {

namespace toy = attune::toy;
using vector = std::vector<double>;
inline constexpr double infinity = std::numeric_limits<double>::infinity(), not_a_number = std::numeric_limits<double>::quiet_NaN();

struct dpg_problem {
  vector log_target;  // log P, P = a x factor
  double z = 0;       // 1.07
  toy::softmax_policy policy{{.1, -.4, .3, .2, -.7, .5, 0, -.2}}, proposal{{.5, .2, -.3, 0, .4, -.8, .1, .6}};

  dpg_problem() {
    const double a[] = {.30, .25, .15, .12, .10, .05, .02, .01}, factor[] = {1, .2, 2, .5, 1, 4, 3, 0};
    for (int i = 0; i < 8; ++i) {
      log_target.push_back(std::log(a[i] * factor[i]));
      z += a[i] * factor[i];
    }
  }
  toy::softmax_policy target() const { return {log_target}; }
};

/// The batch of some drawn outcomes: owns what dpg::samples views.
struct dpg_batch {
  vector log_policy, log_target, log_proposal;

  dpg_batch(const dpg_problem& x, const toy::softmax_policy& q, std::span<const std::size_t> draws) {
    const vector log_pi = x.policy.log_probabilities(), log_q = q.log_probabilities();
    for (std::size_t i : draws) {
      log_policy.push_back(log_pi[i]);
      log_target.push_back(x.log_target[i]);
      log_proposal.push_back(log_q[i]);
    }
  }
  attune::dpg::samples<double> on_policy() const { return {.log_policy = log_policy, .log_target = log_target}; }
  attune::dpg::samples<double> off_policy() const { return {.log_policy = log_policy, .log_target = log_target, .log_proposal = log_proposal}; }
};

/// The gradient of the policy's logits from coefficients of drawn outcomes.
inline vector gradient_of(const toy::softmax_policy& policy, std::span<const std::size_t> draws, const vector& coefficients) {
  vector by_outcome(policy.size(), 0.0);
  for (std::size_t n = 0; n < draws.size(); ++n) by_outcome[draws[n]] += coefficients[n];
  return policy.gradient(by_outcome);
}

}  // namespace attune_test
