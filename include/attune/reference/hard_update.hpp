// SPDX-License-Identifier: MIT
#pragma once

#include <attune/reference/soft_update.hpp>

namespace attune {

/// Hard update of a reference model (TR-DPO), in place:  reference <- policy.
/// Tensors, companions, report and errors are those of soft_update, whose case a = 1 it is; but a 16-bit reference needs no companion here,
/// because nothing is averaged. Bits are copied where the element types agree, else each element is rounded: to nearest, or at random with
/// attune::stochastic_rounding.
/// Source   Gorbatovski et al. 2024, arXiv:2404.09656 (every 512 steps).
template <execution_policy Execution, tensor Reference, tensor Policy, class Companion = detail::no_companion>
update_report hard_update(Execution execution, Reference&& reference, Policy&& policy, Companion companion = {}) {
  const auto model = detail::one_tensor(static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), companion);
  return detail::update(execution, detail::tensors(model), 1);
}
template <tensor Reference, tensor Policy, class Companion = detail::no_companion>
update_report hard_update(Reference&& reference, Policy&& policy, Companion companion = {}) {
  return hard_update(serial{}, static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), companion);
}

/// Of many tensors in one call: see soft_update.
template <execution_policy Execution, model_tensors Model>
update_report hard_update(Execution execution, const Model& model) {
  return detail::update(execution, detail::tensors(model), 1);
}
template <model_tensors Model>
update_report hard_update(const Model& model) {
  return hard_update(serial{}, model);
}

}  // namespace attune
