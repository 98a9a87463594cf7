// SPDX-License-Identifier: MIT
// The bodies of token_logps on a device: what lanes read of a row (row_sums.hpp), and what the row is then.
#pragma once

#include <attune/exec/device/row_sums.hpp>
#include <attune/rows/row_state.hpp>

#include <cmath>

namespace attune::detail {

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
    visitor visit{{rate}, softcap, y};
    for_lane_vectors(logits.row(n), lane, lanes, visit);
    sums[i] = visit.reader.total;
    if constexpr (WithStatistics) statistics[i] = visit.reader.statistics;
  }

 private:
  /// The target's logit is left out, and later added in double: beside a 1 in float the small terms of a confident row would be lost.
  struct visitor {
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
    if (y < 0) {
      const double none = y == selection.unread ? 0 : nan_double();
      y == selection.unread ? report.masked() : report.non_finite();
      return write(n, none, {none, y == selection.unread ? 1 : none}, none, -1);
    }
    const double given = static_cast<double>(static_cast<A>(logits.row(n)(y))), x_y = softcap < infinity<double> ? softcap_of(given, softcap) : given;
    const std::int64_t begin = n << log2_lanes, end = begin + (std::int64_t{1} << log2_lanes);
    A largest = -infinity<A>;
    for (std::int64_t i = begin; i < end; ++i) largest = std::fmax(sums[i].top, largest);
    const double top = static_cast<double>(largest) < x_y ? x_y : static_cast<double>(largest);
    int first = static_cast<double>(largest) <= x_y ? y : logits.columns;  // of the largest; the target is one of them
    constexpr double unit = static_cast<double>(device_unit<A>);
    const double rate = 1 / temperature;
    double sum = x_y > -infinity<double> ? std::exp((x_y - top) / temperature) : 0, moment = sum > 0 ? sum * ((x_y - top) / temperature) : 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const bool empty = sums[i].top == -infinity<A>;  // a sum of 0, or NaN
      const double fall = empty ? 0 : (static_cast<double>(sums[i].top) - top) * rate, part = static_cast<double>(sums[i].sum);
      const double factor = static_cast<double>(device_power(static_cast<A>(fall * unit)));
      sum += factor * part;
      if constexpr (WithStatistics) {
        moment += factor > 0 ? factor * (static_cast<double>(statistics[i].moment) / unit + fall * part) : 0;
        if (sums[i].top == largest && statistics[i].argmax < first) first = statistics[i].argmax;
      }
    }
    if (!is_finite(top) || sum != sum || x_y != x_y) {
      report.non_finite();
      return write(n, nan_double(), {nan_double(), nan_double()}, nan_double(), -1);
    }
    sum = sum > 1 ? sum : 1;
    const row_state state{top / temperature, sum};
    const double log_sum = std::log(sum);
    write(n, (x_y / temperature - state.shift) - log_sum, state, log_sum - (moment < 0 ? moment : 0) / sum, static_cast<double>(largest) < x_y ? y : first);
  }

 private:
  ATTUNE_FN void write(std::int64_t n, double logp, const row_state& state, double entropy, std::int64_t most_likely) const {
    logps(n) = static_cast<A>(logp);
    if (states.given()) states(n) = state;
    if constexpr (WithStatistics) {
      if (entropies.given()) entropies(n) = static_cast<A>(entropy);
      if (argmax.given()) argmax(n) = most_likely;
    }
  }
};

}  // namespace attune::detail
