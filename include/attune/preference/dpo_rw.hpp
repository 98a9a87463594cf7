// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/listwise.hpp>
#include <attune/ranking/cross_entropy.hpp>
#include <attune/score/log_ratio.hpp>

namespace attune {

/// DPO on K completions with rewards: cross-entropy between the softmax of the rewards and that of the implicit rewards.
///
///   loss = -sum_i p_i log q_i,   q = softmax(beta D),   p = softmax(r / temperature),   D = log pi(y) - log pi_ref(y)
///   d loss / d log pi(y_i) = beta (q_i - p_i)
///
/// The forward KL(p || q) plus the entropy of p. log pi(y): sum over tokens [nat]. ListNet's loss at temperature 1, and InfoNCA's.
/// Source   Ji et al. 2024, arXiv:2402.00856 (code: dpo-rw); Chen et al. 2024, arXiv:2402.05369 (InfoNCA); Cao et al. 2007 (ListNet).
struct dpo_rw {
  double beta = 0.1;
  double temperature = 0.1;

  ATTUNE_FN constexpr auto form() const { return listwise{score::log_ratio{}, ranking::cross_entropy{temperature}, beta}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<dpo_rw>{"beta", &dpo_rw::beta, positive, "inverse temperature of the policy [1/nat]"},
                      parameter<dpo_rw>{"temperature", &dpo_rw::temperature, positive, "of the rewards [reward/nat]"}};
  }
};

/// DPO on K completions of which the one with the highest reward is the chosen one:
///
///   loss = -log q_best,   q = softmax(beta D),   D = log pi(y) - log pi_ref(y);      d loss / d log pi(y_i) = beta (q_i - [i is best])
///
/// K = 2 is dpo. Completions that share the highest reward share the label. 0 for a group of one.
/// Source   the K-way form in Ji et al. 2024, arXiv:2402.00856 (code: dpo-pref); Chen et al. 2024, arXiv:2406.09215 (softmax-DPO).
struct dpo_best {
  double beta = 0.1;

  ATTUNE_FN constexpr auto form() const { return listwise{score::log_ratio{}, ranking::best_of_group{}, beta}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<dpo_best>{"beta", &dpo_best::beta, positive, "inverse temperature of the policy [1/nat]"}};
  }
};

}  // namespace attune
