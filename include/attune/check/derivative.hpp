// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <limits>

namespace attune {

/// A derivative found from values alone, with an estimate of its error.
struct estimated_derivative {
  double value;
  double error;
};

/// d f / d x by central differences with Richardson extrapolation (Ridders 1982): steps shrink from `step` by 1.6, each column of the
/// tableau removes the next even power of the step, and the entry with the smallest estimated error is taken; no estimate is below what
/// rounding of f does to a difference over that step. Relative errors of 1e-10 are usual for a smooth f computed in double. Where the smallest
/// steps say something else (two kinks around x, beyond which f is smooth again), the error is their disagreement.
template <class F>
estimated_derivative differentiate(F&& f, double x, double step) {
  constexpr int columns = 12;
  constexpr double shrink = 1.6;
  double table[columns][columns];
  estimated_derivative best{std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()};
  double noise = 0;  // of the smallest step
  for (int k = 0; k < columns; ++k, step /= shrink) {
    const volatile double upper = x + step, lower = x - step;  // the step actually taken, after rounding
    const double above = f(upper), below = f(lower);
    const double rounding = std::numeric_limits<double>::epsilon() * std::fmax(std::fabs(above), std::fabs(below)) / (upper - lower);
    table[0][k] = (above - below) / (upper - lower);
    noise = rounding;
    double power = 1;
    for (int j = 1; j <= k; ++j) {
      power *= shrink * shrink;
      table[j][k] = (power * table[j - 1][k] - table[j - 1][k - 1]) / (power - 1);
      const double error = std::fmax(std::fabs(table[j][k] - table[j - 1][k]), std::fabs(table[j][k] - table[j - 1][k - 1]));
      if (error < best.error && rounding < best.error) best = {table[j][k], std::fmax(error, rounding)};
    }
  }
  const double nearest = table[0][columns - 1], change = std::fabs(nearest - table[0][columns - 2]), gap = std::fabs(nearest - best.value);
  if (gap > 4 * change + 16 * noise) best.error = std::fmax(best.error, gap);  // a smooth f: gap = 0.64 change
  return best;
}

}  // namespace attune
