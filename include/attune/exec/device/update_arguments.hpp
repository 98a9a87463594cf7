// SPDX-License-Identifier: MIT
// What the reference updates on devices share at their edge.
#pragma once

#include <attune/exec/device/update.hpp>

namespace attune {

/// One tensor of a model in device memory, as an update of many at once takes it. Companion: as of attune::model_tensor, of device memory.
template <class T, class P = T, class Companion = detail::no_companion> struct device_model_tensor {
  view<T, 1, device> reference;
  view<const P, 1, device> policy;
  Companion companion{};
};

namespace detail {

template <bool Averages, class T, class P, class Companion> constexpr void require_device_types() {
  require_types<T, P, Companion>();
  if constexpr (is_rounded_copy<Companion> || is_compensation<Companion>) {
    static_assert(std::same_as<typename decltype(memory_of(Companion{}))::space, device>,
                  "attune: the reference lies on the device and its companion in host memory; attune never copies between them");
  }
  static_assert(!Averages || can_average<T, Companion>,
                "attune: a 16-bit reference alone cannot be averaged: small steps are rounded away and it never moves; see soft_update");
}

/// The body that updates a tensor.
template <class T, class P, class Companion>
update_elements<T, P, Companion> update_of(const device_model_tensor<T, P, Companion>& x, double policy_weight, update_report* report) {
  using body = update_elements<T, P, Companion>;
  body work{.reference = {x.reference.data(), x.reference.stride(0)},
            .policy = {const_cast<P*>(x.policy.data()), x.policy.stride(0)},
            .memory = {},
            .size = x.reference.extent(0),
            .weight = static_cast<arithmetic<T>>(policy_weight),
            .random = {},
            .report = report};
  if constexpr (body::has_memory) work.memory = {memory_of(x.companion).data(), memory_of(x.companion).stride(0)};
  if constexpr (is_stochastic<Companion>) work.random = rounding_noise(x.companion);
  return work;
}

/// The tensors of a call as one, of the types that they are seen with.
template <bool Averages, class Reference, class Parameters, class Companion>
auto device_tensor_of(Reference&& reference, Parameters&& policy, const Companion& companion) {
  using T = reference_element<Reference>;
  using P = std::remove_const_t<reference_element<Parameters>>;
  require_device_types<Averages, T, P, Companion>();
  return device_model_tensor<T, P, Companion>{static_cast<Reference&&>(reference), static_cast<Parameters&&>(policy), companion};
}

}  // namespace detail
}  // namespace attune
