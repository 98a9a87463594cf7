// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/cuda/token_logps.hpp>
#include <attune/exec/device/row_arguments.hpp>

namespace attune {
namespace detail {

template <bool WithStatistics, class T, class Index>
void token_logps_in_blocks(const auto& policy, const view<const T, 2, device>& logits, const view<const Index, 1, device>& targets,
                           const view<arithmetic<T>, 1, device>& logps, const view<row_state, 1, device>& states, const device_row_options& o,
                           const row_statistics<arithmetic<T>, device>& statistics) {
  using A = arithmetic<T>;
  using kernel = token_logps_block<T, WithStatistics>;
  const std::int64_t rows = logits.extent(0);
  const row_selection selection = checked_token_logps(policy, logits, targets, logps, states, o, statistics);
  const device_report report{require_report(o.report)};

  if (report.to != nullptr) launch(policy, 1, begin_report{report, rows});
  const token_logps_rows<T, WithStatistics> results{strided_of(logits), selection, o.softcap, o.temperature, 0, nullptr, nullptr, strided_of(logps),
                                                    strided_of(states), strided_of(statistics.entropies), strided_of(statistics.argmax), report};
  const kernel work{results, static_cast<A>(o.softcap), device_unit<A> * static_cast<A>(1 / o.temperature)};
  const int threads = threads_of(policy, work, block_threads(logits.extent(1), sizeof(T), kernel::vectors_each, kernel::max_threads));
  launch_blocks(policy, {"token_logps", rows, 1, threads, 1}, work);
}

}  // namespace detail

/// Stage 1 on attune::cuda: see token_logps of the host (rows/token_logps.hpp) and of Thrust (backend/thrust/token_logps.hpp), whose arguments these are.
///
/// options     device_row_options: no workspace is needed (one that is given is left alone); report and checked may be.
/// Values      as on Thrust; the two may differ in the last bits.
/// Order       a row's results have the same bits for any batch, position in it, alignment and strides, on the same device and compiler: a row is never split
///             over blocks, so from a few rows only a device is not filled (see exec/cuda/token_logps.hpp).
/// Cost        one launch, and one more for a report; unless `checked`, no allocation, copy or wait.
/// Throws      attune::error, before anything is launched: as on the host; and a launch that CUDA refuses.
template <detail::block_policy Policy, detail::any_logits Logits, detail::any_labels Labels>
void token_logps(const Policy& policy, Logits&& logits, Labels&& targets, view<detail::logit_arithmetic<Logits>, 1, device> logps,
                 view<row_state, 1, device> states, const device_row_options& o = {},
                 const row_statistics<detail::logit_arithmetic<Logits>, device>& statistics = {}) {
  const auto rows = detail::readable_on_device<2>(static_cast<Logits&&>(logits));
  const auto labels = detail::readable_on_device<1>(static_cast<Labels&&>(targets));
  if (statistics.entropies.absent() && statistics.argmax.absent()) detail::token_logps_in_blocks<false>(policy, rows, labels, logps, states, o, statistics);
  else detail::token_logps_in_blocks<true>(policy, rows, labels, logps, states, o, statistics);
}

}  // namespace attune
