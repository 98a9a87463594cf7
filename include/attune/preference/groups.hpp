// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/length_view.hpp>
#include <attune/core/view.hpp>
#include <attune/preference/group.hpp>

namespace attune {

/// A batch of G groups with M completions in all, as views of tensors that the trainer owns. The completions of a group lie next to each
/// other; groups are of one size (`size`, M = G size) or ragged (`begin`). At most max_group_size = 1024 completions a group.
template <storage T, class Space = host>
struct groups {
  using kind = group_kind;  ///< whose table has a row for every column

  view<const T, 1, Space> logp{};              ///< [M] log pi(y), summed over completion tokens [nat]
  view<const T, 1, Space> ref_logp{};          ///< [M] log pi_ref(y); for GVPO the log-probability when y was sampled
  view<const T, 1, Space> reward{};            ///< [M] reward of y, in the unit that the objective's temperature divides
  basic_length_view<Space> length{};           ///< [M] |y| > 0 [tokens]
  std::int64_t size = 0;                       ///< completions of every group, >= 1; or
  view<const std::int64_t, 1, Space> begin{};  ///< [G + 1] group g is completions begin[g] .. begin[g + 1] - 1; begin[0] = 0, begin[G] = M
  view<const T, 1, Space> weight{};            ///< [G] >= 0; 0 leaves the group out
  view<const std::uint8_t, 1, Space> mask{};   ///< [M] 0 leaves the completion out of its group: its numbers are never read

  auto columns() const { return std::tie(logp, ref_logp, length, reward); }
  auto columns() { return std::tie(logp, ref_logp, length, reward); }
};

/// Where d loss / d log pi(y) is written, [M]; left out: value only.
template <storage T, class Space = host>
struct group_gradients {
  view<T, 1, Space> logp{};

  auto columns() const { return std::tie(logp); }
  auto columns() { return std::tie(logp); }
};

}  // namespace attune
