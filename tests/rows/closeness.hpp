// SPDX-License-Identifier: MIT
// How far results in some type are from exact ones in double.
#pragma once

#include "rows/support.hpp"

namespace attune_test {

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
    std::uint16_t stored;
    std::memcpy(&stored, &y, 2);
    const int bits = stored;
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
