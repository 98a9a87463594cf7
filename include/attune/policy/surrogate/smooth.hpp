// SPDX-License-Identifier: MIT
// Surrogates of the ratio without PPO's min.
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/policy/token.hpp>

namespace attune {

/// SAPO, soft adaptive policy optimisation: PPO's clip as a sigmoid of the ratio.
///
///   loss = -(4/tau) sigmoid(tau (r - 1)) A,     tau = tau_positive for A > 0, else tau_negative
///   d loss / d log_ratio = -4 r s (1 - s) A,    s = sigmoid(tau (r - 1));   -A at r = 1, and 0 far away
///
/// Source   arXiv:2511.20347.
struct sapo {
  double tau_positive = 1;
  double tau_negative = 1.05;

  static constexpr token_reduction reduction() { return token_reduction::sequence_mean_token_mean; }

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    const R tau = select(x.advantage > R(0), R(lane_of<S>(tau_positive)), R(lane_of<S>(tau_negative)));
    const S l = min(x.log_ratio, S(R(60)));  // beyond, s is 1 and its slope 0: without the bound 0 x inf
    return -(sigmoid(expm1(l) * tau) * (x.advantage * (R(4) / tau)));
  }

  static constexpr auto parameters() {
    return std::array{parameter<sapo>{"tau_positive", &sapo::tau_positive, positive, "sharpness for positive advantages"},
                      parameter<sapo>{"tau_negative", &sapo::tau_negative, positive, "sharpness for the others"}};
  }
};

/// GMPO, geometric-mean policy optimisation:  loss = -A e^(1/n sum_t clip(l[t])),   l[t] = log pi - log pi_old of a token, at most `high` where
/// A > 0 and at least -`low` where A < 0 (ratio_form). One ratio for the sequence; a clipped token has derivative exactly 0.
/// Source   Zhao et al. 2025, arXiv:2507.20673 eq. 4; low = high = 0.4 (verl's geo_mean: 0.2).
struct gmpo {
  double low = 0.4;
  double high = 0.4;

  constexpr ratio_form ratio() const { return {ratio_level::sequence, -low, high}; }
  static constexpr token_reduction reduction() { return token_reduction::sequence_mean_token_mean; }

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    return -(select(x.advantage == R(0), S(R(1)), exp(x.log_ratio)) * x.advantage);
  }

  static constexpr auto parameters() {
    return std::array{parameter<gmpo>{"low", &gmpo::low, nonnegative, "a token's log-ratio counts down to -low where A < 0 [nat]"},
                      parameter<gmpo>{"high", &gmpo::high, nonnegative, "a token's log-ratio counts up to high where A > 0 [nat]"}};
  }
};

}  // namespace attune
