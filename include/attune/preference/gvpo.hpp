// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/listwise.hpp>
#include <attune/ranking/pairwise.hpp>
#include <attune/score/log_ratio.hpp>

namespace attune {

/// Group variance policy optimisation: implicit rewards are to differ within a group as rewards do.
///
///   loss = 1/(2 (K - 1)) sum_i [ (z_i - mean z) - (r_i - mean r) ]^2,   z = beta (log pi(y) - log pi_old(y))
///   d loss / d log pi(y_i) = beta [ (z_i - mean z) - (r_i - mean r) ] / (K - 1)
///
/// ref_logp holds log pi_old, the log-probability under the policy that sampled y (or a fixed reference). 0 for a group of one.
/// Source   Zhang et al. 2025 (GVPO), with the 1/(K - 1) of verl's recipe.
struct gvpo {
  double beta = 0.1;

  ATTUNE_FN constexpr auto form() const { return listwise{score::log_ratio{}, ranking::centred_square{}, beta}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<gvpo>{"beta", &gvpo::beta, positive, "inverse temperature of the policy [1/nat]"}};
  }
};

}  // namespace attune
