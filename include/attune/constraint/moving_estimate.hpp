// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>

#include <cmath>
#include <cstdint>

namespace attune {

/// Exponential moving average of a quantity that each batch estimates, as the value C of a constraint C <= 0:
///
///   C <- (1 - w) C + w C_batch  =  C + w (C_batch - C),     w = weight in (0, 1], the weight of the NEW batch (1 - decay)
///
/// The first batch sets C = C_batch: the source does not say how its average starts, and any other start would be a bias that fades only
/// as (1 - w)^n. For independent batches of variance v, C has variance v w / (2 - w) in the long run, and remembers about 1/w batches.
/// Source   L3M, arXiv:2410.21533: smoothing factor 0.1, read as the weight of the new batch.
struct moving_estimate {
  double weight = 0.1;
  double current = 0;      ///< C; meaningless while count is 0
  std::int64_t count = 0;  ///< batches seen

  /// Takes in a batch and returns the new value. Throws attune::error, with nothing changed, if the batch value is NaN or infinite: one
  /// such batch would stay in the average for ever.
  double update(double batch) {
    validate(*this);
    if (!std::isfinite(batch)) {
      throw error("attune: batch value " + detail::text((long long)count + 1) + " of a moving estimate is " + detail::text(batch) +
                  "; expected a finite number");
    }
    current = count == 0 || weight == 1 ? batch : current + weight * (batch - current);
    ++count;
    return current;
  }

  /// Throws attune::error before the first batch.
  double value() const {
    if (count == 0) throw error("attune: a moving estimate has seen 0 batches; expected 1 or more before its value is read");
    return current;
  }

  void reset() { current = 0, count = 0; }

  static constexpr auto parameters() {
    return std::array{parameter<moving_estimate>{"weight", &moving_estimate::weight, {.lower = 0, .upper = 1, .includes_upper = true},
                                                 "weight of the new batch"}};
  }
};

}  // namespace attune
