// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/length_view.hpp>
#include <attune/core/view.hpp>
#include <attune/preference/pair.hpp>

namespace attune {

/// A batch of B preference pairs, as views of tensors that the trainer owns; element i of every member belongs to pair i.
/// Members left out: the reference log-probs and lengths are needed only by objectives that read them (a missing one is an error, not
/// a zero); weights are then 1, margins 0, and every pair is active.
template <storage T>
struct pairs {
  view<const T> chosen{};                ///< [B] log pi(y_w), summed over completion tokens [nat]
  view<const T> rejected{};              ///< [B] log pi(y_l)
  view<const T> ref_chosen{};            ///< [B] log pi_ref(y_w)
  view<const T> ref_rejected{};          ///< [B] log pi_ref(y_l)
  length_view chosen_length{};           ///< [B] |y_w| > 0 [tokens]
  length_view rejected_length{};         ///< [B] |y_l| > 0
  view<const T> weight{};                ///< [B] >= 0; 0 leaves the pair out
  view<const T> margin{};                ///< [B] demanded margin, subtracted from beta x score difference [nat]
  view<const std::uint8_t> mask{};       ///< [B] 0 leaves the pair out: its numbers are never read
};

/// Where d loss / d log pi(y_w) and d loss / d log pi(y_l) are written, [B] each; left out: value only.
template <storage T>
struct pair_gradients {
  view<T> chosen{};
  view<T> rejected{};
};

}  // namespace attune
