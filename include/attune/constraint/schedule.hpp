// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>

#include <cmath>

namespace attune {

/// Exponential interpolation over a training run, as of a barrier weight mu:
///
///   at(p) = start^(1 - p) end^p = start (end / start)^p,     p = step / steps: progress, in [0, 1]
///
/// Exactly `start` at p = 0 and `end` at p = 1, geometric between: equal steps in p multiply the value by equal factors. The first form is
/// computed: it is exact at both ends and cannot overflow between them. start, end > 0 in the units of what is scheduled.
/// Defaults: those of L3M, arXiv:2410.21533, for mu; there the learning rate has to fall as well, because the multiplier grows up to 1/mu.
struct exponential_schedule {
  double start = 1;
  double end = 1e-6;

  /// Throws attune::error outside [0, 1].
  double at(double progress) const {
    validate(*this);
    if (!unit_interval.contains(progress)) {
      throw error("attune: progress is " + detail::text(progress) + "; expected a value in " + unit_interval.text() + " (step / steps)");
    }
    return std::pow(start, 1 - progress) * std::pow(end, progress);
  }

  static constexpr auto parameters() {
    return std::array{parameter<exponential_schedule>{"start", &exponential_schedule::start, positive, "value at progress 0"},
                      parameter<exponential_schedule>{"end", &exponential_schedule::end, positive, "value at progress 1"}};
  }
};

}  // namespace attune
