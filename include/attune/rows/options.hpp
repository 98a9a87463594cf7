// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/view.hpp>  // view

#include <limits>

namespace attune {

/// How rows of logits are read. One temperature serves every model of a step: log-probabilities of policy, old policy and reference are
/// comparable only if all were computed at the same one.
struct row_options {
  double temperature = 1;            ///< z = logits / temperature, finite and > 0; gradients with respect to the logits carry 1/temperature
  double softcap = std::numeric_limits<double>::infinity();  ///< > 0; first the logits become softcap tanh(logits / softcap). Infinite: they do not
  view<const std::uint8_t> mask{};   ///< [N]; a row whose byte is 0 is not read, nor is its target. Absent: every row is read
  std::int64_t ignore_index = -100;  ///< a row with this target is treated like a masked one
};

/// What a function found in the rows it was given. Reports of parts of a batch add up to that of the whole.
struct row_report {
  std::int64_t rows = 0;        ///< rows given
  std::int64_t masked = 0;      ///< of these not read: masked or ignored
  std::int64_t non_finite = 0;  ///< of those read: rows whose result is not a number (for divergences and sequences: or infinite)

  row_report& operator+=(const row_report& other) {
    rows += other.rows;
    masked += other.masked;
    non_finite += other.non_finite;
    return *this;
  }
};

}  // namespace attune
