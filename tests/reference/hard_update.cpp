// SPDX-License-Identifier: MIT
#include <attune/reference/hard_update.hpp>

#include "support/catch.hpp"

#include <bit>
#include <cstring>
#include <limits>
#include <vector>

using attune::bfloat16;
using attune::hard_update;

TEST_CASE("hard_update: copies bits where the types agree") {
  const float signalling = std::bit_cast<float>(0x7f800001u);
  std::vector<float> policy = {1, -0.0f, signalling, std::numeric_limits<float>::infinity(), 1e-45f}, reference(5, 7.0f);
  const attune::update_report r = hard_update(reference, policy);
  CHECK(std::memcmp(reference.data(), policy.data(), 5 * sizeof(float)) == 0);
  CHECK(r.elements == 5);
  CHECK(r.stalled == 0);
  CHECK(r.non_finite == 2);

  std::vector<bfloat16> all(65536), copy(65536, bfloat16(1.0f));
  for (std::size_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  hard_update(attune::threads{2, 0}, copy, all);
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(copy[i].bits == i);
}

TEST_CASE("hard_update: rounds to nearest where the types differ") {
  const std::vector<float> policy = {1.0f, 1.003f, 1.00390625f, 1.01171875f, -1e-3f, 3.4e38f};
  std::vector<bfloat16> reference(6);
  CHECK(hard_update(reference, policy).non_finite == 1);  // 3.4e38 exceeds the largest bfloat16
  CHECK(float(reference[0]) == 1.0f);
  CHECK(float(reference[1]) == 1.0f);
  CHECK(float(reference[2]) == 1.0f);        // tie to even
  CHECK(float(reference[3]) == 1.015625f);   // tie to even
  CHECK(float(reference[4]) == -0.00099945068359375f);
  CHECK(float(reference[5]) == std::numeric_limits<float>::infinity());
  std::vector<double> wide(6);
  hard_update(wide, policy);
  for (std::size_t i = 0; i < 6; ++i) CHECK(wide[i] == double{policy[i]});
}

TEST_CASE("hard_update: companions follow") {
  const std::vector<float> policy(33, 1.003f);
  std::vector<float> master(33);
  std::vector<bfloat16> copy(33), half(33), residual(33, bfloat16(9.0f));
  hard_update(master, policy, attune::rounded_copy{copy});
  CHECK(master == policy);
  CHECK(float(copy[32]) == 1.0f);
  hard_update(half, policy, attune::compensation{residual});
  CHECK(float(half[32]) == 1.0f);
  CHECK(float(half[32]) + float(residual[32]) == Approx(1.003f).epsilon(1e-5));
}

TEST_CASE("hard_update: refuses sizes that differ and a reference that is the policy") {
  std::vector<float> a(3), b(4);
  CHECK_THROWS_WITH(hard_update(a, b), "attune: policy has 4 elements; expected 3, like reference");
  CHECK_THROWS_AS(hard_update(a, a), attune::error);
}
