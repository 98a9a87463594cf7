// SPDX-License-Identifier: MIT
// Rounding to 16 bits by chance: what stochastic_rounding asks soft_update for.
#pragma once

#include <attune/exec/lanes.hpp>  // read_vector
#include <attune/reference/update.hpp>

#include <cmath>

namespace attune::detail {

/// Random numbers of 16 bits for stochastic_rounding. Two neighbouring elements have the halves of a hash of their index (three rounds of shift
/// and multiply; with two, elements 4096 apart would be correlated) under a key made of seed, step and the index's upper half.
class rounding_noise {
 public:
  rounding_noise() = default;
  explicit rounding_noise(const stochastic_rounding& x) : first_(x.first), seed_(mixed(mixed(x.seed) + x.step)) {}

  /// Takes the key of element i; it holds up to the returned element, at most `end`.
  ATTUNE_FN std::int64_t enter(std::int64_t i, std::int64_t end) {
    const auto index = static_cast<std::uint64_t>(first_ + i);
    const std::uint64_t key = mixed(seed_ + (index >> 32)), left = (std::uint64_t{1} << 32) - (index & 0xffffffffu);
    before_ = static_cast<std::uint32_t>(key);
    between_ = static_cast<std::uint32_t>(key >> 32);
    return static_cast<std::uint64_t>(end - i) < left ? end : i + static_cast<std::int64_t>(left);
  }
  ATTUNE_FN std::uint32_t index(std::int64_t i) const { return static_cast<std::uint32_t>(first_ + i); }

  ATTUNE_FN std::uint32_t of(std::int64_t i) const {
    std::uint32_t x = index(i) >> 1;
    hash(x);
    return index(i) % 2 == 0 ? x & 0xffffu : x >> 16;
  }
  /// a: of elements i, i + 2, ...; b: of i + 1, i + 3, ...
  template <class W>
  ATTUNE_PACK_FN void of_twins(std::int64_t i, W& a, W& b) const {
    read_vector(lane_numbers, a);
    a += index(i) >> 1;
    hash(a);
    if (index(i) % 2 == 0) {
      b = a >> 16;
      a &= 0xffffu;
    } else {
      read_vector(lane_numbers, b);
      b += (index(i) + 1) >> 1;
      hash(b);
      a >>= 16;
      b &= 0xffffu;
    }
  }
  /// Of elements i, i + 1, ...
  template <class W>
  ATTUNE_PACK_FN void of_lanes(std::int64_t i, W& a) const {
    W number;
    read_vector(lane_numbers, number);
    number += index(i);
    a = number >> 1;
    hash(a);
    const W odd = 0u - (number & 1u);
    a = (odd & (a >> 16)) | (~odd & a & 0xffffu);
  }

 private:
  static constexpr std::uint32_t lane_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

  /// x: numbers of pairs of elements; becomes random numbers. On a number or on lanes.
  template <class W>
  ATTUNE_FN void hash(W& x) const {
    x ^= before_;
    x ^= x >> 17;
    x *= 0xed5ad4bbu;
    x ^= x >> 11;
    x += between_;
    x *= 0xac4c1b51u;
    x ^= x >> 15;
    x *= 0x31848babu;
    x ^= x >> 14;
  }
  static ATTUNE_FN std::uint64_t mixed(std::uint64_t x) {  // splitmix64
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

  std::int64_t first_ = 0;
  std::uint64_t seed_ = 0;
  std::uint32_t before_ = 0, between_ = 0;
};

/// x as one of its neighbours in T, such that the expectation over the 16 bits of noise is x.
template <half_storage T>
ATTUNE_FN T round_at_random(float x, std::uint32_t noise) {
  if constexpr (std::is_same_v<T, bfloat16>) {  // its bits are the upper half of a float's: as on lanes, the noise is added to the lower half
    bfloat16 result(x);
    if (x == x) result.bits = static_cast<std::uint16_t>((__builtin_bit_cast(std::uint32_t, x) + noise) >> 16);
    return result;
  }
  const T nearest = static_cast<T>(x);
  const float value = static_cast<float>(nearest);
  if (value == x || x != x) return nearest;
  auto bits = __builtin_bit_cast(std::uint16_t, nearest);  // not const (nvcc 13.0 crashes); sign and magnitude: the next magnitude is the next number
  const int next = value == 0 ? (x < 0 ? 0x8001 : 1) : bits + (std::fabs(value) < std::fabs(x) ? 1 : -1);
  const T other = __builtin_bit_cast(T, static_cast<std::uint16_t>(next));
  const double from = static_cast<double>(value), share = (static_cast<double>(x) - from) / (static_cast<double>(static_cast<float>(other)) - from);
  return 0x1p-16 * noise < share ? other : nearest;
}

}  // namespace attune::detail
