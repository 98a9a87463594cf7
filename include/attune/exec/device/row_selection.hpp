// SPDX-License-Identifier: MIT
// Which rows a body reads, their labels, and the count of what was found in them.
#pragma once

#include <attune/exec/device/vectors.hpp>
#include <attune/rows/options.hpp>  // row_report

namespace attune::detail {

/// The report of a call, in device memory, or none.
struct device_report {
  row_report* to = nullptr;

  ATTUNE_FN void begin(std::int64_t rows) const {
    if (to != nullptr) *to = row_report{rows, 0, 0};
  }
  ATTUNE_FN void masked() const {
    if (to != nullptr) add_count(to->masked, 1);
  }
  ATTUNE_FN void non_finite() const {
    if (to != nullptr) add_count(to->non_finite, 1);
  }
};
/// What begins a report where no launch comes before the one that counts.
struct begin_report {
  device_report report;
  std::int64_t rows;

  ATTUNE_FN void operator()(std::int64_t) const { report.begin(rows); }
};

/// Labels of 32 or 64 bits, so that bodies need not be compiled for both.
struct label_reader {
  const void* data = nullptr;
  std::int64_t stride = 0;
  bool wide = false;

  ATTUNE_FN std::int64_t operator()(std::int64_t n) const {
    return wide ? static_cast<const std::int64_t*>(data)[n * stride] : static_cast<const std::int32_t*>(data)[n * stride];
  }
};

struct row_selection {
  strided<const std::uint8_t> mask;
  label_reader labels;
  std::int64_t ignore_index;
  int classes;

  static constexpr int unread = -1, invalid = -2;
  /// The label of a row that is read; unread: it is masked or ignored; invalid: its label is out of range.
  ATTUNE_FN int label(std::int64_t n) const {
    if (mask.given() && mask(n) == 0) return unread;
    const std::int64_t y = labels(n);
    if (y == ignore_index) return unread;
    return y >= 0 && y < classes ? static_cast<int>(y) : invalid;
  }
};

}  // namespace attune::detail
