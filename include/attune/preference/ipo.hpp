// SPDX-License-Identifier: MIT
#pragma once

#include <attune/link/square.hpp>
#include <attune/preference/preference.hpp>
#include <attune/score/log_ratio.hpp>

namespace attune {

/// Identity preference optimisation with the log-ratio summed over the sequence, as in the paper: s = D = log pi(y) - log pi_ref(y).
///
///   loss = ( (s_w - s_l) - margin/beta - 1/(2 beta) )^2,   d loss / d s_w = 2 ( ... ) = -d loss / d s_l
///
/// beta in (0, inf) [1/nat] is the paper's tau. 1/(4 beta^2) where policy and reference agree; minimum 0 at a margin of 1/(2 beta).
/// Systems disagree on the score: OpenRLHF, turbo-alignment and TRL's online trainers sum, as here; TRL's DPO trainer and HALOs average:
/// that is `ipo_mean`.
/// Source   Azar et al. 2023, arXiv:2310.12036, eq. 17.
struct ipo {
  double beta = 0.1;

  ATTUNE_FN constexpr auto form() const { return preference{score::log_ratio{}, link::square{beta}, beta}; }
  template <class S> ATTUNE_FN S operator()(const pair<S>& x) const { return form()(x); }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<ipo>{"beta", &ipo::beta, positive, "inverse temperature [1/nat]"}};
  }
};

/// Identity preference optimisation with the log-ratio averaged over tokens: s = (log pi(y) - log pi_ref(y)) / |y|  [nat/token].
///
///   loss = ( (s_w - s_l) - margin/beta - 1/(2 beta) )^2,   d loss / d s_w = 2 ( ... ) = -d loss / d s_l
///
/// |y| > 0 [tokens]; so d loss / d log pi(y_w) = 2 ( ... ) / |y_w|. The target 1/(2 beta) is then a margin per token.
/// Source   the form of TRL's DPO trainer, which reports that the IPO authors confirmed it (huggingface/trl, issue 1265).
struct ipo_mean {
  double beta = 0.1;

  ATTUNE_FN constexpr auto form() const { return preference{score::mean_log_ratio{}, link::square{beta}, beta}; }
  template <class S> ATTUNE_FN S operator()(const pair<S>& x) const { return form()(x); }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<ipo_mean>{"beta", &ipo_mean::beta, positive, "inverse temperature [1/nat]"}};
  }
};

}  // namespace attune
