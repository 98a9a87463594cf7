// SPDX-License-Identifier: MIT
// The kernel of row_divergence with its gradient: a pair of rows a cluster of blocks, that hold both in their registers between the sums over them and the
// gradient: one read of each and one write. Pairs that do not fit, or do not begin at multiples of 16 bytes, are read again by the same threads; their bits
// are the same.
#pragma once

#include <attune/exec/cuda/row_divergence.hpp>

namespace attune::detail {

template <real A, int Vectors> struct resident_scratch {
  divergence_scratch<A> reduction;
  pair_lane<double> part;     ///< of the block, which its peers read; and the sums of its generator's terms and weights
  double term, weight;
  pair_state state;
  vector_words put_down[2 * Vectors][warp_size];
};

template <class G, class T, class U> struct resident_divergence_block {
  using A = arithmetic<T>;
  static_assert(sizeof(T) == sizeof(U), "the vectors of both rows hold the same classes");
  static constexpr bool clustered = true;
  static constexpr int length = vector_length<T>, vectors = sizeof(T) == 8 ? 4 : 8, max_threads = sizeof(T) == 2 ? 256 : 512, min_blocks = sizeof(T) == 2 ? 2 : 1;
  using shared = resident_scratch<A, vectors>;
  divergence_rows<A> rows;
  divergence_gradient_lanes<G, T, U> elements;
  A rate;  ///< device_unit / temperature

  template <class Block> ATTUNE_FN void operator()(const Block& block, shared& memory) const {
    const std::int64_t n = block.row();
    const int lanes = block.ranks() * block.threads(), lane = block.rank() * block.threads() + block.thread();
    if (!rows.is_read(n)) {
      if (lane == 0) rows.leave(n);
      return elements.write_row(n, lane, lanes, {});
    }
    const strided_row<const T> x = elements.policy.row(n);
    const strided_row<const U> y = elements.target.row(n);
    const strided_row<T> out = elements.gradient.row(n);
    const bool held = x.size == y.size && x.size / length <= vectors * lanes && is_aligned(x) && is_aligned(y) && is_aligned(out);
    held_pair words{};
    if (held) read(x, y, lane, lanes, words);

    pair_reader<A> reader{rate, rows.kind};
    visit_pairs(x, y, lane, lanes, held, words, reader);
    const pair_total total = total_of_block(block, rows, reader.total, memory.reduction);
    const pair_state& sums = total.sums;
    if (block.thread() == 0) memory.part = {sums.policy_top, sums.policy_sum, sums.target_top, sums.target_sum, total.cross * static_cast<double>(device_unit<A>)};
    meet(block);
    if (block.thread() < warp_size) find_state(block, words, memory);
    block.sync();
    if (rows.kind == device_cross::none && memory.state.value == memory.state.value) {
      term_summer<A, G> sum{pair_terms<A, G>(elements.generator, memory.state, rows.temperature), 0, 0};
      visit_pairs(x, y, lane, lanes, held, words, sum);
      add_terms(block, sum, memory);
      meet(block);
      if (block.thread() == 0) find_terms(block, memory);
      block.sync();
    }
    block.arrive();  // it has read what its peers hold for it
    if (lane == 0) rows.write(n, memory.state);
    elements.write_row(n, lane, lanes, memory.state, [&](const auto& gradient) {
      if (!held) return false;
      write(x, y, out, lane, lanes, words, gradient);
      return true;
    });
    block.wait();
  }

 private:
  struct held_pair {
    vector_words policy[vectors], target[vectors];
  };
  template <class X> static ATTUNE_FN bool is_aligned(const strided_row<X>& row) { return row.stride == 1 && misalignment(row.data) == 0; }
  template <class Block> static ATTUNE_FN void meet(const Block& block) {
    block.arrive();
    block.wait();
  }

  static ATTUNE_FN void read(const strided_row<const T>& x, const strided_row<const U>& y, int lane, int lanes, held_pair& words) {
    const int whole = x.size / length;
    ATTUNE_UNROLL_ALL
    for (int k = 0; k < vectors; ++k) {
      const int j = lane + k * lanes;
      if (j < whole) words.policy[k] = read_words(x.data + j * length), words.target[k] = read_words(y.data + j * length);
    }
  }
  template <class Visit>
  static ATTUNE_FN void visit_pairs(const strided_row<const T>& x, const strided_row<const U>& y, int lane, int lanes, bool held, const held_pair& words, Visit& visit) {
    if (!held) return for_lane_pairs(x, y, lane, lanes, visit);
    const int whole = x.size / length;
    A a[length], b[length];
    ATTUNE_UNROLL_ALL
    for (int k = 0; k < vectors; ++k) {
      if (lane + k * lanes >= whole) break;
      unpack<T>(words.policy[k], a), unpack<U>(words.target[k], b);
      visit(a, b);
    }
    if (whole % lanes == lane && whole * length < x.size) {
      load_pair(x, y, whole * length, a, b);
      visit(a, b);
    }
  }

  /// The state of the rows, from the blocks in their order; each finds the same. It takes registers: this warp puts down what it holds.
  template <class Block> ATTUNE_FN void find_state(const Block& block, held_pair& words, shared& memory) const {
    const int at = block.thread();
    ATTUNE_UNROLL_ALL
    for (int k = 0; k < vectors; ++k) memory.put_down[2 * k][at] = words.policy[k], memory.put_down[2 * k + 1][at] = words.target[k];
    block.sync_warp();
    if (at == 0) memory.state = state_of_cluster(block, memory.part);
    block.sync_warp();
    ATTUNE_UNROLL_ALL
    for (int k = 0; k < vectors; ++k) words.policy[k] = memory.put_down[2 * k][at], words.target[k] = memory.put_down[2 * k + 1][at];
  }
  template <class Block> ATTUNE_FN pair_state state_of_cluster(const Block& block, const pair_lane<double>& own) const {
    pair_state s{-infinity<double>, 0, -infinity<double>, 0, 0, 0};
    for (int r = 0; r < block.ranks(); ++r) {
      const pair_lane<double> part = block.peer(own, r);
      s.policy_top = std::fmax(part.policy_top, s.policy_top);
      s.target_top = std::fmax(part.target_top, s.target_top);
    }
    double cross = 0;
    for (int r = 0; r < block.ranks(); ++r) rows.add(block.peer(own, r), s, cross);
    return rows.known(s, cross);
  }
  template <class Block> static ATTUNE_FN void add_terms(const Block& block, const term_summer<A, G>& sum, shared& memory) {
    const double term = sum_of_block(block, sum.term, memory.reduction.sum[3]), weight = sum_of_block(block, sum.weight, memory.reduction.sum[4]);
    if (block.thread() == 0) memory.term = term, memory.weight = weight;
  }
  template <class Block> static ATTUNE_FN void find_terms(const Block& block, shared& memory) {
    double term = 0, weight = 0;
    for (int r = 0; r < block.ranks(); ++r) term += block.peer(memory.term, r), weight += block.peer(memory.weight, r);
    memory.state.value = term;
    memory.state.weight = weight;
  }

  /// Each thread writes the vectors that it has read; those behind the rows become 0.
  template <class Gradient>
  static ATTUNE_FN void write(const strided_row<const T>& x, const strided_row<const U>& y, const strided_row<T>& out, int lane, int lanes, const held_pair& words,
                              const Gradient& gradient) {
    const int whole = x.size / length;
    A a[length], b[length];
    ATTUNE_UNROLL_ALL
    for (int k = 0; k < vectors; ++k) {
      const int j = lane + k * lanes;
      if (j >= whole) break;
      unpack<T>(words.policy[k], a), unpack<U>(words.target[k], b);
      gradient(a, b, length);
      write_words(packed<T>(a), out.data + j * length);
    }
    for (int j = whole + (lane + lanes - whole % lanes) % lanes; j * length < out.size; j += lanes) {
      load_pair(x, y, j * length, a, b);
      gradient(a, b, x.size - j * length);
      store_vector(out, j * length, a);
    }
  }
};

}  // namespace attune::detail
