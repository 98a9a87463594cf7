// SPDX-License-Identifier: MIT
#include <attune/backend/xtensor.hpp>

#include "backend/same_bits.hpp"

using attune::as_view;
using attune::view;
using attune_test::plain_batch;
using xt::all;
using xt::layout_type;
using xt::range;

namespace {

/// The tensor is seen where it lies, element by element the address that xtensor gives; and seeing it allocates nothing.
template <class X>
void require_matrix(X&& x) {
  const auto before = attune_test::allocations();
  const auto seen = as_view<2>(x);
  const auto after = attune_test::allocations();
  CHECK(after == before);
  REQUIRE(seen.extent(0) == std::int64_t(x.shape()[0]));
  REQUIRE(seen.extent(1) == std::int64_t(x.shape()[1]));
  int elsewhere = 0;
  for (std::int64_t i = 0; i < seen.extent(0); ++i) {
    for (std::int64_t j = 0; j < seen.extent(1); ++j) elsewhere += &seen(i, j) != &x(std::size_t(i), std::size_t(j));
  }
  CHECK(elsewhere == 0);
}
template <class X>
void require_vector(X&& x) {
  const auto before = attune_test::allocations();
  const auto seen = as_view<1>(x);
  const auto after = attune_test::allocations();
  CHECK(after == before);
  REQUIRE(seen.extent(0) == std::int64_t(x.shape()[0]));
  int elsewhere = 0;
  for (std::int64_t i = 0; i < seen.extent(0); ++i) elsewhere += &seen(i) != &x(std::size_t(i));
  CHECK(elsewhere == 0);
}

template <class X>
constexpr bool owning = attune::tensor_traits<std::remove_cvref_t<X>>::owning;

template <class X>
void require_parts(X& x) {  // of a [5, 7] matrix
  require_matrix(x);
  require_matrix(xt::view(x, range(1, 4), range(2, 6)));
  require_matrix(xt::view(x, range(4, 0, -2), range(0, 7, 3)));
  require_matrix(xt::view(xt::view(x, range(1, 5), all()), all(), range(2, 4)));
  require_matrix(xt::strided_view(x, {range(1, 4), range(6, 1, -1)}));
  require_matrix(xt::strided_view(xt::view(x, range(1, 4), all()), {all(), range(2, 5)}));
  require_matrix(xt::transpose(x));
  require_vector(xt::row(x, 3));
  require_vector(xt::col(x, 6));
  require_vector(xt::view(x, 2, range(1, 7, 2)));
  require_vector(xt::view(x, range(4, 1, -1), 5));
  require_vector(xt::strided_view(x, {all(), 2}));
}

}  // namespace

TEMPLATE_TEST_CASE("xtensor: tensors of both layouts, and their parts", "[xtensor]", (xt::xtensor<float, 2>), xt::xarray<double>,
                   (xt::xtensor<double, 2, layout_type::column_major>), (xt::xarray<float, layout_type::column_major>)) {
  TestType x = TestType::from_shape({5, 7});
  require_parts(x);
  const TestType constant = x;
  require_parts(constant);
}

TEST_CASE("xtensor: layouts chosen at run time, fixed shapes and vectors", "[xtensor]") {
  xt::xtensor<float, 2, layout_type::dynamic> dynamic({5, 7}, layout_type::column_major);
  require_parts(dynamic);
  xt::xtensor_fixed<float, xt::xshape<5, 7>> fixed;
  require_matrix(fixed);
  require_vector(xt::row(fixed, 2));
  xt::xtensor<float, 1> vector = xt::xtensor<float, 1>::from_shape({9});
  require_vector(vector);
  require_vector(xt::view(vector, range(8, 2, -3)));
  require_vector(xt::view(vector, range(2, 5)));
}

TEST_CASE("xtensor: adapted memory", "[xtensor]") {
  std::vector<float> memory(40);
  float* p = memory.data();
  const std::array<std::size_t, 2> shape{5, 7};
  require_matrix(xt::adapt(memory, std::array<std::size_t, 2>{8, 5}));
  require_matrix(xt::adapt(p, 35, xt::no_ownership(), shape));
  require_matrix(xt::adapt<layout_type::column_major>(p, 35, xt::no_ownership(), shape));
  require_matrix(xt::adapt(p, 35, xt::no_ownership(), std::vector<std::size_t>{5, 7}));
  require_matrix(xt::adapt(p, 35, xt::no_ownership(), shape, std::array<std::ptrdiff_t, 2>{8, 1}));  // rows of 8
  CHECK(as_view(xt::adapt(p, 35, xt::no_ownership(), shape)).data() == p);
  const std::vector<float>& constant = memory;
  const auto adapted = xt::adapt(constant, std::array<std::size_t, 1>{40});
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(adapted)), view<const float>>);
  CHECK(as_view(adapted).data() == p);
}

TEST_CASE("xtensor: strides are those of the memory", "[xtensor]") {
  auto x = xt::xtensor<float, 2>::from_shape({5, 7});
  const auto part = as_view(xt::view(x, range(4, 0, -2), range(1, 7, 3)));
  CHECK(part.strides() == std::array<std::int64_t, 2>{-14, 3});
  CHECK(part.data() == &x(4, 1));
  // Where xtensor writes stride 0 for an extent of 1, a reader may rely on what a packed tensor has.
  auto one_row = xt::xtensor<float, 2>::from_shape({1, 7});
  auto one_column = xt::xtensor<float, 2>::from_shape({5, 1});
  auto one = xt::xtensor<float, 1>::from_shape({1});
  CHECK(as_view(one_row).strides() == std::array<std::int64_t, 2>{7, 1});
  CHECK(as_view(one_column).strides() == std::array<std::int64_t, 2>{1, 1});
  CHECK(as_view(one).stride(0) == 1);
}

TEST_CASE("xtensor: a rank known at run time only is checked when the view is made", "[xtensor]") {
  xt::xarray<float> matrix = xt::zeros<float>({3, 4});
  const view<float, 2> seen(matrix);
  CHECK(seen.data() == matrix.data());
  CHECK(seen.extents() == std::array<std::int64_t, 2>{3, 4});
  CHECK_THROWS_AS(view<float>(matrix), attune::error);
  CHECK_THROWS_WITH(as_view<1>(matrix), Catch::Matchers::Matches(".*2 dimensions.*expected 1.*"));
  CHECK_THROWS_AS(as_view<2>(xt::strided_view(matrix, {0, all()})), attune::error);
  xt::xarray<std::int64_t> lengths = xt::ones<std::int64_t>({3});
  CHECK(attune::length_view(lengths)(2) == 1);
  CHECK_THROWS_AS(attune::length_view(matrix), attune::error);
}

TEST_CASE("xtensor: const-ness and ownership are known at compile time", "[xtensor]") {
  auto x = xt::xtensor<float, 2>::from_shape({2, 2});
  const auto& constant = x;
  std::vector<float> memory(4);
  const std::array<std::size_t, 1> shape{4};
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(x)), view<float, 2>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(constant)), view<const float, 2>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(xt::row(x, 0))), view<float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(xt::row(constant, 0))), view<const float>>);
  STATIC_REQUIRE(owning<decltype(x)>);
  STATIC_REQUIRE(owning<xt::xarray<double>>);
  STATIC_REQUIRE(owning<xt::xtensor_fixed<float, xt::xshape<3>>>);
  STATIC_REQUIRE_FALSE(owning<decltype(xt::row(x, 0))>);
  STATIC_REQUIRE_FALSE(owning<decltype(xt::transpose(x))>);
  STATIC_REQUIRE_FALSE(owning<decltype(xt::view(xt::view(x, all(), 0), range(0, 1)))>);
  STATIC_REQUIRE_FALSE(owning<decltype(xt::adapt(memory, shape))>);
  STATIC_REQUIRE_FALSE(owning<decltype(xt::adapt(memory.data(), 4, xt::no_ownership(), shape))>);
  // What xtensor moved into the view or the adaptor dies with it.
  STATIC_REQUIRE(owning<decltype(xt::view(xt::xtensor<float, 2>(), 0))>);
  STATIC_REQUIRE(owning<decltype(xt::transpose(xt::xtensor<float, 2>()))>);
  STATIC_REQUIRE(owning<decltype(xt::adapt(std::vector<float>(4), shape))>);
  STATIC_REQUIRE(owning<decltype(xt::adapt(memory.data(), 4, xt::acquire_ownership(), shape))>);
  STATIC_REQUIRE(owning<decltype(xt::adapt_smart_ptr(std::unique_ptr<float[]>(new float[4]), std::vector<std::size_t>{4}))>);
}

TEST_CASE("xtensor: a tensor without elements is not absent", "[xtensor]") {
  xt::xtensor<float, 1> never_sized;
  auto no_rows = xt::xtensor<float, 2>::from_shape({0, 1});
  auto no_columns = xt::xtensor<float, 2>::from_shape({1, 0});
  CHECK_FALSE(as_view(never_sized).absent());
  CHECK_FALSE(as_view(no_rows).absent());
  CHECK_FALSE(as_view(no_columns).absent());
}

TEMPLATE_TEST_CASE("xtensor: objectives have the bits that they have on std::vector", "[xtensor]", float, double) {
  using T = TestType;
  const plain_batch<T> plain;
  constexpr std::size_t size = plain_batch<T>::size;
  const auto expected = attune_test::evaluate_plain(attune::dpo{.beta = 0.3}, plain.view());
  const auto check = [&](auto&& logp, auto&& gradient) {  // [4, B] and [2, B]
    for (std::size_t i = 0; i < size; ++i) {
      logp(0, i) = plain.chosen[i];
      logp(1, i) = plain.rejected[i];
      logp(2, i) = plain.ref_chosen[i];
      logp(3, i) = plain.ref_rejected[i];
    }
    const attune::pairs<T> batch{.chosen = xt::row(logp, 0), .rejected = xt::row(logp, 1), .ref_chosen = xt::row(logp, 2),
                                 .ref_rejected = xt::row(logp, 3)};
    attune_test::require_same_bits(attune::dpo{.beta = 0.3}, batch, {.chosen = xt::row(gradient, 0), .rejected = xt::row(gradient, 1)},
                                   expected);
  };
  auto rows = xt::xtensor<T, 2>::from_shape({4, size}), d_rows = xt::xtensor<T, 2>::from_shape({2, size});
  auto columns = xt::xtensor<T, 2, layout_type::column_major>::from_shape({4, size});
  auto d_columns = xt::xtensor<T, 2, layout_type::column_major>::from_shape({2, size});
  auto array = xt::xarray<T>::from_shape({size, 4}), d_array = xt::xarray<T>::from_shape({2, size});
  check(rows, d_rows);
  check(columns, d_columns);
  check(xt::transpose(array), d_array);
  check(xt::view(rows, range(3, xt::placeholders::_, -1), range(size - 1, xt::placeholders::_, -1)), d_rows);
  std::vector<T> memory(8 * size);
  const std::array<std::size_t, 2> shape{4, size};
  check(xt::adapt(memory.data(), 4 * size, xt::no_ownership(), shape, std::array<std::ptrdiff_t, 2>{1, 8}), d_rows);
}

TEST_CASE("xtensor: lengths, weights and masks", "[xtensor]") {
  const plain_batch<float> plain;
  constexpr std::size_t size = plain_batch<float>::size;
  const attune::pairs<float> on_vectors{.chosen = plain.chosen, .rejected = plain.rejected, .chosen_length = plain.chosen_length,
                                        .rejected_length = plain.rejected_length, .weight = plain.weight, .mask = plain.mask};
  const auto expected = attune_test::evaluate_plain(attune::simpo{}, on_vectors);

  auto length = xt::xtensor<std::int32_t, 2>::from_shape({size, 2});
  auto data = xt::xarray<float, layout_type::column_major>::from_shape({size, 3});
  auto mask = xt::xarray<std::uint8_t>::from_shape({size});
  for (std::size_t i = 0; i < size; ++i) {
    length(i, 0) = plain.chosen_length[i];
    length(i, 1) = plain.rejected_length[i];
    data(i, 0) = plain.chosen[i];
    data(i, 1) = plain.rejected[i];
    data(i, 2) = plain.weight[i];
    mask(i) = plain.mask[i];
  }
  xt::xtensor<float, 2> gradient({size, 2}, 99.0f);
  attune_test::require_same_bits(attune::simpo{},
                                 attune::pairs<float>{.chosen = xt::col(data, 0), .rejected = xt::col(data, 1),
                                                      .chosen_length = xt::col(length, 0), .rejected_length = xt::col(length, 1),
                                                      .weight = xt::col(data, 2), .mask = mask},
                                 {.chosen = xt::col(gradient, 0), .rejected = xt::col(gradient, 1)}, expected);
}

namespace {
template <layout_type Order>
void require_tokens() {
  attune_test::require_same_tokens([](int rows, int columns, const std::vector<float>& numbers) {
    xt::xtensor<float, 2, Order> x = xt::zeros<float>({rows, columns});
    for (std::size_t i = 0; i < numbers.size(); ++i) x(i / std::size_t(columns), i % std::size_t(columns)) = numbers[i];
    return x;
  });
}
}  // namespace

TEST_CASE("tokens in xtensor tensors of either order give the bits of plain memory") {
  require_tokens<layout_type::row_major>();
  require_tokens<layout_type::column_major>();
}
