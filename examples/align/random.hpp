// SPDX-License-Identifier: MIT
// Random numbers with the same bits on every platform (the distributions of <random> are left to the implementation).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

namespace align {

/// SplitMix64 (Steele, Lea and Flood 2014). Any (seed, stream) starts a sequence of its own, so what is random at step n of a training run
/// needs no state in a checkpoint.
class random_source {
 public:
  explicit random_source(std::uint64_t seed, std::uint64_t stream = 0) : state_(seed * 0x9e3779b97f4a7c15u + stream) { state_ = next(); }
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// In (0, 1).
  double uniform() { return (double(next() >> 11) + 0.5) * 0x1p-53; }
  /// In [0, n); the bias of the modulus is below n / 2^64.
  std::size_t below(std::size_t n) { return std::size_t(next() % n); }
  double normal() { return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform()); }

 private:
  std::uint64_t state_;
};

/// A permutation of 0 .. n-1 (Fisher and Yates).
inline std::vector<std::size_t> permutation(std::size_t n, random_source random) {
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t(0));
  for (std::size_t i = n; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

}  // namespace align
