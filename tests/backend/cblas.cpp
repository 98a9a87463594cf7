// SPDX-License-Identifier: MIT
#include <attune/backend/cblas.hpp>

#include "backend/products.hpp"

using namespace attune_test;

TEST_CASE("cblas_gemm multiplies matrices in every layout, and adds them up", "[cblas]") {
  check_products<float>(attune::cblas_gemm{});
  check_products<double>(attune::cblas_gemm{});
}
TEST_CASE("cblas_gemm carries the LM head", "[cblas]") {
  check_lm_head<float>(attune::cblas_gemm{});
  check_lm_head<double>(attune::cblas_gemm{});
  STATIC_REQUIRE(attune::matrix_product<attune::cblas_gemm, float>);
  STATIC_REQUIRE_FALSE(attune::matrix_product<attune::cblas_gemm, attune::bfloat16>);
}
TEST_CASE("cblas_gemm refuses what it cannot do", "[cblas]") {
  check_refusals(attune::cblas_gemm{});
  float x = 1, y = 7;
  const std::int64_t beyond = std::int64_t{1} << 31;
  const auto c = as_view(&y, 1, 1);
  const auto refuses = [&](const view<const float, 2>& a, const view<const float, 2>& b, const std::string& part) {
    return contains(error_text([&] { attune::cblas_gemm{}(c, a, b, false); }), part) &&
           contains(error_text([&] { attune::cblas_gemm{}.validate(c, a, b); }), part);
  };
  const auto row = as_view<const float>(&x, 1, beyond), column = as_view<const float>(&x, beyond, std::int64_t{1});
  CHECK(refuses(row, column, "the number of columns of a is 2147483648; expected at most 2147483647"));
  CHECK(y == 7);
  std::vector<float> memory(4), result(4, 7);
  const auto far_rows = as_view<const float>(memory.data(), {2, 1}, {beyond, 1}), one = as_view<const float>(memory.data(), 1, 2);
  CHECK(contains(error_text([&] { attune::cblas_gemm{}(as_view(result.data(), 2, 2), far_rows, one, false); }),
                 "the leading dimension of a is 2147483648"));
  CHECK(same_bits(result, std::vector<float>(4, 7)));
}
