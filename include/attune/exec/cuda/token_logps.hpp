// SPDX-License-Identifier: MIT
// The kernel of token_logps: a row a block, one read, no memory but the results. A thread sums what lanes of exec/device/row_sums.hpp sum.
//
// A row is never split over blocks, so the bits depend on nothing but the row, its length and type. At 512 threads with 64 bytes on their way each, two
// rows keep a multiprocessor busy: from twice as many rows as there are multiprocessors on, nothing is lost by it.
#pragma once

#include <attune/exec/cuda/block.hpp>
#include <attune/exec/device/token_logps.hpp>

namespace attune::detail {

template <class T, bool WithStatistics> struct token_logps_block {
  using A = arithmetic<T>;
  static constexpr int max_threads = 512, min_blocks = sizeof(A) == 4 ? 3 : 1, vectors_each = 8;
  using shared = total_scratch<A>;
  token_logps_rows<T, WithStatistics> rows;
  A softcap, rate;  ///< device_unit / temperature

  template <class Block> ATTUNE_FN void operator()(const Block& block, shared& memory) const {
    const std::int64_t n = block.row();
    const int y = rows.selection.label(n);
    if (y < 0) {
      if (block.thread() == 0) rows.leave(n, y);
      return;
    }
    apart_visitor<A, WithStatistics> visit{{rate}, softcap, y};
    for_lane_vectors(rows.logits.row(n), block.thread(), block.threads(), visit);
    const row_total<A> total = total_of_block(block, visit.reader, rows.temperature, rows.logits.columns, memory);
    if (block.thread() == 0) rows.write(n, reading_of(rows.target_logit(n, y), y, total.top, total.argmax, total.sum, rows.temperature));
  }
};

}  // namespace attune::detail
