// SPDX-License-Identifier: MIT
#pragma once

#include <attune/backend/thrust/row_arguments.hpp>
#include <attune/exec/device/row_gradient.hpp>
#include <attune/rows/logits_gradient.hpp>

namespace attune {
namespace detail {

/// Throws unless every row has a coefficient.
template <real A> coefficient_reader<A> coefficients_of(const view<const A, 1, device>& x, std::int64_t rows) {
  require_rows(x, rows, "coefficients");
  return {strided_of(x), rows};
}
template <real A> coefficient_reader<A> coefficients_of(const sequence_coefficients<A>& x, std::int64_t rows) {
  if (!x.sequence_of_row.absent()) {
    require_rows(x.sequence_of_row, rows, "sequence_coefficients.sequence_of_row");
    return {strided_of(x.values), x.values.extent(0), 1, labels_of(x.sequence_of_row)};
  }
  if (x.rows_per_sequence <= 0) {
    throw error("attune: sequence_coefficients.rows_per_sequence is " + quoted(x.rows_per_sequence) + "; expected a number > 0, or sequence_of_row");
  }
  if (x.values.extent(0) * x.rows_per_sequence != rows) {
    throw error("attune: sequence_coefficients has " + quoted(x.values.extent(0)) + " sequences of " + quoted(x.rows_per_sequence) + " rows; expected the logits' " +
                quoted(rows) + " rows");
  }
  return {strided_of(x.values), x.values.extent(0), x.rows_per_sequence};
}
/// Throws for the first row that is read and belongs to a sequence that there is not. Waits for the device.
template <class Policy, real A>
void require_device_sequences(const Policy& policy, const coefficient_reader<A>& coefficients, const row_selection& selection, std::int64_t rows) {
  if (coefficients.sequences.data == nullptr) return;
  const find_bad_sequence find{selection, coefficients.sequences, coefficients.count, rows};
  const bad_label found = first_bad(policy, rows, find);
  if (found.row < rows) {
    throw error("attune: the sequence of row " + quoted(found.row) + " is " + quoted(found.label) + "; expected one in [0, " + quoted(coefficients.count) + ")");
  }
}

template <class T, class Index>
void logits_gradient_on_device(const auto& policy, const view<const T, 2, device>& logits, const view<const Index, 1, device>& targets,
                               const view<const row_state, 1, device>& states, const auto& coefficients, const view<T, 2, device>& gradient,
                               const device_row_options& o, const row_terms<arithmetic<T>, device>& terms) {
  const std::int64_t rows = logits.extent(0), classes = logits.extent(1);
  require_row_options<arithmetic<T>>(o);
  require_columns(gradient, "gradient");
  require_rows(targets, rows, "targets");
  require_rows(states, rows, "states");
  require_rows_if_given(o.mask, rows, "row_options.mask");
  require_terms(terms, rows);
  require_gradient(gradient, logits);
  const device_report report{require_report(o.report)};
  const auto coefficient = coefficients_of(coefficients, rows);
  const row_selection selection = selection_of(targets, classes, o);
  if (o.checked) require_device_labels(policy, selection, rows);
  if (o.checked) require_device_sequences(policy, coefficient, selection, rows);

  if (report.to != nullptr) launch(policy, 1, begin_report{report, rows});
  const int log2 = lanes_log2(gradient.extent(1), sizeof(T));
  const auto run = [&]<bool Capped>(std::bool_constant<Capped>) {
    launch(policy, rows << log2,
           logits_gradient_lanes<T, Capped>{strided_of(logits), strided_of(gradient), selection, strided_of(states), coefficient, strided_of(terms.entropies),
                                            strided_of(terms.entropy_coefficients), strided_of(terms.log_sum_exp_coefficients), o.temperature, o.softcap,
                                            log2, report});
  };
  if (std::isinf(o.softcap)) run(std::false_type{});
  else run(std::true_type{});
}

}  // namespace detail

/// Stage 3 on a device: see logits_gradient of the host (rows/logits_gradient.hpp), whose formula, shapes, options and meanings these are. In place: pass
/// the logits' memory with the same strides as gradient.
///
/// coefficients  [N], or sequence_coefficients: those of the sequences that rows belong to.
/// Values        float logits: each element to some 1e-6 of itself; 16-bit logits: rounded once, within 1 ulp of the exact element; double logits: as on
///               the host. A label or a sequence out of range gives a row of NaN and counts as non_finite, or with `checked` is an error.
/// Order         a row has the same bits for any batch, position in it, alignment and strides, in place or not, on the same device and compiler.
/// Cost          one launch, and one more for a report; unless `checked`, no allocation, copy or wait but the policy's own. No workspace is needed.
/// Throws        attune::error, before anything is launched: as on the host.
template <thrust_policy Policy, detail::any_logits Logits, detail::any_labels Labels>
void logits_gradient(const Policy& policy, Logits&& logits, Labels&& targets, view<const row_state, 1, device> states,
                     view<const detail::logit_arithmetic<Logits>, 1, device> coefficients, view<detail::logit<Logits>, 2, device> gradient,
                     const device_row_options& o = {}, const row_terms<detail::logit_arithmetic<Logits>, device>& terms = {}) {
  detail::logits_gradient_on_device(policy, detail::readable_on_device<2>(static_cast<Logits&&>(logits)),
                                    detail::readable_on_device<1>(static_cast<Labels&&>(targets)), states, coefficients, gradient, o, terms);
}
template <thrust_policy Policy, detail::any_logits Logits, detail::any_labels Labels>
void logits_gradient(const Policy& policy, Logits&& logits, Labels&& targets, view<const row_state, 1, device> states,
                     const sequence_coefficients<detail::logit_arithmetic<Logits>>& coefficients, view<detail::logit<Logits>, 2, device> gradient,
                     const device_row_options& o = {}, const row_terms<detail::logit_arithmetic<Logits>, device>& terms = {}) {
  detail::logits_gradient_on_device(policy, detail::readable_on_device<2>(static_cast<Logits&&>(logits)),
                                    detail::readable_on_device<1>(static_cast<Labels&&>(targets)), states, coefficients, gradient, o, terms);
}

}  // namespace attune
