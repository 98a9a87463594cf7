// SPDX-License-Identifier: MIT
// Thrust (the CUDA 13 toolkit's CCCL, or 1.17 with any CPU system): host_vector and device_vector as views. Running batches on Thrust's
// execution policies is not part of this header yet.
//
// A device_vector's view is a view<T, 1, device>, another type than the view that a function on the host takes; so mixing them does not
// compile, also where Thrust's device is the CPU and it would happen to work.
#pragma once

#include <attune/core/view.hpp>  // tensor_traits

#include <thrust/device_vector.h>
#include <thrust/host_vector.h>

namespace attune {
namespace detail {

/// The elements of a Thrust vector; of an empty one no pointer is asked for, since Thrust 1.17 dereferences it.
template <class Space, class T, class X>
view<T, 1, Space> thrust_view(X& x) {
  return {x.empty() ? nullptr : thrust::raw_pointer_cast(x.data()), {static_cast<std::int64_t>(x.size())}};
}

}  // namespace detail

template <class T, class A>
struct tensor_traits<thrust::host_vector<T, A>> {
  static constexpr bool owning = true;
  static auto make(thrust::host_vector<T, A>& x) { return detail::thrust_view<host, T>(x); }
  static auto make(const thrust::host_vector<T, A>& x) { return detail::thrust_view<host, const T>(x); }
};

template <class T, class A>
struct tensor_traits<thrust::device_vector<T, A>> {
  static constexpr bool owning = true;
  static auto make(thrust::device_vector<T, A>& x) { return detail::thrust_view<device, T>(x); }
  static auto make(const thrust::device_vector<T, A>& x) { return detail::thrust_view<device, const T>(x); }
};

}  // namespace attune
