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

/// IEEE 754 binary16 (5 exponent bits, 11 significant bits). Conversion from float rounds to nearest, ties to even, to infinity beyond 65504;
/// NaN stays NaN. A storage type for programs that have none of their own.
struct float16 {
  std::uint16_t bits = 0;

  float16() = default;
  ATTUNE_FN explicit float16(float x) {
#if defined(__CUDA_ARCH__)
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
#else
    const auto word = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t size = word & 0x7fffffffu;
    std::uint32_t result;
    if (size > 0x7f800000u) result = 0x7e00u | (size >> 13 & 0x3ffu);  // NaN
    else if (size >= 0x477ff000u) result = 0x7c00u;                    // 65520 and above
    else if (size < 0x38800000u) result = __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, size) + 0.5f) - 0x3f000000u;  // in units of 2^-24
    else result = (size + 0xfffu + (size >> 13 & 1u) - 0x38000000u) >> 13;
    bits = static_cast<std::uint16_t>((word >> 16 & 0x8000u) | result);
#endif
  }
  ATTUNE_FN operator float() const {
#if defined(__CUDA_ARCH__)
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
#else
    const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16, size = bits & 0x7fffu;
    if (size >= 0x7c00u) return __builtin_bit_cast(float, sign | 0x7f800000u | (size & 0x3ffu) << 13);
    const float magnitude = __builtin_bit_cast(float, size << 13) * 0x1p112f;  // exact, also for subnormal numbers
    return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, magnitude) | sign);
#endif
  }
};

/// A 16-bit floating-point type: attune::bfloat16, attune::float16, Eigen::bfloat16, Eigen::half, __nv_bfloat16, __half, ...
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
