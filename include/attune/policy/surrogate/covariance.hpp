// SPDX-License-Identifier: MIT
// Surrogates that restrain the tokens whose log-probability and advantage covary most, because these take the entropy away. Which tokens that
// are (x.selected) is a rule over the batch: policy/covariance.
// Source   Cui et al. 2025, arXiv:2505.22617.
#pragma once

#include <attune/core/weighted.hpp>
#include <attune/policy/surrogate/clip.hpp>

namespace attune {

/// Clip-Cov:  PPO's clipped surrogate, exactly 0 for selected tokens, which stay in the denominators.
struct clip_cov {
  double low = 0.2;
  double high = 0.2;

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    return -weighted<S>(R(1) - x.selected, ratio_clip{low, high}(x.log_ratio, x.advantage) * x.advantage);
  }
  template <class R> ATTUNE_FN auto held(const token<R>& x) const { return ratio_clip{low, high}.held(x.log_ratio, x.advantage); }

  static constexpr auto parameters() {
    return std::array{parameter<clip_cov>{"low", &clip_cov::low, unit_interval, "as of ppo"}, parameter<clip_cov>{"high", &clip_cov::high, nonnegative, "as of ppo"}};
  }
};

/// KL-Cov:  loss = -r A, and for selected tokens kappa |log r| more. No clip.
struct kl_cov {
  double kappa = 1;

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    const S surrogate = select(x.advantage == R(0), S(R(0)), exp(x.log_ratio) * x.advantage);
    return weighted<S>(x.selected * R(lane_of<S>(kappa)), abs(x.log_ratio)) - surrogate;
  }

  static constexpr auto parameters() {
    return std::array{parameter<kl_cov>{"kappa", &kl_cov::kappa, nonnegative, "weight of |log r| of selected tokens [advantage / nat]"}};
  }
};

}  // namespace attune
