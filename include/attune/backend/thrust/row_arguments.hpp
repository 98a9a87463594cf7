// SPDX-License-Identifier: MIT
// What the row functions on Thrust share at their edge: views as bodies hold them, workspaces, and the check of labels.
#pragma once

#include <attune/backend/thrust/policy.hpp>
#include <attune/exec/device/row_selection.hpp>
#include <attune/rows/arguments.hpp>

#include <thrust/transform_reduce.h>

namespace attune {
namespace detail {

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
struct first_bad_label {
  ATTUNE_FN bad_label operator()(const bad_label& a, const bad_label& b) const { return b.row < a.row ? b : a; }
};
/// The first that `find` finds; row `rows` if there is none. Waits for the device.
template <class Policy, class Find> bad_label first_bad(const Policy& policy, std::int64_t rows, const Find& find) {
  const thrust::counting_iterator<std::int64_t> first(0);
  return thrust::transform_reduce(policy, first, first + rows, find, bad_label{rows, 0}, first_bad_label{});
}
/// Throws for a label out of range.
template <class Policy> void require_device_labels(const Policy& policy, const row_selection& selection, std::int64_t rows) {
  const bad_label found = first_bad(policy, rows, find_bad_label{selection, rows});
  if (found.row < rows) throw_bad_label(found.row, found.label, selection.classes, selection.ignore_index);
}

template <class Index> row_selection selection_of(const view<const Index, 1, device>& targets, std::int64_t classes, const device_row_options& o) {
  return {strided_of(o.mask), labels_of(targets), o.ignore_index, static_cast<int>(classes)};
}

}  // namespace detail
}  // namespace attune
