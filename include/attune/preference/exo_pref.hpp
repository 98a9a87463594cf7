// SPDX-License-Identifier: MIT
#pragma once

#include <attune/link/exo.hpp>
#include <attune/preference/preference.hpp>
#include <attune/score/log_ratio.hpp>

namespace attune {

/// Efficient exact optimisation on preference pairs: the reverse KL divergence from the label distribution to the policy's preference.
///
///   loss = s(z) [log s(z) - log(1 - e)] + s(-z) [log s(-z) - log e],   s = sigmoid,  z = beta (D_w - D_l) - margin
///   d loss / d log pi(y_w) = beta s(z) s(-z) (z - log((1 - e)/e)) = -d loss / d log pi(y_l),   D = log pi(y) - log pi_ref(y)
///
/// e = label_smoothing in (0, 1/2): 0 has no finite value. Minimum 0 at z = log((1 - e)/e), which is also cDPO's; the gradient vanishes
/// for pairs that the policy has very wrong (z -> -inf), where the loss tends to -log e.
/// Source   Ji et al. 2024, arXiv:2402.00856, eq. 16.
struct exo_pref {
  double beta = 0.1;
  double label_smoothing = 1e-3;

  ATTUNE_FN constexpr auto form() const { return preference{score::log_ratio{}, link::exo{label_smoothing}, beta}; }
  template <class S> ATTUNE_FN S operator()(const pair<S>& x) const { return form()(x); }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<exo_pref>{"beta", &exo_pref::beta, positive, "inverse temperature [1/nat]"},
                      parameter<exo_pref>{"label_smoothing", &exo_pref::label_smoothing, {.lower = 0, .upper = 0.5}, "probability mass of the rejected completion in the target"}};
  }
};

/// EXO on preference pairs with the target of the authors' code: log-masses 0 and -10 that do not sum to one.
///
///   loss = s(z) log s(z) + s(-z) [log s(-z) + 10],   z = beta (D_w - D_l) - margin,   minimum -log(1 + e^-10) at z = 10
///   d loss / d log pi(y_w) = beta s(z) s(-z) (z - 10) = -d loss / d log pi(y_l)
///
/// Source   the authors' repository, exact-optimization, at a8ab360.
struct exo_pref_authors {
  double beta = 0.1;

  ATTUNE_FN constexpr auto form() const { return preference{score::log_ratio{}, link::exo_authors{}, beta}; }
  template <class S> ATTUNE_FN S operator()(const pair<S>& x) const { return form()(x); }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<exo_pref_authors>{"beta", &exo_pref_authors::beta, positive, "inverse temperature [1/nat]"}};
  }
};

}  // namespace attune
