// SPDX-License-Identifier: MIT
// The normaliser of a row of logits on a device, and what else one read of it tells: the bodies of token_logps.
//
// A row is read by `lanes` threads, the thread c takes the vectors c, c + lanes, c + 2 lanes, ... of 16 bytes: so neighbours read what lies side by
// side. A second launch, of a thread a row, adds their sums in the order of the lanes. Vectors are counted from the row's first element, and the number
// of lanes depends on the number of classes and the type only: a row's bits do not depend on the batch, nor on where the row lies in memory.
#pragma once

#include <attune/exec/device/row_selection.hpp>
#include <attune/rows/row_state.hpp>

#include <cmath>

namespace attune::detail {

/// e^(t / device_unit): for float a power of 2, which devices have an instruction for; for double a power of e.
template <real A> inline constexpr A device_unit = std::same_as<A, float> ? A(0x1.715476p0) : A(1);
ATTUNE_FN float device_power(float t) {
#if defined(__CUDA_ARCH__)
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(t));  // relative error 2^-22; 0 below 2^-126
  return power;
#else
  return std::exp2(t);
#endif
}
ATTUNE_FN double device_power(double t) { return std::exp(t); }

template <real A> ATTUNE_FN bool is_finite(A x) { return std::fabs(x) < infinity<A>; }
ATTUNE_FN double nan_double() { return __builtin_nan(""); }

/// x, or what it is softcapped (row_options.softcap). Excluded classes stay so.
template <real A> ATTUNE_FN A softcap_of(A x, A cap) { return std::fabs(x) == infinity<A> ? x : cap * std::tanh(x / cap); }
template <real A, int N> ATTUNE_FN void softcap_each(A (&x)[N], A cap) {
  if (cap < infinity<A>) {
    for (int k = 0; k < N; ++k) x[k] = softcap_of(x[k], cap);
  }
}

/// Adds halves to halves: the sum does not wait for each of its terms.
template <int N, real A> ATTUNE_FN A folded_sum(const A* x) {
  if constexpr (N == 1) return x[0];
  else return folded_sum<N / 2>(x) + folded_sum<N / 2>(x + N / 2);
}

/// What a lane has read: the largest element, and the sum of e^{(x - top) / temperature}. A NaN or +inf makes the sum NaN.
template <real A> struct lane_sum {
  A top, sum;
};
/// Further the sum of e^t t, t = (x - top) rate in units of device_unit, and the first of the largest; -1: there is none.
template <real A> struct lane_statistics {
  A moment;
  std::int32_t argmax;
};

template <real A, bool WithStatistics> struct lane_reader {
  A rate;  ///< device_unit / temperature
  lane_sum<A> total{-infinity<A>, A(0)};
  lane_statistics<A> statistics{A(0), -1};

  /// Elements first, first + 1, ... of the row.
  template <int N> ATTUNE_FN void add(const A (&x)[N], int first) {
    A largest = total.top;
    for (int k = 0; k < N; ++k) largest = std::fmax(x[k], largest);  // NaNs do not count here, but in the sum
    if (largest > total.top) raise(x, first, largest);
    const A top = total.top == -infinity<A> ? A(0) : total.top;  // of nothing but excluded classes
    A term[N], product[N];
    for (int k = 0; k < N; ++k) {
      const A t = (x[k] - top) * rate;
      term[k] = device_power(t);
      if constexpr (WithStatistics) product[k] = term[k] * std::fmax(t, A(-200));  // beyond that, nothing; and a -inf times 0
    }
    total.sum += folded_sum<N>(term);
    if constexpr (WithStatistics) statistics.moment += folded_sum<N>(product);
  }

 private:
  template <int N> ATTUNE_FN void raise(const A (&x)[N], int first, A largest) {
    if (total.top > -infinity<A>) {
      const A fall = (total.top - largest) * rate, factor = device_power(fall);
      if constexpr (WithStatistics) statistics.moment = factor > 0 ? factor * (statistics.moment + fall * total.sum) : A(0);
      total.sum *= factor;
    }
    total.top = largest;
    if constexpr (WithStatistics) {
      for (int k = N - 1; k >= 0; --k) statistics.argmax = x[k] == largest ? first + k : statistics.argmax;
    }
  }
};

/// The vectors of a row that a lane reads: visit(x, first) for each. Four at a time are on their way where the row is aligned.
template <class T, class Visit> ATTUNE_FN void for_lane_vectors(const strided_row<const T>& row, int lane, int lanes, Visit& visit) {
  using A = arithmetic<T>;
  constexpr int length = vector_length<T>, ahead = 4;
  const int whole = row.size / length, vectors = (row.size + length - 1) / length;
  int j = lane;
  if (row.stride == 1 && misalignment(row.data) == 0) {
    for (; j + (ahead - 1) * lanes < whole; j += ahead * lanes) {
      vector_words words[ahead];
      for (int k = 0; k < ahead; ++k) words[k] = read_words(row.data + (j + k * lanes) * length);
      for (int k = 0; k < ahead; ++k) {
        A x[length];
        unpack<T>(words[k], x);
        visit(x, (j + k * lanes) * length);
      }
    }
  }
  for (; j < vectors; j += lanes) {
    A x[length];
    load_vector(row, j * length, -infinity<A>, x);
    visit(x, j * length);
  }
}

/// The target's logit is left out, and later added in double: beside a 1 in float the small terms of a confident row would be lost.
template <real A, bool WithStatistics> struct apart_visitor {
  lane_reader<A, WithStatistics> reader;
  A softcap;
  int apart;

  template <int N> ATTUNE_FN void operator()(A (&x)[N], int first) {
    softcap_each(x, softcap);
    if (apart >= first && apart < first + N) {
      for (int k = 0; k < N; ++k) x[k] = first + k == apart ? -infinity<A> : x[k];
    }
    reader.add(x, first);
  }
};

/// Sums over a row, or over a part of it, in double: of e^{(x - top) / temperature}, and of that times (x - top) / temperature.
struct row_sum {
  double sum, moment;
};
/// What was summed relative to `from`, relative to a larger top.
template <real A> ATTUNE_FN row_sum rebased(const row_sum& part, A from, double top, double rate) {
  const double fall = from == -infinity<A> ? 0 : (static_cast<double>(from) - top) * rate;  // of nothing but excluded classes: a sum of 0, or NaN
  const double factor = static_cast<double>(device_power(static_cast<A>(fall * static_cast<double>(device_unit<A>))));
  return {factor * part.sum, factor > 0 ? factor * (part.moment + fall * part.sum) : 0};
}
template <real A> ATTUNE_FN row_sum sum_of(const lane_sum<A>& lane, A moment) {
  return {static_cast<double>(lane.sum), static_cast<double>(moment) / static_cast<double>(device_unit<A>)};
}

/// What one row tells; all NaN, and no class, where it has no distribution.
struct row_reading {
  double logp, entropy;
  row_state state;
  int argmax;

  ATTUNE_FN bool is_number() const { return state.sum == state.sum; }
};
/// Of the target's logit, and of the rest, of which the largest is `largest`, at `argmax`.
template <real A> ATTUNE_FN row_reading reading_of(double x_y, int y, A largest, int argmax, const row_sum& rest, double temperature) {
  const double apart = static_cast<double>(largest), top = apart < x_y ? x_y : apart, z_y = (x_y - top) / temperature;
  const row_sum others = rebased(rest, largest, top, 1 / temperature);
  const double e_y = x_y > -infinity<double> ? std::exp(z_y) : 0, sum = e_y + others.sum, moment = (e_y > 0 ? e_y * z_y : 0) + others.moment;
  const double none = nan_double();
  if (!is_finite(top) || sum != sum || x_y != x_y) return {none, none, {none, none}, -1};
  const row_state state{top / temperature, sum > 1 ? sum : 1};
  const double log_sum = std::log(state.sum);
  return {(x_y / temperature - state.shift) - log_sum, log_sum - (moment < 0 ? moment : 0) / state.sum, state, apart < x_y || (apart == x_y && y < argmax) ? y : argmax};
}

/// How many threads read a row, as a power of 2: as many as leave each some 16 vectors, at most 256.
inline int lanes_log2(std::int64_t columns, std::size_t element_size) {
  const std::int64_t vectors = (columns * std::int64_t(element_size) + 15) / 16;
  int log2 = 0;
  while (log2 < 8 && (std::int64_t{16} << log2) < vectors) ++log2;
  return log2;
}

/// First launch, of rows 2^log2_lanes threads.
template <class T, bool WithStatistics> struct token_logps_lanes {
  using A = arithmetic<T>;
  strided_rows<const T> logits;
  row_selection selection;
  A softcap, rate;
  int log2_lanes;
  lane_sum<A>* sums;               ///< [rows, lanes]
  lane_statistics<A>* statistics;  ///< [rows, lanes]
  device_report report;
  std::int64_t rows;

  ATTUNE_FN void operator()(std::int64_t i) const {
    if (i == 0) report.begin(rows);
    const std::int64_t n = i >> log2_lanes;
    const int lanes = 1 << log2_lanes, lane = static_cast<int>(i & (lanes - 1)), y = selection.label(n);
    if (y < 0) return;
    apart_visitor<A, WithStatistics> visit{{rate}, softcap, y};
    for_lane_vectors(logits.row(n), lane, lanes, visit);
    sums[i] = visit.reader.total;
    if constexpr (WithStatistics) statistics[i] = visit.reader.statistics;
  }

};

/// Second launch, of a thread a row.
template <class T, bool WithStatistics> struct token_logps_rows {
  using A = arithmetic<T>;
  strided_rows<const T> logits;
  row_selection selection;
  double softcap, temperature;
  int log2_lanes;
  const lane_sum<A>* sums;
  const lane_statistics<A>* statistics;
  strided<A> logps;
  strided<row_state> states;
  strided<A> entropies;
  strided<std::int64_t> argmax;
  device_report report;

  ATTUNE_FN void operator()(std::int64_t n) const {
    const int y = selection.label(n);
    if (y < 0) return leave(n, y);
    const std::int64_t begin = n << log2_lanes, end = begin + (std::int64_t{1} << log2_lanes);
    A largest = -infinity<A>;
    for (std::int64_t i = begin; i < end; ++i) largest = std::fmax(sums[i].top, largest);
    row_sum total{0, 0};
    int first = logits.columns;
    for (std::int64_t i = begin; i < end; ++i) {
      const row_sum part = rebased(sum_of(sums[i], WithStatistics ? statistics[i].moment : A(0)), sums[i].top, static_cast<double>(largest), 1 / temperature);
      total.sum += part.sum;
      if constexpr (WithStatistics) {
        total.moment += part.moment;
        if (sums[i].top == largest && statistics[i].argmax >= 0 && statistics[i].argmax < first) first = statistics[i].argmax;
      }
    }
    write(n, reading_of(target_logit(n, y), y, largest, first, total, temperature));
  }

  ATTUNE_FN double target_logit(std::int64_t n, int y) const {
    const double given = static_cast<double>(static_cast<A>(logits.row(n)(y)));
    return softcap < infinity<double> ? softcap_of(given, softcap) : given;
  }
  /// A row that is not read, or whose label is out of range.
  ATTUNE_FN void leave(std::int64_t n, int y) const {
    const double none = y == selection.unread ? 0 : nan_double();
    if (y == selection.unread) report.masked();
    write(n, {none, none, {none, y == selection.unread ? 1 : none}, -1});
  }
  ATTUNE_FN void write(std::int64_t n, const row_reading& row) const {
    if (!row.is_number()) report.non_finite();
    logps(n) = static_cast<A>(row.logp);
    if (states.given()) states(n) = row.state;
    if constexpr (WithStatistics) {
      if (entropies.given()) entropies(n) = static_cast<A>(row.entropy);
      if (argmax.given()) argmax(n) = row.argmax;
    }
  }
};

}  // namespace attune::detail
