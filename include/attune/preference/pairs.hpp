// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/length_view.hpp>
#include <attune/core/view.hpp>
#include <attune/preference/pair.hpp>

namespace attune {

/// A batch of B preference pairs, as views of tensors that the trainer owns; element i of every member belongs to pair i.
/// Members left out: what an objective reads must be there (a missing one is an error, not a zero), and what it does not read must not,
/// the log-probs, reference log-probs and lengths excepted, which most trainers have anyway. Weights are then 1, margins 0, and every pair
/// is active.
template <storage T, class Space = host>
struct pairs {
  using kind = detailed_pair_kind;  ///< whose table has a row for every column

  view<const T, 1, Space> chosen{};            ///< [B] log pi(y_w), summed over completion tokens [nat]
  view<const T, 1, Space> rejected{};          ///< [B] log pi(y_l)
  view<const T, 1, Space> ref_chosen{};        ///< [B] log pi_ref(y_w)
  view<const T, 1, Space> ref_rejected{};      ///< [B] log pi_ref(y_l)
  basic_length_view<Space> chosen_length{};    ///< [B] |y_w| > 0 [tokens]
  basic_length_view<Space> rejected_length{};  ///< [B] |y_l| > 0
  view<const T, 1, Space> weight{};            ///< [B] >= 0; 0 leaves the pair out
  view<const T, 1, Space> margin{};            ///< [B] demanded margin, subtracted from beta x score difference [nat]
  view<const std::uint8_t, 1, Space> mask{};   ///< [B] 0 leaves the pair out: its numbers are never read
  view<const T, 1, Space> chosen_reward{};     ///< [B] what the data says of y_w, e.g. a reward model's score
  view<const T, 1, Space> rejected_reward{};   ///< [B] of y_l
  view<const T, 1, Space> chosen_kl{};         ///< [B] see detailed_pair
  view<const T, 1, Space> rejected_kl{};       ///< [B]
  view<const T, 1, Space> target{};            ///< [B] log pi(y*)
  basic_length_view<Space> target_length{};    ///< [B] |y*| > 0

  /// In the order of the sample's table.
  auto columns() const { return std::tie(chosen, rejected, ref_chosen, ref_rejected, chosen_length, rejected_length, chosen_reward, rejected_reward, margin,
                    chosen_kl, rejected_kl, target, target_length); }
  auto columns() { return std::tie(chosen, rejected, ref_chosen, ref_rejected, chosen_length, rejected_length, chosen_reward, rejected_reward, margin,
                    chosen_kl, rejected_kl, target, target_length); }
};

/// Where d loss / d log pi(y_w) and d loss / d log pi(y_l) are written, [B] each; left out: value only. The others likewise, for objectives
/// that read those members.
template <storage T, class Space = host>
struct pair_gradients {
  view<T, 1, Space> chosen{};
  view<T, 1, Space> rejected{};
  view<T, 1, Space> chosen_kl{};
  view<T, 1, Space> rejected_kl{};
  view<T, 1, Space> target{};

  auto columns() const { return std::tie(chosen, rejected, chosen_kl, rejected_kl, target); }
  auto columns() { return std::tie(chosen, rejected, chosen_kl, rejected_kl, target); }
};

}  // namespace attune
