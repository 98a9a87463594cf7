// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>

#include <cmath>

namespace attune {

/// The coefficient of an entropy bonus that acts only while the policy's entropy H is too low. At each optimiser step:
///
///   applied     = coefficient if H <= target, else 0                          the weight of this step's bonus
///   coefficient <- min(max(coefficient + (step if H <= target, else -step), lower), upper)
///
/// H: mean entropy of a token [nat], measured on the step's batch. The members are the whole state. Order: apply, then update, so that a
/// run's first step has the starting coefficient. H exactly at the target counts as too low.
/// Source   Skywork-OR1, arXiv:2505.22312; defaults of TRL.
struct adaptive_entropy {
  double target = 0.2;     ///< >= 0 [nat per token]
  double step = 0.005;     ///< > 0
  double lower = 0;        ///< of the coefficient, >= 0
  double upper = 1;        ///< >= lower
  double coefficient = 0;  ///< the state

  /// Throws attune::error for an entropy that is NaN or infinite.
  double applied(double entropy) const {
    require_entropy(entropy);
    return entropy <= target ? coefficient : 0;
  }
  /// Takes in a step's entropy and returns the new coefficient. Throws attune::error, with nothing changed, for an entropy as above and for
  /// members outside their domain.
  double update(double entropy) {
    require_entropy(entropy);
    const double next = coefficient + (entropy <= target ? step : -step);
    return coefficient = next < lower ? lower : next > upper ? upper : next;
  }

  static constexpr auto parameters() {
    return std::array{parameter<adaptive_entropy>{"target", &adaptive_entropy::target, nonnegative, "entropy below which it acts [nat]"},
                      parameter<adaptive_entropy>{"step", &adaptive_entropy::step, positive, "change of the coefficient in a step"},
                      parameter<adaptive_entropy>{"lower", &adaptive_entropy::lower, nonnegative, "least coefficient"},
                      parameter<adaptive_entropy>{"upper", &adaptive_entropy::upper, nonnegative, "largest coefficient"},
                      parameter<adaptive_entropy>{"coefficient", &adaptive_entropy::coefficient, nonnegative, "weight of the entropy bonus"}};
  }

 private:
  void require_entropy(double entropy) const {
    validate(*this);
    if (!(lower <= upper)) {
      throw error("attune: adaptive_entropy has lower " + detail::text(lower) + " and upper " + detail::text(upper) + "; expected lower <= upper");
    }
    if (!std::isfinite(entropy)) throw error("attune: the entropy given to adaptive_entropy is " + detail::text(entropy) + "; expected a finite number [nat]");
  }
};

}  // namespace attune
