// SPDX-License-Identifier: MIT
// Two rows of logits on a device, read together: the normalisers of both and, for the KL divergences, the sum that gives their value at once. The
// bodies of the first two launches of row_divergence.
#pragma once

#include <attune/exec/device/row_sums.hpp>

namespace attune::detail {

/// The sum over classes that is made beside the normalisers, of a = e^{z - top} of the policy and b of the target.
enum class device_cross {
  none,
  forward,  ///< b log(b/a)
  reverse,  ///< a log(a/b)
};

/// Elements of a pair of rows as bodies take them: `count` of each, -inf where a row has none.
template <class T, class U> ATTUNE_FN void load_pair(const strided_row<const T>& x, const strided_row<const U>& y, int first,
                                                     arithmetic<T> (&a)[vector_length<T>], arithmetic<T> (&b)[vector_length<T>]) {
  load_vector(x, first, -infinity<arithmetic<T>>, a);
  if constexpr (sizeof(T) == sizeof(U)) {
    load_vector(y, first, -infinity<arithmetic<T>>, b);
  } else {
    for (int k = 0; k < vector_length<T>; ++k) {
      b[k] = first + k >= 0 && first + k < y.size ? static_cast<arithmetic<T>>(y(first + k)) : -infinity<arithmetic<T>>;
    }
  }
}
/// visit(a, b) for the vectors of a pair of rows that a lane reads, counted from the rows' first elements. Two of each row are on their way.
template <class T, class U, class Visit>
ATTUNE_FN void for_lane_pairs(const strided_row<const T>& x, const strided_row<const U>& y, int lane, int lanes, Visit& visit) {
  using A = arithmetic<T>;
  constexpr int length = vector_length<T>;
  const int size = x.size > y.size ? x.size : y.size, both = x.size < y.size ? x.size : y.size, step = lanes * length;
  int first = lane * length;
  A a[length], b[length];
  if constexpr (sizeof(T) == sizeof(U)) {
    if (x.stride == 1 && y.stride == 1 && misalignment(x.data) == 0 && misalignment(y.data) == 0) {
      for (; first + step + length <= both; first += 2 * step) {
        const vector_words x0 = read_words(x.data + first), y0 = read_words(y.data + first);
        const vector_words x1 = read_words(x.data + first + step), y1 = read_words(y.data + first + step);
        unpack<T>(x0, a), unpack<U>(y0, b);
        visit(a, b);
        unpack<T>(x1, a), unpack<U>(y1, b);
        visit(a, b);
      }
    }
  }
  for (; first < size; first += step) {
    load_pair(x, y, first, a, b);
    visit(a, b);
  }
}

/// What a lane has read of a pair of rows: largest elements, sums measured from them, and the cross term in units of device_unit.
template <real A> struct pair_lane {
  A policy_top = -infinity<A>, policy_sum = 0, target_top = -infinity<A>, target_sum = 0, cross = 0;
};

template <real A> struct pair_reader {
  A rate;  ///< device_unit / temperature
  device_cross kind;
  pair_lane<A> total{};

  template <int N> ATTUNE_FN void operator()(const A (&x)[N], const A (&y)[N]) {
    A x_top = total.policy_top, y_top = total.target_top;
    for (int k = 0; k < N; ++k) x_top = std::fmax(x[k], x_top), y_top = std::fmax(y[k], y_top);
    if (x_top > total.policy_top || y_top > total.target_top) raise(x_top, y_top);
    const A x_from = x_top == -infinity<A> ? A(0) : x_top, y_from = y_top == -infinity<A> ? A(0) : y_top, least = A(-1e30);
    A a[N], b[N], cross[N];
    for (int k = 0; k < N; ++k) {
      const A t = (x[k] - x_from) * rate, s = (y[k] - y_from) * rate;
      a[k] = device_power(t), b[k] = device_power(s);
      const A log_ratio = std::fmax(t, least) - std::fmax(s, least);
      const bool unused = x[k] == -infinity<A>, excluded = y[k] == -infinity<A>;
      if (kind == device_cross::forward) cross[k] = excluded ? A(0) : unused ? infinity<A> : b[k] * -log_ratio;
      else cross[k] = unused ? A(0) : excluded ? infinity<A> : a[k] * log_ratio;
    }
    total.policy_sum += folded_sum<N>(a);
    total.target_sum += folded_sum<N>(b);
    if (kind != device_cross::none) total.cross += folded_sum<N>(cross);
  }

 private:
  ATTUNE_FN void raise(A x_top, A y_top) {
    const A x = total.policy_sum > 0 ? std::fmax((total.policy_top - x_top) * rate, A(-1e30)) : A(0);  // an empty sum is measured from nowhere
    const A y = total.target_sum > 0 ? std::fmax((total.target_top - y_top) * rate, A(-1e30)) : A(0);
    const A x_factor = device_power(x), y_factor = device_power(y);
    if (kind == device_cross::forward && total.cross < infinity<A>) total.cross = y_factor * (total.cross + total.target_sum * (y - x));
    if (kind == device_cross::reverse && total.cross < infinity<A>) total.cross = x_factor * (total.cross + total.policy_sum * (x - y));
    total.policy_sum *= x_factor;
    total.target_sum *= y_factor;
    total.policy_top = x_top;
    total.target_top = y_top;
  }
};

/// First launch, of rows 2^log2_lanes threads.
template <class T, class U> struct divergence_lanes {
  using A = arithmetic<T>;
  strided_rows<const T> policy;
  strided_rows<const U> target;
  strided<const std::uint8_t> mask;
  A rate;
  device_cross kind;
  int log2_lanes;
  pair_lane<A>* parts;  ///< [rows, lanes]
  device_report report;
  std::int64_t rows;

  ATTUNE_FN void operator()(std::int64_t i) const {
    if (i == 0) report.begin(rows);
    const std::int64_t n = i >> log2_lanes;
    const int lanes = 1 << log2_lanes, lane = static_cast<int>(i & (lanes - 1));
    if (mask.given() && mask(n) == 0) return;
    pair_reader<A> reader{rate, kind};
    for_lane_pairs(policy.row(n), target.row(n), lane, lanes, reader);
    parts[i] = reader.total;
  }
};

/// What is known of a pair of rows: largest logits and the sums measured from them (NaN: no distribution), the divergence, and the sum of pi f'(pi/p).
struct pair_state {
  double policy_top, policy_sum, target_top, target_sum, value, weight;
};

/// Second launch, of a thread a row: the sums of the lanes, added in double in their order; and the value of a KL divergence.
template <real A> struct divergence_rows {
  strided<const std::uint8_t> mask;
  double temperature, unit;  ///< unit: what the generator's divergence is of the KL divergence
  device_cross kind;
  int log2_lanes;
  const pair_lane<A>* parts;
  pair_state* states;  ///< [rows]
  strided<A> values;
  strided<const A> coefficients;
  device_report report;

  ATTUNE_FN void operator()(std::int64_t n) const {
    if (!is_read(n)) {
      states[n] = {0, 1, 0, 1, 0, 0};
      return leave(n);
    }
    pair_state s{-infinity<double>, 0, -infinity<double>, 0, 0, 0};
    const std::int64_t begin = n << log2_lanes, end = begin + (std::int64_t{1} << log2_lanes);
    for (std::int64_t i = begin; i < end; ++i) {
      s.policy_top = std::fmax(static_cast<double>(parts[i].policy_top), s.policy_top);
      s.target_top = std::fmax(static_cast<double>(parts[i].target_top), s.target_top);
    }
    double cross = 0;
    for (std::int64_t i = begin; i < end; ++i) add(parts[i], s, cross);
    states[n] = s = known(s, cross);
    if (kind != device_cross::none || s.value != s.value) write(n, s);
  }

  ATTUNE_FN bool is_read(std::int64_t n) const { return !mask.given() || mask(n) != 0; }
  ATTUNE_FN void leave(std::int64_t n) const {
    report.masked();
    values(n) = 0;
  }
  ATTUNE_FN void write(std::int64_t n, const pair_state& s) const {
    values(n) = static_cast<A>(s.value);
    if (!is_finite(s.value) || (coefficients.given() && !is_finite(coefficients(n)))) report.non_finite();
  }
  /// With the divergence, where the sums tell it; all NaN where a row has no distribution.
  ATTUNE_FN pair_state known(pair_state s, double cross) const {
    if (!(is_finite(s.policy_top) && is_finite(s.target_top) && is_finite(s.policy_sum) && is_finite(s.target_sum))) {
      s = {nan_double(), nan_double(), nan_double(), nan_double(), nan_double(), nan_double()};
    } else if (kind != device_cross::none) {
      const double log_ratio = std::log(s.target_sum) - std::log(s.policy_sum);
      const double value = unit * (kind == device_cross::forward ? cross / s.target_sum - log_ratio : cross / s.policy_sum + log_ratio);
      s.value = value < 0 ? 0 : value;
      s.weight = kind == device_cross::forward ? 0 : s.value;
    }
    return s;
  }
  /// Adds what a lane has read to the sums, which are measured from the rows' largest elements.
  ATTUNE_FN void add(const pair_lane<A>& part, pair_state& s, double& cross) const {
    constexpr double nat = static_cast<double>(device_unit<A>);
    const double a = static_cast<double>(part.policy_sum), b = static_cast<double>(part.target_sum);
    const double x = a > 0 ? (static_cast<double>(part.policy_top) - s.policy_top) / temperature : 0;
    const double y = b > 0 ? (static_cast<double>(part.target_top) - s.target_top) / temperature : 0;
    const double x_factor = static_cast<double>(device_power(static_cast<A>(x * nat))), y_factor = static_cast<double>(device_power(static_cast<A>(y * nat)));
    s.policy_sum += x_factor * a;
    s.target_sum += y_factor * b;
    const double given = static_cast<double>(part.cross) / nat;
    if (kind == device_cross::forward) cross += given < infinity<double> ? y_factor * (given + b * (y - x)) : given;
    if (kind == device_cross::reverse) cross += given < infinity<double> ? x_factor * (given + a * (x - y)) : given;
  }
};

}  // namespace attune::detail
