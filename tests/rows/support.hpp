// SPDX-License-Identifier: MIT
// Textbook formulas in long double, layouts, and finite differences for the tests of rows/.
#pragma once

#include <attune/core/view.hpp>
#include <attune/rows/options.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace attune_test {

using attune::as_view;
using attune::bfloat16;
using attune::view;

inline constexpr float nan_f = std::numeric_limits<float>::quiet_NaN();
inline constexpr float inf_f = std::numeric_limits<float>::infinity();

template <class T> T to(double x) { return static_cast<T>(static_cast<attune::arithmetic<T>>(x)); }
template <class T> double from(T x) { return static_cast<double>(static_cast<attune::arithmetic<T>>(x)); }

/// Half the distance between 1 and its successor: the relative error of one rounding to T.
template <class T> double half_ulp() { return sizeof(T) == 2 ? 0x1p-8 : double(std::numeric_limits<attune::arithmetic<T>>::epsilon()) / 2; }

/// Independent, nearly normal numbers (the sum of twelve uniform ones).
template <class T> std::vector<T> normals(std::int64_t size, double spread, unsigned seed, double offset = 0) {
  std::mt19937 bits(seed);
  std::vector<T> x(std::size_t(size), T{});
  for (T& element : x) {
    double sum = -6;
    for (int k = 0; k < 12; ++k) sum += double(bits()) * 0x1p-32;
    element = to<T>(offset + spread * sum);
  }
  return x;
}
inline std::vector<std::int32_t> labels(std::int64_t rows, std::int64_t classes, unsigned seed) {
  std::mt19937 bits(seed);
  std::vector<std::int32_t> y(std::size_t(rows), 0);
  for (auto& label : y) label = std::int32_t(bits() % std::uint32_t(classes));
  return y;
}

/// p_v = e^{z_v} / sum_w e^{z_w}, as it is written: long double reaches e^11000.
template <class T> std::vector<long double> softmax(const T* x, std::int64_t classes, double temperature = 1) {
  std::vector<long double> p(std::size_t(classes), 0);
  long double sum = 0;
  for (std::size_t v = 0; v < p.size(); ++v) sum += p[v] = std::exp(static_cast<long double>(from(x[v])) / temperature);
  for (auto& q : p) q /= sum;
  return p;
}

template <class T> bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// The N x V matrix `packed` laid out with the given strides in memory full of poison.
template <class T> struct placed {
  std::vector<T> memory;
  view<T, 2> matrix;

  placed(const std::vector<T>& packed, std::int64_t rows, std::int64_t columns, std::int64_t row_stride, std::int64_t column_stride,
         double poison) {
    const std::int64_t last = (rows - 1) * std::abs(row_stride) + (columns - 1) * std::abs(column_stride);
    const std::int64_t origin =
        3 + (row_stride < 0 ? (1 - rows) * row_stride : 0) + (column_stride < 0 ? (1 - columns) * column_stride : 0);
    memory.assign(std::size_t(last + 100), to<T>(poison));
    matrix = as_view(memory.data() + origin, {rows, columns}, {row_stride, column_stride});
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) matrix(i, j) = packed[std::size_t(i * columns + j)];
    }
  }
  std::vector<T> packed() const {
    std::vector<T> x;
    for (std::int64_t i = 0; i < matrix.extent(0); ++i) {
      for (std::int64_t j = 0; j < matrix.extent(1); ++j) x.push_back(matrix(i, j));
    }
    return x;
  }
};
/// Row and column strides: padded rows, every other column, mirrored rows, mirrored both, transposed.
inline std::vector<std::array<std::int64_t, 2>> strides(std::int64_t rows, std::int64_t columns) {
  return {{columns + 5, 1}, {2 * columns + 3, 2}, {-columns, 1}, {-columns - 1, -1}, {1, rows}};
}

/// The message of the attune::error that f throws; empty if it throws none.
template <class F> std::string error_text(const F& f) {
  try {
    f();
  } catch (const attune::error& e) {
    return e.what();
  }
  return "";
}
inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Largest deviation of `gradient` from the five-point difference quotient of loss at x, relative to 1 + |quotient|.
template <class Loss>
double gradient_error(const Loss& loss, std::vector<double> x, const std::vector<double>& gradient, double step = 1e-3) {
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    const auto moved = [&](double h) {
      x[i] = at + h;
      const double value = loss(x);
      x[i] = at;
      return value;
    };
    const double quotient = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step);
    const double error = std::abs(gradient[i] - quotient) / (1 + std::abs(quotient));
    worst = attune::max(worst, error);  // NaN if either is
  }
  return worst;
}

}  // namespace attune_test
