// SPDX-License-Identifier: MIT
// attune::cuda: where kernels of blocks (exec/cuda) and per-thread bodies (exec/device) run. For nvcc.
#pragma once

#include <attune/backend/cuda/memory.hpp>
#include <attune/exec/cuda/block.hpp>
#include <attune/exec/device/row_arguments.hpp>

#include <cuda_runtime.h>

namespace attune {

/// Calls queue kernels on this stream and return: nothing waits, allocates or copies (but the check of labels, device_row_options.checked), so they can be
/// captured into a graph. A null stream is CUDA's legacy default stream. The device is the current one. A launch that CUDA refuses is an attune::error.
struct cuda {
  cudaStream_t stream = nullptr;
};

namespace detail {

template <> inline constexpr bool is_block_policy<cuda> = true;
template <> inline constexpr bool is_device_policy<cuda> = true;

inline void require_cuda(cudaError_t status, const char* call, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // said here, so not again by the next call that asks
  throw error(std::string("attune: ") + call + ": " + what + ": " + cudaGetErrorString(status));
}

/// The block of exec/cuda/block.hpp by the instructions of the device.
template <bool Clustered> struct cuda_block {
#if defined(__CUDA_ARCH__)
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ std::int64_t row() const { return Clustered ? blockIdx.x / static_cast<unsigned>(ranks()) : blockIdx.x; }
  __device__ int tile() const { return static_cast<int>(blockIdx.y); }
  __device__ int tiles() const { return static_cast<int>(gridDim.y); }
  __device__ void sync() const { __syncthreads(); }
  __device__ void sync_warp() const { __syncwarp(); }
  template <class X> __device__ X other(X x, int mask) const { return __shfl_xor_sync(0xffffffffu, x, mask); }
#if __CUDA_ARCH__ >= 900
  __device__ int rank() const { return Clustered ? static_cast<int>(__clusterRelativeBlockRank()) : 0; }
  __device__ int ranks() const { return Clustered ? static_cast<int>(__clusterSizeInBlocks()) : 1; }
  __device__ void arrive() const {
    if (ranks() > 1) __cluster_barrier_arrive();
  }
  __device__ void wait() const {
    if (ranks() > 1) __cluster_barrier_wait();
  }
  template <class X> __device__ const X& peer(const X& own, int rank) const {
    return ranks() > 1 ? *static_cast<const X*>(__cluster_map_shared_rank(&own, static_cast<unsigned>(rank))) : own;
  }
#else
  __device__ int rank() const { return 0; }
  __device__ int ranks() const { return 1; }
  __device__ void arrive() const {}
  __device__ void wait() const {}
  template <class X> __device__ const X& peer(const X& own, int) const { return own; }
#endif
#endif
};

template <class Kernel> inline constexpr bool is_clustered = requires { requires Kernel::clustered; };

/// How many blocks of a kernel a multiprocessor is to hold at once. For 10.0 and newer the compiler needs a few registers more, and would spill.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
template <class Kernel> inline constexpr int blocks_held = Kernel::min_blocks > 1 ? Kernel::min_blocks - 1 : 1;
#else
template <class Kernel> inline constexpr int blocks_held = Kernel::min_blocks;
#endif

template <class Kernel> __global__ void __launch_bounds__(Kernel::max_threads, blocks_held<Kernel>) block_kernel(const __grid_constant__ Kernel kernel) {
#if defined(__CUDA_ARCH__)
  __shared__ typename Kernel::shared memory;
  kernel(cuda_block<is_clustered<Kernel>>{}, memory);
#endif
}
template <class Body> __global__ void __launch_bounds__(256) thread_kernel(const __grid_constant__ Body body, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * 256 + threadIdx.x;
  if (i < n) body(i);
}

inline void require_readable(const cuda&, const given_memory& x) { require_memory_of_device(x); }

template <class Kernel> int threads_of(const cuda&, const Kernel&, int wanted) { return wanted; }

/// Blocks of a cluster at most: 1 where the kernel was compiled for devices that have none.
template <class Kernel> int most_ranks(const cuda&, const Kernel&) {
  cudaFuncAttributes found{};
  require_cuda(cudaFuncGetAttributes(&found, block_kernel<Kernel>), "attune::cuda", "cudaFuncGetAttributes");
  return found.ptxVersion >= 90 ? 8 : 1;
}

template <class Kernel> void launch_blocks(const cuda& policy, const block_grid& grid, const Kernel& kernel) {
  if (grid.rows == 0) return;
  if (grid.rows > 0x7fffffff / grid.ranks) {
    throw error(std::string("attune: ") + grid.call + " was given " + quoted(grid.rows) + " rows; expected " + quoted(0x7fffffff / grid.ranks) + " or fewer on a device");
  }
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = static_cast<unsigned>(grid.ranks);
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t launch{};
  launch.gridDim = dim3(static_cast<unsigned>(grid.rows * grid.ranks), static_cast<unsigned>(grid.tiles));
  launch.blockDim = dim3(static_cast<unsigned>(grid.threads));
  launch.stream = policy.stream;
  launch.attrs = &cluster;
  launch.numAttrs = grid.ranks > 1 ? 1 : 0;
  require_cuda(cudaLaunchKernelEx(&launch, block_kernel<Kernel>, kernel), grid.call, "cudaLaunchKernelEx");
}

/// body(i) for i in [0, n): one launch.
template <class Body> void launch(const cuda& policy, std::int64_t n, const Body& body) {
  if (n == 0) return;
  const std::int64_t blocks = (n + 255) / 256;
  if (blocks > 0x7fffffff) throw error("attune: " + quoted(n) + " elements are too many for one launch; expected 2^39 or fewer");
  thread_kernel<<<static_cast<unsigned>(blocks), 256, 0, policy.stream>>>(body, n);
  require_cuda(cudaGetLastError(), "attune::cuda", "launch");
}

/// Keeps the first row that `find` finds; and then what its label is.
template <class Find> struct keep_first_bad {
  Find find;
  std::int64_t rows;
  bad_label* found;
  bool label;

  ATTUNE_FN void operator()(std::int64_t n) const {
    if (label) {
      found->label = found->row < rows ? find(found->row).label : 0;
      return;
    }
    const bad_label here = find(n);
#if defined(__CUDA_ARCH__)
    if (here.row < rows) atomicMin(reinterpret_cast<long long*>(&found->row), static_cast<long long>(here.row));
#endif
  }
};
/// The first that `find` finds; row `rows` if there is none. Allocates, and waits for the stream.
template <class Find> bad_label first_bad(const cuda& policy, std::int64_t rows, const Find& find) {
  bad_label found{rows, 0};
  bad_label* on_device = nullptr;
  constexpr const char* call = "the check of labels";
  require_cuda(cudaMallocAsync(reinterpret_cast<void**>(&on_device), sizeof found, policy.stream), call, "cudaMallocAsync");
  cudaError_t status = cudaMemcpyAsync(on_device, &found, sizeof found, cudaMemcpyHostToDevice, policy.stream);
  if (status == cudaSuccess) {
    launch(policy, rows, keep_first_bad<Find>{find, rows, on_device, false});
    launch(policy, 1, keep_first_bad<Find>{find, rows, on_device, true});
    status = cudaMemcpyAsync(&found, on_device, sizeof found, cudaMemcpyDeviceToHost, policy.stream);
  }
  const cudaError_t freed = cudaFreeAsync(on_device, policy.stream), waited = cudaStreamSynchronize(policy.stream);
  for (const cudaError_t each : {status, freed, waited}) require_cuda(each, call, "copy");
  return found;
}

}  // namespace detail
}  // namespace attune
