// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/covariance/centred.hpp>

#include <algorithm>
#include <functional>
#include <span>

namespace attune::covariance {

/// The choice of KL-Cov: the tokens of largest covariance.
///
///   c        = (A - mean A)(log pi - mean log pi)           means over the n active tokens of the batch
///   selected = the max(1, floor(share n)) tokens of largest c
///
/// Selected tokens pay a penalty on |log pi - log pi_old| (the surrogate's affair). Of tokens with the same c the first ones, in the order
/// of sequences and tokens; a c that is NaN is not selected.
/// Source   Cui et al. 2025, arXiv:2505.22617 (KL-Cov); verl: kl_cov_ratio.
struct kl_cov {
  double share = 0.0002;
};

/// Writes 1 for selected tokens and 0 for all others, padding included. selected: of the tokens' shape, memory of its own; scratch: as many
/// elements as there are active tokens, or more. No allocation; time O(n).
/// Throws attune::error, before anything is written: sizes that differ, scratch that is too small, a share outside [0, 1], not exactly one
/// of advantage and token_advantage.
template <real T>
report select(const kl_cov& rule, const samples<T>& x, view<std::uint8_t, 2> selected, std::span<double> scratch) {
  detail::require_share(rule.share);
  const detail::centred<T> c(x);
  attune::detail::require_token_results(selected, "selected", x.logp, "logp");
  attune::detail::require_scratch(std::int64_t(scratch.size()), c.tokens());
  attune::detail::fill(selected, std::uint8_t(0));

  report result;
  c.for_each([&](std::int64_t s, std::int64_t row, std::int64_t t) {
    const double value = c(s, row, t);
    ++result.tokens;
    result.sum += value;
    result.non_finite += !std::isfinite(value);
    if (value == value) scratch[std::size_t(result.candidates++)] = value;
  });
  if (result.candidates == 0) return result;

  const std::int64_t wanted = std::min(detail::count_of(rule.share, result.tokens), result.candidates);
  const auto last = scratch.begin() + (wanted - 1), end = scratch.begin() + result.candidates;
  std::nth_element(scratch.begin(), last, end, std::greater<>());
  const double least = *last;
  std::int64_t equal = wanted - std::count_if(scratch.begin(), last, [&](double value) { return value > least; });
  c.for_each([&](std::int64_t s, std::int64_t row, std::int64_t t) {
    const double value = c(s, row, t);
    const bool chosen = value > least || (value == least && equal-- > 0);
    selected(row, t) = chosen;
    result.selected += chosen;
  });
  return result;
}

}  // namespace attune::covariance
