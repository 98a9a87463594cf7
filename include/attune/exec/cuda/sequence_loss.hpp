// SPDX-License-Identifier: MIT
// The kernel of sequence_loss: a pair a block. Its threads add the log-probabilities of both completions' tokens, and one of them does the rest.
#pragma once

#include <attune/exec/cuda/block.hpp>
#include <attune/exec/device/samples.hpp>
#include <attune/exec/device/tokens.hpp>  // token_tensor

namespace attune::detail {

/// Shared memory: sums of warps, of either completion.
struct pair_of_sums {
  double chosen[most_warps], rejected[most_warps];
};

template <class Kind, class A, class O> struct sequence_loss_block {
  static constexpr int max_threads = 128, min_blocks = 1;
  using shared = pair_of_sums;
  O objective;
  device_batch<Kind, A> batch;              ///< whose chosen and rejected are what is added here
  token_tensor<const A> token_logps;        ///< [2 P, length]: the chosen completions, then the rejected ones
  token_tensor<const std::uint8_t> mask;    ///< the same shape, or absent
  std::int64_t length;
  strided<A> logps;                         ///< [2 P] the sums, or absent
  loss_scale scale;
  double* sums;                             ///< [lane_metrics, P]; null: no report is wanted

  template <class Block> ATTUNE_FN void operator()(const Block& block, shared& memory) const {
    const std::int64_t i = block.row();
    const A weight = batch.weight(i);
    lane_totals totals;
    if (weight != A(0)) {
      const double chosen = sum_of_block(block, sum_of_thread(block, i), memory.chosen);
      const double rejected = sum_of_block(block, sum_of_thread(block, batch.size + i), memory.rejected);
      if (block.thread() == 0) one(i, static_cast<A>(chosen), static_cast<A>(rejected), weight, totals);
    } else if (block.thread() == 0) {
      batch.clear(i);
      store(i, A(0), A(0));
    }
    if (block.thread() == 0) totals.store(sums, i, batch.size);
  }

 private:
  template <class Block> ATTUNE_FN double sum_of_thread(const Block& block, std::int64_t row) const {
    double sum = 0;
    for (std::int64_t t = block.thread(); t < length; t += block.threads()) {
      if (!mask.given() || mask(row, t) != 0) sum += static_cast<double>(token_logps(row, t));
    }
    return sum;
  }
  ATTUNE_FN void one(std::int64_t i, A chosen, A rejected, A weight, lane_totals& totals) const {
    auto x = batch.read(i);
    x.chosen.logp = chosen;
    x.rejected.logp = rejected;
    store(i, chosen, rejected);
    evaluate_sample(objective, batch, i, x, weight, static_cast<A>(scale()), totals);
  }
  ATTUNE_FN void store(std::int64_t i, A chosen, A rejected) const {
    if (!logps.given()) return;
    logps(i) = chosen;
    logps(batch.size + i) = rejected;
  }
};

}  // namespace attune::detail
