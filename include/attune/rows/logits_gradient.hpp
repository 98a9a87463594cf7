// SPDX-License-Identifier: MIT
#pragma once

#include <attune/rows/arguments.hpp>
#include <attune/rows/row_gradient.hpp>

namespace attune {

/// Terms of a loss that depend on whole rows, beside those of the targets' log-probabilities. What is absent has coefficient 0.
template <real A, class Space = host> struct row_terms {
  view<const A, 1, Space> entropies{};                 ///< [N], as token_logps wrote them; needed with entropy_coefficients
  view<const A, 1, Space> entropy_coefficients{};      ///< [N], d loss / d entropies[n]
  view<const A, 1, Space> log_sum_exp_coefficients{};  ///< [N], d loss / d states[n].log_sum_exp(); of the z-loss c log_sum_exp^2: 2 c log_sum_exp
};

namespace detail {

template <real A> double at_or_zero(const view<const A>& x, std::int64_t n) { return x.absent() ? 0 : static_cast<double>(x(n)); }

template <real A, class Space> void require_terms(const row_terms<A, Space>& terms, std::int64_t rows) {
  require_rows_if_given(terms.entropies, rows, "row_terms.entropies");
  require_rows_if_given(terms.entropy_coefficients, rows, "row_terms.entropy_coefficients");
  require_rows_if_given(terms.log_sum_exp_coefficients, rows, "row_terms.log_sum_exp_coefficients");
  if (terms.entropies.absent() != terms.entropy_coefficients.absent()) {
    throw error("attune: row_terms has one of entropies and entropy_coefficients; expected both, or neither");
  }
}

/// The checks of logits_gradient, on host and device, but for coefficients and what is in labels.
template <class T, class Index, class Space>
void require_logits_gradient(const view<const T, 2, Space>& logits, const view<const Index, 1, Space>& targets, const view<const row_state, 1, Space>& states,
                             const view<T, 2, Space>& gradient, const basic_row_options<Space>& o, const row_terms<arithmetic<T>, Space>& terms) {
  const std::int64_t rows = logits.extent(0);
  require_row_options<arithmetic<T>>(o);
  require_rows(targets, rows, "targets");
  require_rows(states, rows, "states");
  require_rows_if_given(o.mask, rows, "row_options.mask");
  require_terms(terms, rows);
  require_gradient(gradient, logits);
}

/// The gradient of a row whose coefficients are known. Returns whether it is a number.
template <class P, class Reader, class T>
bool write_row(Reader& row, std::int64_t y, const row_state& state, double entropy, const row_coefficients& c, const row_options& o,
               const view<T>& gradient, bool streamed, std::int64_t ahead) {
  const bool zero = c.logp == 0 && c.entropy == 0 && c.log_sum_exp == 0;
  const bool finite = std::isfinite(c.logp) && std::isfinite(c.entropy) && std::isfinite(c.log_sum_exp) &&
                      std::isfinite(state.log_sum_exp()) && (c.entropy == 0 || std::isfinite(entropy));
  if (zero) fill(gradient, 0, 0);
  else if (!finite) fill(gradient, 0, not_a_number<double>);
  else write_logits_gradient<P>(row, y, state, entropy, c, o, gradient, streamed, ahead);
  if (!zero) fill(gradient, row.size(), 0);
  return zero || finite;
}

template <class P, execution_policy Policy, class T, class Index>
row_report logits_gradient(Policy policy, const view<const T, 2>& logits, const view<const Index>& targets,
                           const view<const row_state>& states, const view<const arithmetic<T>>& coefficients, const view<T, 2>& gradient,
                           const row_options& o, const row_terms<arithmetic<T>>& terms) {
  const std::int64_t rows = logits.extent(0), classes = logits.extent(1);
  require_logits_gradient<T>(logits, targets, states, gradient, o, terms);
  require_rows(coefficients, rows, "coefficients");
  require_labels(targets, classes, o);
  const bool streamed = is_streamed(gradient, logits.data());

  return for_rows(policy, rows, classes, [&](std::int64_t n, row_report& report) {
    const view<T> out = row_of(gradient, n);
    if (!is_read(o, targets, n)) {
      ++report.masked;
      return fill(out, 0, 0);
    }
    const row_coefficients c{static_cast<double>(coefficients(n)), at_or_zero(terms.entropy_coefficients, n),
                             at_or_zero(terms.log_sum_exp_coefficients, n)};
    const bool finite = read_row<P>(row_of(logits, n), o, [&](auto& row) {
      return write_row<P>(row, targets(n), states(n), at_or_zero(terms.entropies, n), c, o, out, streamed, prefetch_distance);
    });
    if (!finite) ++report.non_finite;
  });
}

}  // namespace detail

/// Stage 3: from d loss / d log-probability to d loss / d logits.
///
///   gradient[n, v] = coefficients[n] / temperature (1[v = y] - p_v),     p = softmax(z),  z = logits[n, :] / temperature,  y = targets[n]
///
/// and with `terms`, further p_v / temperature (log_sum_exp_coefficients[n] - entropy_coefficients[n] (log p_v + H)), H = -sum_v p_v log p_v.
///
/// logits [N, V], targets [N], options as given to token_logps; states [N] as it wrote them; coefficients [N] = d loss / d logps[n];
/// gradient [N, Vp], Vp >= V, of the logits' type: columns from V on become 0 (a padded vocabulary). In place: pass the logits' memory with
/// the same strides as gradient, which costs about half the memory traffic. A gradient of its own of 8 MiB or more is written past the
/// caches.
/// Values  every element accurate relative to itself (with an entropy term: to the larger of its parts), rounded once to its type;
///         1 - p_y also to an absolute 2^-53 (the sum is a double).
///         Classes with a -inf logit have gradient 0. Rows that are masked or ignored, or have coefficients 0, are exactly 0 and not
///         read. A row whose state or coefficients are NaN or infinite becomes NaN and is counted in the report.
/// Order   results have the same bits for any policy, batch, position in it and strides, in place or not. No allocation.
/// Throws  attune::error, before anything is written: sizes that differ, temperature or softcap outside (0, inf), a target outside [0, V), a gradient
///         with overlapping elements or that overlaps the logits in part.
template <execution_policy Policy, detail::logits_matrix Logits, detail::label_vector Labels, class Pack = detail::logit_pack<Logits>>
row_report logits_gradient(Policy policy, Logits&& logits, Labels&& targets, view<const row_state> states,
                           view<const detail::logit_arithmetic<Logits>> coefficients, view<detail::logit<Logits>, 2> gradient,
                           const row_options& o = {}, const row_terms<detail::logit_arithmetic<Logits>>& terms = {}) {
  return detail::logits_gradient<Pack>(policy, detail::readable<2>(static_cast<Logits&&>(logits)),
                                       detail::readable<1>(static_cast<Labels&&>(targets)), states, coefficients, gradient, o, terms);
}
template <detail::logits_matrix Logits, detail::label_vector Labels, class Pack = detail::logit_pack<Logits>>
row_report logits_gradient(Logits&& logits, Labels&& targets, view<const row_state> states,
                           view<const detail::logit_arithmetic<Logits>> coefficients, view<detail::logit<Logits>, 2> gradient,
                           const row_options& o = {}, const row_terms<detail::logit_arithmetic<Logits>>& terms = {}) {
  return attune::logits_gradient(serial{}, static_cast<Logits&&>(logits), static_cast<Labels&&>(targets), states, coefficients, gradient,
                                 o, terms);
}

}  // namespace attune
