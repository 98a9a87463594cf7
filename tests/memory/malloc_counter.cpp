// SPDX-License-Identifier: MIT
#include "memory/malloc_counter.hpp"

#include <atomic>
#include <cstddef>

#include <malloc.h>  // malloc_usable_size

namespace {

std::atomic<std::int64_t> held{0}, peak{0};
std::int64_t start = 0;

void* counted(void* memory) {
  if (memory == nullptr) return memory;
  const std::int64_t now = held += std::int64_t(malloc_usable_size(memory));
  for (std::int64_t most = peak; now > most && !peak.compare_exchange_weak(most, now);) {
  }
  return memory;
}
void uncount(void* memory) {
  if (memory != nullptr) held -= std::int64_t(malloc_usable_size(memory));
}

}  // namespace

namespace attune_test {

std::int64_t heap_bytes() { return held; }
void start_peak() { peak = start = held; }
std::int64_t peak_since_start() { return peak - start; }

}  // namespace attune_test

extern "C" {  // the linker's names
void* __real_malloc(std::size_t);
void* __real_calloc(std::size_t, std::size_t);
void* __real_realloc(void*, std::size_t);
void* __real_aligned_alloc(std::size_t, std::size_t);
int __real_posix_memalign(void**, std::size_t, std::size_t);
void __real_free(void*);

void* __wrap_malloc(std::size_t size) { return counted(__real_malloc(size)); }
void* __wrap_calloc(std::size_t n, std::size_t size) { return counted(__real_calloc(n, size)); }
void* __wrap_realloc(void* memory, std::size_t size) {
  uncount(memory);
  void* moved = __real_realloc(memory, size);
  return counted(moved == nullptr && size > 0 ? memory : moved) == nullptr ? nullptr : moved;
}
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) { return counted(__real_aligned_alloc(alignment, size)); }
int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  const int status = __real_posix_memalign(memory, alignment, size);
  if (status == 0) counted(*memory);
  return status;
}
void __wrap_free(void* memory) {
  uncount(memory);
  __real_free(memory);
}
}
