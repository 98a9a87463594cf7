// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/listwise.hpp>
#include <attune/ranking/plackett_luce.hpp>
#include <attune/score/log_ratio.hpp>

namespace attune {

/// DPO on a ranking of K completions under the Plackett-Luce model:
///
///   loss = sum_i log sum_{j: r_j <= r_i} e^(beta D_j - beta D_i),   D = log pi(y) - log pi_ref(y)
///   d loss / d log pi(y_i) = beta ( sum_{k: r_k >= r_i} e^(beta D_i - L_k) - 1 ),   L_k = log sum_{j: r_j <= r_k} e^(beta D_j)
///
/// Of the rewards only the order matters; equal ones compete (ranking/plackett_luce.hpp). K = 2 is dpo. O(K log K).
/// Source   Rafailov et al. 2023, arXiv:2305.18290, appendix A.3; Xia et al. 2008 (ListMLE).
struct plackett_luce_dpo {
  double beta = 0.1;

  ATTUNE_FN constexpr auto form() const { return listwise{score::log_ratio{}, ranking::plackett_luce{}, beta}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<plackett_luce_dpo>{"beta", &plackett_luce_dpo::beta, positive, "inverse temperature of the policy [1/nat]"}};
  }
};

}  // namespace attune
