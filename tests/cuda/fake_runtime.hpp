// SPDX-License-Identifier: MIT
// What a program reads of the substitute CUDA runtime (fake_runtime.cpp) under which it runs.
#pragma once

#include <cstdint>

/// Calls so far. A blocking copy counts as a copy and as a sync.
struct attune_fake_cuda_counts_t {
  std::int64_t launches;     ///< kernels, however they were launched
  std::int64_t syncs;        ///< waits of the host for a stream, an event or the device
  std::int64_t allocations;  ///< of device, managed and pinned memory, also those in stream order
  std::int64_t frees;        ///< of non-null pointers
  std::int64_t copies;       ///< in any direction
  std::int64_t sets;         ///< memsets
  std::int64_t events;       ///< recorded or waited for by a stream
};

/// What went into a stream.
struct attune_fake_cuda_work_t {
  const char* name;  ///< of the kernel, as in its source; "(copy)", "(memset)"
  const void* stream;
  unsigned grid[3], block[3];
  std::uint64_t shared;  ///< dynamic shared memory [byte]
};

extern "C" {
/// To be looked up with dlsym(RTLD_DEFAULT, ...): they are there only where the substitute has been preloaded.
const attune_fake_cuda_counts_t* attune_fake_cuda_counts();
std::int64_t attune_fake_cuda_work_count();
attune_fake_cuda_work_t attune_fake_cuda_work(std::int64_t i);
}
