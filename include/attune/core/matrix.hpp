// SPDX-License-Identifier: MIT
// Matrices as libraries for products see them: for the backends, and for functors of one's own.
#pragma once

#include <attune/core/view.hpp>  // view

namespace attune {

/// The transpose: the same memory, with extents and strides exchanged.
template <class T, class Space> constexpr view<T, 2, Space> transposed(const view<T, 2, Space>& m) {
  return {m.data(), {m.extent(1), m.extent(0)}, {m.stride(1), m.stride(0)}};
}

/// A matrix in the terms of BLAS: lines of neighbouring elements, at a fixed distance from one another.
struct blas_layout {
  bool by_columns;                 ///< the lines are the columns (column-major); else the rows (row-major)
  std::int64_t leading_dimension;  ///< elements from one line to the next, >= the length of a line and >= 1
};

/// The layout of m, which `name` stands for in the message. Where both fit, as for a single row, by rows.
/// Throws attune::error for a matrix without neighbours in either direction, or whose lines overlap or run backwards.
template <class T, class Space> blas_layout blas_layout_of(const view<T, 2, Space>& m, const char* name) {
  const auto length = [&](int along) { return m.extent(along) > 1 ? m.extent(along) : 1; };
  const auto fits = [&](int along) {
    return (length(along) == 1 || m.stride(along) == 1) && (length(1 - along) == 1 || m.stride(1 - along) >= length(along));
  };
  const auto leading = [&](int along) { return length(1 - along) == 1 ? length(along) : m.stride(1 - along); };
  if (fits(1)) return {false, leading(1)};
  if (fits(0)) return {true, leading(0)};
  throw error(std::string("attune: ") + name + " has strides (" + detail::text((long long)m.stride(0)) + ", " +
              detail::text((long long)m.stride(1)) + "); expected neighbours along its rows or columns (stride 1), which do not overlap");
}

namespace detail {

/// Throws unless c [M, N], a [M, K] and b [K, N] can be multiplied.
template <class C, class A, class B, class Space>
void require_product(const view<C, 2, Space>& c, const view<A, 2, Space>& a, const view<B, 2, Space>& b) {
  require_extent(a.extent(0), c.extent(0), "a (in rows)", "c");
  require_extent(b.extent(1), c.extent(1), "b (in columns)", "c");
  require_extent(b.extent(0), a.extent(1), "b (in rows)", "a's columns");
}

}  // namespace detail
}  // namespace attune
