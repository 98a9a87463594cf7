// SPDX-License-Identifier: MIT
#pragma once

#include <attune/rows/arguments.hpp>
#include <attune/rows/normalise.hpp>

namespace attune {

/// What token_logps also writes, from the same read of the logits, where a view is given.
/// Space: of memory, host or device.
template <real A, class Space = host> struct row_statistics {
  view<A, 1, Space> entropies{};          ///< [N], -sum_v p_v log p_v in [0, log V] [nat]; 0 for a row that is not read
  view<std::int64_t, 1, Space> argmax{};  ///< [N], the most likely class, the first of equal ones; -1 for a row that is not read or has no distribution
};

namespace detail {

/// log p_y from the state of the row, with y as the class `apart`. Never above 0: sum >= e^{z_y - shift}.
template <class Reader> double log_probability(const Reader& row, std::int64_t y, const row_state& state, double temperature) {
  return (row(y) / temperature - state.shift) - std::log(state.sum);
}
/// The checks of token_logps, on host and device, but for what is in labels.
template <class T, class Index, class Space>
void require_token_logps(const view<const T, 2, Space>& logits, const view<const Index, 1, Space>& targets, const view<arithmetic<T>, 1, Space>& logps,
                         const view<row_state, 1, Space>& states, const basic_row_options<Space>& o, const row_statistics<arithmetic<T>, Space>& statistics) {
  const std::int64_t rows = logits.extent(0);
  require_row_options<arithmetic<T>>(o);
  require_rows(targets, rows, "targets");
  require_rows(logps, rows, "logps");
  require_rows_if_given(states, rows, "states");
  require_rows_if_given(o.mask, rows, "row_options.mask");
  require_rows_if_given(statistics.entropies, rows, "row_statistics.entropies");
  require_rows_if_given(statistics.argmax, rows, "row_statistics.argmax");
  require_distinct(logps, "logps");
  require_distinct(states, "states");
  require_distinct(statistics.entropies, "row_statistics.entropies");
  require_distinct(statistics.argmax, "row_statistics.argmax");
}
template <class P, execution_policy Policy, class T, class Index>
row_report token_logps(Policy policy, const view<const T, 2>& logits, const view<const Index>& targets, const view<arithmetic<T>>& logps,
                       const view<row_state>& states, const row_options& o, const row_statistics<arithmetic<T>>& statistics) {
  using A = arithmetic<T>;
  const std::int64_t rows = logits.extent(0), classes = logits.extent(1);
  require_token_logps<T>(logits, targets, logps, states, o, statistics);
  require_labels(targets, classes, o);
  const bool with_entropy = !statistics.entropies.absent(), with_argmax = !statistics.argmax.absent();

  return for_rows(policy, rows, classes, [&](std::int64_t n, row_report& report) {
    row_summary row{.state = {}};
    double logp = 0, entropy = 0;
    if (is_read(o, targets, n)) {
      read_row<P>(row_of(logits, n), o, [&](auto& x) {
        row = with_entropy ? summarise<P, true>(x, o.temperature, targets(n), with_argmax)
                           : summarise<P, false>(x, o.temperature, targets(n), with_argmax);
        logp = log_probability(x, targets(n), row.state, o.temperature);
      });
      entropy = row.entropy();
      if (logp != logp) ++report.non_finite;
    } else {
      ++report.masked;
    }
    logps(n) = static_cast<A>(logp);
    if (!states.absent()) states(n) = row.state;
    if (with_entropy) statistics.entropies(n) = static_cast<A>(entropy);
    if (with_argmax) statistics.argmax(n) = row.argmax;
  });
}

}  // namespace detail

/// Stage 1: log-probabilities of the target tokens.
///
///   logps[n] = z_y - log sum_v e^{z_v},     z = logits[n, :] / temperature [nat],  y = targets[n]
///
/// (with row_options.softcap c, here and in what follows: z = c tanh(logits[n, :] / c) / temperature, and excluded classes stay so).
/// logits [N, V]: float, double or a 16-bit type, any strides (columns beyond V are never read); targets [N]: int32 or int64, already
/// aligned with the rows; logps [N]: float (double for double logits); states [N], optional: kept for logits_gradient; statistics, optional:
/// entropy and most likely class.
/// Values  <= 0 always, in the input's arithmetic (16-bit logits: float), sums carried in double. A -inf logit is a class of probability 0;
///         as a target it gives -inf. A row with a NaN or +inf, or without a finite logit, gives NaN and is counted in the report.
///         A row that is masked or whose target is ignore_index gives 0 and is not read.
/// Order   results have the same bits for any policy, batch, position in it and strides. No allocation.
/// Throws  attune::error, before anything is written: sizes that differ, temperature or softcap outside (0, inf), a target outside [0, V).
template <execution_policy Policy, detail::logits_matrix Logits, detail::label_vector Labels, class Pack = detail::logit_pack<Logits>>
row_report token_logps(Policy policy, Logits&& logits, Labels&& targets, view<detail::logit_arithmetic<Logits>> logps,
                       view<row_state> states = {}, const row_options& o = {},
                       const row_statistics<detail::logit_arithmetic<Logits>>& statistics = {}) {
  return detail::token_logps<Pack>(policy, detail::readable<2>(static_cast<Logits&&>(logits)),
                                   detail::readable<1>(static_cast<Labels&&>(targets)), logps, states, o, statistics);
}
template <detail::logits_matrix Logits, detail::label_vector Labels, class Pack = detail::logit_pack<Logits>>
row_report token_logps(Logits&& logits, Labels&& targets, view<detail::logit_arithmetic<Logits>> logps, view<row_state> states = {},
                       const row_options& o = {}, const row_statistics<detail::logit_arithmetic<Logits>>& statistics = {}) {
  return attune::token_logps(serial{}, static_cast<Logits&&>(logits), static_cast<Labels&&>(targets), logps, states, o, statistics);
}

}  // namespace attune
