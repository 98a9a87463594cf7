// SPDX-License-Identifier: MIT
// What the lanes of a row, or of a part of it, have read together: in double.
#pragma once

#include <attune/exec/device/row_sums.hpp>
#include <attune/rows/row_state.hpp>

namespace attune::detail {

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

}  // namespace attune::detail
