// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/listwise.hpp>
#include <attune/ranking/pairwise.hpp>
#include <attune/score/mean_logp.hpp>

namespace attune {

/// Rank responses to align with human feedback: a hinge on every wrongly ordered pair of mean log-probs, plus likelihood of the best one.
///
///   loss = sum_{i, j: r_i < r_j} max(0, s_i - s_j) - best_nll log pi(y_best),   s = log pi(y) / |y|  [nat/token]
///
/// Needs no reference model. At a kink (s_i = s_j) the hinge's derivative is 0. |y| > 0 [tokens].
/// Source   Yuan et al. 2023, arXiv:2304.05302.
struct rrhf {
  double best_nll = 1;

  ATTUNE_FN constexpr auto form() const { return listwise<score::mean_logp, ranking::rank_hinge>{.beta = 1, .best_nll = best_nll}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<rrhf>{"best_nll", &rrhf::best_nll, nonnegative, "weight of the best completion's -log pi"}};
  }
};

}  // namespace attune
