// SPDX-License-Identifier: MIT
// The product as it is written, a thread an element, wherever Thrust's device is: for tests of the LM head in device memory. Sums are in double, rounded once.
#pragma once

#include <attune/exec/device/vectors.hpp>

#include "thrust_support.hpp"

namespace attune_test {

template <class C, class T> struct product_elements {
  attune::detail::strided_rows<C> c;
  attune::detail::strided_rows<const T> a;
  const T* b;
  std::int64_t b_row, b_column;  ///< strides
  bool accumulate;

  ATTUNE_FN void operator()(std::int64_t i) const {
    const auto row = a.row(i / c.columns);
    const int j = static_cast<int>(i % c.columns);
    double sum = 0;
    for (int k = 0; k < row.size; ++k) sum += static_cast<double>(as<T>(row(k))) * static_cast<double>(as<T>(b[k * b_row + j * b_column]));
    C& result = c.row(i / c.columns)(j);
    result = static_cast<C>(static_cast<attune::arithmetic<C>>(accumulate ? static_cast<double>(as<C>(result)) + sum : sum));
  }
  template <class X> static ATTUNE_FN attune::arithmetic<X> as(X x) { return static_cast<attune::arithmetic<X>>(x); }
};

struct device_gemm {
  template <class C, class T>
  void operator()(const attune::view<C, 2, attune::device>& c, const attune::view<const T, 2, attune::device>& a, const attune::view<const T, 2, attune::device>& b,
                  bool accumulate) const {
    const product_elements<C, T> body{{c.data(), c.stride(0), c.stride(1), static_cast<int>(c.extent(1))}, {a.data(), a.stride(0), a.stride(1), static_cast<int>(a.extent(1))},
                                      b.data(), b.stride(0), b.stride(1), accumulate};
    attune::detail::launch(on_thrust, c.size(), body);
  }
};

}  // namespace attune_test
