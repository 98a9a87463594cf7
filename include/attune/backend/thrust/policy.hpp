// SPDX-License-Identifier: MIT
// Where a body (exec/device) runs: Thrust's execution policies.
#pragma once

#include <attune/core/view.hpp>  // device, error
#include <attune/exec/device/policy.hpp>

#include <thrust/execution_policy.h>
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>

#include <concepts>
#if THRUST_DEVICE_SYSTEM == THRUST_DEVICE_SYSTEM_CUDA
#include <attune/backend/cuda/memory.hpp>
#endif

namespace attune {
namespace detail {

template <class Derived> Derived thrust_policy_of(const thrust::execution_policy<Derived>&);
#if THRUST_DEVICE_SYSTEM == THRUST_DEVICE_SYSTEM_CUDA
template <class Derived> Derived cuda_policy_of(const thrust::cuda_cub::execution_policy<Derived>&);
template <class P> inline constexpr bool reaches_device_memory = requires(const P& policy) { cuda_policy_of(policy); };
#else
template <class P> inline constexpr bool reaches_device_memory = true;
#endif

}  // namespace detail

/// Any class derived from Thrust's execution policies: thrust::device, thrust::cpp::par, thrust::omp::par, thrust::tbb::par,
/// thrust::cuda::par_nosync.on(stream), each also with an allocator. It runs on views of device memory; with par_nosync a call returns when its
/// work is queued on the stream, and nothing waits for it.
template <class P>
concept thrust_policy = requires(const P& policy) { detail::thrust_policy_of(policy); };

namespace detail {

template <thrust_policy P> inline constexpr bool is_device_policy<P> = true;
#if THRUST_DEVICE_SYSTEM == THRUST_DEVICE_SYSTEM_CUDA
template <thrust_policy P> void require_readable(const P&, const given_memory& x) { require_memory_of_device(x); }
#endif

/// body(i) for i in [0, n): one launch, without allocation, copy or wait (but that of the policy, if it is one that waits).
template <thrust_policy Policy, class Body> void launch(const Policy& policy, std::int64_t n, const Body& body) {
  static_assert(reaches_device_memory<Policy>, "attune: this policy runs on the host, and the tensors lie on the GPU; expected thrust::device or thrust::cuda's");
  if (n > 0) thrust::for_each_n(policy, thrust::counting_iterator<std::int64_t>(0), n, body);
}

}  // namespace detail
}  // namespace attune
