// SPDX-License-Identifier: MIT
// What kernels of whole blocks are written against, and sums over a block in a fixed order.
//
// A kernel is a struct with raw pointers and sizes, a type `shared` for its shared memory, the number max_threads, and
//   template <class Block> void operator()(const Block& block, shared& memory) const
// that does the work of one thread of a block. `block` says where that thread is, and lets it meet the others:
//   thread(), threads()       its number within the block, and how many there are: a multiple of 32
//   row(), tile(), tiles()    which row the block (or its cluster) works on; which part of it, of blocks that know nothing of one another
//   rank(), ranks()           of the block within its cluster
//   sync()                    waits for the block; what was written to shared memory before is seen behind
//   sync_warp()               of the threads of a warp
//   other(x, mask)            the x of the thread of the same warp whose number differs in the bits of the mask; all threads of the block ask
//   peer(memory, rank)        the same place in the shared memory of a block of the cluster
//   arrive(), wait()          of the cluster: no thread leaves wait() before all threads of all its blocks have arrived
// The CUDA policy (backend/cuda/policy.hpp) implements it by the device's instructions, and the tests on the host, where the same text runs.
#pragma once

#include <attune/exec/device/row_reading.hpp>

// Before a loop whose arrays have to stay in registers.
#if defined(__CUDACC__)
#define ATTUNE_UNROLL_ALL _Pragma("unroll")
#define ATTUNE_UNROLL_NONE _Pragma("unroll 1")  // else rare work takes registers from frequent work
#else
#define ATTUNE_UNROLL_ALL
#define ATTUNE_UNROLL_NONE
#endif

namespace attune {
namespace detail {

template <class P> inline constexpr bool is_block_policy = false;
/// Where kernels of blocks run: has launch_blocks(policy, grid, kernel), threads_of(policy, kernel, wanted), most_ranks(policy, kernel); and as every policy of a
/// device launch(policy, n, body) and first_bad(policy, rows, find).
template <class P>
concept block_policy = is_block_policy<P>;

/// rows x tiles blocks of `threads` threads; or rows clusters of `ranks` blocks.
struct block_grid {
  const char* call;  ///< for messages
  std::int64_t rows;
  int tiles, threads, ranks;
};

inline constexpr int warp_size = 32, most_warps = 32;

/// The largest of all threads' x, for every thread. A butterfly: both partners of an exchange see the same two numbers.
template <class Block, real A> ATTUNE_FN A largest_of_block(const Block& block, A x, A (&of_warp)[most_warps]) {
  for (int mask = warp_size / 2; mask > 0; mask /= 2) x = std::fmax(x, block.other(x, mask));
  if (block.thread() % warp_size == 0) of_warp[block.thread() / warp_size] = x;
  block.sync();
  x = of_warp[0];
  for (int w = 1; w < block.threads() / warp_size; ++w) x = std::fmax(x, of_warp[w]);
  return x;
}

/// The sum of all threads' x, for every thread: pairs within warps, then the warps one after the other.
template <class Block> ATTUNE_FN double sum_of_block(const Block& block, double x, double (&of_warp)[most_warps]) {
  for (int mask = warp_size / 2; mask > 0; mask /= 2) x += block.other(x, mask);
  if (block.thread() % warp_size == 0) of_warp[block.thread() / warp_size] = x;
  block.sync();
  x = of_warp[0];
  for (int w = 1; w < block.threads() / warp_size; ++w) x += of_warp[w];
  return x;
}

/// What was read of a row, or of a part: relative to its largest element, the first of which is at argmax.
template <real A> struct row_total {
  A top;
  int argmax;
  row_sum sum;
};
template <real A> struct total_scratch {
  A top[most_warps];
  row_total<A> part[most_warps];
};

/// b is added to a, where both are relative to the same top.
template <bool WithStatistics, real A> ATTUNE_FN void add_part(row_total<A>& a, const row_sum& sum, int argmax) {
  a.sum.sum += sum.sum;
  if constexpr (WithStatistics) {
    a.sum.moment += sum.moment;
    a.argmax = argmax < a.argmax ? argmax : a.argmax;
  }
}

/// What a block's threads have read together, for thread 0: pairs within warps, then the warps one after the other. none: an argmax beyond all others.
template <bool WithStatistics, class Block, real A>
ATTUNE_FN row_total<A> total_of_block(const Block& block, const lane_reader<A, WithStatistics>& lane, double temperature, int none, total_scratch<A>& scratch) {
  const A top = largest_of_block(block, lane.total.top, scratch.top);
  row_total<A> total{top, none, rebased(sum_of(lane.total, lane.statistics.moment), lane.total.top, static_cast<double>(top), 1 / temperature)};
  if (WithStatistics && lane.total.top == top && lane.statistics.argmax >= 0) total.argmax = lane.statistics.argmax;
  for (int mask = warp_size / 2; mask > 0; mask /= 2) {
    row_sum other{block.other(total.sum.sum, mask), 0};
    int argmax = none;
    if constexpr (WithStatistics) {
      other.moment = block.other(total.sum.moment, mask);
      argmax = block.other(total.argmax, mask);
    }
    add_part<WithStatistics>(total, other, argmax);
  }
  if (block.thread() % warp_size == 0) scratch.part[block.thread() / warp_size] = total;
  block.sync();
  for (int w = 1; w < block.threads() / warp_size && block.thread() == 0; ++w) add_part<WithStatistics>(total, scratch.part[w].sum, scratch.part[w].argmax);
  return total;
}

/// Threads for a row that is read in vectors: each has `each` of them, if there are so many; of a power of 2 from 64 to the most.
inline int block_threads(std::int64_t columns, std::size_t element_size, int each, int most) {
  const std::int64_t vectors = (columns * std::int64_t(element_size) + 15) / 16;
  int threads = 64;
  while (threads < most && std::int64_t{threads} * each < vectors) threads *= 2;
  return threads;
}

/// Blocks of a cluster for a row: as many as hold it, of powers of 2.
template <class Kernel> int ranks_for(const auto& policy, const Kernel& kernel, std::int64_t columns, int threads) {
  const std::int64_t held = std::int64_t{threads} * Kernel::vectors * Kernel::length;
  int ranks = 1;
  for (const int most = held < columns ? most_ranks(policy, kernel) : 1; 2 * ranks <= most && ranks * held < columns;) ranks *= 2;
  return ranks;
}

}  // namespace detail
}  // namespace attune
