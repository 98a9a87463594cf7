// SPDX-License-Identifier: MIT
// Eigen 3.4 and 5: everything dense that has memory is a tensor. Matrix, Array, Map, Ref, and what Eigen makes of them without copying:
// rows, columns, blocks, segments, diagonals, transposes, .array() and .matrix(), in both storage orders and with any stride.
//
//   Eigen::MatrixXf logp(B, 4);
//   attune::pairs<float> batch{.chosen = logp.col(0), .rejected = logp.col(1), .ref_chosen = logp.col(2), .ref_rejected = logp.col(3)};
#pragma once

#include <attune/core/matrix.hpp>  // blas_layout_of
#include <attune/core/view.hpp>    // tensor_traits

#include <Eigen/Core>

namespace attune {
namespace detail {

template <class E> void dense_object(const Eigen::DenseBase<E>&);
template <class E> void plain_object(const Eigen::PlainObjectBase<E>&);

template <class X>
concept eigen_dense = requires(const X& x) { dense_object(x); };

/// Whether the memory dies with the object: Matrix and Array; and Ref<const ...>, which holds a copy where the types do not fit.
template <class X>
inline constexpr bool eigen_owning = requires(const X& x) { plain_object(x); };
template <class X, int Options, class Stride>
inline constexpr bool eigen_owning<Eigen::Ref<const X, Options, Stride>> = true;

}  // namespace detail

/// Compile-time vectors (also those of dynamic size, a row or a column of a matrix) have rank 1, all else rank 2 with element (i, j)
/// in row i and column j whatever the storage order. Const objects, and maps of const memory, give views of const elements.
/// A block or a transpose of a temporary matrix dies with that matrix, as everywhere in Eigen.
template <detail::eigen_dense X>
struct tensor_traits<X> {
  static constexpr bool owning = detail::eigen_owning<X>;

  static auto make(X& x) { return see(x); }
  static auto make(const X& x) { return see(x); }

 private:
  template <class E>
  static auto see(E& x) {
    static_assert(bool(X::Flags & Eigen::DirectAccessBit),
                  "attune: this Eigen expression has no memory to view; evaluate it into a Matrix or an Array first");
    using T = std::remove_pointer_t<decltype(x.data())>;
    if constexpr (X::IsVectorAtCompileTime) {
      return view<T>(x.data(), {x.size()}, {x.innerStride()});
    } else {
      return view<T, 2>(x.data(), {x.rows(), x.cols()}, {x.rowStride(), x.colStride()});
    }
  }
};

/// Eigen's matrix product as the functor that attune's LM head takes (rows/lm_head.hpp): c = a b, or c += a b. All three are of one type,
/// float or double, and packed along rows or columns, in any combination; nothing is copied. Eigen allocates the buffers into which it packs
/// blocks of a and b, and has threads of its own under OpenMP only. It is given c in panels of 1024 columns (rows, if c is by columns): a wide
/// matrix is otherwise packed over its whole width, which is more than a chunk of logits; so it is 4 MB at most, and faster.
/// Throws  attune::error: sizes that differ, strides that are neither, before c is written.
struct eigen_gemm {
  template <real T> void operator()(const view<T, 2>& c, const view<const T, 2>& a, const view<const T, 2>& b, bool accumulate) const {
    validate(c, a, b);
    if (c.size() == 0) return;
    if (blas_layout_of(c, "c").by_columns) return by_rows(transposed(c), transposed(b), transposed(a), accumulate);
    by_rows(c, a, b, accumulate);
  }
  template <real T> void validate(const view<T, 2>& c, const view<const T, 2>& a, const view<const T, 2>& b) const {
    detail::require_product(c, a, b);
    blas_layout_of(c, "c"), blas_layout_of(a, "a"), blas_layout_of(b, "b");
  }

 private:
  template <class T, int Order> using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order>;
  template <class Matrix> using mapped = Eigen::Map<Matrix, 0, Eigen::OuterStride<>>;

  /// Calls work with m as Eigen's matrix.
  template <class T, class Work> static void with(const view<const T, 2>& m, const Work& work) {
    const blas_layout layout = blas_layout_of(m, "m");
    const Eigen::OuterStride<> stride(layout.leading_dimension);
    if (layout.by_columns) return work(mapped<const matrix<T, Eigen::ColMajor>>(m.data(), m.extent(0), m.extent(1), stride));
    work(mapped<const matrix<T, Eigen::RowMajor>>(m.data(), m.extent(0), m.extent(1), stride));
  }
  template <class T> static void by_rows(const view<T, 2>& c, const view<const T, 2>& a, const view<const T, 2>& b, bool accumulate) {
    constexpr std::int64_t panel = 1024;
    for (std::int64_t first = 0; first < c.extent(1); first += panel) {
      const std::int64_t columns = c.extent(1) - first < panel ? c.extent(1) - first : panel;
      multiply(columns_of(c, first, columns), a, columns_of(b, first, columns), accumulate);
    }
  }
  template <class T> static view<T, 2> columns_of(const view<T, 2>& m, std::int64_t first, std::int64_t count) {
    return {m.data() + first * m.stride(1), {m.extent(0), count}, m.strides()};
  }
  template <class T> static void multiply(const view<T, 2>& c, const view<const T, 2>& a, const view<const T, 2>& b, bool accumulate) {
    const Eigen::OuterStride<> stride(c.extent(0) > 1 ? c.stride(0) : c.extent(1));
    mapped<matrix<T, Eigen::RowMajor>> result(c.data(), c.extent(0), c.extent(1), stride);
    with(a, [&](const auto& left) {
      with(b, [&](const auto& right) {
        if (accumulate) {
          result.noalias() += left * right;
        } else {
          result.noalias() = left * right;
        }
      });
    });
  }
};

}  // namespace attune
