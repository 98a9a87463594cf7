// SPDX-License-Identifier: MIT
// A substitute CUDA runtime, to be preloaded by a program that was linked to the shared one: it records what the program asks for and pretends
// to be one H100. Kernels do not run; device memory is memory of the host, so that copies work. With it the control flow of host code is
// tested where there is no GPU: how many kernels it launches, on which stream, and that it neither waits nor allocates.
//
//   LD_PRELOAD=libattune_fake_cuda.so CUDA_VISIBLE_DEVICES= ./program      (linked with nvcc -cudart shared)
//
// What is not overridden here reaches the real runtime, which has no device and says so: an unexpected call fails, it is not left uncounted.
#include "fake_runtime.hpp"

#include <cuda_runtime_api.h>
#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

struct configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};

struct runtime {
  std::mutex mutex;
  attune_fake_cuda_counts_t counts{};
  std::map<const void*, std::string> kernels;  // by their address on the host
  std::vector<attune_fake_cuda_work_t> work;
  std::map<const void*, size_t> memory;
  std::map<const void*, int> dynamic_shared;   // limits that cudaFuncSetAttribute has raised
};
runtime& state() {
  static runtime* const the = new runtime;  // never destroyed: programs free memory in their last moments
  return *the;
}
thread_local std::vector<configuration> configurations;  // between <<<...>>> and the launch
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t fails(cudaError_t error) { return last_error = error; }
template <class Work> cudaError_t locked(const Work& work) {
  const std::lock_guard lock(state().mutex);
  return work(state());
}

constexpr int sm_count = 132, threads_of_sm = 2048, blocks_of_sm = 32, shared_of_sm = 228 << 10, shared_of_block = 227 << 10;

const char* name_of(runtime& r, const void* kernel) {
  const auto found = r.kernels.find(kernel);
  return found == r.kernels.end() ? "(unknown kernel)" : found->second.c_str();
}
cudaError_t launch(const void* kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  return locked([&](runtime& r) {
    const bool blocks_fit = grid.x > 0 && grid.x <= 0x7fffffffu && grid.y > 0 && grid.y <= 65535 && grid.z > 0 && grid.z <= 65535;
    const bool threads_fit = block.x > 0 && block.y > 0 && block.z > 0 && block.z <= 64 && std::uint64_t{block.x} * block.y * block.z <= 1024;
    const auto raised = r.dynamic_shared.find(kernel);
    const size_t limit = raised == r.dynamic_shared.end() ? 48 << 10 : size_t(raised->second);
    if (!blocks_fit || !threads_fit) return fails(cudaErrorInvalidConfiguration);
    if (shared > limit) return fails(cudaErrorInvalidValue);
    if (r.kernels.count(kernel) == 0) return fails(cudaErrorInvalidDeviceFunction);
    ++r.counts.launches;
    r.work.push_back({name_of(r, kernel), stream, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared});
    return cudaSuccess;
  });
}

cudaError_t allocate(void** pointer, size_t bytes) {
  return locked([&](runtime& r) {
    if (pointer == nullptr) return fails(cudaErrorInvalidValue);
    *pointer = nullptr;
    ++r.counts.allocations;
    if (bytes == 0) return cudaSuccess;
    *pointer = std::aligned_alloc(512, (bytes + 511) / 512 * 512);
    if (*pointer == nullptr) return fails(cudaErrorMemoryAllocation);
    r.memory[*pointer] = bytes;
    return cudaSuccess;
  });
}
cudaError_t release(void* pointer) {
  return locked([&](runtime& r) {
    if (pointer == nullptr) return cudaSuccess;
    if (r.memory.erase(pointer) == 0) return fails(cudaErrorInvalidValue);
    ++r.counts.frees;
    std::free(pointer);
    return cudaSuccess;
  });
}

cudaError_t count(std::int64_t attune_fake_cuda_counts_t::*what) {
  return locked([&](runtime& r) { return ++(r.counts.*what), cudaSuccess; });
}
cudaError_t enter(std::int64_t attune_fake_cuda_counts_t::*what, const char* name, cudaStream_t stream) {
  return locked([&](runtime& r) {
    ++(r.counts.*what);
    r.work.push_back({name, stream, {}, {}, 0});
    return cudaSuccess;
  });
}
cudaError_t copy(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  if (bytes > 0) std::memmove(to, from, bytes);
  return enter(&attune_fake_cuda_counts_t::copies, "(copy)", stream);
}
cudaError_t copy(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaStream_t stream) {
  char* const target = static_cast<char*>(to);
  const char* const source = static_cast<const char*>(from);
  for (size_t row = 0; row < height; ++row) std::memmove(target + row * to_pitch, source + row * from_pitch, width);
  return enter(&attune_fake_cuda_counts_t::copies, "(copy)", stream);
}
cudaError_t set(void* to, int byte, size_t bytes, cudaStream_t stream) {
  if (bytes > 0) std::memset(to, byte, bytes);
  return enter(&attune_fake_cuda_counts_t::sets, "(memset)", stream);
}
cudaError_t sync() { return count(&attune_fake_cuda_counts_t::syncs); }

template <class Handle> cudaError_t create(Handle* handle) {
  *handle = reinterpret_cast<Handle>(new char[64]);
  return cudaSuccess;
}
template <class Handle> cudaError_t destroy(Handle handle) {
  delete[] reinterpret_cast<char*>(handle);
  return cudaSuccess;
}

/// Blocks that one SM holds, if no register count stands in the way.
int blocks_at_once(int threads, size_t shared) {
  if (threads <= 0 || threads > 1024) return 0;
  const int by_threads = threads_of_sm / ((threads + 31) / 32 * 32), by_shared = int(shared_of_sm / (shared + 1024));
  const int least = by_threads < by_shared ? by_threads : by_shared;
  return least < blocks_of_sm ? least : blocks_of_sm;
}

int attribute(cudaDeviceAttr which) {  // -1: not known here
  switch (which) {
    case cudaDevAttrComputeCapabilityMajor: return 9;
    case cudaDevAttrComputeCapabilityMinor: return 0;
    case cudaDevAttrMultiProcessorCount: return sm_count;
    case cudaDevAttrMaxThreadsPerMultiProcessor: return threads_of_sm;
    case cudaDevAttrMaxBlocksPerMultiprocessor: return blocks_of_sm;
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY: return 1024;
    case cudaDevAttrMaxBlockDimZ: return 64;
    case cudaDevAttrMaxGridDimX: return 0x7fffffff;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: return 65535;
    case cudaDevAttrWarpSize: return 32;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: return 65536;
    case cudaDevAttrMaxSharedMemoryPerBlock: return 48 << 10;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return shared_of_block;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return shared_of_sm;
    case cudaDevAttrReservedSharedMemoryPerBlock: return 1024;
    case cudaDevAttrL2CacheSize: return 50 << 20;
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrClusterLaunch:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrUnifiedAddressing: return 1;
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrIntegrated: return 0;
    default: return -1;
  }
}

}  // namespace

extern "C" {

const attune_fake_cuda_counts_t* attune_fake_cuda_counts() { return &state().counts; }
std::int64_t attune_fake_cuda_work_count() { return std::int64_t(state().work.size()); }
attune_fake_cuda_work_t attune_fake_cuda_work(std::int64_t i) { return state().work.at(size_t(i)); }

// What nvcc's code calls: registration when the program starts, and <<<...>>>.
void** __cudaRegisterFatBinary(void* binary) { return new void*(binary); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void** handle) { delete handle; }
char __cudaInitModule(void**) { return 1; }
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
void __cudaRegisterFunction(void**, const char* function, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  int status = 0;
  char* const readable = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  locked([&](runtime& r) { return r.kernels[function] = readable != nullptr ? readable : name, cudaSuccess; });
  std::free(readable);
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (configurations.empty()) return fails(cudaErrorInvalidConfiguration);
  const configuration top = configurations.back();
  configurations.pop_back();
  *grid = top.grid, *block = top.block, *shared = top.shared;
  std::memcpy(stream, &top.stream, sizeof top.stream);
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

// Launches.
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void**, size_t shared, cudaStream_t stream) {
  return launch(kernel, grid, block, shared, stream);
}
cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t kernel, dim3 grid, dim3 block, void**, size_t shared, cudaStream_t stream) {
  return launch(kernel, grid, block, shared, stream);
}
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void**, size_t shared, cudaStream_t stream) {
  return launch(kernel, grid, block, shared, stream);
}
cudaError_t cudaLaunchCooperativeKernel(const void* kernel, dim3 grid, dim3 block, void**, size_t shared, cudaStream_t stream) {
  return launch(kernel, grid, block, shared, stream);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* kernel, void**) {
  return launch(kernel, c->gridDim, c->blockDim, c->dynamicSmemBytes, c->stream);
}

// Memory.
cudaError_t cudaMalloc(void** pointer, size_t bytes) { return allocate(pointer, bytes); }
cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t) { return allocate(pointer, bytes); }
cudaError_t cudaMallocFromPoolAsync(void** pointer, size_t bytes, cudaMemPool_t, cudaStream_t) { return allocate(pointer, bytes); }
cudaError_t cudaMallocManaged(void** pointer, size_t bytes, unsigned) { return allocate(pointer, bytes); }
cudaError_t cudaMallocHost(void** pointer, size_t bytes) { return allocate(pointer, bytes); }
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) { return allocate(pointer, bytes); }
cudaError_t cudaFree(void* pointer) { return release(pointer); }
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) { return release(pointer); }
cudaError_t cudaFreeHost(void* pointer) { return release(pointer); }
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) { return sync(), copy(to, from, bytes, nullptr); }
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t s) { return copy(to, from, bytes, s); }
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind) {
  return sync(), copy(to, to_pitch, from, from_pitch, width, height, nullptr);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind,
                              cudaStream_t s) {
  return copy(to, to_pitch, from, from_pitch, width, height, s);
}
cudaError_t cudaMemset(void* to, int byte, size_t bytes) { return set(to, byte, bytes, nullptr); }
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t s) { return set(to, byte, bytes, s); }
cudaError_t cudaMemGetInfo(size_t* unused, size_t* total) { return *unused = *total = size_t{80} << 30, cudaSuccess; }
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* a, const void* pointer) {
  return locked([&](runtime& r) {
    *a = {};
    auto next = r.memory.upper_bound(pointer);
    const bool ours = next != r.memory.begin() && static_cast<const char*>(pointer) < static_cast<const char*>((--next)->first) + next->second;
    a->type = ours ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
    (ours ? a->devicePointer : a->hostPointer) = const_cast<void*>(pointer);
    return cudaSuccess;
  });
}

// Waiting, streams and events.
cudaError_t cudaStreamSynchronize(cudaStream_t) { return sync(); }
cudaError_t cudaDeviceSynchronize() { return sync(); }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return sync(); }
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return create(stream); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return create(stream); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) { return create(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return destroy(stream); }
cudaError_t cudaStreamGetDevice(cudaStream_t, int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) { return *status = cudaStreamCaptureStatusNone, cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return count(&attune_fake_cuda_counts_t::events); }
cudaError_t cudaEventCreate(cudaEvent_t* event) { return create(event); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return create(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return destroy(event); }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return count(&attune_fake_cuda_counts_t::events); }
cudaError_t cudaEventRecordWithFlags(cudaEvent_t, cudaStream_t, unsigned) { return count(&attune_fake_cuda_counts_t::events); }
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) { return *ms = 1, cudaSuccess; }

// The device, and what it is asked about kernels.
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : fails(cudaErrorInvalidDevice); }
cudaError_t cudaGetDeviceCount(int* devices) { return *devices = 1, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device) {
  *value = attribute(which);
  if (device != 0) return fails(cudaErrorInvalidDevice);
  if (*value >= 0) return cudaSuccess;
  std::fprintf(stderr, "attune_fake_cuda: device attribute %d is not known; add it to fake_runtime.cpp\n", int(which));
  return fails(cudaErrorInvalidValue);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device != 0) return fails(cudaErrorInvalidDevice);
  *p = {};
  std::strcpy(p->name, "substitute H100");
  p->major = 9, p->minor = 0, p->warpSize = 32, p->multiProcessorCount = sm_count;
  p->maxThreadsPerBlock = 1024, p->maxThreadsPerMultiProcessor = threads_of_sm, p->maxBlocksPerMultiProcessor = blocks_of_sm;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->sharedMemPerBlock = 48 << 10, p->sharedMemPerBlockOptin = shared_of_block, p->sharedMemPerMultiprocessor = shared_of_sm;
  p->totalGlobalMem = size_t{80} << 30, p->l2CacheSize = 50 << 20;
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
  *a = {};
  a->maxThreadsPerBlock = 1024, a->numRegs = 32, a->ptxVersion = a->binaryVersion = 90, a->maxDynamicSharedSizeBytes = 48 << 10;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute which, int value) {
  if (which != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || value > shared_of_block) return fails(cudaErrorInvalidValue);
  return locked([&](runtime& r) { return r.dynamic_shared[kernel] = value, cudaSuccess; });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads, size_t shared) {
  return *blocks = blocks_at_once(threads, shared), cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int threads, size_t shared, unsigned) {
  return *blocks = blocks_at_once(threads, shared), cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void*, const cudaLaunchConfig_t* c) {
  unsigned size = 1;
  for (unsigned i = 0; i < c->numAttrs; ++i) {
    const cudaLaunchAttribute& a = c->attrs[i];
    if (a.id == cudaLaunchAttributeClusterDimension) size = a.val.clusterDim.x * a.val.clusterDim.y * a.val.clusterDim.z;
  }
  *clusters = sm_count * blocks_at_once(int(c->blockDim.x * c->blockDim.y * c->blockDim.z), c->dynamicSmemBytes) / int(size);
  return cudaSuccess;
}

}  // extern "C"
