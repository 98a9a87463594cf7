// SPDX-License-Identifier: MIT
// The layers of the model, each as a pair x_forward / x_backward on raw row-major buffers. T: positions of one sequence, C: width,
// V: vocabulary. Gradients of parameters are added to (+=), gradients of activations are written (=) unless said otherwise.
#pragma once

#include "matmul.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace align {

/// x[t] = token[tokens[t]] + position[t];   x, position [T, C], token [V, C], tokens [T]
template <class Real>
void embed_forward(Real* x, const std::int32_t* tokens, const Real* token, const Real* position, std::size_t T, std::size_t C) {
  for (std::size_t t = 0; t < T; ++t) {
    const Real* row = token + std::size_t(tokens[t]) * C;
    for (std::size_t c = 0; c < C; ++c) x[t * C + c] = row[c] + position[t * C + c];
  }
}

template <class Real>
void embed_backward(Real* dtoken, Real* dposition, const Real* dx, const std::int32_t* tokens, std::size_t T, std::size_t C) {
  for (std::size_t t = 0; t < T; ++t) {
    Real* row = dtoken + std::size_t(tokens[t]) * C;
    for (std::size_t c = 0; c < C; ++c) {
      row[c] += dx[t * C + c];
      dposition[t * C + c] += dx[t * C + c];
    }
  }
}

/// Root-mean-square norm (Zhang and Sennrich 2019, arXiv:1910.07467):  y = gain x r,  r = (mean(x^2) + 1e-5)^(-1/2) per row.
/// x, y [T, C], gain [C], r [T] is kept for the backward pass.
template <class Real> void rmsnorm_forward(Real* y, Real* r, const Real* x, const Real* gain, std::size_t T, std::size_t C) {
  for (std::size_t t = 0; t < T; ++t, x += C, y += C) {
    Real squares = 0;
    for (std::size_t c = 0; c < C; ++c) squares += x[c] * x[c];
    r[t] = Real(1) / std::sqrt(squares / Real(C) + Real(1e-5));
    for (std::size_t c = 0; c < C; ++c) y[c] = gain[c] * x[c] * r[t];
  }
}

/// dgain += sum_t dy x r;   dx += r (gain dy) - x r^3 mean(gain dy x): added, because x also feeds the residual path.
template <class Real>
void rmsnorm_backward(Real* dx, Real* dgain, const Real* dy, const Real* x, const Real* gain, const Real* r, std::size_t T, std::size_t C) {
  for (std::size_t t = 0; t < T; ++t, x += C, dx += C, dy += C) {
    Real along = 0;
    for (std::size_t c = 0; c < C; ++c) {
      along += gain[c] * dy[c] * x[c];
      dgain[c] += dy[c] * x[c] * r[t];
    }
    const Real pull = along / Real(C) * r[t] * r[t] * r[t];
    for (std::size_t c = 0; c < C; ++c) dx[c] += r[t] * gain[c] * dy[c] - pull * x[c];
  }
}

/// Squared rectifier (So et al. 2021, arXiv:2109.08668):  y = max(x, 0)^2,  dx = 2 max(x, 0) dy.  Once differentiable, unlike the
/// rectifier, so that finite differences of the whole model converge; needs no transcendental function, unlike GELU.
template <class Real> void relu2_forward(Real* y, const Real* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const Real positive = x[i] > Real(0) ? x[i] : Real(0);
    y[i] = positive * positive;
  }
}
template <class Real> void relu2_backward(Real* dx, const Real* dy, const Real* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) dx[i] = Real(2) * (x[i] > Real(0) ? x[i] : Real(0)) * dy[i];
}

/// x += y
template <class Real> void add(Real* x, const Real* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) x[i] += y[i];
}

}  // namespace align
