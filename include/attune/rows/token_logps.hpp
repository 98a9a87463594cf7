// SPDX-License-Identifier: MIT
#pragma once

#include <attune/rows/arguments.hpp>
#include <attune/rows/blocks.hpp>

namespace attune {
namespace detail {

template <class P, execution_policy Policy, class T, class Index>
row_report token_logps(Policy policy, const view<const T, 2>& logits, const view<const Index>& targets, const view<arithmetic<T>>& logps,
                       const view<row_state>& states, const row_options& o) {
  const std::int64_t rows = logits.extent(0), classes = logits.extent(1);
  require_temperature<arithmetic<T>>(o.temperature);
  require_rows(targets, rows, "targets");
  require_rows(logps, rows, "logps");
  require_rows_if_given(states, rows, "states");
  require_rows_if_given(o.mask, rows, "row_options.mask");
  require_distinct(logps, "logps");
  require_distinct(states, "states");
  require_labels(targets, classes, o);

  return for_rows(policy, rows, classes, [&](std::int64_t n, row_report& report) {
    row_state state;
    double logp = 0;
    if (is_read(o, targets, n)) {
      const view<const T> row = row_of(logits, n);
      state = normalise<P>(row, o.temperature, targets(n));
      const double z = static_cast<double>(static_cast<arithmetic<T>>(row(targets(n)))) / o.temperature;
      logp = (z - state.shift) - std::log(state.sum);  // sum >= e^{z - shift}: never above 0
      if (logp != logp) ++report.non_finite;
    } else {
      ++report.masked;
    }
    logps(n) = static_cast<arithmetic<T>>(logp);
    if (!states.absent()) states(n) = state;
  });
}

}  // namespace detail

/// Stage 1: log-probabilities of the target tokens.
///
///   logps[n] = z_y - log sum_v e^{z_v},     z = logits[n, :] / temperature [nat],  y = targets[n]
///
/// logits [N, V]: float, double or a 16-bit type, any strides (columns beyond V are never read); targets [N]: int32 or int64, already
/// aligned with the rows; logps [N]: float (double for double logits); states [N], optional: kept for logits_gradient.
/// Values  <= 0 always, in the input's arithmetic (16-bit logits: float), sums carried in double. A -inf logit is a class of probability 0;
///         as a target it gives -inf. A row with a NaN or +inf, or without a finite logit, gives NaN and is counted in the report.
///         A row that is masked or whose target is ignore_index gives 0 and is not read.
/// Order   results have the same bits for any policy, batch, position in it and strides. No allocation.
/// Throws  attune::error, before anything is written: sizes that differ, temperature outside (0, inf), a target outside [0, V).
template <execution_policy Policy, detail::logits_matrix Logits, detail::label_vector Labels, class Pack = detail::logit_pack<Logits>>
row_report token_logps(Policy policy, Logits&& logits, Labels&& targets, view<detail::logit_arithmetic<Logits>> logps,
                       view<row_state> states = {}, const row_options& o = {}) {
  return detail::token_logps<Pack>(policy, detail::readable<2>(static_cast<Logits&&>(logits)),
                                   detail::readable<1>(static_cast<Labels&&>(targets)), logps, states, o);
}
template <detail::logits_matrix Logits, detail::label_vector Labels, class Pack = detail::logit_pack<Logits>>
row_report token_logps(Logits&& logits, Labels&& targets, view<detail::logit_arithmetic<Logits>> logps, view<row_state> states = {},
                       const row_options& o = {}) {
  return attune::token_logps(serial{}, static_cast<Logits&&>(logits), static_cast<Labels&&>(targets), logps, states, o);
}

}  // namespace attune
