// SPDX-License-Identifier: MIT
// Whether tensors lie where kernels of the current device can read them. For nvcc.
#pragma once

#include <attune/core/error.hpp>
#include <attune/exec/device/policy.hpp>

#include <cuda_runtime.h>

#include <string>

namespace attune::detail {

/// What is wrong of memory with these attributes for a kernel on `device`, which may read all of the host's memory or only what was pinned. Empty: nothing.
inline std::string refusal_of(const cudaPointerAttributes& memory, int device, bool reads_host) {
  if (memory.type == cudaMemoryTypeDevice && memory.device != device) {
    return "on device " + std::to_string(memory.device) + "; expected memory of the current one, device " + std::to_string(device);
  }
  if (memory.type == cudaMemoryTypeUnregistered && !reads_host) return "in the host's memory; expected memory of the current device";
  return {};
}

/// Throws where a kernel on the current device would fault. (Memory of a peer is refused, too.)
inline void require_memory_of_device(const given_memory& x) {
  if (x.data == nullptr) return;
  int device = 0, reads_host = 0;
  cudaPointerAttributes memory{};
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) status = cudaDeviceGetAttribute(&reads_host, cudaDevAttrPageableMemoryAccess, device);
  if (status == cudaSuccess) status = cudaPointerGetAttributes(&memory, x.data);
  if (status != cudaSuccess) throw error("attune: " + x.name + ": cudaPointerGetAttributes: " + cudaGetErrorString(status));
  const std::string refusal = refusal_of(memory, device, reads_host != 0);
  if (!refusal.empty()) throw error("attune: " + x.name + " lies " + refusal);
}

}  // namespace attune::detail
