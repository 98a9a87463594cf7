// SPDX-License-Identifier: MIT
#pragma once

#include <attune/reward/rewards.hpp>

namespace attune::reward {

/// Which model wrote a completion: the initial one, the one that is trained, or one that was trained a step ahead of it.
enum class generation { past, present, future };

/// A pair of completions, each by its model and its place among that model's.
struct temporal_pair {
  generation chosen_from = generation::present;
  std::int64_t chosen = 0;
  double chosen_score = 0;
  generation rejected_from = generation::present;
  std::int64_t rejected = 0;
  double rejected_score = 0;

  /// False where nothing is preferred: leave the prompt out.
  bool usable() const { return chosen_score > rejected_score; }
};

/// The pair that Temporal Self-Rewarding trains on, from the scores of one prompt's completions:
///
///   rejected   the lowest of the initial model's (past), if lower than the lowest of the present model's; else the present one's
///   chosen     the highest of a future model's, if higher than the highest of the present model's; else the present one's
///
/// So score(chosen) - score(rejected) is never below that of the present model alone, whose best and worst approach each other as it
/// learns. The future model is DPO on pairs without it (future left out); the next one is DPO on pairs with it. present [K >= 1], past and
/// future [any number, may be left out]: float or double; of equal scores the first, of equal models the present one.
/// Throws attune::error: no score of the present model; a score that is NaN or infinite.
/// Source   Wang et al. 2025, arXiv:2508.06026: anchored rejection, and future-guided choice (its comparison with the present model's best,
///          as for rejection, is our reading).
template <tensor Present>
temporal_pair temporal_self_rewarding_pair(Present&& present, view<const detail::element_of<Present>> past = {},
                                           view<const detail::element_of<Present>> future = {}) {
  const auto now = detail::comparable(static_cast<Present&&>(present), {}, "score of the present model");
  detail::comparable(past, {}, "score of the past model");
  detail::comparable(future, {}, "score of the future model");
  temporal_pair pair;
  pair.chosen = detail::first_extreme(now, 1, "present");
  pair.chosen_score = double(now(pair.chosen));
  pair.rejected = detail::first_extreme(now, -1, "present");
  pair.rejected_score = double(now(pair.rejected));
  for (std::int64_t i = 0; i < past.extent(0); ++i) {
    if (double(past(i)) < pair.rejected_score) pair.rejected_from = generation::past, pair.rejected = i, pair.rejected_score = double(past(i));
  }
  for (std::int64_t i = 0; i < future.extent(0); ++i) {
    if (double(future(i)) > pair.chosen_score) pair.chosen_from = generation::future, pair.chosen = i, pair.chosen_score = double(future(i));
  }
  return pair;
}

}  // namespace attune::reward
