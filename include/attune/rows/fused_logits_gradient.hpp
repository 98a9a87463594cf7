// SPDX-License-Identifier: MIT
#pragma once

#include <attune/rows/logits_gradient.hpp>
#include <attune/rows/token_logps.hpp>

namespace attune {

/// What one read of a row of logits tells about its target.
struct token_row {
  std::int64_t n;      ///< the row
  double logp;         ///< log-probability of the target [nat]
  double entropy;      ///< of the row [nat]
  double log_sum_exp;  ///< log sum_v e^{z_v}
};

namespace detail {

/// Either kind of function that gives the coefficients of a row.
template <class F>
concept logp_coefficient = std::is_invocable_r_v<double, const F&, std::int64_t, double>;
template <class F>
concept token_coefficient = std::is_invocable_r_v<row_coefficients, const F&, const token_row&>;

template <class P, execution_policy Policy, class T, class Index, class F>
row_report fused_logits_gradient(Policy policy, const view<const T, 2>& logits, const view<const Index>& targets, const F& coefficients_of,
                                 const view<arithmetic<T>>& logps, const view<T, 2>& gradient, const row_options& o) {
  constexpr bool with_entropy = token_coefficient<F>;
  const std::int64_t rows = logits.extent(0), classes = logits.extent(1);
  require_row_options<arithmetic<T>>(o);
  require_rows(targets, rows, "targets");
  require_rows(logps, rows, "logps");
  require_rows_if_given(o.mask, rows, "row_options.mask");
  require_distinct(logps, "logps");
  require_gradient(gradient, logits);
  require_labels(targets, classes, o);
  const bool streamed = is_streamed(gradient, logits.data());
  // While the gradient of a row is written, this row is near and the memory would rest: the next one is asked for.
  const std::int64_t next_row = logits.stride(0) * std::int64_t(sizeof(T));

  return for_rows(policy, rows, classes, [&](std::int64_t n, row_report& report) {
    const view<T> out = row_of(gradient, n);
    double logp = 0;
    if (is_read(o, targets, n)) {
      const bool finite = read_row<P>(row_of(logits, n), o, [&](auto& row) {
        const row_summary found = summarise<P, with_entropy>(row, o.temperature, targets(n));
        logp = log_probability(row, targets(n), found.state, o.temperature);
        row_coefficients c;
        double entropy = 0;
        if constexpr (with_entropy) c = coefficients_of(token_row{n, logp, entropy = found.entropy(), found.state.log_sum_exp()});
        else c.logp = coefficients_of(n, logp);
        return write_row<P>(row, targets(n), found.state, entropy, c, o, out, streamed, next_row);
      });
      if (!finite || logp != logp) ++report.non_finite;
    } else {
      ++report.masked;
      fill(out, 0, 0);
    }
    logps(n) = static_cast<arithmetic<T>>(logp);
  });
}

}  // namespace detail

/// Stages 1 and 3 in one visit of each row, for losses whose derivative is known from the row alone: supervised fine-tuning, policy gradients
/// with given advantages, distillation on sampled tokens. The row is read from memory once, not twice.
///
///   logps[n] as token_logps, gradient as logits_gradient with coefficients[n] = coefficients_of(n, logp)
///
/// coefficients_of: called once for every row that is read, as
///   double coefficients_of(std::int64_t n, double logp)             d loss / d logps[n], or
///   row_coefficients coefficients_of(const attune::token_row& row)  which also knows, and has derivatives for, entropy and log-sum-exp;
/// it must not throw; with threads it is called from all of them, in any order. It may keep loss and metrics where they belong to row n.
/// logits [N, V], targets [N], logps [N], gradient [N, Vp], options: as in token_logps and logits_gradient; so are values, order, errors
/// and what is counted. Best in place.
///
/// Example, negative log-likelihood:  fused_logits_gradient(logits, targets, [&](std::int64_t, double) { return -1.0 / tokens; }, logps, logits)
template <execution_policy Policy, detail::logits_matrix Logits, detail::label_vector Labels, class F, class Pack = detail::logit_pack<Logits>>
row_report fused_logits_gradient(Policy policy, Logits&& logits, Labels&& targets, const F& coefficients_of,
                                 view<detail::logit_arithmetic<Logits>> logps, view<detail::logit<Logits>, 2> gradient,
                                 const row_options& o = {}) {
  static_assert(detail::logp_coefficient<F> || detail::token_coefficient<F>,
                "attune: coefficients_of is called as double(std::int64_t n, double logp), or as row_coefficients(const attune::token_row&)");
  return detail::fused_logits_gradient<Pack>(policy, detail::readable<2>(static_cast<Logits&&>(logits)),
                                             detail::readable<1>(static_cast<Labels&&>(targets)), coefficients_of, logps, gradient, o);
}
template <detail::logits_matrix Logits, detail::label_vector Labels, class F, class Pack = detail::logit_pack<Logits>>
row_report fused_logits_gradient(Logits&& logits, Labels&& targets, const F& coefficients_of, view<detail::logit_arithmetic<Logits>> logps,
                                 view<detail::logit<Logits>, 2> gradient, const row_options& o = {}) {
  return attune::fused_logits_gradient(serial{}, static_cast<Logits&&>(logits), static_cast<Labels&&>(targets), coefficients_of, logps,
                                       gradient, o);
}

}  // namespace attune
