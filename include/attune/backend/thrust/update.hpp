// SPDX-License-Identifier: MIT
#pragma once

#include <attune/backend/thrust/policy.hpp>
#include <attune/exec/device/update.hpp>
#include <attune/reference/hard_update.hpp>

namespace attune {
namespace detail {

/// As model_tensor, in device memory.
template <class T, class P, class Companion> struct device_tensor {
  view<T, 1, device> reference;
  view<const P, 1, device> policy;
  Companion companion;
};

template <class Companion> constexpr void require_device_companion() {
  if constexpr (is_rounded_copy<Companion> || is_compensation<Companion>) {
    static_assert(std::same_as<typename decltype(memory_of(Companion{}))::space, device>,
                  "attune: the reference lies on the device and its companion in host memory; attune never copies between them");
  }
}

template <bool Averages, class Reference, class Parameters, class Companion>
void update_on_device(const auto& execution, Reference&& reference, Parameters&& policy, double policy_weight, const Companion& companion,
                      const view<update_report, 1, device>& report) {
  using T = reference_element<Reference>;
  using P = std::remove_const_t<reference_element<Parameters>>;
  using body = update_elements<T, P, Companion>;
  require_types<T, P, Companion>();
  require_device_companion<Companion>();
  static_assert(!Averages || can_average<T, Companion>,
                "attune: a 16-bit reference alone cannot be averaged: small steps are rounded away and it never moves; see soft_update");
  const device_tensor<T, P, Companion> x{static_cast<Reference&&>(reference), static_cast<Parameters&&>(policy), companion};
  check_weight(policy_weight);
  check_tensor(x);
  if (!report.absent()) require_extent(report.extent(0), 1, "report", "the one report of a call");

  const std::int64_t size = x.reference.extent(0);
  body work{.reference = {x.reference.data(), x.reference.stride(0)},
            .policy = {const_cast<P*>(x.policy.data()), x.policy.stride(0)},
            .memory = {},
            .size = size,
            .weight = static_cast<arithmetic<T>>(policy_weight),
            .random = {},
            .report = report.data()};
  if constexpr (body::has_memory) work.memory = {memory_of(companion).data(), memory_of(companion).stride(0)};
  if constexpr (is_stochastic<Companion>) work.random = rounding_noise(companion);
  if (!report.absent()) launch(execution, 1, begin_update_report{report.data(), size});
  launch(execution, (size + body::count - 1) / body::count, work);
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
