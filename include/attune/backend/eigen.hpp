// SPDX-License-Identifier: MIT
// Eigen 3.4 and 5: everything dense that has memory is a tensor. Matrix, Array, Map, Ref, and what Eigen makes of them without copying:
// rows, columns, blocks, segments, diagonals, transposes, .array() and .matrix(), in both storage orders and with any stride.
//
//   Eigen::MatrixXf logp(B, 4);
//   attune::pairs<float> batch{.chosen = logp.col(0), .rejected = logp.col(1), .ref_chosen = logp.col(2), .ref_rejected = logp.col(3)};
#pragma once

#include <attune/core/view.hpp>  // tensor_traits

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

}  // namespace attune
