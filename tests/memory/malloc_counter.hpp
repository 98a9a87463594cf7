// SPDX-License-Identifier: MIT
// Bytes on the heap. Only for programs that are linked with --wrap (CMakeLists.txt).
#pragma once

#include <cstdint>

namespace attune_test {

/// Bytes that this program holds from malloc and its like.
std::int64_t heap_bytes();

/// The most bytes that `work` held at one time beyond those held before it.
template <class Work> std::int64_t peak_of(const Work& work);

void start_peak();
std::int64_t peak_since_start();

template <class Work> std::int64_t peak_of(const Work& work) {
  start_peak();
  work();
  return peak_since_start();
}

}  // namespace attune_test
