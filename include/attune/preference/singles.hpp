// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/length_view.hpp>
#include <attune/core/view.hpp>
#include <attune/preference/single.hpp>

namespace attune {

/// A batch of B single completions, as views of tensors that the trainer owns; the rules are those of `pairs`.
template <storage T, class Space = host>
struct singles {
  using kind = single_kind;  ///< whose table has a row for every column

  view<const T, 1, Space> logp{};              ///< [B] log pi(y), summed over completion tokens [nat]
  view<const T, 1, Space> ref_logp{};          ///< [B] log pi_ref(y)
  basic_length_view<Space> length{};           ///< [B] |y| > 0 [tokens]
  view<const T, 1, Space> reward{};            ///< [B] what the data says of y
  view<const std::uint8_t, 1, Space> label{};  ///< [B] 1: desirable, 0: undesirable
  view<const T, 1, Space> weight{};            ///< [B] >= 0; 0 leaves the completion out
  view<const std::uint8_t, 1, Space> mask{};   ///< [B] 0 leaves the completion out: its numbers are never read

  /// In the order of the sample's table.
  auto columns() const { return std::tie(logp, ref_logp, length, reward, label); }
  auto columns() { return std::tie(logp, ref_logp, length, reward, label); }
};

/// Where d loss / d log pi(y) is written, [B]; left out: value only.
template <storage T, class Space = host>
struct single_gradients {
  view<T, 1, Space> logp{};

  auto columns() const { return std::tie(logp); }
  auto columns() { return std::tie(logp); }
};

}  // namespace attune
