// SPDX-License-Identifier: MIT
// What a tensor may be made of. Arithmetic is done in float or better; 16-bit types are storage only.
#pragma once

#include <attune/core/scalar.hpp>  // ATTUNE_FN, real

#include <bit>
#include <cstdint>

namespace attune {

/// bfloat16: the upper half of a float (8 exponent bits, 8 significant bits). Conversion from float rounds to nearest, ties to even;
/// NaN stays NaN. A storage type for programs that have none of their own.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  ATTUNE_FN explicit bfloat16(float x) {
    const auto word = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    bits = static_cast<std::uint16_t>(x != x ? (word >> 16) | 0x40u : rounded);
  }
  ATTUNE_FN operator float() const { return __builtin_bit_cast(float, std::uint32_t{bits} << 16); }
};

/// A 16-bit floating-point type: attune::bfloat16, Eigen::bfloat16, Eigen::half, __nv_bfloat16, __half, ...
template <class T>
concept half_storage = sizeof(T) == 2 && !std::integral<T> && std::is_trivially_copyable_v<T> &&
                       requires(T x, float f) {
                         static_cast<float>(x);
                         static_cast<T>(f);
                       };

/// An element type whose values attune can read and write.
template <class T>
concept storage = real<T> || half_storage<T>;

/// The arithmetic type for elements of type T: double for double, else float.
template <storage T>
using arithmetic = std::conditional_t<std::same_as<T, double>, double, float>;

}  // namespace attune
