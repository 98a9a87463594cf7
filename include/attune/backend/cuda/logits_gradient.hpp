// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/cuda/logits_gradient.hpp>
#include <attune/exec/device/row_arguments.hpp>

namespace attune {
namespace detail {

template <class T, class Index>
void logits_gradient_in_blocks(const auto& policy, const view<const T, 2, device>& logits, const view<const Index, 1, device>& targets,
                               const view<const row_state, 1, device>& states, const auto& coefficients, const view<T, 2, device>& gradient,
                               const device_row_options& o, const row_terms<arithmetic<T>, device>& terms) {
  const std::int64_t rows = logits.extent(0);
  const device_report report{require_report(o.report)};
  const auto found = checked_logits_gradient(policy, logits, targets, states, coefficients, gradient, o, terms);
  if (report.to != nullptr) launch(policy, 1, begin_report{report, rows});
  const auto run = [&]<bool Capped>(std::bool_constant<Capped>) {
    using kernel = logits_gradient_block<T, Capped>;
    const kernel work{source_of<T, Capped>(logits, states, gradient, o, terms, found.selection, found.coefficient), report};
    const int threads = threads_of(policy, work, block_threads(gradient.extent(1), sizeof(T), gradient_ahead, kernel::max_threads));
    const std::int64_t tile = std::int64_t{threads} * gradient_ahead * vector_length<T>, tiles = (gradient.extent(1) + vector_length<T> - 2 + tile) / tile;
    launch_blocks(policy, {"logits_gradient", gradient.extent(1) > 0 ? rows : 0, tiles < 65535 ? static_cast<int>(tiles) : 65535, threads, 1}, work);
  };
  if (std::isinf(o.softcap)) run(std::false_type{});
  else run(std::true_type{});
}

}  // namespace detail

/// Stage 3 on attune::cuda: see logits_gradient of the host (rows/logits_gradient.hpp) and of Thrust (backend/thrust/logits_gradient.hpp), whose arguments,
/// values and bits these are. In place: pass the logits' memory with the same strides as gradient.
/// Cost    one launch, and one more for a report; unless `checked`, no allocation, copy or wait.
/// Throws  attune::error, before anything is launched: as on the host; and a launch that CUDA refuses.
template <detail::block_policy Policy, detail::any_logits Logits, detail::any_labels Labels>
void logits_gradient(const Policy& policy, Logits&& logits, Labels&& targets, view<const row_state, 1, device> states,
                     view<const detail::logit_arithmetic<Logits>, 1, device> coefficients, view<detail::logit<Logits>, 2, device> gradient,
                     const device_row_options& o = {}, const row_terms<detail::logit_arithmetic<Logits>, device>& terms = {}) {
  detail::logits_gradient_in_blocks(policy, detail::readable_on_device<2>(static_cast<Logits&&>(logits)),
                                    detail::readable_on_device<1>(static_cast<Labels&&>(targets)), states, coefficients, gradient, o, terms);
}
template <detail::block_policy Policy, detail::any_logits Logits, detail::any_labels Labels>
void logits_gradient(const Policy& policy, Logits&& logits, Labels&& targets, view<const row_state, 1, device> states,
                     const sequence_coefficients<detail::logit_arithmetic<Logits>>& coefficients, view<detail::logit<Logits>, 2, device> gradient,
                     const device_row_options& o = {}, const row_terms<detail::logit_arithmetic<Logits>, device>& terms = {}) {
  detail::logits_gradient_in_blocks(policy, detail::readable_on_device<2>(static_cast<Logits&&>(logits)),
                                    detail::readable_on_device<1>(static_cast<Labels&&>(targets)), states, coefficients, gradient, o, terms);
}

}  // namespace attune
