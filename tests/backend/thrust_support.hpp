// SPDX-License-Identifier: MIT
// Tensors on Thrust's device and back, for tests that may run on a GPU: they never read device memory from the host but by thrust::copy.
#pragma once

#include <attune/backend/thrust.hpp>

#include <thrust/copy.h>
#include <thrust/system/cpp/execution_policy.h>

#include "rows/support.hpp"

namespace attune_test {

using attune::device;

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

template <class T> std::vector<double> as_doubles(const std::vector<T>& x) {
  std::vector<double> y;
  for (const T& element : x) y.push_back(from(element));
  return y;
}
/// The largest difference of two vectors; equal infinities and NaNs do not differ, NaN and a number do by infinity.
template <class T, class U> double largest_error(const std::vector<T>& x, const std::vector<U>& expected) {
  double worst = x.size() == expected.size() ? 0 : double(inf_f);
  for (std::size_t i = 0; i < x.size() && i < expected.size(); ++i) {
    const double a = from(x[i]), b = from(expected[i]);
    if (a == b || (a != a && b != b)) continue;
    const double error = std::abs(a - b);
    worst = error > worst ? error : error == error ? worst : double(inf_f);
  }
  return worst;
}
/// |x - expected| / |expected|, of which both are finite.
template <class T> double norm_error(const std::vector<T>& x, const std::vector<double>& expected) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    error += (from(x[i]) - expected[i]) * (from(x[i]) - expected[i]);
    norm += expected[i] * expected[i];
  }
  return norm > 0 ? std::sqrt(error / norm) : std::sqrt(error);
}

/// Whether each element is within one unit in the last place of the expected number, rounded to T. Zeros must be zeros, NaNs NaNs.
template <class T> bool within_one_ulp(const std::vector<T>& x, const std::vector<double>& expected) {
  const auto place = [](T y) {
    std::uint16_t half;
    std::memcpy(&half, &y, 2);
    const int bits = half;
    return bits & 0x8000 ? -(bits & 0x7fff) : bits;
  };
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (expected[i] != expected[i] ? from(x[i]) == from(x[i]) : std::abs(place(x[i]) - place(to<T>(expected[i]))) > 1) return false;
    if (expected[i] == 0 && from(x[i]) != 0) return false;
  }
  return x.size() == expected.size();
}
/// A gradient against the exact one, as far as the type goes.
template <class T> bool is_gradient(const std::vector<T>& x, const std::vector<double>& expected) {
  if constexpr (sizeof(T) == 2) return within_one_ulp(x, expected) && norm_error(x, expected) <= 3e-3;
  else return norm_error(x, expected) <= (sizeof(T) == 4 ? 1e-5 : 1e-12);
}

}  // namespace attune_test
