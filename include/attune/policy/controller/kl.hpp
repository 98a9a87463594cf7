// SPDX-License-Identifier: MIT
// Controllers of the coefficient of a KL penalty. Their members are their whole state: copy or write them to save a run.
//
//   attune::adaptive_kl controller{.target = 6, .coefficient = 0.2};
//   token_rewards(where, rewards, result, {.kl = kl, .coefficient = controller.coefficient});   // or in the loss
//   controller.update(mean_kl, samples);                                                        // after each batch
#pragma once

#include <attune/core/parameter.hpp>

#include <cmath>

namespace attune {

/// A coefficient that stays.
struct fixed_kl {
  double coefficient = 0.001;  ///< >= 0

  double update(double, double) const {
    validate(*this);
    return coefficient;
  }
  static constexpr auto parameters() {
    return std::array{parameter<fixed_kl>{"coefficient", &fixed_kl::coefficient, nonnegative, "weight of the KL divergence"}};
  }
};

/// A proportional controller that holds the KL divergence to the reference near a target:
///
///   coefficient <- coefficient (1 + min(max(kl / target - 1, -clip), clip) n / horizon)
///
/// kl: the mean over the batch [nat, of whole completions in the source]; n: samples (verl, OpenRLHF: of the batch) or steps since the last
/// update, in the units of horizon. Where the kl is beyond (1 +- clip) target, the coefficient grows or falls by e in about horizon/clip
/// samples. Defaults: verl's; OpenRLHF's coefficient is 0.01 and its target is set by the user; both have horizon 10000.
/// Source   Ziegler et al. 2019, arXiv:1909.08593, section 2.2.
struct adaptive_kl {
  double target = 0.1;         ///< > 0 [nat]
  double horizon = 10000;      ///< > 0
  double clip = 0.2;           ///< >= 0: largest relative error that counts
  double coefficient = 0.001;  ///< the state, >= 0; 0 stays 0

  /// Takes in a batch and returns the new coefficient. Throws attune::error, with nothing changed: a kl that is NaN or infinite; n that is
  /// negative or so large, n clip >= horizon, that the coefficient could become 0 or change its sign; members outside their domain.
  double update(double kl, double n) {
    validate(*this);
    if (!std::isfinite(kl)) throw error("attune: the kl given to adaptive_kl is " + detail::text(kl) + "; expected a finite number [nat]");
    if (!(n >= 0 && n * clip < horizon)) {
      throw error("attune: n given to adaptive_kl is " + detail::text(n) + "; expected 0 or more, and less than horizon / clip = " + detail::text(horizon / clip));
    }
    const double wanted = kl / target - 1, change = wanted > clip ? clip : wanted < -clip ? -clip : wanted;
    return coefficient *= 1 + change * n / horizon;
  }
  static constexpr auto parameters() {
    return std::array{parameter<adaptive_kl>{"target", &adaptive_kl::target, positive, "KL divergence to be held [nat]"},
                      parameter<adaptive_kl>{"horizon", &adaptive_kl::horizon, positive, "samples in which it acts"},
                      parameter<adaptive_kl>{"clip", &adaptive_kl::clip, nonnegative, "largest relative error"},
                      parameter<adaptive_kl>{"coefficient", &adaptive_kl::coefficient, nonnegative, "weight of the KL divergence"}};
  }
};

}  // namespace attune
