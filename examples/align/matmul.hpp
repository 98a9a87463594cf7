// SPDX-License-Identifier: MIT
// Matrix products for the trainer's model: one kernel, C = A B or C += A B, into which the forward pass and both gradients are cast.
#pragma once

#include <cstddef>
#include <cstring>

namespace align {

/// A matrix seen through two strides, so that a transpose is the same memory with the strides exchanged: (i, j) is data[i row + j column].
template <class Real> struct operand {
  const Real* data;
  std::size_t row, column;
};

/// Bytes of a vector register: a 6 x 2 tile of accumulators fits the 16 or 32 registers of SSE2, AVX2 and AVX-512, and 12 chains of
/// multiply-adds hide their latency.
#if defined(__AVX512F__)
inline constexpr std::size_t register_bytes = 64;
#elif defined(__AVX__)
inline constexpr std::size_t register_bytes = 32;
#else
inline constexpr std::size_t register_bytes = 16;
#endif

namespace detail {

/// C[Rows, Registers x lanes] (+)= A[Rows, K] B[K, ...], with the tile of C in registers over the whole sum. Written with the compiler's
/// vector extension because the autovectoriser does not keep an array of accumulators in registers.
template <bool Add, int Rows, int Registers, class Real>
void tile(std::size_t K, operand<Real> a, const Real* b, std::size_t ldb, Real* c, std::size_t ldc) {
  typedef Real vector __attribute__((vector_size(register_bytes)));
  constexpr std::size_t lanes = register_bytes / sizeof(Real);
  vector sum[Rows][Registers] = {};
  for (std::size_t k = 0; k < K; ++k) {
    vector bk[Registers];
    for (int r = 0; r < Registers; ++r) std::memcpy(&bk[r], b + k * ldb + std::size_t(r) * lanes, sizeof(vector));
    for (int m = 0; m < Rows; ++m) {
      const Real am = a.data[std::size_t(m) * a.row + k * a.column];
      for (int r = 0; r < Registers; ++r) sum[m][r] += am * bk[r];
    }
  }
  for (int m = 0; m < Rows; ++m) {
    for (int r = 0; r < Registers; ++r) {
      Real* at = c + std::size_t(m) * ldc + std::size_t(r) * lanes;
      if constexpr (Add) {
        vector old;
        std::memcpy(&old, at, sizeof old);
        sum[m][r] += old;
      }
      std::memcpy(at, &sum[m][r], sizeof(vector));
    }
  }
}

/// Columns that fill no register.
template <bool Add, class Real>
void remainder(std::size_t M, std::size_t N, std::size_t K, operand<Real> a, const Real* b, std::size_t ldb, Real* c, std::size_t ldc) {
  for (std::size_t m = 0; m < M; ++m) {
    for (std::size_t n = 0; n < N; ++n) {
      Real sum = 0;
      for (std::size_t k = 0; k < K; ++k) sum += a.data[m * a.row + k * a.column] * b[k * ldb + n];
      c[m * ldc + n] = Add ? c[m * ldc + n] + sum : sum;
    }
  }
}

/// The rows of one strip of columns.
template <bool Add, int Registers, class Real>
void strip(std::size_t M, std::size_t K, operand<Real> a, const Real* b, std::size_t ldb, Real* c, std::size_t ldc) {
  std::size_t m = 0;
  const auto at = [&](std::size_t row) { return operand<Real>{a.data + row * a.row, a.row, a.column}; };
  for (; m + 6 <= M; m += 6) tile<Add, 6, Registers>(K, at(m), b, ldb, c + m * ldc, ldc);
  for (; m + 3 <= M; m += 3) tile<Add, 3, Registers>(K, at(m), b, ldb, c + m * ldc, ldc);
  for (; m < M; ++m) tile<Add, 1, Registers>(K, at(m), b, ldb, c + m * ldc, ldc);
}

template <bool Add, class Real>
void product(std::size_t M, std::size_t N, std::size_t K, operand<Real> a, const Real* b, std::size_t ldb, Real* c, std::size_t ldc) {
  constexpr std::size_t lanes = register_bytes / sizeof(Real);
  std::size_t n = 0;
  for (; n + 2 * lanes <= N; n += 2 * lanes) strip<Add, 2>(M, K, a, b + n, ldb, c + n, ldc);
  for (; n + lanes <= N; n += lanes) strip<Add, 1>(M, K, a, b + n, ldb, c + n, ldc);
  if (n < N) remainder<Add>(M, N - n, K, a, b + n, ldb, c + n, ldc);
}

}  // namespace detail

/// C[M, N] = A[M, K] B[K, N];  the rows of B and C are contiguous, ldb and ldc [elements] apart. Each element of C is one sum over k in
/// order, whatever the tile it falls into.
template <class Real>
void multiply(std::size_t M, std::size_t N, std::size_t K, operand<Real> a, const Real* b, std::size_t ldb, Real* c, std::size_t ldc) {
  detail::product<false>(M, N, K, a, b, ldb, c, ldc);
}
/// C[M, N] += A[M, K] B[K, N]
template <class Real>
void multiply_add(std::size_t M, std::size_t N, std::size_t K, operand<Real> a, const Real* b, std::size_t ldb, Real* c, std::size_t ldc) {
  detail::product<true>(M, N, K, a, b, ldb, c, ldc);
}

/// b[j, i] = a[i, j] for a [rows, columns] with rows lda apart; b has rows ldb apart.
template <class Real> void transpose(std::size_t rows, std::size_t columns, const Real* a, std::size_t lda, Real* b, std::size_t ldb) {
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) b[j * ldb + i] = a[i * lda + j];
  }
}

/// out[T, O] = x[T, C] weight[C, O]
template <class Real> void matmul_forward(Real* out, const Real* x, const Real* weight, std::size_t T, std::size_t C, std::size_t O) {
  multiply(T, O, C, operand<Real>{x, C, 1}, weight, O, out, O);
}

/// dx[T, C] = dout[T, O] weight^T,   dweight[C, O] += x^T dout;   scratch [O, C] receives weight^T, whose rows the kernel can load.
template <class Real>
void matmul_backward(Real* dx, Real* dweight, const Real* dout, const Real* x, const Real* weight, Real* scratch, std::size_t T,
                     std::size_t C, std::size_t O) {
  transpose(C, O, weight, O, scratch, C);
  multiply(T, C, O, operand<Real>{dout, O, 1}, scratch, C, dx, C);
  multiply_add(C, O, T, operand<Real>{x, 1, C}, dout, O, dweight, O);
}

}  // namespace align
