// SPDX-License-Identifier: MIT
// The product as it is written, for tests of the LM head: an element's bits depend on its row of a and its column of b alone.
#pragma once

#include <attune/core/view.hpp>

namespace attune_test {

struct plain_gemm {
  template <class A, class X, class Y>
  void operator()(const attune::view<A, 2>& c, const attune::view<const X, 2>& a, const attune::view<const Y, 2>& b, bool accumulate) const {
    for (std::int64_t i = 0; i < c.extent(0); ++i) {
      for (std::int64_t j = 0; j < c.extent(1); ++j) {
        A sum = 0;
        for (std::int64_t k = 0; k < a.extent(1); ++k) sum += static_cast<A>(a(i, k)) * static_cast<A>(b(k, j));
        c(i, j) = accumulate ? c(i, j) + sum : sum;
      }
    }
  }
};

}  // namespace attune_test
