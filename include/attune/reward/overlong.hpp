// SPDX-License-Identifier: MIT
// What is done to the rewards of completions that are long, or were cut before their end.
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/core/unit.hpp>
#include <attune/reward/rewards.hpp>

namespace attune::reward {

/// DAPO's soft overlong punishment, to be added to the reward of a completion of n tokens:
///
///   f(n)  = max( factor min((max_length - buffer - n) / buffer, 0), lowest )
///   f'(n) = -factor / buffer where n > max_length - buffer and f(n) > lowest, else 0          0 at both kinks
///
/// 0 up to max_length - buffer tokens, then falling to -factor at max_length. max_length: any; buffer > 0 [tokens]; factor >= 0 and
/// lowest <= 0 [nat, or the reward's unit]. Beyond max_length, which a completion reaches only where its limit is another:
///
///   factor = 1, lowest = -1        the paper, TRL: the floor is -1
///   lowest = -factor               OpenRLHF: capped at the buffer's penalty
///   lowest = -infinity             verl's DAPO reward manager, NeMo-RL: no floor
/// Source   DAPO, arXiv:2503.14476 eq. 13, whose run has max_length 20480 and buffer 4096.
struct soft_overlong {
  double max_length = 20480;
  double buffer = 4096;
  double factor = 1;
  double lowest = -1;

  template <class S> ATTUNE_FN S value(S n) const {
    return max(S(lane_of<S>(factor)) * min((S(lane_of<S>(max_length - buffer)) - n) / S(lane_of<S>(buffer)), S(0)), S(lane_of<S>(lowest)));
  }
  template <class S> ATTUNE_FN S slope(S n) const {
    const S falling = select(value(n) > S(lane_of<S>(lowest)), S(lane_of<S>(-factor / buffer)), S(0));
    return select(n > S(lane_of<S>(max_length - buffer)), falling, S(0));
  }

  static constexpr auto parameters() {
    constexpr interval floor{.upper = 0, .includes_lower = true, .includes_upper = true};
    return std::array{parameter<soft_overlong>{"max_length", &soft_overlong::max_length, real_line, "length of the full penalty [tokens]"},
                      parameter<soft_overlong>{"buffer", &soft_overlong::buffer, positive, "tokens before it in which the penalty grows"},
                      parameter<soft_overlong>{"factor", &soft_overlong::factor, nonnegative, "penalty at max_length [nat]"},
                      parameter<soft_overlong>{"lowest", &soft_overlong::lowest, floor, "floor of the penalty [nat]"}};
  }
};

/// ProRL's stop-properly: the reward of a completion that was cut before its end is multiplied,
///
///   result[i] = factor r_i if truncated[i] is not 0, else r_i
///
/// factor in [0, 1]; 0: such a completion earns nothing. It is made for rewards >= 0: a negative reward is made better by it.
/// rewards [M]: float or double; truncated, mask [M], bytes, mask optional: under a 0 nothing is read and the result is 0. result [M] may be
/// the rewards' memory. No allocation. A reward that is not finite stays visible.
/// Throws attune::error, before anything is written: sizes that differ, factor outside [0, 1].
/// Source   ProRL, as OpenRLHF and NeMo-RL have it.
template <tensor Rewards>
void stop_properly(Rewards&& rewards, view<const std::uint8_t> truncated, double factor, view<detail::element_of<Rewards>> result,
                   view<const std::uint8_t> mask = {}) {
  using T = detail::element_of<Rewards>;
  static_assert(real<T>, "attune: rewards are float or double");
  const view<const T> r = as_view<1>(static_cast<Rewards&&>(rewards));
  attune::detail::require_extent(truncated.extent(0), r.extent(0), "truncated", "rewards");
  attune::detail::require_extent(result.extent(0), r.extent(0), "result", "rewards");
  attune::detail::require_distinct(result, "result");
  if (!mask.absent()) attune::detail::require_extent(mask.extent(0), r.extent(0), "mask", "rewards");
  if (!unit_interval.contains(factor)) throw error("attune: factor of stop_properly is " + attune::detail::text(factor) + "; expected a value in [0, 1]");
  for (std::int64_t i = 0; i < r.extent(0); ++i) {
    const bool active = mask.absent() || mask(i) != 0;
    result(i) = !active ? T(0) : truncated(i) != 0 ? static_cast<T>(factor * static_cast<double>(r(i))) : r(i);
  }
}

}  // namespace attune::reward
