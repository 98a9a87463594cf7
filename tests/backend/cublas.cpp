// SPDX-License-Identifier: MIT
// cublas_gemm as far as it goes without a GPU: that it compiles and links, what it takes, and its errors. tests/cuda/cublas.cu has the products.
#include <attune/backend/cublas.hpp>
#include <attune/exec/device/lm_head_chunks.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::cublas_gemm;
using attune::device;
using attune::device_matrix_product;

TEST_CASE("cublas_gemm takes the types that an LM head is made of", "[cublas]") {
  STATIC_REQUIRE(device_matrix_product<cublas_gemm, float>);
  STATIC_REQUIRE(device_matrix_product<cublas_gemm, double>);
  STATIC_REQUIRE(device_matrix_product<cublas_gemm, bfloat16>);
  STATIC_REQUIRE(device_matrix_product<cublas_gemm, bfloat16, float>);
  STATIC_REQUIRE(device_matrix_product<cublas_gemm, attune::float16, float>);
  STATIC_REQUIRE_FALSE(device_matrix_product<cublas_gemm, float, bfloat16>);
  STATIC_REQUIRE_FALSE(device_matrix_product<cublas_gemm, float, double>);
}

TEST_CASE("cublas_gemm refuses what it cannot do", "[cublas]") {
  std::vector<float> memory(100, 1);  // never read: there is no handle
  const view<float, 2, device> c(memory.data(), {3, 5});
  const view<const float, 2, device> a(memory.data(), {3, 4}), b(memory.data(), {4, 5});
  const auto text = [&](const auto& x, const auto& y, const auto& z) {
    CHECK(error_text([&] { cublas_gemm{nullptr}(x, y, z, false); }) == error_text([&] { cublas_gemm{nullptr}.validate(x, y, z); }));
    return error_text([&] { cublas_gemm{nullptr}(x, y, z, false); });
  };
  CHECK(contains(text(view<float, 2, device>(memory.data(), {2, 5}), a, b), "a (in rows) has 3 elements; expected 2, like c"));
  CHECK(contains(text(c, view<const float, 2, device>(memory.data(), {3, 4}, {8, 2}), b), "a has strides (8, 2)"));
  CHECK(contains(text(view<float, 2, device>(memory.data() + 20, {3, 5}, {-5, 1}), a, b), "c has strides (-5, 1)"));
  CHECK(contains(text(c, a, b), "attune: cublasGetPointerMode: the library was not initialized"));
  CHECK(contains(error_text([] { cublas_gemm{nullptr}.require_stream(nullptr); }), "attune: cublasGetStream: the library was not initialized"));
}
