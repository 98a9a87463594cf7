// SPDX-License-Identifier: MIT
#pragma once

#include <attune/backend/thrust/row_arguments.hpp>
#include <attune/exec/device/row_gradient.hpp>
#include <attune/rows/logits_gradient.hpp>

namespace attune {
namespace detail {

template <class T, class Index>
void logits_gradient_on_device(const auto& policy, const view<const T, 2, device>& logits, const view<const Index, 1, device>& targets,
                               const view<const row_state, 1, device>& states, const auto& coefficients, const view<T, 2, device>& gradient,
                               const device_row_options& o, const row_terms<arithmetic<T>, device>& terms) {
  const std::int64_t rows = logits.extent(0);
  const device_report report{require_report(o.report)};
  const auto found = checked_logits_gradient(policy, logits, targets, states, coefficients, gradient, o, terms);
  if (report.to != nullptr) launch(policy, 1, begin_report{report, rows});
  const int log2 = lanes_log2(gradient.extent(1), sizeof(T));
  const auto run = [&]<bool Capped>(std::bool_constant<Capped>) {
    launch(policy, rows << log2, logits_gradient_lanes<T, Capped>{source_of<T, Capped>(logits, states, gradient, o, terms, found.selection, found.coefficient), log2, report});
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
