// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/reverse_kl.hpp>
#include <attune/preference/listwise.hpp>
#include <attune/ranking/divergence.hpp>
#include <attune/score/log_ratio.hpp>

namespace attune {

/// Efficient exact optimisation on K completions with rewards: reverse KL between the two softmax distributions of the group.
///
///   loss = KL(q || p) = sum_i q_i log(q_i / p_i),   q = softmax(beta D),   p = softmax(r / temperature),   D = log pi(y) - log pi_ref(y)
///   d loss / d log pi(y_i) = beta q_i ( log(q_i/p_i) - loss )
///
/// For K -> infinity completions drawn from the reference its gradient tends to the exact one of KL-regularised reward maximisation, with
/// error O(1/K). log pi(y): sum over tokens [nat]; rewards r in any unit, temperature in reward per nat. >= 0; 0 for a group of one.
/// Source   Ji et al. 2024, arXiv:2402.00856 (EXO with reward models; beta is its beta_pi, temperature its beta_r).
struct exo_rw {
  double beta = 0.1;
  double temperature = 0.1;

  ATTUNE_FN constexpr auto form() const { return listwise{score::log_ratio{}, ranking::softmax_divergence<divergence::reverse_kl>{.temperature = temperature}, beta}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<exo_rw>{"beta", &exo_rw::beta, positive, "inverse temperature of the policy [1/nat]"},
                      parameter<exo_rw>{"temperature", &exo_rw::temperature, positive, "of the rewards [reward/nat]"}};
  }
};

}  // namespace attune
