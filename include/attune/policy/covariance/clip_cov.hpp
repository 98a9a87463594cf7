// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/covariance/centred.hpp>

#include <algorithm>
#include <span>

namespace attune::covariance {

/// The choice of Clip-Cov: some of the tokens with a large covariance, by chance.
///
///   c          = (A - mean A)(log pi - mean log pi)          means over the n active tokens of the batch
///   candidates = tokens with lower < c < upper; with old_logp given, without those that PPO's clip holds already:
///                A > 0 and pi/pi_old > 1 + clip_upper, or A < 0 and pi/pi_old < 1 - clip_lower
///   selected   = max(1, floor(share n)) of the candidates, or all if there are fewer
///
/// Selected tokens have no gradient (the surrogate's affair). Chance is a number for each active token of the batch, that of its place in the
/// order of sequences and tokens (SplitMix64, from the seed); the candidates with the lowest numbers are selected, so that every subset is as
/// likely. The choice depends on seed and batch only, not on padding or packing; a trainer that gives a new seed every step has a new one.
/// Source   Cui et al. 2025, arXiv:2505.22617 (Clip-Cov); verl: clip_cov_ratio, clip_cov_lb, clip_cov_ub.
struct clip_cov {
  double share = 0.0002;
  double lower = 1, upper = 5;               ///< of c [nat x unit of advantage]
  double clip_lower = 0.2, clip_upper = 0.2;  ///< of PPO's clip; read with old_logp only
  std::uint64_t seed = 0;
};

namespace detail {

/// SplitMix64 (Steele, Lea, Flood 2014): one to one in the place, so that different tokens have different numbers.
inline std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
inline std::uint64_t number_of(std::uint64_t seed, std::int64_t place) {
  return mixed(mixed(seed) + 0x9e3779b97f4a7c15u * (static_cast<std::uint64_t>(place) + 1));
}
inline void require_bounds(const clip_cov& rule) {
  require_share(rule.share);
  if (!(rule.lower <= rule.upper)) {
    throw error("attune: clip_cov's bounds are (" + attune::detail::text(rule.lower) + ", " + attune::detail::text(rule.upper) +
                "); expected lower <= upper");
  }
  if (!(rule.clip_lower >= 0 && rule.clip_upper >= 0)) {
    throw error("attune: clip_cov's clip_lower and clip_upper are " + attune::detail::text(rule.clip_lower) + " and " +
                attune::detail::text(rule.clip_upper) + "; expected 0 or more");
  }
}
inline bool is_clipped(const clip_cov& rule, double advantage, double log_ratio) {
  const double ratio = std::exp(log_ratio);
  return (advantage > 0 && ratio > 1 + rule.clip_upper) || (advantage < 0 && ratio < 1 - rule.clip_lower);
}

}  // namespace detail

/// Writes 1 for selected tokens and 0 for all others, padding included. selected: of the tokens' shape, memory of its own; scratch: as many
/// elements as there are active tokens, or more. A c that is NaN is no candidate. No allocation; time O(n).
/// Throws attune::error, before anything is written: sizes that differ, scratch that is too small, a share outside [0, 1], bounds without
/// meaning, not exactly one of advantage and token_advantage.
template <real T>
report select(const clip_cov& rule, const samples<T>& x, view<std::uint8_t, 2> selected, std::span<std::uint64_t> scratch) {
  detail::require_bounds(rule);
  const detail::centred<T> c(x);
  attune::detail::require_token_results(selected, "selected", x.logp, "logp");
  attune::detail::require_scratch(std::int64_t(scratch.size()), c.tokens());
  attune::detail::fill(selected, std::uint8_t(0));

  report result;
  c.for_each([&](std::int64_t s, std::int64_t row, std::int64_t t) {
    const double value = c(s, row, t);
    const std::uint64_t number = detail::number_of(rule.seed, result.tokens++);
    result.sum += value;
    result.non_finite += !std::isfinite(value);
    if (!(value > rule.lower && value < rule.upper)) return;
    if (!x.old_logp.absent() && detail::is_clipped(rule, c.advantage(s, row, t), double(x.logp(row, t)) - double(x.old_logp(row, t)))) return;
    selected(row, t) = 1;  // for now: a candidate
    scratch[std::size_t(result.candidates++)] = number;
  });
  if (result.candidates == 0) return result;

  result.selected = std::min(detail::count_of(rule.share, result.tokens), result.candidates);
  const auto last = scratch.begin() + (result.selected - 1);
  std::nth_element(scratch.begin(), last, scratch.begin() + result.candidates);
  std::int64_t place = 0;
  c.for_each([&](std::int64_t, std::int64_t row, std::int64_t t) {
    if (detail::number_of(rule.seed, place++) > *last) selected(row, t) = 0;
  });
  return result;
}

}  // namespace attune::covariance
