// SPDX-License-Identifier: MIT
#pragma once

#include <attune/ranking/softmax.hpp>  // values

namespace attune::ranking {

/// Room for a list on the stack (preference/group.hpp).
#if defined(__CUDA_ARCH__)
inline constexpr int list_room = 64;
#else
inline constexpr int list_room = 1024;
#endif

/// Indices of x from the largest to the smallest; equal numbers keep their order. Merge sort: O(K log K), no allocation, host and device.
ATTUNE_FN void order_by_descending(values x, int* order) {
  int other[list_room];
  for (int i = 0; i < x.size; ++i) order[i] = i;
  for (int width = 1; width < x.size; width *= 2) {
    for (int begin = 0; begin < x.size; begin += 2 * width) {
      const int middle = begin + width < x.size ? begin + width : x.size, end = middle + width < x.size ? middle + width : x.size;
      for (int to = begin, left = begin, right = middle; to < end; ++to) {
        const bool from_left = right == end || (left < middle && !(x[order[right]] > x[order[left]]));
        other[to] = order[from_left ? left++ : right++];
      }
    }
    for (int i = 0; i < x.size; ++i) order[i] = other[i];
  }
}

}  // namespace attune::ranking
