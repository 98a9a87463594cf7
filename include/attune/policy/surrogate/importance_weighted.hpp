// SPDX-License-Identifier: MIT
// REINFORCE with the importance ratio as a constant weight, bounded in different ways: loss = -sg(w(r)) A log pi(token). No token loses its
// gradient to a clip.
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/policy/token.hpp>

namespace attune {

/// CISPO:  w = min(max(r, lower), upper).   d loss / d log pi = -w A.
/// Source   MiniMax-M1, arXiv:2506.13585 eq. 4 (1 +- epsilon, two-sided; verl, NeMo-RL); arXiv:2510.13786 caps r from above only, at some 5:
/// lower = 0, upper = 5 (TRL's epsilon_high is that cap itself).
struct cispo {
  static constexpr bool stops_gradient = true;
  double lower = 0.8;
  double upper = 1.2;

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    const S weight = min(max(exp(detach(x.log_ratio)), S(R(lane_of<S>(lower)))), S(R(lane_of<S>(upper))));
    return -(weight * x.logp * x.advantage);
  }
  template <class R> ATTUNE_FN auto held(const token<R>& x) const {
    const R ratio = exp(x.log_ratio);
    return min(max(ratio, R(lane_of<R>(lower))), R(lane_of<R>(upper))) != ratio;
  }

  static constexpr auto parameters() {
    return std::array{parameter<cispo>{"lower", &cispo::lower, nonnegative, "smallest weight"},
                      parameter<cispo>{"upper", &cispo::upper, positive, "largest weight"}};
  }
};

/// TOPR, tapered off-policy REINFORCE:  w = 1 for A > 0 (imitate what was good, wherever it came from), min(r, upper) for A <= 0 (forget what
/// was bad only as far as the policy still does it). r is the ratio of the whole sequence.
/// Source   Le Roux et al. 2025, arXiv:2503.14286 eq. 9 with [a+, b+] = [1, 1], [a-, b-] = [0, upper].
struct topr {
  static constexpr bool stops_gradient = true;
  double upper = 1;

  static constexpr ratio_form ratio() { return {.level = ratio_level::sequence_sum}; }
  static constexpr token_reduction reduction() { return token_reduction::sequence_mean_token_sum; }

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    const S tapered = min(exp(detach(x.log_ratio)), S(R(lane_of<S>(upper))));
    return -(select(x.advantage > R(0), S(R(1)), tapered) * x.logp * x.advantage);
  }

  static constexpr auto parameters() {
    return std::array{parameter<topr>{"upper", &topr::upper, positive, "largest weight of a sequence with negative advantage"}};
  }
};

/// VESPO:  w = e^(k log r + lambda (1 - r)), r the ratio of the whole sequence; 1 at r = 1, where it is flat if k = lambda, and 0 far away on
/// both sides. Nothing overflows, so nothing is clamped.
/// Source   arXiv:2602.10693; (k, lambda) of TRL. For the ratio to the sampler, old_logp is the sampler's log-probability.
struct vespo {
  static constexpr bool stops_gradient = true;
  double k_positive = 2;
  double lambda_positive = 3;
  double k_negative = 3;
  double lambda_negative = 2;

  static constexpr ratio_form ratio() { return {.level = ratio_level::sequence_sum}; }

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    const auto choose = [&](double positive_one, double negative_one) {
      return select(x.advantage >= R(0), R(lane_of<S>(positive_one)), R(lane_of<S>(negative_one)));
    };
    const R l = detail::constant(x.log_ratio);  // no dual number with derivative 0: where e^l overflows it would be 0 x inf
    const R weight = exp(choose(k_positive, k_negative) * l - choose(lambda_positive, lambda_negative) * expm1(l));
    return -(x.logp * (weight * x.advantage));
  }

  static constexpr auto parameters() {
    return std::array{parameter<vespo>{"k_positive", &vespo::k_positive, nonnegative, "power of the ratio for A >= 0"},
                      parameter<vespo>{"lambda_positive", &vespo::lambda_positive, positive, "decay with the ratio for A >= 0"},
                      parameter<vespo>{"k_negative", &vespo::k_negative, nonnegative, "power of the ratio for A < 0"},
                      parameter<vespo>{"lambda_negative", &vespo::lambda_negative, positive, "decay with the ratio for A < 0"}};
  }
};

}  // namespace attune
