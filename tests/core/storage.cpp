// SPDX-License-Identifier: MIT
// The halves of the library's own, against their definitions.
#include <attune/core/storage.hpp>

#include <cmath>

#include "support/catch.hpp"

using attune::bfloat16;
using attune::float16;

namespace {

float16 half_of(unsigned bits) {
  float16 x;
  x.bits = static_cast<std::uint16_t>(bits);
  return x;
}
/// IEEE 754: sign, 5 bits of exponent, 10 of the fraction.
double value_of(unsigned bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
  const double size = exponent == 31 ? (fraction == 0 ? INFINITY : NAN) : exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -size : size;
}

}  // namespace

TEST_CASE("float16: every one of them has its value, and comes back", "[storage]") {
  int wrong = 0;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const double expected = value_of(bits), given = static_cast<double>(static_cast<float>(half_of(bits)));
    wrong += expected != expected ? given == given : given != expected || std::signbit(given) != std::signbit(expected);
    const float16 again(static_cast<float>(half_of(bits)));
    wrong += expected != expected ? static_cast<float>(again) == static_cast<float>(again) : again.bits != bits;
  }
  CHECK(wrong == 0);
}

TEST_CASE("float16: floats are rounded to nearest, ties to even", "[storage]") {
  int wrong = 0;
  for (unsigned bits = 0; bits < 0x7bff; ++bits) {  // between every two neighbours
    const double low = value_of(bits), high = value_of(bits + 1), middle = (low + high) / 2;
    const auto rounded = [](double x) { return float16(static_cast<float>(x)).bits; };
    wrong += rounded(middle) != (bits % 2 == 0 ? bits : bits + 1);
    wrong += rounded(std::nextafter(static_cast<float>(middle), 0.0f)) != bits;
    wrong += rounded(std::nextafter(static_cast<float>(middle), 1e9f)) != bits + 1;
    wrong += rounded(-middle) != (0x8000u | (bits % 2 == 0 ? bits : bits + 1));
  }
  CHECK(wrong == 0);
  CHECK(float16(65519.996f).bits == 0x7bff);
  CHECK(float16(65520.0f).bits == 0x7c00);
  CHECK(float16(-1e30f).bits == 0xfc00);
  CHECK(float16(INFINITY).bits == 0x7c00);
}

TEST_CASE("Halves are storage, and trivially copied", "[storage]") {
  STATIC_REQUIRE(attune::half_storage<float16>);
  STATIC_REQUIRE(attune::half_storage<bfloat16>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<float16>);
  STATIC_REQUIRE(std::same_as<attune::arithmetic<float16>, float>);
}
