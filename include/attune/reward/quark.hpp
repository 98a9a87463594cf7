// SPDX-License-Identifier: MIT
#pragma once

#include <attune/reward/rewards.hpp>

#include <algorithm>
#include <numeric>

namespace attune::reward {

/// Quantiles of a pool of completions by reward (Quark): 0 for the best 1/count of them, count - 1 for the worst.
///
///   quantile[i] = min( floor(place(i) / floor(N/count)), count - 1 ),     place(i) = 0, 1, ... from the highest reward to the lowest
///
/// Quark puts a token of the quantile before the prompt and trains on the whole pool; AlpacaFarm trains on quantile 0 alone, without a
/// token: quark_weights. The loss of a token, on either:
///
///   -log pi(y_t) + kl KL(pi || pi_ref) - entropy H(pi)      sft, and per row: row_divergence(reverse_kl) and the entropy term of
///                                                           logits_gradient; AlpacaFarm: count 4, kl 0.05, entropy 0 by default
///
/// rewards [N]: float or double, N >= count; quantile [N]. The remainder of N/count goes to the worst; completions of equal reward keep
/// their order, so a pool's older ones come first. Allocates N indices.
/// Throws attune::error, before anything is written: sizes that differ; count < 1 or > N; a reward that is NaN or infinite.
/// Source   Lu et al. 2022, arXiv:2205.13636; the cut, as AlpacaFarm, arXiv:2305.14387, has it (repository tatsu-lab/alpaca_farm at 30717dd).
template <tensor Rewards>
void quark_quantiles(Rewards&& rewards, std::int64_t count, view<std::int32_t> quantile) {
  const auto r = detail::comparable(static_cast<Rewards&&>(rewards));
  const std::int64_t n = r.extent(0);
  attune::detail::require_extent(quantile.extent(0), n, "quantile", "rewards");
  if (count < 1 || count > n) {
    throw error("attune: the number of quantiles is " + attune::detail::text((long long)count) + " for " + attune::detail::text((long long)n) +
                " rewards; expected 1 or more, and no more than rewards");
  }
  std::vector<std::int64_t> order(std::size_t(n), 0);
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t i, std::int64_t j) { return r(i) > r(j); });
  for (std::int64_t place = 0; place < n; ++place) {
    quantile(order[std::size_t(place)]) = std::int32_t(std::min(place / (n / count), count - 1));
  }
}

/// Weights for fine-tuning on the best quantile alone: 1 where quark_quantiles gives 0, else 0. weights [N], of the rewards' type.
template <tensor Rewards>
void quark_weights(Rewards&& rewards, std::int64_t count, view<detail::element_of<Rewards>> weights) {
  attune::detail::require_extent(weights.extent(0), as_view<1>(rewards).extent(0), "weights", "rewards");
  std::vector<std::int32_t> quantile(std::size_t(weights.extent(0)));
  quark_quantiles(static_cast<Rewards&&>(rewards), count, quantile);
  for (std::int64_t i = 0; i < weights.extent(0); ++i) weights(i) = quantile[std::size_t(i)] == 0 ? 1 : 0;
}

}  // namespace attune::reward
