// SPDX-License-Identifier: MIT
// The kernel of fused_logits_gradient: a row a cluster of blocks, that hold it in their registers between the sums over it and its gradient: one read and
// one write of the logits. Rows that do not fit, or do not begin at a multiple of 16 bytes, are read twice by the same threads; their bits are the same.
#pragma once

#include <attune/exec/cuda/logits_gradient.hpp>
#include <attune/exec/device/row_objective.hpp>
#include <attune/exec/device/token_logps.hpp>

namespace attune::detail {

/// The kinds of function that give loss and coefficients of a row.
template <class F>
concept row_loss_function = std::is_invocable_r_v<row_loss, const F&, const token_row&>;
template <class F> ATTUNE_FN row_loss loss_of(const F& f, const token_row& row) {
  if constexpr (row_loss_function<F>) return f(row);
  else if constexpr (token_coefficient<F>) return {0, f(row)};
  else return {0, {f(row.n, row.logp)}};
}
/// Whether it has a use for the entropy of rows: it may say so by a member function reads_entropy().
template <class F> bool reads_entropy(const F& f) {
  if constexpr (requires { f.reads_entropy(); }) return f.reads_entropy();
  else return row_loss_function<F> || token_coefficient<F>;
}

template <class T, int Vectors> struct fused_scratch {
  using A = arithmetic<T>;
  total_scratch<A> scratch;
  row_total<A> total;  ///< of the block, which its peers read
  gradient_line<A, true> line;
  A given;  ///< the target's logit
  A target;
  int fate;
  vector_words put_down[Vectors][warp_size];
};

template <class T, bool WithStatistics, bool Capped, class F> struct fused_gradient_block {
  using A = arithmetic<T>;
  using source = gradient_source<T, Capped>;
  static constexpr bool clustered = true;
  static constexpr int length = vector_length<T>, vectors = sizeof(T) == 2 ? 10 : 8, max_threads = sizeof(T) == 2 ? 256 : 512, min_blocks = sizeof(T) == 2 ? 3 : sizeof(T) == 4 && !WithStatistics ? 2 : 1;
  using shared = fused_scratch<T, vectors>;
  token_logps_rows<T, true> rows;  ///< logits, selection, and where results go
  strided_rows<T> gradient;
  A softcap, rate;
  strided<A> losses;
  F coefficients_of;

  template <class Block> ATTUNE_FN void operator()(const Block& block, shared& memory) const {
    const std::int64_t n = block.row();
    const int y = rows.selection.label(n), lanes = block.ranks() * block.threads(), lane = block.rank() * block.threads() + block.thread();
    const strided_row<const T> x = rows.logits.row(n);
    const strided_row<T> out = gradient.row(n);
    const bool first_of_row = lane == 0, first_of_block = block.thread() == 0;
    if (y < 0) {
      if (first_of_row) leave(n, y);
      return fill_vectors(out, lane, lanes, x.size, y == row_selection::unread ? A(0) : static_cast<A>(nan_double()));
    }
    if (first_of_block) memory.given = static_cast<A>(x(y));  // before it may be overwritten

    const int whole = x.size / length;
    const bool held = x.stride == 1 && out.stride == 1 && misalignment(x.data) == 0 && misalignment(out.data) == 0 && whole <= vectors * lanes;
    vector_words words[vectors] = {};
    apart_visitor<A, WithStatistics> visit{{rate}, softcap, y};
    if (held) read_held(x, lane, lanes, words, visit);
    else for_lane_vectors(x, lane, lanes, visit);

    const row_total<A> total = total_of_block(block, visit.reader, rows.temperature, x.size, memory.scratch);
    if (first_of_block) memory.total = total;
    block.arrive();
    block.wait();
    if (block.thread() < warp_size) {  // the row's derivatives take registers: this warp puts down what it holds
      const int at = block.thread();
      ATTUNE_UNROLL_ALL
      for (int k = 0; k < vectors; ++k) memory.put_down[k][at] = words[k];
      block.sync_warp();
      if (first_of_block) decide(n, y, static_cast<double>(memory.given), total_of_cluster(block, memory.total), first_of_row, memory);
      block.sync_warp();
      ATTUNE_UNROLL_ALL
      for (int k = 0; k < vectors; ++k) words[k] = memory.put_down[k][at];
    }
    block.sync();
    block.arrive();  // it has read what its peers hold for it
    if (memory.fate != source::number) {
      fill_vectors(out, lane, lanes, x.size, memory.fate == source::zero ? A(0) : static_cast<A>(nan_double()));
    } else {
      const gradient_line<A, true>& l = memory.line;
      const gradient_line<A, Capped> line{l.top, l.rate, l.mass, l.factor, l.slope, l.softcap};
      if (held) write_held(x, out, lane, lanes, words, line, y, memory.target);
      else write_again(x, out, lane, lanes, line, y, memory.target);
    }
    block.wait();
  }

 private:
  ATTUNE_FN void leave(std::int64_t n, int y) const {
    rows.leave(n, y);
    if (losses.given()) losses(n) = y == row_selection::unread ? A(0) : static_cast<A>(nan_double());
  }
  /// Of the blocks in their order; each finds the same.
  template <class Block> ATTUNE_FN row_total<A> total_of_cluster(const Block& block, const row_total<A>& own) const {
    A top = -infinity<A>;
    for (int r = 0; r < block.ranks(); ++r) top = std::fmax(top, block.peer(own, r).top);
    row_total<A> total{top, rows.logits.columns, {0, 0}};
    for (int r = 0; r < block.ranks(); ++r) {
      const row_total<A> part = block.peer(own, r);
      const int argmax = part.top == top ? part.argmax : total.argmax;
      add_part<WithStatistics>(total, rebased(part.sum, part.top, static_cast<double>(top), 1 / rows.temperature), argmax);
    }
    return total;
  }
  /// What the row's gradient is; by the row's first thread, what else it tells.
  ATTUNE_FN void decide(std::int64_t n, int y, double given, const row_total<A>& total, bool writes, shared& memory) const {
    const double x_y = Capped ? softcap_of(given, rows.softcap) : given;
    row_reading row = reading_of(x_y, y, total.top, total.argmax, total.sum, rows.temperature);
    if constexpr (!WithStatistics) row.entropy = nan_double();
    const row_loss cost = loss_of(coefficients_of, token_row{n, row.logp, row.entropy, row.state.shift + std::log(row.state.sum)});
    const row_coefficients& c = cost.slope;
    const bool zero = c.logp == 0 && c.entropy == 0 && c.log_sum_exp == 0;
    const gradient_scale<T, Capped> scale{rows.temperature, rows.softcap};
    const bool number = !zero && scale.is_number(row.state, c, row.entropy);
    memory.fate = zero ? source::zero : number ? source::number : source::none;
    if (number) {
      const gradient_line<A, Capped> line = scale.line_of(row.state, c, row.entropy);
      memory.line = {line.top, line.rate, line.mass, line.factor, line.slope, line.softcap};
      memory.target = scale.target_element(given, row.state, c, row.entropy);
    }
    if (!writes) return;
    if (losses.given()) losses(n) = static_cast<A>(cost.loss);
    if (row.is_number() && !zero && !number) rows.report.non_finite();
    rows.write(n, row);
  }

  ATTUNE_FN void read_held(const strided_row<const T>& x, int lane, int lanes, vector_words (&words)[vectors], apart_visitor<A, WithStatistics>& visit) const {
    const int whole = x.size / length;
    ATTUNE_UNROLL_ALL
    for (int k = 0; k < vectors; ++k) {
      const int j = lane + k * lanes;
      if (j < whole) words[k] = read_words(x.data + j * length);
    }
    ATTUNE_UNROLL_ALL
    for (int k = 0; k < vectors; ++k) {
      const int j = lane + k * lanes;
      if (j < whole) {
        A v[length];
        unpack<T>(words[k], v);
        visit(v, j * length);
      }
    }
    if (whole % lanes == lane && whole * length < x.size) {
      A v[length];
      load_vector(x, whole * length, -infinity<A>, v);
      visit(v, whole * length);
    }
  }
  /// Each thread writes the vectors that it has read, and of those behind the row, which become 0, those in the same order.
  ATTUNE_FN void write_held(const strided_row<const T>& x, const strided_row<T>& out, int lane, int lanes, const vector_words (&words)[vectors],
                            const gradient_line<A, Capped>& line, int y, A target) const {
    const int whole = x.size / length;
    ATTUNE_UNROLL_ALL
    for (int k = 0; k < vectors; ++k) {
      const int j = lane + k * lanes;
      if (j < whole) write_words(gradient_words<T>(words[k], line), out.data + j * length);
    }
    for (int j = whole + (lane + lanes - whole % lanes) % lanes; j * length < out.size; j += lanes) write_vector(x, out, j * length, line);
    if (y / length % lanes == lane) out(y) = static_cast<T>(target);
  }
  ATTUNE_FN void write_again(const strided_row<const T>& x, const strided_row<T>& out, int lane, int lanes, const gradient_line<A, Capped>& line, int y, A target) const {
    const int step = lanes * length;
    for (int first = first_written(out, lane); first < out.size; first += gradient_ahead * step) {
      write_ahead(x, out, first, step, line);
      if (holds_ahead<T>(y, first, step)) out(y) = static_cast<T>(target);
    }
  }
};

}  // namespace attune::detail
