// SPDX-License-Identifier: MIT
// The bodies of the first two launches of row_divergence: the normalisers of both rows, and the value of a KL divergence.
#pragma once

#include <attune/exec/device/row_pair.hpp>
#include <attune/exec/device/row_selection.hpp>

namespace attune::detail {

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
  /// Adds what a lane has read, or many have together, to the sums, which are measured from the rows' largest elements.
  template <real Sum> ATTUNE_FN void add(const pair_lane<Sum>& part, pair_state& s, double& cross) const {
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
