// SPDX-License-Identifier: MIT
#pragma once

#include <initializer_list>
#include <string>

namespace attune::detail {

/// What runs bodies on a device: Thrust's execution policies, attune::cuda. Has launch(policy, n, body).
template <class P> inline constexpr bool is_device_policy = false;
template <class P>
concept device_policy = is_device_policy<P>;

/// Where a tensor of a call begins (null: it is not given), and what it is called in messages.
struct given_memory {
  const void* data;
  std::string name;
};
/// Throws for memory that bodies cannot read, where a policy can tell (backend/cuda/memory.hpp); this one cannot.
template <class Policy> void require_readable(const Policy&, const given_memory&) {}
/// The same of several tensors.
template <class Policy> void require_memory(const Policy& policy, std::initializer_list<given_memory> tensors) {
  for (const given_memory& x : tensors) require_readable(policy, x);
}

}  // namespace attune::detail
