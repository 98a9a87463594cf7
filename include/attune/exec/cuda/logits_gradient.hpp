// SPDX-License-Identifier: MIT
// The kernel of logits_gradient: rows x tiles of four vectors a thread, so that all that a thread reads is on its way at once. Elements do not depend on
// one another: bits are those of the lanes of exec/device/row_gradient.hpp.
#pragma once

#include <attune/exec/cuda/block.hpp>
#include <attune/exec/device/row_gradient.hpp>

namespace attune::detail {

inline constexpr int gradient_ahead = 4;

/// Four vectors of a row's gradient, the first at `first`, `step` elements apart: all are read before the first is written.
template <class T, bool Capped>
ATTUNE_FN void write_ahead(const strided_row<const T>& x, const strided_row<T>& out, int first, int step, const gradient_line<arithmetic<T>, Capped>& line) {
  constexpr int length = vector_length<T>, last = gradient_ahead - 1;
  const bool whole = first >= 0 && first + last * step + length <= x.size && x.stride == 1 && out.stride == 1;
  if (whole && misalignment(out.data + first) == 0 && misalignment(x.data + first) == 0) {
    vector_words words[gradient_ahead];
    ATTUNE_UNROLL_ALL
    for (int k = 0; k <= last; ++k) words[k] = read_words(x.data + first + k * step);
    ATTUNE_UNROLL_ALL
    for (int k = 0; k <= last; ++k) write_words(gradient_words<T>(words[k], line), out.data + first + k * step);
    return;
  }
  ATTUNE_UNROLL_NONE
  for (int k = 0; k <= last; ++k) {
    if (first + k * step < out.size) write_vector(x, out, first + k * step, line);
  }
}
/// Whether column y is in one of these.
template <class T> ATTUNE_FN bool holds_ahead(int y, int first, int step) {
  bool held = false;
  for (int k = 0; k < gradient_ahead; ++k) held = held || (y >= first + k * step && y < first + k * step + vector_length<T>);
  return held;
}

template <class T, bool Capped> struct logits_gradient_block {
  using A = arithmetic<T>;
  using source = gradient_source<T, Capped>;
  static constexpr int max_threads = 256, min_blocks = sizeof(A) == 4 ? 4 : 1;
  struct shared {};
  source rows;
  device_report report;

  template <class Block> ATTUNE_FN void operator()(const Block& block, shared&) const {
    const std::int64_t n = block.row();
    const int y = rows.selection.label(n), step = block.threads() * vector_length<T>, tile = gradient_ahead * step;
    const strided_row<T> out = rows.gradient.row(n);
    const strided_row<const T> x = rows.logits.row(n);
    const auto fate = rows.fate_of(n, y);
    if (fate != source::number) {
      if (block.thread() == 0 && block.tile() == 0) count(y, fate);
      const A value = fate == source::zero ? A(0) : static_cast<A>(nan_double());
      return fill_vectors(out, block.tile() * block.threads() + block.thread(), block.tiles() * block.threads(), x.size, value);
    }
    const gradient_line<A, Capped> line = rows.line(n);
    const int begin = first_written(out, block.thread());
    for (std::int64_t t = block.tile(); begin + t * tile < out.size; t += block.tiles()) {
      const int first = begin + static_cast<int>(t * tile);
      const bool has_target = holds_ahead<T>(y, first, step);
      const A target = has_target ? rows.target(n, y) : A(0);  // before what it is made of may be overwritten
      write_ahead(x, out, first, step, line);
      if (has_target) out(y) = static_cast<T>(target);
    }
  }

 private:
  ATTUNE_FN void count(int y, typename source::fate fate) const {
    if (y == row_selection::unread) report.masked();
    if (fate == source::none) report.non_finite();
  }
};

}  // namespace attune::detail
