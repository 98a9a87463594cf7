// SPDX-License-Identifier: MIT
// The normaliser of a row of logits on a device, and what else one read of it tells: what a lane adds up.
//
// A row is read by `lanes` threads, the thread c takes the vectors c, c + lanes, c + 2 lanes, ... of 16 bytes: so neighbours read what lies side by
// side. A second launch, of a thread a row, adds their sums in the order of the lanes. Vectors are counted from the row's first element, and the number
// of lanes depends on the number of classes and the type only: a row's bits do not depend on the batch, nor on where the row lies in memory.
#pragma once

#include <attune/exec/device/row_selection.hpp>

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

/// How many threads read a row, as a power of 2: as many as leave each some 16 vectors, at most 256.
inline int lanes_log2(std::int64_t columns, std::size_t element_size) {
  const std::int64_t vectors = (columns * std::int64_t(element_size) + 15) / 16;
  int log2 = 0;
  while (log2 < 8 && (std::int64_t{16} << log2) < vectors) ++log2;
  return log2;
}

}  // namespace attune::detail
