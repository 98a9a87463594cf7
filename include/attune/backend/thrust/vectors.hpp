// SPDX-License-Identifier: MIT
// Thrust's vectors and device pointers as views.
//
// A device_vector's view is a view<T, 1, device>, another type than the view that a function on the host takes; so mixing them does not
// compile, also where Thrust's device is the CPU and it would happen to work. A universal_vector, which both could read, is seen as device memory.
#pragma once

#include <attune/core/view.hpp>  // tensor_traits

#include <thrust/device_vector.h>
#include <thrust/host_vector.h>
#include <thrust/universal_vector.h>

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

template <class T>
struct tensor_traits<thrust::universal_vector<T>> {
  static constexpr bool owning = true;
  static auto make(thrust::universal_vector<T>& x) { return detail::thrust_view<device, T>(x); }
  static auto make(const thrust::universal_vector<T>& x) { return detail::thrust_view<device, const T>(x); }
};

/// Views of what a device pointer points to, as of what a raw pointer does on the host (core/view.hpp): rows after one another, or any strides.
template <class T, std::integral... Extents>
  requires(sizeof...(Extents) > 0)
view<T, sizeof...(Extents), device> as_view(thrust::device_ptr<T> data, Extents... extents) {
  return {thrust::raw_pointer_cast(data), {std::int64_t(extents)...}};
}
template <class T, std::size_t Rank>
view<T, int(Rank), device> as_view(thrust::device_ptr<T> data, const std::int64_t (&extents)[Rank], const std::int64_t (&strides)[Rank]) {
  return {thrust::raw_pointer_cast(data), std::to_array(extents), std::to_array(strides)};
}

}  // namespace attune
