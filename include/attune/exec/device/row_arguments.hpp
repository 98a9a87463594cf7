// SPDX-License-Identifier: MIT
// What the row functions on devices share at their edge: views as bodies hold them, the checks of arguments, workspaces. What launches bodies also
// has launch(policy, n, body), and first_bad(policy, rows, find), which waits.
#pragma once

#include <attune/exec/device/policy.hpp>
#include <attune/exec/device/row_gradient.hpp>
#include <attune/rows/logits_gradient.hpp>
#include <attune/rows/token_logps.hpp>

namespace attune::detail {

template <class T> strided<T> strided_of(const view<T, 1, device>& x) { return {x.data(), x.stride(0)}; }
template <class T> strided_rows<T> strided_of(const view<T, 2, device>& x) {
  return {x.data(), x.stride(0), x.stride(1), static_cast<int>(x.extent(1))};
}
template <class Index> label_reader labels_of(const view<const Index, 1, device>& x) { return {x.data(), x.stride(0), sizeof(Index) == 8}; }

/// The first argument decides the types of the others. Whether it lies where it should is said when it becomes a view.
template <class X, int Rank>
concept any_tensor = tensor<X> && requires { typename seen_as<X, Rank>::type; };
template <class X>
concept any_logits = any_tensor<X, 2> && storage<element_of<X, 2>>;
template <class X>
concept any_labels = any_tensor<X, 1> && std::signed_integral<element_of<X, 1>> && (sizeof(element_of<X, 1>) == 4 || sizeof(element_of<X, 1>) == 8);

template <int Rank, class X> view<const element_of<X, Rank>, Rank, device> readable_on_device(X&& x) {
  const view<const element_of<X, Rank>, Rank, device> seen = static_cast<X&&>(x);
  return seen;
}

/// Throws unless columns can be counted in 32 bits, as bodies do.
template <class T> void require_columns(const view<T, 2, device>& x, const char* name) {
  constexpr std::int64_t most = std::int64_t{1} << 30;
  if (x.extent(1) > most) throw error(std::string("attune: ") + name + " has " + quoted(x.extent(1)) + " columns; expected " + quoted(most) + " or fewer");
}
/// Throws unless a report is one that a call can write.
template <class Report> Report* require_report(const view<Report, 1, device>& report) {
  if (!report.absent()) require_extent(report.extent(0), 1, "report", "the one report of a call");
  return report.data();
}
/// The memory of a workspace; throws if it is too small.
inline std::byte* require_workspace(const view<std::byte, 1, device>& workspace, std::int64_t bytes, const char* call) {
  if (workspace.extent(0) < bytes) {
    throw error(std::string("attune: ") + call + " was given a workspace of " + quoted(workspace.extent(0)) + " bytes; expected " + quoted(bytes) +
                " or more, as " + call + "_workspace says");
  }
  if (bytes > 0 && (misalignment(workspace.data()) != 0 || (workspace.extent(0) > 1 && workspace.stride(0) != 1))) {
    throw error(std::string("attune: ") + call + " was given a workspace that is strided or not aligned; expected contiguous bytes that begin at a multiple of 16");
  }
  return workspace.data();
}

/// A row whose label is out of range, or its sequence, and what that is.
struct bad_label {
  std::int64_t row, label;
};
struct find_bad_label {
  row_selection selection;
  std::int64_t rows;
  ATTUNE_FN bad_label operator()(std::int64_t n) const {
    return selection.label(n) == row_selection::invalid ? bad_label{n, selection.labels(n)} : bad_label{rows, 0};
  }
};
struct find_bad_sequence {
  row_selection selection;
  label_reader sequences;
  std::int64_t count, rows;
  ATTUNE_FN bad_label operator()(std::int64_t n) const {
    if (selection.label(n) == row_selection::unread) return {rows, 0};
    const std::int64_t s = sequences(n);
    return s < 0 || s >= count ? bad_label{n, s} : bad_label{rows, 0};
  }
};
template <class Index> row_selection selection_of(const view<const Index, 1, device>& targets, std::int64_t classes, const device_row_options& o) {
  return {strided_of(o.mask), labels_of(targets), o.ignore_index, static_cast<int>(classes)};
}

/// Throws for a label out of range.
template <class Policy> void require_device_labels(const Policy& policy, const row_selection& selection, std::int64_t rows) {
  const bad_label found = first_bad(policy, rows, find_bad_label{selection, rows});
  if (found.row < rows) throw_bad_label(found.row, found.label, selection.classes, selection.ignore_index);
}

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

template <class T, bool Capped>
gradient_source<T, Capped> source_of(const view<const T, 2, device>& logits, const view<const row_state, 1, device>& states, const view<T, 2, device>& gradient,
                                     const device_row_options& o, const row_terms<arithmetic<T>, device>& terms, const row_selection& selection,
                                     const coefficient_reader<arithmetic<T>>& coefficients) {
  return {strided_of(logits), strided_of(gradient), selection, strided_of(states), coefficients, strided_of(terms.entropies),
          strided_of(terms.entropy_coefficients), strided_of(terms.log_sum_exp_coefficients), {o.temperature, o.softcap}};
}

/// Of the tensors that both stages on rows are given.
template <class Policy, class T, class Index>
void require_row_memory(const Policy& policy, const view<const T, 2, device>& logits, const view<const Index, 1, device>& targets,
                        const view<const row_state, 1, device>& states, const device_row_options& o) {
  require_memory(policy, {{logits.data(), "logits"}, {targets.data(), "targets"}, {states.data(), "states"}, {o.mask.data(), "row_options.mask"},
                          {o.workspace.data(), "row_options.workspace"}, {o.report.data(), "row_options.report"}});
}

/// The rows that token_logps reads, after its checks.
template <class T, class Index>
row_selection checked_token_logps(const auto& policy, const view<const T, 2, device>& logits, const view<const Index, 1, device>& targets, const view<arithmetic<T>, 1, device>& logps,
                                  const view<row_state, 1, device>& states, const device_row_options& o, const row_statistics<arithmetic<T>, device>& statistics) {
  require_token_logps<T>(logits, targets, logps, states, o, statistics);
  require_columns(logits, "logits");
  const row_selection selection = selection_of(targets, logits.extent(1), o);
  if (o.checked) {
    require_row_memory(policy, logits, targets, states, o);
    require_memory(policy, {{logps.data(), "logps"}});
    require_device_labels(policy, selection, logits.extent(0));
  }
  return selection;
}

/// Which rows are read, and their coefficients.
template <real A> struct gradient_rows {
  row_selection selection;
  coefficient_reader<A> coefficient;
};
/// Those of logits_gradient, after its checks.
template <class T, class Index>
gradient_rows<arithmetic<T>> checked_logits_gradient(const auto& policy, const view<const T, 2, device>& logits, const view<const Index, 1, device>& targets,
                                                     const view<const row_state, 1, device>& states, const auto& coefficients, const view<T, 2, device>& gradient,
                                                     const device_row_options& o, const row_terms<arithmetic<T>, device>& terms) {
  const std::int64_t rows = logits.extent(0);
  require_logits_gradient<T>(logits, targets, states, gradient, o, terms);
  require_columns(gradient, "gradient");
  require_report(o.report);
  const gradient_rows<arithmetic<T>> found{selection_of(targets, logits.extent(1), o), coefficients_of(coefficients, rows)};
  if (o.checked) {
    require_row_memory(policy, logits, targets, states, o);
    require_memory(policy, {{gradient.data(), "gradient"}, {found.coefficient.values.data, "coefficients"}});
    require_device_labels(policy, found.selection, rows);
    require_device_sequences(policy, found.coefficient, found.selection, rows);
  }
  return found;
}

template <class T, class U>
void require_pair_columns(const view<const T, 2, device>& policy_logits, const view<const U, 2, device>& target_logits, const view<T, 2, device>& gradient) {
  require_columns(policy_logits, "policy_logits");
  require_columns(target_logits, "target_logits");
  require_columns(gradient, "gradient");
}

}  // namespace attune::detail
