// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/view.hpp>  // view

#include <cstddef>  // byte
#include <limits>

namespace attune {

struct row_report;

/// row_options of the host, and device_row_options for tensors on a device.
template <class Space> struct basic_row_options;
using row_options = basic_row_options<host>;
using device_row_options = basic_row_options<device>;

/// How rows of logits are read. One temperature serves every model of a step: log-probabilities of policy, old policy and reference are
/// comparable only if all were computed at the same one.
template <> struct basic_row_options<host> {
  double temperature = 1;            ///< z = logits / temperature, finite and > 0; gradients with respect to the logits carry 1/temperature
  double softcap = std::numeric_limits<double>::infinity();  ///< > 0; first the logits become softcap tanh(logits / softcap). Infinite: they do not
  view<const std::uint8_t> mask{};   ///< [N]; a row whose byte is 0 is not read, nor is its target. Absent: every row is read
  std::int64_t ignore_index = -100;  ///< a row with this target is treated like a masked one
};

/// The same on a device, and what a call there must be given, since it neither allocates nor waits for the device.
/// Left at its defaults a call only launches: nothing is copied to the host, and a label that is out of range is not an error but a row whose
/// results are NaN; it is never used as an index. `checked` costs a reduction over the labels, which allocates and waits.
template <> struct basic_row_options<device> {
  double temperature = 1;                                    ///< as on the host, and the next three
  double softcap = std::numeric_limits<double>::infinity();
  view<const std::uint8_t, 1, device> mask{};
  std::int64_t ignore_index = -100;
  view<std::byte, 1, device> workspace{};   ///< scratch memory, aligned to 16 bytes, of the size that <name of the call>_workspace says
  view<row_report, 1, device> report{};     ///< [1], optional: written by the call. (Where a call is one launch, this makes it two.)
  bool checked = false;                     ///< whether labels out of range throw attune::error, as on the host, and tensors on another device
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
