// SPDX-License-Identifier: MIT
// Any CBLAS: OpenBLAS, BLIS, MKL, Netlib's. (OpenBLAS chooses its code by the processor's name; one that it does not know runs far slower
// than it could until OPENBLAS_CORETYPE names a relative: SkylakeX for every processor with AVX-512.)
#pragma once

#include <attune/core/matrix.hpp>  // blas_layout_of

#include <cblas.h>

#include <limits>

namespace attune {

/// CBLAS's matrix product as the functor that attune's LM head takes (rows/lm_head.hpp): c = a b, or c += a b, by cblas_sgemm or cblas_dgemm.
/// All three are packed along rows or columns, in any combination; nothing is copied. How many threads run is the library's affair
/// (OPENBLAS_NUM_THREADS, ...).
/// Throws  attune::error: sizes that differ, strides that are neither, sizes or distances beyond int, before c is written.
struct cblas_gemm {
  template <real T> void operator()(const view<T, 2>& c, const view<const T, 2>& a, const view<const T, 2>& b, bool accumulate) const {
    validate(c, a, b);
    if (c.size() == 0) return;
    const matrix result = argument(c, "c"), left = argument(a, "a"), right = argument(b, "b");
    const auto order = result.by_columns ? CblasColMajor : CblasRowMajor;
    const auto how = [&](const matrix& m) { return m.by_columns == result.by_columns ? CblasNoTrans : CblasTrans; };
    product<T>()(order, how(left), how(right), result.rows, result.columns, left.columns, T(1), a.data(), left.leading_dimension, b.data(),
                 right.leading_dimension, T(accumulate ? 1 : 0), c.data(), result.leading_dimension);
  }
  template <real T> void validate(const view<T, 2>& c, const view<const T, 2>& a, const view<const T, 2>& b) const {
    detail::require_product(c, a, b);
    argument(c, "c"), argument(a, "a"), argument(b, "b");
  }

 private:
  struct matrix {
    int rows, columns, leading_dimension;
    bool by_columns;
  };
  static int narrowed(std::int64_t x, const char* name, const char* what) {
    if (x > std::numeric_limits<int>::max()) {
      throw error(std::string("attune: ") + what + " of " + name + " is " + detail::text((long long)x) + "; expected at most " +
                  detail::text((long long)std::numeric_limits<int>::max()) + ", the largest int of CBLAS");
    }
    return static_cast<int>(x);
  }
  template <class T> static matrix argument(const view<T, 2>& m, const char* name) {
    const blas_layout layout = blas_layout_of(m, name);
    return {narrowed(m.extent(0), name, "the number of rows"), narrowed(m.extent(1), name, "the number of columns"),
            narrowed(layout.leading_dimension, name, "the leading dimension"), layout.by_columns};
  }
  template <class T> static auto product() {
    if constexpr (std::same_as<T, float>) return &cblas_sgemm;
    else return &cblas_dgemm;
  }
};

}  // namespace attune
