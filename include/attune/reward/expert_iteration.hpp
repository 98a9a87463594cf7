// SPDX-License-Identifier: MIT
#pragma once

#include <attune/reward/rewards.hpp>

namespace attune::reward {

namespace detail {

/// Completions first .. last - 1: weight 1 in all, shared by the best of those that are not masked.
template <class T>
void share_among_best(const view<const T>& r, std::int64_t first, std::int64_t last, const view<T>& weights, const view<const std::uint8_t>& mask) {
  const auto active = [&](std::int64_t i) { return mask.absent() || mask(i) != 0; };
  std::int64_t best = -1, ties = 0;
  for (std::int64_t i = first; i < last; ++i) {
    if (!active(i) || (best >= 0 && r(i) < r(best))) continue;
    ties = best >= 0 && r(i) == r(best) ? ties + 1 : 1;
    best = i;
  }
  const T highest = best >= 0 ? r(best) : T(0);
  for (std::int64_t i = first; i < last; ++i) weights(i) = active(i) && r(i) == highest ? T(1) / T(ties) : T(0);
}

}  // namespace detail

/// Weights of completions for expert iteration: fine-tuning on the best of each prompt's K completions.
///
///   weights[i] = [r_i is the highest of its group] / (completions of the group that have it)
///
/// For evaluate(sft{}, singles{.logp = logp, .weight = weights}, ...): then the loss is the mean of -log pi over groups, the normaliser their
/// number. Weights of a group sum to 1, so equal rewards do not make a prompt count twice. rewards [M]: float or double; groups of `size`
/// completions each, M a multiple of it; mask [M], optional: a completion under a 0 is not read, its weight 0. weights [M], of the rewards'
/// type, may be their memory. Constants of the step: no gradient goes through them.
/// Throws attune::error, before anything is written: sizes that do not fit; a reward that is NaN or infinite. No allocation.
/// Source   Anthony et al. 2017, arXiv:1705.08439; on language models: Dubois et al. 2023, arXiv:2305.14387 (AlpacaFarm: fine-tuning on
///          best-of-n), Dong et al. 2023, arXiv:2304.06767 (RAFT).
template <tensor Rewards>
void expert_iteration_weights(Rewards&& rewards, std::int64_t size, view<detail::element_of<Rewards>> weights, view<const std::uint8_t> mask = {}) {
  const auto r = detail::comparable(static_cast<Rewards&&>(rewards), mask);
  attune::detail::require_extent(weights.extent(0), r.extent(0), "weights", "rewards");
  if (size < 1 || r.extent(0) % size != 0) {
    throw error("attune: size is " + attune::detail::text((long long)size) + " for " + attune::detail::text((long long)r.extent(0)) +
                " rewards; expected the number of completions of a group, 1 or more, that divides them");
  }
  for (std::int64_t first = 0; first < r.extent(0); first += size) detail::share_among_best(r, first, first + size, weights, mask);
}
/// Ragged groups: group g is completions begin[g] .. begin[g + 1] - 1, begin [G + 1], as in `groups`.
template <tensor Rewards>
void expert_iteration_weights(Rewards&& rewards, view<const std::int64_t> begin, view<detail::element_of<Rewards>> weights,
                              view<const std::uint8_t> mask = {}) {
  const auto r = detail::comparable(static_cast<Rewards&&>(rewards), mask);
  attune::detail::require_extent(weights.extent(0), r.extent(0), "weights", "rewards");
  const std::int64_t groups = begin.extent(0) - 1;
  bool ascends = groups >= 0 && begin(0) == 0 && begin(groups) == r.extent(0);
  for (std::int64_t g = 0; ascends && g < groups; ++g) ascends = begin(g) <= begin(g + 1);
  if (!ascends) {
    throw error("attune: begin does not describe groups of " + attune::detail::text((long long)r.extent(0)) +
                " rewards; expected 0 first, the number of rewards last, and no descent between");
  }
  for (std::int64_t g = 0; g < groups; ++g) detail::share_among_best(r, begin(g), begin(g + 1), weights, mask);
}

}  // namespace attune::reward
