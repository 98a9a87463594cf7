// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/listwise.hpp>
#include <attune/ranking/pairwise.hpp>
#include <attune/score/log_ratio.hpp>

namespace attune {

/// LiPO-lambda: learning to rank K completions, pairs weighted by their effect on the discounted gain (ranking/pairwise.hpp, lambda).
///
///   loss = sum_{i, j: r_i > r_j} w_ij log(1 + e^-(z_i - z_j)),   z = beta D,   D = log pi(y) - log pi_ref(y)
///   w_ij = (2^r_i - 2^r_j) |1/log(1 + n_i) - 1/log(1 + n_j)|,   n_i the place of z_i, constant
///
/// r: grades in [0, 1]. Equal scores take their places worst reward first, so that there is a gradient also where policy and reference agree
/// on the whole group, as at the first step of training.
/// Source   Liu et al. 2024, arXiv:2402.01878 (LiPO-lambda).
struct lipo_lambda {
  double beta = 0.05;

  ATTUNE_FN constexpr auto form() const { return listwise{score::log_ratio{}, ranking::lambda{}, beta}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<lipo_lambda>{"beta", &lipo_lambda::beta, positive, "inverse temperature [1/nat]"}};
  }
};

}  // namespace attune
