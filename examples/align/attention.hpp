// SPDX-License-Identifier: MIT
// Causal self-attention of one sequence, on the matrix kernel.
#pragma once

#include "matmul.hpp"

#include <attune/core/pack.hpp>  // exp on all lanes of a register

#include <algorithm>
#include <cmath>
#include <limits>

namespace align {

/// Row stride of attention matrices: whole pairs of registers, so that no product has remainder columns.
constexpr std::size_t padded_row(std::size_t T) { return (T + 31) / 32 * 32; }

namespace detail {

/// Queries are taken in blocks; block [begin, end) sees keys [0, end), rounded up to whole registers. So half of the
/// square is never computed, nor read.
constexpr std::size_t query_block = 24;

template <class Visit> void for_each_block(std::size_t T, Visit visit) {
  for (std::size_t begin = 0; begin < T; begin += query_block) {
    const std::size_t end = std::min(begin + query_block, T);
    visit(begin, end, padded_row(end));
  }
}

template <class Real> attune::native_pack<Real> load(const Real* from) {
  typename attune::native_pack<Real>::vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

/// row[j] = e^(scale (row[j] - largest)) / sum for j <= t, and 0 up to `columns`, a multiple of the lanes. e^-inf = 0 is the causal mask.
template <class Real> void causal_softmax(Real* row, std::size_t t, std::size_t columns, Real scale) {
  using lanes = attune::native_pack<Real>;
  constexpr std::size_t width = sizeof(lanes) / sizeof(Real);
  std::fill(row + t + 1, row + columns, -std::numeric_limits<Real>::infinity());
  lanes largest = load(row), sum(Real(0));
  for (std::size_t j = width; j < columns; j += width) largest = max(largest, load(row + j));
  Real top = largest[0], total = 0;
  for (int i = 1; i < int(width); ++i) top = attune::max(top, largest[i]);
  for (std::size_t j = 0; j < columns; j += width) {
    const lanes e = attune::exp(lanes(scale) * (load(row + j) - lanes(top)));
    std::memcpy(row + j, &e, sizeof e);
    sum = sum + e;
  }
  for (int i = 0; i < int(width); ++i) total += sum[i];
  const Real inverse = Real(1) / total;
  for (std::size_t j = 0; j < columns; ++j) row[j] *= inverse;
}

}  // namespace detail

/// out[t] = sum_{s <= t} p[t, s] value[s],   p[t, .] = softmax_{s <= t}( query[t] . key[s] / sqrt(D) )   in each of H heads of D = C/H.
///
/// qkv [T, 3C]: query, key and value side by side;  out [T, C];  p [H, T, padded_row(T)] is kept for the backward pass;
/// scratch [D, padded_row(T)].
template <class Real>
void attention_forward(Real* out, Real* p, Real* scratch, const Real* qkv, std::size_t T, std::size_t C, std::size_t H) {
  const std::size_t D = C / H, S = padded_row(T), ld = 3 * C;
  const Real scale = Real(1) / std::sqrt(Real(D));
  for (std::size_t h = 0; h < H; ++h, p += T * S) {
    const Real *query = qkv + h * D, *key = query + C, *value = key + C;
    std::fill_n(scratch, D * S, Real(0));
    transpose(T, D, key, ld, scratch, S);
    detail::for_each_block(T, [&](std::size_t begin, std::size_t end, std::size_t columns) {
      multiply(end - begin, columns, D, operand<Real>{query + begin * ld, ld, 1}, scratch, S, p + begin * S, S);
      for (std::size_t t = begin; t < end; ++t) detail::causal_softmax(p + t * S, t, columns, scale);
      multiply(end - begin, D, end, operand<Real>{p + begin * S, S, 1}, value, ld, out + begin * C + h * D, C);
    });
  }
}

/// out [C] of position t alone, given the query, key and value of positions 0 to t;  scratch [padded_row(t + 1)].
template <class Real> void attention_next(Real* out, Real* scratch, const Real* qkv, std::size_t t, std::size_t C, std::size_t H) {
  const std::size_t D = C / H, ld = 3 * C;
  for (std::size_t h = 0; h < H; ++h) {
    const Real *query = qkv + t * ld + h * D, *key = qkv + C + h * D, *value = key + C;
    multiply(t + 1, 1, D, operand<Real>{key, ld, 1}, query, 1, scratch, 1);
    detail::causal_softmax(scratch, t, padded_row(t + 1), Real(1) / std::sqrt(Real(D)));
    multiply(1, D, t + 1, operand<Real>{scratch, t + 1, 1}, value, ld, out + h * D, C);
  }
}

/// dvalue[s] = sum_t p[t, s] dout[t],   dp[t, s] = dout[t] . value[s],   ds = p (dp - sum_s p dp) / sqrt(D)   (derivative of the softmax)
/// dquery[t] = sum_s ds[t, s] key[s],   dkey[s] = sum_t ds[t, s] query[t]
///
/// dqkv [T, 3C] is written;  scratch [(D + T) * padded_row(T)] holds value^T and the ds of one head.
template <class Real>
void attention_backward(Real* dqkv, Real* scratch, const Real* dout, const Real* qkv, const Real* p, std::size_t T, std::size_t C,
                        std::size_t H) {
  const std::size_t D = C / H, S = padded_row(T), ld = 3 * C;
  const Real scale = Real(1) / std::sqrt(Real(D));
  std::fill_n(dqkv, T * ld, Real(0));
  for (std::size_t h = 0; h < H; ++h, p += T * S) {
    const Real *query = qkv + h * D, *key = query + C, *value = key + C;
    Real *dquery = dqkv + h * D, *dkey = dquery + C, *dvalue = dkey + C;
    Real *value_t = scratch, *ds = scratch + D * S;
    std::fill_n(value_t, D * S, Real(0));
    transpose(T, D, value, ld, value_t, S);
    detail::for_each_block(T, [&](std::size_t begin, std::size_t end, std::size_t columns) {
      const Real* dout_block = dout + begin * C + h * D;
      multiply(end - begin, columns, D, operand<Real>{dout_block, C, 1}, value_t, S, ds + begin * S, S);
      for (std::size_t t = begin; t < end; ++t) {
        Real along = 0;
        for (std::size_t s = 0; s <= t; ++s) along += p[t * S + s] * ds[t * S + s];
        for (std::size_t s = 0; s < columns; ++s) ds[t * S + s] = p[t * S + s] * (ds[t * S + s] - along) * scale;
      }
      multiply(end - begin, D, end, operand<Real>{ds + begin * S, S, 1}, key, ld, dquery + begin * ld, ld);
      // Keys and values collect from the queries of this block: p and ds transposed are the same memory with the strides exchanged.
      multiply_add(end, D, end - begin, operand<Real>{p + begin * S, 1, S}, dout_block, C, dvalue, ld);
      multiply_add(end, D, end - begin, operand<Real>{ds + begin * S, 1, S}, query + begin * ld, ld, dkey, ld);
    });
  }
}

}  // namespace align
