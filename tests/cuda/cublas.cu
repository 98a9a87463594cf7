// SPDX-License-Identifier: MIT
// cublas_gemm on a GPU: products in every layout and type against sums in double, its stream, and the LM head with it against the host's. Without a GPU the
// program has been compiled and linked; it then says so and exits with 77.
#include <attune/backend/cublas.hpp>
#include <attune/backend/thrust/lm_head.hpp>
#include <attune/rows/lm_head.hpp>

#include <thrust/system/cuda/execution_policy.h>

#include <cstdio>

#include "backend/thrust_support.hpp"
#include "rows/plain_gemm.hpp"

namespace {

using namespace attune_test;
using attune::cublas_gemm;

int failures = 0;
void check(bool right, const char* what) {
  if (right) return;
  ++failures;
  std::printf("FAILED: %s\n", what);
}

/// A matrix by rows or by columns, with `gap` elements between its lines, in memory full of NaN.
template <class T> device_matrix<T> laid_out(const std::vector<T>& packed, std::int64_t rows, std::int64_t columns, bool by_columns, std::int64_t gap) {
  return {packed, rows, columns, by_columns ? 1 : columns + gap, by_columns ? rows + gap : 1, 0, double(nan_f)};
}

/// c [m, n] of a [m, k] and b [k, n] in all layouts. Of sums of k products of about 1 each, error: the rounding of a product or factor; and rounded to C.
template <class C, class T> void products(const cublas_gemm& gemm, std::int64_t m, std::int64_t k, std::int64_t n, double error, const char* name) {
  const auto a = normals<T>(m * k, 1, 1), b = normals<T>(k * n, 1, 2);
  const auto start = normals<C>(m * n, 1, 3);
  std::vector<double> product(start.size());
  const std::vector<double> x = as_doubles(a), y = as_doubles(b);
  plain_gemm{}(as_view(product.data(), m, n), as_view(x.data(), m, k), as_view(y.data(), k, n), false);
  for (int manner = 0; manner < 32; ++manner) {
    const std::int64_t gap = manner & 8 ? 5 : 0;
    const bool accumulate = (manner & 16) != 0;
    auto left = laid_out(a, m, k, (manner & 1) != 0, gap), right = laid_out(b, k, n, (manner & 2) != 0, gap);
    auto c = laid_out(accumulate ? start : std::vector<C>(start.size(), to<C>(double(nan_f))), m, n, (manner & 4) != 0, gap);
    gemm(c.matrix(), view<const T, 2, device>(left.matrix()), view<const T, 2, device>(right.matrix()), accumulate);
    cudaDeviceSynchronize();
    const std::vector<C> got = c.packed();
    bool right_everywhere = true;
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double expected = product[i] + (accumulate ? from(start[i]) : 0);
      const double allowed = error * (4 + 4 * std::sqrt(double(k))) + 2 * half_ulp<C>() * std::abs(expected);
      right_everywhere = right_everywhere && std::abs(from(got[i]) - expected) <= allowed;
    }
    std::int64_t written = 0;
    for (const C& each : on_host(c.memory)) written += from(each) == from(each);
    check(right_everywhere && written == m * n, name);
  }
}
template <class C, class T> void products(const cublas_gemm& gemm, double error, const char* name) {
  products<C, T>(gemm, 33, 64, 130, error, name);
  products<C, T>(gemm, 1, 7, 5, error, name);
  products<C, T>(gemm, 130, 40, 1, error, name);
  products<C, T>(gemm, 256, 512, 128, error, name);
}

/// The whole LM head beside that of the host in double.
template <class T, class L> void lm_head(const cublas_gemm& gemm, cudaStream_t stream, double logp_error, double gradient_error, const char* name) {
  using A = attune::arithmetic<T>;
  const std::int64_t rows = 300, features = 64, classes = 1003, chunk = 128;
  const auto policy = thrust::cuda::par_nosync.on(stream);
  const auto h = normals<T>(rows * features, 1, 1), w = normals<T>(classes * features, 0.12, 2);
  const auto y = labels(rows, classes, 3);
  device_matrix<T> hidden(h, rows, features), weight(w, classes, features), d_hidden({}, rows, features);
  device_matrix<A> d_weight(std::vector<A>(w.size(), A(0)), classes, features);
  const thrust::device_vector<std::int32_t> targets(y.begin(), y.end());
  thrust::device_vector<A> logps(static_cast<std::size_t>(rows)), coefficients(static_cast<std::size_t>(rows), A(-1) / A(rows));
  thrust::device_vector<attune::row_state> states(static_cast<std::size_t>(rows));
  thrust::device_vector<std::byte> memory(static_cast<std::size_t>(attune::device_lm_head_bytes<T, L>(chunk, classes)), std::byte{0xff});
  const attune::device_lm_head_workspace<L> workspace{.rows = chunk, .memory = memory};
  attune::lm_head_logps(policy, gemm, hidden.matrix(), weight.matrix(), targets, logps, states, workspace);
  attune::lm_head_gradient(policy, gemm, hidden.matrix(), weight.matrix(), targets, states, coefficients, {.hidden = d_hidden.matrix(), .weight = d_weight.matrix()}, workspace);
  cudaStreamSynchronize(stream);

  const std::vector<double> x = as_doubles(h), v = as_doubles(w);
  std::vector<double> expected(static_cast<std::size_t>(rows)), dx(x.size()), dv(v.size()), logits(static_cast<std::size_t>(rows * classes));
  attune::lm_head_fused(plain_gemm{}, as_view(x.data(), rows, features), as_view(v.data(), classes, features), y, [&](std::int64_t, double) { return -1.0 / double(rows); },
                        expected, {.hidden = as_view(dx.data(), rows, features), .weight = as_view(dv.data(), classes, features)}, {.logits = as_view(logits.data(), rows, classes)});
  check(largest_error(on_host(logps), expected) <= logp_error, name);
  check(norm_error(d_hidden.packed(), dx) <= gradient_error, name);
  check(norm_error(d_weight.packed(), dv) <= gradient_error, name);

  cudaStream_t other = nullptr;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  check(contains(error_text([&] {
          attune::lm_head_logps(thrust::cuda::par_nosync.on(other), gemm, hidden.matrix(), weight.matrix(), targets, logps, states, workspace);
        }), "another stream"), "a handle on another stream is refused");
  cudaStreamDestroy(other);
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: compiled and linked; there is no GPU to run on");
    return 77;
  }
  cublasHandle_t handle = nullptr;
  cudaStream_t stream = nullptr;
  if (cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS || cudaStreamCreate(&stream) != cudaSuccess) return 1;
  cublasSetStream(handle, stream);
  cublasSetMathMode(handle, cublasMath_t(CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION));
  const cublas_gemm gemm{handle};
  products<double, double>(gemm, 0x1p-53, "double");
  products<float, float>(gemm, 0x1p-24, "float");
  products<float, float>({.handle = handle, .tf32 = true}, 0x1p-10, "float, with TF32");
  products<attune::bfloat16, attune::bfloat16>(gemm, 0x1p-24, "bfloat16");
  products<float, attune::bfloat16>(gemm, 0x1p-24, "bfloat16 to float");
  products<attune::float16, attune::float16>(gemm, 0x1p-24, "float16");
  products<float, attune::float16>(gemm, 0x1p-24, "float16 to float");
  lm_head<double, double>(gemm, stream, 1e-12, 1e-12, "LM head, double");
  lm_head<float, float>(gemm, stream, 1e-5, 1e-5, "LM head, float");
  lm_head<attune::bfloat16, attune::bfloat16>(gemm, stream, 1e-2, 1e-2, "LM head, bfloat16");
  lm_head<attune::bfloat16, float>(gemm, stream, 1e-5, 3e-3, "LM head, bfloat16 with logits in float");
  cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE);
  check(contains(error_text([&] { products<float, float>(gemm, 0x1p-24, "float"); }), "CUBLAS_POINTER_MODE_DEVICE"), "scalars in device memory are refused");
  cublasDestroy(handle);
  cudaStreamDestroy(stream);
  std::printf("%d failures\n", failures);
  return failures > 0;
}
