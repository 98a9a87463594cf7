// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/dpo.hpp>
#include <attune/preference/ipo.hpp>
#include <attune/preference/weighted_sum.hpp>

namespace attune {

/// Log-probability of a completion that is to become rarer (detailed_pair's target):  loss = log pi(y*)  [nat],   d loss / d log pi(y*) = 1.
struct target_logp {
  template <class S> ATTUNE_FN S operator()(const detailed_pair<S>& x) const { return x.target_logp; }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return y.logp; }
};

/// Exploratory preference optimisation: online DPO on one completion of the policy and one of the reference model, and a bonus for leaving what
/// the reference model writes.
///
///   loss = -log sigmoid(z) + alpha log pi(y_ref),   z = beta (D_w - D_l) - margin,   D = log pi(y) - log pi_ref(y)
///   d loss / d log pi(y_w) = -beta sigmoid(-z) = -d loss / d log pi(y_l),   d loss / d log pi(y_ref) = alpha
///
/// y_ref, the reference model's completion, is y_w in one pair and y_l in another: pairs.target holds log pi(y_ref) [nat], the same number as
/// in chosen or rejected, and its gradient is to be added to that of the same completion. alpha >= 0: 1e-5 in TRL, where it is also a list
/// over epochs. The paper's alpha falls with the iterations.
/// Source   Xie et al. 2024, arXiv:2405.21046; TRL's XPO trainer (sums over tokens).
struct xpo {
  double beta = 0.1;
  double alpha = 1e-5;

  ATTUNE_FN constexpr auto form() const { return weighted_sum{term{1.0, dpo{beta}}, term{alpha, target_logp{}}}; }
  template <class S> ATTUNE_FN S operator()(const detailed_pair<S>& x) const { return form()(x); }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<xpo>{"beta", &xpo::beta, positive, "inverse temperature [1/nat]"},
                      parameter<xpo>{"alpha", &xpo::alpha, nonnegative, "weight of the bonus for exploration"}};
  }
};

/// The same with the loss of IPO:  loss = (D_w - D_l - margin/beta - 1/(2 beta))^2 + alpha log pi(y_ref).
/// Source   TRL's XPO trainer (loss_type "ipo", with sums over tokens).
struct xpo_ipo {
  double beta = 0.1;
  double alpha = 1e-5;

  ATTUNE_FN constexpr auto form() const { return weighted_sum{term{1.0, ipo{beta}}, term{alpha, target_logp{}}}; }
  template <class S> ATTUNE_FN S operator()(const detailed_pair<S>& x) const { return form()(x); }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<xpo_ipo>{"beta", &xpo_ipo::beta, positive, "inverse temperature [1/nat]"},
                      parameter<xpo_ipo>{"alpha", &xpo_ipo::alpha, nonnegative, "weight of the bonus for exploration"}};
  }
};

}  // namespace attune
