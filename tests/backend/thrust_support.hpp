// SPDX-License-Identifier: MIT
// Tensors on Thrust's device and back, for tests that may run on a GPU: they never read device memory from the host but by thrust::copy.
#pragma once

#include <attune/backend/thrust.hpp>

#include <thrust/copy.h>
#include <thrust/system/cpp/execution_policy.h>

#include "rows/closeness.hpp"

namespace attune_test {

using attune::device;

#if THRUST_DEVICE_SYSTEM == THRUST_DEVICE_SYSTEM_CUDA
inline const auto& on_thrust = thrust::device;
#else
/// Thrust's system CPP, OMP or TBB: the one whose thrust_linked.cpp a program is linked with. So these tests are compiled once for all three.
struct linked_system : thrust::cpp::execution_policy<linked_system> {};
inline constexpr linked_system on_thrust;

/// What a system gets to do, behind pointers: call(of, i) for i in [0, n), or the first of the labels that it gives.
struct body_of_indices {
  const void* of;
  void (*call)(const void* of, std::int64_t i);
};
struct labels_of_indices {
  const void* of;
  attune::detail::bad_label (*call)(const void* of, std::int64_t i);
  attune::detail::bad_label operator()(std::int64_t i) const { return call(of, i); }
};
void run_linked(std::int64_t n, body_of_indices body);
attune::detail::bad_label reduce_linked(std::int64_t n, labels_of_indices label);

using index_iterator = thrust::counting_iterator<std::int64_t>;
template <class Body> index_iterator for_each_n(linked_system&, index_iterator first, std::int64_t n, Body body) {
  if (*first != 0) throw attune::error("linked_system counts from 0");
  run_linked(n, {&body, [](const void* of, std::int64_t i) { (*static_cast<const Body*>(of))(i); }});
  return first + n;
}
template <class Find, class Combine>
attune::detail::bad_label transform_reduce(linked_system&, index_iterator first, index_iterator last, Find find, attune::detail::bad_label none, Combine combine) {
  return combine(none, reduce_linked(last - first, {&find, [](const void* of, std::int64_t i) { return (*static_cast<const Find*>(of))(i); }}));
}
#endif

template <class T> std::vector<T> on_host(const thrust::device_vector<T>& x) {
  std::vector<T> y(x.size());
  thrust::copy(x.begin(), x.end(), y.begin());
  return y;
}

/// x[i] = value, by a copy. (Thrust 1.17's reference to an element is undefined behaviour.)
template <class T> void put(thrust::device_vector<T>& x, std::size_t i, T value) { thrust::copy(&value, &value + 1, x.begin() + std::ptrdiff_t(i)); }

/// A matrix in device memory full of poison: it begins `offset` elements behind a multiple of 16 bytes, and has any positive strides.
template <class T> struct device_matrix {
  std::int64_t rows, columns, row_stride, column_stride, offset;
  thrust::device_vector<T> memory;

  device_matrix(const std::vector<T>& packed, std::int64_t n, std::int64_t v, std::int64_t row = 0, std::int64_t column = 1, std::int64_t first = 0,
                double poison = nan_f)
      : rows(n), columns(v), row_stride(row != 0 ? row : v), column_stride(column), offset(first) {
    std::vector<T> all(std::size_t(offset + (rows - 1) * row_stride + (columns - 1) * column_stride + 1), to<T>(poison));
    for (std::int64_t i = 0; i < rows && !packed.empty(); ++i) {
      for (std::int64_t j = 0; j < columns; ++j) all[at(i, j)] = packed[std::size_t(i * columns + j)];
    }
    memory = thrust::device_vector<T>(all.begin(), all.end());
  }
  std::size_t at(std::int64_t i, std::int64_t j) const { return std::size_t(offset + i * row_stride + j * column_stride); }
  view<T, 2, device> matrix() { return as_view(memory.data() + offset, {rows, columns}, {row_stride, column_stride}); }
  std::vector<T> packed() const {
    const std::vector<T> all = on_host(memory);
    std::vector<T> x;
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) x.push_back(all[at(i, j)]);
    }
    return x;
  }
};

}  // namespace attune_test
