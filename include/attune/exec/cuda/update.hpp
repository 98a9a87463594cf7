// SPDX-License-Identifier: MIT
// The kernel of soft_update and hard_update of a model: a table of its tensors is the kernel's argument, and blocks take runs of 65536 elements, whichever
// tensor they are in. A model with more tensors than the table holds takes more launches.
#pragma once

#include <attune/exec/cuda/block.hpp>
#include <attune/exec/device/update.hpp>

namespace attune::detail {

template <class Body> struct update_table {
  static constexpr int max_threads = 256, min_blocks = 1, run = 1 << 16;
  static constexpr int capacity = 4000 / int(sizeof(Body) + sizeof(std::int64_t));  ///< of 4 KiB, what kernels' arguments may always take
  struct shared {};
  int tensors = 0;
  std::int64_t first[capacity + 1] = {};  ///< run of each tensor, and behind the last one
  Body body[capacity];

  /// Whether there is room for the tensor.
  bool add(const Body& x) {
    if (tensors == capacity) return false;
    body[tensors] = x;
    first[tensors + 1] = first[tensors] + (x.size + run - 1) / run;
    ++tensors;
    return true;
  }
  std::int64_t runs() const { return first[tensors]; }

  template <class Block> ATTUNE_FN void operator()(const Block& block, shared&) const {
    int k = 0;
    while (first[k + 1] <= block.row()) ++k;
    const Body& x = body[k];
    constexpr int groups = run / Body::count;
    const std::int64_t begin = (block.row() - first[k]) * groups, left = (x.size + Body::count - 1) / Body::count - begin;
    for (std::int64_t i = block.thread(); i < left && i < groups; i += block.threads()) x(begin + i);
  }
};

}  // namespace attune::detail
