// SPDX-License-Identifier: MIT
// The same ragged sequences in the layouts that trainers have: right-padded, left-padded, packed. What padding holds must not matter.
#pragma once

#include <attune/policy/sequences.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace attune_test {

/// Numbers of the tokens of each sequence.
template <class T>
using ragged = std::vector<std::vector<T>>;

enum class layout { right_padded, left_padded, packed };
inline constexpr layout layouts[] = {layout::right_padded, layout::left_padded, layout::packed};

/// Where the tokens of ragged sequences lie, and tensors of that shape.
struct token_shape {
  layout kind;
  std::vector<std::int64_t> offsets{0};
  std::int64_t rows = 1, columns = 0;
  std::vector<std::uint8_t> mask_bytes;

  template <class T>
  token_shape(layout l, const ragged<T>& like) : kind(l) {
    for (const auto& sequence : like) {
      offsets.push_back(offsets.back() + std::int64_t(sequence.size()));
      columns = std::max(columns, std::int64_t(sequence.size()));
    }
    if (kind != layout::packed) ++columns;  // padding in every row
    if (kind == layout::packed) columns = offsets.back();
    else rows = std::int64_t(like.size());
    mask_bytes.assign(std::size_t(rows * columns), kind == layout::packed);
    for (std::size_t s = 0; s < like.size(); ++s) {
      for (std::size_t i = 0; i < like[s].size(); ++i) mask_bytes[place(s, i)] = 1;
    }
  }

  std::size_t place(std::size_t s, std::size_t i) const {
    if (kind == layout::packed) return std::size_t(offsets[s]) + i;
    const auto length = std::size_t(offsets[s + 1] - offsets[s]);
    return s * std::size_t(columns) + (kind == layout::left_padded ? std::size_t(columns) - length : 0) + i;
  }
  template <class T>
  std::vector<T> tensor(const ragged<T>& x, T padding = std::numeric_limits<T>::quiet_NaN()) const {
    std::vector<T> result(std::size_t(rows * columns), padding);
    for (std::size_t s = 0; s < x.size(); ++s) {
      for (std::size_t i = 0; i < x[s].size(); ++i) result[place(s, i)] = x[s][i];
    }
    return result;
  }
  template <class T>
  ragged<T> back(const std::vector<T>& x) const {
    ragged<T> result;
    for (std::size_t s = 0; s + 1 < offsets.size(); ++s) {
      result.emplace_back();
      for (std::size_t i = 0; i < std::size_t(offsets[s + 1] - offsets[s]); ++i) result.back().push_back(x[place(s, i)]);
    }
    return result;
  }
  template <class T>
  auto see(T& x) const { return attune::as_view(x.data(), rows, columns); }
  auto mask() const { return see(mask_bytes); }
  attune::length_view cu_seqlens() const { return kind == layout::packed ? attune::length_view(attune::as_view(offsets)) : attune::length_view{}; }
};

}  // namespace attune_test
