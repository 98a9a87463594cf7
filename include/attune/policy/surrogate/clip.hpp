// SPDX-License-Identifier: MIT
// PPO's clipped surrogate, and the objectives that are this surrogate with another ratio and another mean.
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/policy/token.hpp>

namespace attune {

/// What stands for the ratio r = e^log_ratio in PPO's surrogate:
///
///   A > 0: min(r, 1 + high)      A < 0: min(max(r, 1 - low), dual)      A = 0: 1
///
/// so that -A times it is -min(r A, clip(r, 1 - low, 1 + high) A), and for A < 0 at most -dual A. Chosen before it is multiplied: where a bound
/// holds, the derivative is exactly 0, whatever r is (an overflow included); at a bound itself the bound holds.
struct ratio_clip {
  double low = 0.2, high = 0.2, dual = infinity<double>;

  template <class S> ATTUNE_FN S operator()(const S& log_ratio, const real_of<S>& advantage) const {
    using R = real_of<S>;
    const S ratio = exp(log_ratio), top = S(R(lane_of<S>(1 + high))), bottom = S(R(lane_of<S>(1 - low)));
    S worse = max(ratio, bottom);
    if (dual < infinity<double>) worse = min(worse, S(R(lane_of<S>(dual))));  // else a ratio that overflows would be taken for a bounded one
    return select(advantage > R(0), min(ratio, top), select(advantage < R(0), worse, S(R(1))));
  }
  /// Whether a bound holds the ratio (of A = 0 it says nothing).
  template <class R> ATTUNE_FN auto held(const R& log_ratio, const R& advantage) const { return (*this)(log_ratio, advantage) != exp(log_ratio); }
};

/// PPO's clipped surrogate at a level of the ratio, for a mean over tokens or sequences.
///
///   loss = -min(r A, clip(r, 1 - low, 1 + high) A),     for A < 0 at most dual |A|
///   d loss / d log_ratio = -r A where no bound holds, else exactly 0
///
/// r = e^log_ratio; A advantage. dual = inf: no second bound; then A < 0 and a huge ratio have a loss as huge, and where the ratio overflows
/// loss and derivative are infinite. dual > 1 is the dual clip, and
/// TRL's and Liger's delta where that is at least 1 + high.
/// Source   Schulman et al. 2017, arXiv:1707.06347 eq. 7; dual: Ye et al. 2019, arXiv:1912.09729 eq. 5; low and high apart: arXiv:2503.14476.
template <ratio_level Level, token_reduction Reduction>
struct clipped_surrogate {
  double low = 0.2;                 ///< [1 / ratio]
  double high = 0.2;
  double dual = infinity<double>;

  static constexpr ratio_form ratio() { return {.level = Level}; }
  static constexpr token_reduction reduction() { return Reduction; }

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const { return -(ratio_clip{low, high, dual}(x.log_ratio, x.advantage) * x.advantage); }
  template <class R> ATTUNE_FN auto held(const token<R>& x) const { return ratio_clip{low, high, dual}.held(x.log_ratio, x.advantage); }

  static constexpr auto parameters() {
    using self = clipped_surrogate;
    return std::array{parameter<self>{"low", &self::low, unit_interval, "the ratio of a token with negative advantage counts down to 1 - low"},
                      parameter<self>{"high", &self::high, nonnegative, "the ratio of a token with positive advantage counts up to 1 + high"},
                      parameter<self>{"dual", &self::dual, {.lower = 1, .includes_upper = true},
                                      "the ratio of a token with negative advantage counts up to this; inf: without bound"}};
  }
};

/// PPO with a mean over tokens; with local denominators BNPO, with global ones and high = 0.28 DAPO (arXiv:2503.14476).
using ppo = clipped_surrogate<ratio_level::token, token_reduction::token_mean>;
/// GRPO, Shao et al. 2024, arXiv:2402.03300 eq. 3: the mean over each sequence's tokens, then over sequences. Its KL term is a kl_penalty<kl::k3>.
using grpo = clipped_surrogate<ratio_level::token, token_reduction::sequence_mean_token_mean>;
/// Dr. GRPO, Liu et al. 2025, arXiv:2503.20783: sums over tokens divided by one constant length.
using dr_grpo = clipped_surrogate<ratio_level::token, token_reduction::constant_length>;
/// GSPO, Zheng et al. 2025, arXiv:2507.18071 eq. 5: the ratio of the sequence, length-normalised. Its clip is far narrower (3e-4, 4e-4).
using gspo = clipped_surrogate<ratio_level::sequence, token_reduction::sequence_mean_token_mean>;
/// GSPO-token, the same, eq. 13: each token has its own advantage and its own derivative.
using gspo_token = clipped_surrogate<ratio_level::sequence_token, token_reduction::sequence_mean_token_mean>;
/// LUSPO, arXiv:2602.05261: GSPO's loss of a sequence times its length.
using luspo = clipped_surrogate<ratio_level::sequence, token_reduction::sequence_mean_token_sum>;
/// RLOO as TRL runs it: the product of the ratios, clipped (arXiv:2402.14740); the advantage is leave-one-out.
using rloo = clipped_surrogate<ratio_level::sequence_sum, token_reduction::sequence_mean_token_mean>;

}  // namespace attune
