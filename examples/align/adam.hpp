// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace align {

/// Adam (Kingma and Ba 2015, arXiv:1412.6980) with the gradient's norm clipped to `clip` first:
///   m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2,   theta -= rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8)
/// with b1 = 0.9, b2 = 0.95. The sum behind the norm is in double and in order: the same bits for any number of threads.
struct adam {
  std::vector<float> m, v;
  std::int64_t step = 0;
  double clip = 1;

  explicit adam(std::size_t parameters = 0) : m(parameters), v(parameters) {}

  /// Returns the norm of the gradient before clipping.
  double update(std::vector<float>& theta, const std::vector<float>& gradient, double rate) {
    double squares = 0;
    for (float g : gradient) squares += double(g) * double(g);
    const double norm = std::sqrt(squares);
    ++step;
    const double b1 = 0.9, b2 = 0.95;
    const float shrink = float(norm > clip ? clip / norm : 1);
    const float size = float(rate / (1 - std::pow(b1, double(step)))), spread = float(1 / (1 - std::pow(b2, double(step))));
    for (std::size_t i = 0; i < theta.size(); ++i) {
      const float g = shrink * gradient[i];
      m[i] = float(b1) * m[i] + float(1 - b1) * g;
      v[i] = float(b2) * v[i] + float(1 - b2) * g * g;
      theta[i] -= size * m[i] / (std::sqrt(spread * v[i]) + 1e-8f);
    }
    return norm;
  }
};

}  // namespace align
