// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/policy/token.hpp>

namespace attune {

/// The plain policy gradient:  loss = -A log pi(token),  d loss / d log pi = -A.   No ratio is read. GPG (arXiv:2504.02546) is this with its advantages.
/// Source   Williams 1992.
struct reinforce {
  template <class S> ATTUNE_FN S operator()(const token<S>& x) const { return -(x.logp * x.advantage); }
};

/// Advantage-weighted regression:  loss = -min(e^(A/beta), limit) log pi(token).   The advantage is no factor, its exponential weighs a likelihood.
/// Source   Peng et al. 2019, arXiv:1910.00177 eq. 3; limit 20 as in the authors' code.
struct awr {
  double beta = 1;
  double limit = 20;

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    return -(x.logp * min(exp(x.advantage * R(lane_of<S>(1 / beta))), R(lane_of<S>(limit))));
  }

  static constexpr auto parameters() {
    return std::array{parameter<awr>{"beta", &awr::beta, positive, "temperature of the advantages [their unit]"},
                      parameter<awr>{"limit", &awr::limit, positive, "largest weight"}};
  }
};

/// Direct reward optimisation, the policy's half:
///
///   loss = -(A log pi - beta/2 l^2),     l = log pi - log pi_old,     A = R - V
///   d loss / d log pi = -A + beta l
///
/// from 1/2 (R - V - beta l)^2, divided by beta. The value's half is value_loss on the target R - beta l. Per token; DRO itself is this at
/// ratio_level::sequence_sum on token 1 of each sequence (mask, or sequence_mean_token_mean).
/// Source   Richemond et al. 2024, arXiv:2405.19107 section 3; per token as in verl (`dro`).
struct dro {
  double beta = 1;

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    return x.log_ratio * x.log_ratio * R(lane_of<S>(beta / 2)) - x.logp * x.advantage;
  }

  static constexpr auto parameters() {
    return std::array{parameter<dro>{"beta", &dro::beta, positive, "weight of the squared log-ratio [advantage / nat^2]"}};
  }
};

}  // namespace attune
