// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/math.hpp>  // log_add_exp, sigmoid, softplus
#include <attune/ranking/order.hpp>

namespace attune::ranking {

/// Plackett-Luce negative log-likelihood of the ranking by reward (ListMLE):
///
///   L = sum_i [ L_i - z_i ],   L_i = log sum_{j: r_j <= r_i} e^z_j          z [nat]; of the rewards only the order matters
///   dL/dz_i = sum_{k: r_k >= r_i} e^(z_i - L_k) - 1
///
/// Completions of equal reward compete with one another and with all that are worse (Breslow's form of ties): the result does not depend
/// on their order. 0 for a group of one. O(K log K).
/// Source   Plackett 1975, Luce 1959; Xia et al. 2008 (ListMLE); Rafailov et al. 2023, arXiv:2305.18290, appendix A.3.
struct plackett_luce {
  ATTUNE_FN double operator()(values z, values r, double* dz) const {
    int rank[list_room];
    order_by_descending(r, rank);
    const auto score = [&](int k) { return z[rank[k]]; };
    const auto tied = [&](int k, int l) { return r[rank[k]] == r[rank[l]]; };

    // From the worst to the best. L_i - z_i = log(1 + e^(others - z_i)), others: the log-sum of all that i competes with.
    double others[list_room], log_sum[list_room], total = -infinity<double>, loss = 0;
    for (int begin, end = z.size; end > 0; end = begin) {
      for (begin = end - 1; begin > 0 && tied(begin - 1, end - 1);) --begin;
      double after = -infinity<double>;
      for (int k = begin; k < end; ++k) others[k] = total, total = log_add_exp(total, score(k));
      for (int k = end; k-- > begin;) others[k] = log_add_exp(others[k], after), after = log_add_exp(after, score(k));
      for (int k = begin; k < end; ++k) log_sum[k] = total, loss += softplus(others[k] - score(k));
    }
    // From the best to the worst: the log of sum 1/e^L over all that are better.
    double log_better = -infinity<double>;
    for (int begin = 0, end; begin < z.size; begin = end) {
      for (end = begin + 1; end < z.size && tied(begin, end);) ++end;
      const double ties = end - begin;
      for (int k = begin; k < end; ++k) {
        dz[rank[k]] = exp(score(k) + log_better) + (ties - 1) * exp(score(k) - log_sum[k]) - sigmoid(others[k] - score(k));
      }
      log_better = log_add_exp(log_better, log(ties) - log_sum[begin]);
    }
    return loss;
  }
};

}  // namespace attune::ranking
