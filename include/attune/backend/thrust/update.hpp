// SPDX-License-Identifier: MIT
#pragma once

#include <attune/backend/thrust/policy.hpp>
#include <attune/exec/device/update_arguments.hpp>
#include <attune/reference/hard_update.hpp>

namespace attune {
namespace detail {

template <bool Averages, class Reference, class Parameters, class Companion>
void update_on_device(const auto& execution, Reference&& reference, Parameters&& policy, double policy_weight, const Companion& companion,
                      const view<update_report, 1, device>& report) {
  const auto x = device_tensor_of<Averages>(static_cast<Reference&&>(reference), static_cast<Parameters&&>(policy), companion);
  check_weight(policy_weight);
  check_tensor(x);
  if (!report.absent()) require_extent(report.extent(0), 1, "report", "the one report of a call");

  const auto work = update_of(x, policy_weight, report.data());
  if (!report.absent()) launch(execution, 1, begin_update_report{report.data(), work.size});
  launch(execution, (work.size + work.count - 1) / work.count, work);
}

}  // namespace detail

/// Soft update of a reference on a device: see soft_update of the host (reference/soft_update.hpp), whose formula, tensors, companions and errors these
/// are. Companions are made of device tensors, too: attune::compensation{residual} with a device_vector.
/// report  [1], optional: written, which takes one more launch, and counts of many threads into two numbers.
/// Bits    those of the host, also with stochastic rounding (the same noise), where the host has no fused multiplication and addition: on x86-64 after
///         limit_instruction_set(instruction_set::compiled), in translation units without -mfma. Else they may differ in the last place before rounding.
/// Cost    one launch a tensor; no allocation, copy or wait but the policy's own.
template <thrust_policy Execution, tensor Reference, tensor Policy, class Companion = detail::no_companion>
void soft_update(const Execution& execution, Reference&& reference, Policy&& policy, double policy_weight, Companion companion = {},
                 view<update_report, 1, device> report = {}) {
  detail::update_on_device<true>(execution, static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), policy_weight, companion, report);
}
/// Hard update of a reference on a device: see hard_update of the host, and soft_update.
template <thrust_policy Execution, tensor Reference, tensor Policy, class Companion = detail::no_companion>
void hard_update(const Execution& execution, Reference&& reference, Policy&& policy, Companion companion = {}, view<update_report, 1, device> report = {}) {
  detail::update_on_device<false>(execution, static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), 1, companion, report);
}

}  // namespace attune
