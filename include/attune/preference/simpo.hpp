// SPDX-License-Identifier: MIT
#pragma once

#include <attune/link/logistic.hpp>
#include <attune/preference/preference.hpp>
#include <attune/score/mean_logp.hpp>

namespace attune {

/// Simple preference optimisation: length-normalised, without a reference model.
///
///   loss = -log sigmoid(z),   z = beta ( log pi(y_w)/|y_w| - log pi(y_l)/|y_l| ) - gamma - margin
///   d loss / d log pi(y_w) = -sigmoid(-z) beta/|y_w|,   d loss / d log pi(y_l) = +sigmoid(-z) beta/|y_l|
///
/// beta in (0, inf) [tokens/nat]; gamma [nat] is the target margin ITSELF, as in the paper; the authors' configuration files hold the ratio
/// gamma/beta (their 0.25 at beta = 2 is gamma = 0.5 here). |y| > 0 [tokens].
/// Source   Meng et al. 2024, arXiv:2405.14734, eq. 6.
struct simpo {
  double beta = 2;
  double gamma = 0.5;

  ATTUNE_FN constexpr auto form() const { return preference{score::mean_logp{}, link::logistic{}, beta, gamma}; }
  template <class S> ATTUNE_FN S operator()(const pair<S>& x) const { return form()(x); }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<simpo>{"beta", &simpo::beta, positive, "inverse temperature [1/nat]"},
                      parameter<simpo>{"gamma", &simpo::gamma, real_line, "target margin [nat]"}};
  }
};

}  // namespace attune
