// SPDX-License-Identifier: MIT
// The kernel of row_divergence: a pair of rows a block. The normalisers of both, and with them a KL divergence, from one read of each; the terms of other
// generators from another; the gradient from one more. The block's own rows are then often still in the cache.
#pragma once

#include <attune/exec/cuda/block.hpp>
#include <attune/exec/device/row_divergence.hpp>

namespace attune::detail {

template <real A> struct divergence_scratch {
  A policy_top[most_warps], target_top[most_warps];
  double sum[5][most_warps];
};

/// What a block's threads have read of a pair of rows together, measured from its largest elements; for every thread.
struct pair_total {
  pair_state sums;
  double cross;
};
template <class Block, real A>
ATTUNE_FN pair_total total_of_block(const Block& block, const divergence_rows<A>& rows, const pair_lane<A>& lane, divergence_scratch<A>& scratch) {
  pair_total total{};
  pair_state& s = total.sums;
  s.policy_top = static_cast<double>(largest_of_block(block, lane.policy_top, scratch.policy_top));
  s.target_top = static_cast<double>(largest_of_block(block, lane.target_top, scratch.target_top));
  rows.add(lane, s, total.cross);
  s.policy_sum = sum_of_block(block, s.policy_sum, scratch.sum[0]);
  s.target_sum = sum_of_block(block, s.target_sum, scratch.sum[1]);
  total.cross = sum_of_block(block, total.cross, scratch.sum[2]);
  return total;
}

template <class G, class T, class U> struct divergence_block {
  using A = arithmetic<T>;
  using shared = divergence_scratch<A>;
  static constexpr int max_threads = 512, min_blocks = sizeof(A) == 4 ? 2 : 1, vectors_each = 4;
  divergence_rows<A> rows;
  divergence_gradient_lanes<G, T, U> elements;  ///< both rows, generator; where the gradient goes, if it is asked for
  A rate;                                       ///< device_unit / temperature

  template <class Block> ATTUNE_FN void operator()(const Block& block, shared& memory) const {
    const std::int64_t n = block.row();
    const int lane = block.thread(), lanes = block.threads();
    if (!rows.is_read(n)) {
      if (lane == 0) rows.leave(n);
      if (elements.gradient.data != nullptr) elements.write_row(n, lane, lanes, {});
      return;
    }
    const strided_row<const T> x = elements.policy.row(n);
    const strided_row<const U> y = elements.target.row(n);
    pair_reader<A> reader{rate, rows.kind};
    for_lane_pairs(x, y, lane, lanes, reader);
    const pair_total total = total_of_block(block, rows, reader.total, memory);
    pair_state s = rows.known(total.sums, total.cross);
    if (rows.kind == device_cross::none && s.value == s.value) {
      term_summer<A, G> sum{pair_terms<A, G>(elements.generator, s, rows.temperature), 0, 0};
      for_lane_pairs(x, y, lane, lanes, sum);
      s.value = sum_of_block(block, sum.term, memory.sum[3]);
      s.weight = sum_of_block(block, sum.weight, memory.sum[4]);
    }
    if (lane == 0) rows.write(n, s);
    if (elements.gradient.data != nullptr) elements.write_row(n, lane, lanes, s);
  }
};

}  // namespace attune::detail
