// SPDX-License-Identifier: MIT
#include <attune/core/length_view.hpp>
#include <attune/core/view.hpp>

#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#include <numeric>

using attune::as_view;
using attune::view;

namespace {

/// Whether two views are of one piece of memory, element by element.
template <class A, class B, int Rank>
bool same(const view<A, Rank>& a, const view<B, Rank>& b) {
  return a.data() == b.data() && a.extents() == b.extents() && a.strides() == b.strides();
}

const float* address_of_first(view<const float> x) { return &x(0); }

}  // namespace

TEST_CASE("a contiguous tensor is viewed where it lies", "[view]") {
  std::vector<float> vector{1, 2, 3};
  std::array<float, 3> array{1, 2, 3};
  float c_array[3] = {1, 2, 3};
  const std::span<float> span(vector);
  const auto check = [](auto& tensor, float* first) {
    const view<float> x(tensor);
    CHECK(x.data() == first);
    CHECK(x.extent(0) == 3);
    CHECK(x.stride(0) == 1);
    CHECK(x.size() == 3);
    for (int i = 0; i < 3; ++i) CHECK(&x(i) == first + i);
    x(1) = 20;
    CHECK(first[1] == 20);
    CHECK(same(as_view(tensor), x));
  };
  check(vector, vector.data());
  check(array, array.data());
  check(c_array, &c_array[0]);
  check(span, vector.data());

  const view<float> from_pointer = as_view(vector.data(), 3);
  CHECK(same(from_pointer, as_view(vector)));
  std::span<float, 2> fixed(vector.data(), 2);
  CHECK(as_view(fixed).extent(0) == 2);
}

TEST_CASE("a view is const where its tensor is", "[view]") {
  std::vector<float> writable(3);
  const std::vector<float> constant(3);
  const std::array<float, 2> constant_array{};
  const float constant_c_array[2] = {};
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(writable)), view<float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(constant)), view<const float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(constant_array)), view<const float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(constant_c_array)), view<const float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(std::span<const float>(constant))), view<const float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(constant.data(), 3)), view<const float>>);
  // Like a pointer: a const span, or a const view, of writable memory may be written through.
  const std::span<float> span(writable);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(span)), view<float>>);
  const view<float> written = as_view(span);
  written(2) = 7;
  CHECK(writable[2] == 7);
}

TEST_CASE("a writable view may be read", "[view]") {
  std::vector<float> x(4);
  const view<float> writable(x);
  const view<const float> readable = writable;
  CHECK(same(readable, writable));
  CHECK(address_of_first(writable) == x.data());
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(readable)), view<const float>>);
  CHECK(same(as_view(readable), writable));
  STATIC_REQUIRE(std::is_trivially_copyable_v<view<float, 2>>);
}

TEST_CASE("temporaries that own nothing are viewed, and so are tensors passed on to a function", "[view]") {
  std::vector<float> x{4, 5, 6};
  CHECK(address_of_first(std::span(x).subspan(1)) == x.data() + 1);
  CHECK(address_of_first(as_view(x.data() + 2, 1)) == x.data() + 2);
  CHECK(address_of_first(x) == x.data());
}

TEST_CASE("matrices are rows after one another, unless strides say otherwise", "[view]") {
  std::vector<double> x(24);
  std::iota(x.begin(), x.end(), 0.0);
  const view<double, 2> packed = as_view(x.data(), 4, 6);
  const view<double, 2> padded = as_view(x.data(), {4, 5}, {6, 1});         // 5 real columns, rows of 6
  const view<double, 2> transposed = as_view(x.data(), {6, 4}, {1, 6});     // also: a column-major matrix
  const view<double, 2> reversed = as_view(x.data() + 23, {4, 6}, {-6, -1});
  const view<double, 2> row_repeated = as_view(x.data() + 6, {3, 6}, {0, 1});
  CHECK(packed.strides() == std::array<std::int64_t, 2>{6, 1});
  CHECK(packed.size() == 24);
  CHECK(padded.size() == 20);
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 6; ++j) {
      CHECK(&packed(i, j) == &x[std::size_t(6 * i + j)]);
      CHECK(&transposed(j, i) == &packed(i, j));
      CHECK(&reversed(3 - i, 5 - j) == &packed(i, j));
      if (j < 5) CHECK(&padded(i, j) == &packed(i, j));
      if (i < 3) CHECK(&row_repeated(i, j) == &packed(1, j));
    }
  }
}

TEST_CASE("a vector may have any stride, 0 and negative included", "[view]") {
  float x[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  const auto every_third = as_view(&x[1], {3}, {3});
  const auto backwards = as_view(&x[7], {8}, {-1});
  const auto repeated = as_view(&x[5], {1000}, {0});
  CHECK(every_third(2) == 7);
  for (int i = 0; i < 8; ++i) CHECK(&backwards(i) == &x[7 - i]);
  CHECK(&repeated(999) == &x[5]);
  CHECK(repeated.size() == 1000);
}

TEST_CASE("extents and strides are 64-bit", "[view]") {
  // A [2^32, 2] matrix of which only one element exists: the index arithmetic must not wrap.
  float element = 3;
  const std::int64_t rows = std::int64_t{1} << 32;
  const view<float, 2> x = as_view(&element, {rows, 2}, {0, 0});
  CHECK(x.size() == 2 * rows);
  CHECK(x(rows - 1, 1) == 3);
  CHECK(as_view(&element, rows, 2).stride(0) == 2);
}

TEST_CASE("absent is a view that was never given a tensor", "[view]") {
  CHECK(view<float>().absent());
  CHECK(view<const float, 2>().absent());
  CHECK(view<const float>(view<float>()).absent());
  CHECK(attune::length_view().absent());
  CHECK(attune::length_view(view<const float>()).absent());

  std::vector<float> x(1), empty;
  CHECK_FALSE(view<float>(x).absent());
  CHECK_FALSE(view<float>(empty).absent());
  CHECK_FALSE(view<const float>(std::span<const float>()).absent());
  CHECK_FALSE(attune::length_view(empty).absent());
  CHECK_FALSE(as_view(x.data(), 0, 5).absent());
  CHECK(view<float>(empty).size() == 0);
}

TEST_CASE("making a view allocates nothing", "[view]") {
  std::vector<float> x(100);
  std::array<double, 4> y{};
  const auto before = attune_test::allocations();
  const view<const float> a(x);
  const auto b = as_view(y);
  const auto c = as_view(x.data(), {10, 5}, {10, 2});
  const attune::length_view d(x);
  const auto after = attune_test::allocations();
  CHECK(after == before);
  CHECK(a.size() + b.size() + c.size() + d.extent(0) == 254);
  ::operator delete(::operator new(64));  // the counter counts (a vector that nobody reads may be optimised away)
  CHECK(attune_test::allocations() > after);
}

TEMPLATE_TEST_CASE("lengths are read in place as any of four types", "[view]", std::int32_t, std::int64_t, float, double) {
  std::vector<TestType> lengths{7, 1, 2048, 16777216};  // 2^24: the end of float's integers
  const attune::length_view from_vector(lengths), from_const(std::as_const(lengths)), from_view(as_view(lengths));
  const attune::length_view every_second(as_view(lengths.data(), {2}, {2})), backwards(as_view(&lengths[3], {4}, {-1}));
  REQUIRE(from_vector.extent(0) == 4);
  for (int i = 0; i < 4; ++i) {
    const double expected = static_cast<double>(lengths[std::size_t(i)]);
    CHECK(from_vector(i) == expected);
    CHECK(from_const(i) == expected);
    CHECK(from_view(i) == expected);
    CHECK(backwards(3 - i) == expected);
  }
  CHECK(every_second.extent(0) == 2);
  CHECK(every_second(1) == 2048);
  lengths[0] = 9;
  CHECK(from_vector(0) == 9);
}

TEST_CASE("64-bit lengths are not cut to 32 bits", "[view]") {
  const std::vector<std::int64_t> lengths{(std::int64_t{1} << 40) + 1};
  CHECK(attune::length_view(lengths)(0) == 1099511627777.0);
}
