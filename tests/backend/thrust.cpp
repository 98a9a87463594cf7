// SPDX-License-Identifier: MIT
// Thrust's device may be the CPU (THRUST_DEVICE_SYSTEM_CPP, OMP, TBB) or a GPU; the tests are the same, and do not read device memory
// from the host.
#include <attune/backend/thrust.hpp>

#include "backend/same_bits.hpp"

using attune::as_view;
using attune::view;
using attune_test::plain_batch;

TEST_CASE("Thrust: a host_vector is viewed where it lies", "[thrust]") {
  thrust::host_vector<float> x(5, 1.0f);
  const thrust::host_vector<float>& constant = x;
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(x)), view<float>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(constant)), view<const float>>);
  const auto before = attune_test::allocations();
  const auto seen = as_view(x);
  const auto after = attune_test::allocations();
  CHECK(after == before);
  REQUIRE(seen.extent(0) == 5);
  for (int i = 0; i < 5; ++i) CHECK(&seen(i) == &x[std::size_t(i)]);
  seen(3) = 7;
  CHECK(x[3] == 7);
  CHECK(as_view(constant).data() == seen.data());
}

TEST_CASE("Thrust: a device_vector's view is of another type", "[thrust]") {
  thrust::device_vector<float> x(5, 1.0f);
  const thrust::device_vector<float>& constant = x;
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(x)), view<float, 1, attune::device>>);
  STATIC_REQUIRE(std::is_same_v<decltype(as_view(constant)), view<const float, 1, attune::device>>);
  const auto before = attune_test::allocations();
  const auto seen = as_view(x);
  const auto after = attune_test::allocations();
  CHECK(after == before);
  CHECK(seen.extent(0) == 5);
  CHECK(seen.stride(0) == 1);
  CHECK(seen.data() == thrust::raw_pointer_cast(&x[0]));
  const view<const float, 1, attune::device> readable = seen;
  CHECK(readable.data() == as_view(constant).data());
  CHECK_FALSE(as_view(x).absent());
}

TEST_CASE("Thrust: vectors own their memory, and empty ones are not absent", "[thrust]") {
  STATIC_REQUIRE(attune::tensor_traits<thrust::host_vector<float>>::owning);
  STATIC_REQUIRE(attune::tensor_traits<thrust::device_vector<float>>::owning);
  thrust::host_vector<double> x;
  thrust::device_vector<double> y;
  CHECK_FALSE(as_view(x).absent());
  CHECK_FALSE(as_view(y).absent());
  CHECK(as_view(y).size() == 0);
}

TEMPLATE_TEST_CASE("Thrust: objectives on host vectors have the bits that they have on std::vector", "[thrust]", float, double) {
  const plain_batch<TestType> plain;
  const auto expected = attune_test::evaluate_plain(attune::dpo{.beta = 0.3}, plain.view());
  const thrust::host_vector<TestType> chosen(plain.chosen), rejected(plain.rejected), ref_chosen(plain.ref_chosen),
      ref_rejected(plain.ref_rejected);
  thrust::host_vector<TestType> d_chosen(plain.chosen.size()), d_rejected(plain.chosen.size());
  attune_test::require_same_bits(
      attune::dpo{.beta = 0.3},
      attune::pairs<TestType>{.chosen = chosen, .rejected = rejected, .ref_chosen = ref_chosen, .ref_rejected = ref_rejected},
      {.chosen = d_chosen, .rejected = d_rejected}, expected);
}
