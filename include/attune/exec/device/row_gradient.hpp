// SPDX-License-Identifier: MIT
// d loss / d logits of a row on a device: the body of logits_gradient. Formulas and names are those of rows/row_gradient.hpp.
//
// Elements do not depend on one another, so here vectors are counted from the first multiple of 16 bytes in the gradient's row: what is written is
// aligned, and so is what is read where the gradient takes the place of the logits. Each vector is read and written by the same thread.
#pragma once

#include <attune/exec/device/row_sums.hpp>
#include <attune/rows/row_gradient.hpp>  // row_coefficients
#include <attune/rows/row_state.hpp>

namespace attune {

/// Coefficients of sequences, for logits_gradient on a device: every row of a sequence has that of the sequence, and no pass is needed that spreads them.
/// The sequence of row n is sequence_of_row[n] in [0, B) where that is given, else n / rows_per_sequence. Rows to be left out are masked.
template <real A> struct sequence_coefficients {
  view<const A, 1, device> values;                          ///< [B], d loss / d (sequence log-probability)
  std::int64_t rows_per_sequence = 0;                       ///< > 0: [B, T] tokens as N = B T rows; or
  view<const std::int32_t, 1, device> sequence_of_row{};    ///< [N]
};

namespace detail {

/// The coefficient of a row's log-probability: its own, or its sequence's. NaN for a sequence that there is not.
template <real A> struct coefficient_reader {
  strided<const A> values;
  std::int64_t count, rows_per_sequence = 1;
  label_reader sequences{};

  ATTUNE_FN double operator()(std::int64_t n) const {
    const std::int64_t s = sequences.data != nullptr ? sequences(n) : rows_per_sequence == 1 ? n : n / rows_per_sequence;
    return s >= 0 && s < count ? static_cast<double>(values(s)) : nan_double();
  }
};

/// What the elements of a row's gradient are made of: mass e^{(x - top) / temperature} (factor + slope (x - top)).
template <real A, bool Capped> struct gradient_line {
  A top, rate, mass, factor, slope, softcap;

  ATTUNE_FN A operator()(A given) const {
    const A x = Capped ? softcap_of(given, softcap) : given, d = x - top;
    A result = mass * device_power(d * rate);
    if (slope != 0) result *= d == -infinity<A> ? A(0) : factor + slope * d;
    if constexpr (Capped) {
      const A t = x / softcap;
      result *= std::fabs(t) <= A(1) ? (A(1) - t) * (A(1) + t) : A(0);
    }
    return result;
  }
};

/// The vectors of a row that a lane writes: the first one begins before the row if that is not aligned.
template <class T> ATTUNE_FN int first_written(const strided_row<T>& out, int lane) {
  return lane * vector_length<T> - (out.stride == 1 ? misalignment(out.data) / int(sizeof(T)) : 0);
}
/// All of them; columns from `classes` on become 0.
template <class T> ATTUNE_FN void fill_vectors(const strided_row<T>& out, int lane, int lanes, int classes, arithmetic<T> value) {
  constexpr int length = vector_length<T>;
  for (int first = first_written(out, lane); first < out.size; first += lanes * length) {
    arithmetic<T> x[length];
    for (int k = 0; k < length; ++k) x[k] = first + k < classes ? value : arithmetic<T>(0);
    store_vector(out, first, x);
  }
}

/// What rows have in common in d loss / d logits.
template <class T, bool Capped> struct gradient_scale {
  using A = arithmetic<T>;
  double temperature, softcap;

  static ATTUNE_FN bool is_number(const row_state& state, const row_coefficients& c, double entropy) {
    return is_finite(c.logp) && is_finite(c.entropy) && is_finite(c.log_sum_exp) && is_finite(state.shift) && is_finite(state.sum) && state.sum > 0 &&
           (c.entropy == 0 || is_finite(entropy));
  }
  ATTUNE_FN gradient_line<A, Capped> line_of(const row_state& state, const row_coefficients& c, double entropy) const {
    const A top = static_cast<A>(state.shift * temperature);
    const double moved = static_cast<double>(top) / temperature - state.shift;  // 0 for a state of token_logps in float
    const double mass = (moved != 0 ? std::exp(moved) : 1) / state.sum / temperature;
    const double level = c.entropy != 0 ? moved - std::log(state.sum) + entropy : 0;  // log p_v + entropy = z + level
    const double factor = c.log_sum_exp - c.logp - c.entropy * level;
    const bool with_line = c.entropy != 0;
    return {top, device_unit<A> * static_cast<A>(1 / temperature), static_cast<A>(with_line ? mass : mass * factor), static_cast<A>(factor),
            static_cast<A>(-c.entropy / temperature), static_cast<A>(softcap)};
  }
  /// The target's element, of its logit: 1 - p_y from the sum of the others, in double and rounded once, so that a confident token keeps its gradient.
  ATTUNE_FN A target_element(double given, const row_state& state, const row_coefficients& c, double entropy) const {
    const double x = Capped ? softcap_of(given, softcap) : given;
    if (x == -infinity<double>) return 0;
    const double z = x / temperature - state.shift, e = std::exp(z), slope = Capped ? 1 - (x / softcap) * (x / softcap) : 1;
    const double others = c.logp * ((state.sum - e) / state.sum);
    const double rest = e / state.sum * (c.log_sum_exp - (c.entropy != 0 ? c.entropy * (z - std::log(state.sum) + entropy) : 0));
    return static_cast<A>(slope * (others + rest) / temperature);
  }
};

template <class T, bool Capped>
ATTUNE_FN void write_vector(const strided_row<const T>& x, const strided_row<T>& out, int first, const gradient_line<arithmetic<T>, Capped>& line) {
  arithmetic<T> v[vector_length<T>];
  load_vector(x, first, -infinity<arithmetic<T>>, v);
  for (arithmetic<T>& each : v) each = line(each);
  store_vector(out, first, v);
}
template <class T, bool Capped> ATTUNE_FN vector_words gradient_words(const vector_words& words, const gradient_line<arithmetic<T>, Capped>& line) {
  arithmetic<T> v[vector_length<T>];
  unpack<T>(words, v);
  for (int k = 0; k < vector_length<T>; ++k) v[k] = line(v[k]);
  return packed<T>(v);
}

/// The rows of logits_gradient. What a row's line is made of is read where it is needed, and again for the target: kept, it would take registers from loops.
template <class T, bool Capped> struct gradient_source {
  using A = arithmetic<T>;
  strided_rows<const T> logits;
  strided_rows<T> gradient;
  row_selection selection;
  strided<const row_state> states;
  coefficient_reader<A> coefficients;
  strided<const A> entropies, entropy_coefficients, log_sum_exp_coefficients;
  gradient_scale<T, Capped> scale;

  enum fate { zero, none, number };
  /// What becomes of row n with label y: zeros, NaNs, or numbers.
  ATTUNE_FN fate fate_of(std::int64_t n, int y) const {
    if (y == row_selection::unread) return zero;
    const row_coefficients c = coefficients_of(n);
    if (c.logp == 0 && c.entropy == 0 && c.log_sum_exp == 0 && y >= 0) return zero;
    return y >= 0 && scale.is_number(states(n), c, at(entropies, n)) ? number : none;
  }
  ATTUNE_FN gradient_line<A, Capped> line(std::int64_t n) const { return scale.line_of(states(n), coefficients_of(n), at(entropies, n)); }
  ATTUNE_FN A target(std::int64_t n, int y) const {
    return scale.target_element(static_cast<double>(static_cast<A>(logits.row(n)(y))), states(n), coefficients_of(n), at(entropies, n));
  }

 private:
  ATTUNE_FN row_coefficients coefficients_of(std::int64_t n) const {
    return {coefficients(n), at(entropy_coefficients, n), at(log_sum_exp_coefficients, n)};
  }
  static ATTUNE_FN double at(const strided<const A>& x, std::int64_t n) { return x.given() ? static_cast<double>(x(n)) : 0; }
};

/// Of rows 2^log2_lanes threads.
template <class T, bool Capped> struct logits_gradient_lanes {
  using A = arithmetic<T>;
  using source = gradient_source<T, Capped>;
  source rows;
  int log2_lanes;
  device_report report;

  ATTUNE_FN void operator()(std::int64_t i) const {
    const std::int64_t n = i >> log2_lanes;
    const int lanes = 1 << log2_lanes, lane = static_cast<int>(i & (lanes - 1)), y = rows.selection.label(n);
    const strided_row<T> out = rows.gradient.row(n);
    const auto fate = rows.fate_of(n, y);
    if (fate == source::number) return write_vectors(n, y, out, lane, lanes, rows.line(n));
    if (lane == 0 && y == row_selection::unread) report.masked();
    if (lane == 0 && fate == source::none) report.non_finite();
    fill_vectors(out, lane, lanes, rows.logits.columns, fate == source::zero ? A(0) : static_cast<A>(nan_double()));
  }

 private:
  ATTUNE_FN void write_vectors(std::int64_t n, int y, const strided_row<T>& out, int lane, int lanes, const gradient_line<A, Capped>& line) const {
    constexpr int length = vector_length<T>;
    const strided_row<const T> x = rows.logits.row(n);
    const int step = lanes * length, begin = first_written(out, lane);
    const bool has_target = y >= begin && (y - begin) % step < length;
    const A target = has_target ? rows.target(n, y) : A(0);  // before what it is made of may be overwritten
    int first = begin;
    for (; first < 0; first += step) write_vector(x, out, first, line);
    if (x.stride == 1 && out.stride == 1 && misalignment(x.data) == misalignment(out.data) && misalignment(out.data + first) == 0) {
      vector_words next{};
      if (first + length <= x.size) next = read_words(x.data + first);
      for (; first + length <= x.size; first += step) {
        const vector_words words = next;
        if (first + step + length <= x.size) next = read_words(x.data + first + step);  // on its way while these are worked on
        write_words(gradient_words<T>(words, line), out.data + first);
      }
    }
    for (; first < out.size; first += step) write_vector(x, out, first, line);
    if (has_target) out(y) = static_cast<T>(target);
  }
};

}  // namespace detail
}  // namespace attune
