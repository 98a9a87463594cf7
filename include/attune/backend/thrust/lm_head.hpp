// SPDX-License-Identifier: MIT
// The chunked LM head on Thrust's policies: lm_head_logps, lm_head_gradient, lm_head_fused and lm_head_visit of exec/device/lm_head.hpp.
#pragma once

#include <attune/backend/thrust/logits_gradient.hpp>
#include <attune/backend/thrust/token_logps.hpp>
#include <attune/exec/device/lm_head.hpp>

namespace attune::detail {

#if THRUST_DEVICE_SYSTEM == THRUST_DEVICE_SYSTEM_CUDA
/// The stream of a policy of Thrust for GPUs. (Thrust asks policies that are not const.)
template <class Derived> cudaStream_t stream_of(const thrust::cuda_cub::execution_policy<Derived>& policy, policy_stream) {
  Derived copy = static_cast<const Derived&>(policy);
  return thrust::cuda_cub::stream(copy);
}
#endif

}  // namespace attune::detail
