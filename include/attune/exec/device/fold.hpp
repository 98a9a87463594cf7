// SPDX-License-Identifier: MIT
// Sums that many threads have kept, added by a few in a fixed order, and then by one: launches without atomics, whose results are the same on every run.
#pragma once

#include <attune/core/config.hpp>  // ATTUNE_FN

#include <cstdint>

namespace attune::detail {

inline constexpr std::int64_t folded_parts = 16;

/// Thread (m, p) adds the sums m of lanes p, p + folded_parts, ...: neighbours read neighbours.
struct fold_lanes {
  const double* sums;  ///< [metrics, lanes]
  double* folded;      ///< [metrics, folded_parts]
  std::int64_t lanes;

  ATTUNE_FN void operator()(std::int64_t i) const {
    double sum = 0;
    for (std::int64_t l = i % folded_parts; l < lanes; l += folded_parts) sum += sums[i / folded_parts * lanes + l];
    folded[i] = sum;
  }
};
/// The whole sum m.
ATTUNE_FN double folded_sum(const double* folded, int m) {
  double sum = 0;
  for (std::int64_t p = 0; p < folded_parts; ++p) sum += folded[m * folded_parts + p];
  return sum;
}

}  // namespace attune::detail
