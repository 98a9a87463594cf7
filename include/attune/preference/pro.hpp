// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/listwise.hpp>
#include <attune/ranking/pairwise.hpp>
#include <attune/score/mean_logp.hpp>

namespace attune {

/// Preference ranking optimisation: each completion against all worse ones at temperatures set by the reward gaps.
///
///   loss = sum_i log( 1 + sum_{j: r_j < r_i} e^(s_j (r_i - r_j) - s_i g_i) ) - best_nll log pi(y_best) / |y_best|
///   s = log pi(y) / |y|  [nat/token],   g_i = r_i - min r
///
/// Needs no reference model. |y| > 0 [tokens].
/// Source   Song et al. 2023, arXiv:2306.17492 (best_nll is its beta; 0.05 (l - 1)^2 for l completions in its experiments).
struct pro {
  double best_nll = 0.05;

  ATTUNE_FN constexpr auto form() const { return listwise<score::mean_logp, ranking::preference_ranking>{.beta = 1, .best_nll = best_nll, .per_token = true}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<pro>{"best_nll", &pro::best_nll, nonnegative, "weight of the best completion's -log pi per token"}};
  }
};

}  // namespace attune
