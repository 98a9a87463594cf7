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
/// tableau removes the next even power of the step, and the entry with the smallest estimated error is taken. Relative errors of 1e-10
/// are usual for a smooth f computed in double.
template <class F>
estimated_derivative differentiate(F&& f, double x, double step) {
  constexpr int columns = 12;
  constexpr double shrink = 1.6;
  double table[columns][columns];
  estimated_derivative best{std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()};
  for (int k = 0; k < columns; ++k, step /= shrink) {
    const volatile double upper = x + step, lower = x - step;  // the step actually taken, after rounding
    table[0][k] = (f(upper) - f(lower)) / (upper - lower);
    double power = 1;
    for (int j = 1; j <= k; ++j) {
      power *= shrink * shrink;
      table[j][k] = (power * table[j - 1][k] - table[j - 1][k - 1]) / (power - 1);
      const double error = std::fmax(std::fabs(table[j][k] - table[j - 1][k]), std::fabs(table[j][k] - table[j - 1][k - 1]));
      if (error < best.error) best = {table[j][k], error};
    }
  }
  return best;
}

}  // namespace attune
