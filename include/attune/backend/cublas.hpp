// SPDX-License-Identifier: MIT
// cuBLAS: the matrix product of device memory. It needs the toolkit's headers and library, and any C++ compiler.
#pragma once

#include <attune/core/matrix.hpp>  // blas_layout_of

#include <cublas_v2.h>

namespace attune {

/// cuBLAS's matrix product as the functor that attune's LM head takes in device memory (exec/device/lm_head.hpp): c = a b, or c += a b, by one cublasGemmEx.
///
///   a, b    one type: float, double, or a 16-bit type (bfloat16, float16, __nv_bfloat16, __half, ...)
///   c       of the same type, or of its arithmetic type: 16-bit factors also give float
///
/// All three are packed along rows or columns, in any combination; nothing is copied. Products of 16-bit factors are added in float and rounded once.
/// handle  yours, on the stream of the policy beside it (cublasSetStream). Its mode decides beyond what is said here: CUBLAS_TF32_TENSOR_OP_MATH allows TF32 as
///         `tf32` does; unless CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION is set, cuBLAS may add parts of long sums in 16 bits where c has 16.
/// Cost    cuBLAS's. It allocates its workspace when a handle is made; with cublasSetWorkspace it is yours, which captures into CUDA graphs want.
/// Order   the same bits on every run with the same version, device and one stream; they depend on the number of rows in the last places.
/// Throws  attune::error: sizes that differ, strides that are neither, a handle whose scalars are in device memory (CUBLAS_POINTER_MODE_DEVICE), before c is
///         written; and what cuBLAS refuses.
struct cublas_gemm {
  cublasHandle_t handle;
  bool tf32 = false;  ///< whether products of floats may round the factors to 10 bits behind the point, which is several times as fast

  template <storage C, storage T>
    requires std::same_as<C, T> || std::same_as<C, arithmetic<T>>
  void operator()(const view<C, 2, device>& c, const view<const T, 2, device>& a, const view<const T, 2, device>& b, bool accumulate) const {
    validate(c, a, b);
    if (c.size() == 0) return;
    using A = arithmetic<T>;
    const A one = 1, old = accumulate ? A(1) : A(0);
    // cuBLAS thinks in columns; a matrix by rows is the transpose of one by columns, and c^T = b^T a^T.
    const blas_layout result = blas_layout_of(c, "c"), left = blas_layout_of(a, "a"), right = blas_layout_of(b, "b");
    const auto how = [&](const blas_layout& m) { return m.by_columns == result.by_columns ? CUBLAS_OP_N : CUBLAS_OP_T; };
    const bool plain = result.by_columns;
    const blas_layout &first = plain ? left : right, &second = plain ? right : left;
    require(cublasGemmEx_64(handle, how(first), how(second), c.extent(plain ? 0 : 1), c.extent(plain ? 1 : 0), a.extent(1), &one,
                            plain ? a.data() : b.data(), type_of<T>(), first.leading_dimension, plain ? b.data() : a.data(), type_of<T>(),
                            second.leading_dimension, &old, c.data(), type_of<C>(), result.leading_dimension, compute_type<T>(), CUBLAS_GEMM_DEFAULT),
            "cublasGemmEx");
  }
  template <storage C, storage T>
  void validate(const view<C, 2, device>& c, const view<const T, 2, device>& a, const view<const T, 2, device>& b) const {
    detail::require_product(c, a, b);
    blas_layout_of(c, "c"), blas_layout_of(a, "a"), blas_layout_of(b, "b");
    cublasPointerMode_t mode = CUBLAS_POINTER_MODE_HOST;
    require(cublasGetPointerMode(handle, &mode), "cublasGetPointerMode");
    if (mode != CUBLAS_POINTER_MODE_HOST) throw error("attune: the handle of cublas_gemm has CUBLAS_POINTER_MODE_DEVICE; expected CUBLAS_POINTER_MODE_HOST");
  }
  /// Throws if the handle is on another stream than the one given. (Null is the legacy default stream.)
  void require_stream(cudaStream_t stream) const {
    cudaStream_t own = nullptr;
    require(cublasGetStream(handle, &own), "cublasGetStream");
    const auto named = [](cudaStream_t s) { return s == nullptr ? cudaStreamLegacy : s; };
    if (named(own) == named(stream)) return;
    throw error("attune: the handle of cublas_gemm is on another stream than the execution policy; expected the same (cublasSetStream)");
  }

 private:
  static void require(cublasStatus_t status, const char* call) {
    if (status != CUBLAS_STATUS_SUCCESS) throw error(std::string("attune: ") + call + ": " + cublasGetStatusString(status));
  }
  /// Which of the two 16-bit types T is, its own bits tell: 1 is 0x3f80 in bfloat16, 0x3c00 in half precision.
  template <storage T> static cudaDataType type_of() {
    if constexpr (std::same_as<T, double>) return CUDA_R_64F;
    else if constexpr (std::same_as<T, float>) return CUDA_R_32F;
    else return std::bit_cast<std::uint16_t>(static_cast<T>(1.0f)) == 0x3c00 ? CUDA_R_16F : CUDA_R_16BF;
  }
  template <storage T> cublasComputeType_t compute_type() const {
    if constexpr (std::same_as<T, double>) return CUBLAS_COMPUTE_64F;
    else if constexpr (std::same_as<T, float>) return tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    else return CUBLAS_COMPUTE_32F;
  }
};

}  // namespace attune
