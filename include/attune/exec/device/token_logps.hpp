// SPDX-License-Identifier: MIT
// The bodies of token_logps on a device: what lanes read of a row (row_sums.hpp), and what the row is then.
#pragma once

#include <attune/exec/device/row_reading.hpp>

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
