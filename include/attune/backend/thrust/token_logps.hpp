// SPDX-License-Identifier: MIT
#pragma once

#include <attune/backend/thrust/row_arguments.hpp>
#include <attune/exec/device/token_logps.hpp>
#include <attune/rows/token_logps.hpp>

namespace attune {

/// The bytes of device_row_options.workspace that token_logps needs for [rows, columns] logits of type T; more if it also writes row_statistics.
template <storage T> std::int64_t token_logps_workspace(std::int64_t rows, std::int64_t columns, bool with_statistics = false) {
  using A = arithmetic<T>;
  const std::int64_t each = std::int64_t(sizeof(detail::lane_sum<A>)) + (with_statistics ? std::int64_t(sizeof(detail::lane_statistics<A>)) : 0);
  return (rows << detail::lanes_log2(columns, sizeof(T))) * each;
}

namespace detail {

template <bool WithStatistics, class T, class Index>
void token_logps_on_device(const auto& policy, const view<const T, 2, device>& logits, const view<const Index, 1, device>& targets,
                           const view<arithmetic<T>, 1, device>& logps, const view<row_state, 1, device>& states, const device_row_options& o,
                           const row_statistics<arithmetic<T>, device>& statistics) {
  using A = arithmetic<T>;
  const std::int64_t rows = logits.extent(0), classes = logits.extent(1);
  const row_selection selection = checked_token_logps(policy, logits, targets, logps, states, o, statistics);
  const device_report report{require_report(o.report)};
  const int log2 = lanes_log2(classes, sizeof(T));
  const std::int64_t threads = rows << log2;
  std::byte* workspace = require_workspace(o.workspace, token_logps_workspace<T>(rows, classes, WithStatistics), "token_logps");
  if (rows == 0) return launch(policy, 1, begin_report{report, 0});

  auto* sums = reinterpret_cast<lane_sum<A>*>(workspace);
  auto* parts = reinterpret_cast<lane_statistics<A>*>(sums + threads);
  const A rate = device_unit<A> * static_cast<A>(1 / o.temperature);
  launch(policy, threads, token_logps_lanes<T, WithStatistics>{strided_of(logits), selection, static_cast<A>(o.softcap), rate, log2, sums, parts, report, rows});
  launch(policy, rows, token_logps_rows<T, WithStatistics>{strided_of(logits), selection, o.softcap, o.temperature, log2, sums, parts, strided_of(logps),
                                                            strided_of(states), strided_of(statistics.entropies), strided_of(statistics.argmax), report});
}

}  // namespace detail

/// Stage 1 on a device: see token_logps of the host (rows/token_logps.hpp), whose formula, shapes, options and meanings these are.
///
/// policy      any Thrust execution policy; tensors are views of device memory, device_vectors, or as_view(device_ptr, ...).
/// options     device_row_options: the workspace is needed, token_logps_workspace<T>(N, V) bytes; report and checked may be.
/// Values      float or 16-bit logits: within 1e-5 of the exact log-probability (exponentials of each element in float, sums of lanes in double); double
///             logits: as on the host. A label out of range gives NaN and counts as non_finite in the report, or with `checked` is an error.
/// Order       a row's results have the same bits for any batch, position in it, alignment and strides, on the same device and compiler.
/// Cost        two launches; unless `checked`, no allocation, copy or wait but the policy's own.
/// Throws      attune::error, before anything is launched: as on the host, and a workspace that is too small.
template <thrust_policy Policy, detail::any_logits Logits, detail::any_labels Labels>
void token_logps(const Policy& policy, Logits&& logits, Labels&& targets, view<detail::logit_arithmetic<Logits>, 1, device> logps,
                 view<row_state, 1, device> states, const device_row_options& o,
                 const row_statistics<detail::logit_arithmetic<Logits>, device>& statistics = {}) {
  const auto rows = detail::readable_on_device<2>(static_cast<Logits&&>(logits));
  const auto labels = detail::readable_on_device<1>(static_cast<Labels&&>(targets));
  if (statistics.entropies.absent() && statistics.argmax.absent()) detail::token_logps_on_device<false>(policy, rows, labels, logps, states, o, statistics);
  else detail::token_logps_on_device<true>(policy, rows, labels, logps, states, o, statistics);
}

}  // namespace attune
