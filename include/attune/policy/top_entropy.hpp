// SPDX-License-Identifier: MIT
// The tokens at which the policy hesitates: gradients of these alone train as well as those of all (arXiv:2506.01939).
#pragma once

#include <attune/policy/token_tensors.hpp>

#include <algorithm>
#include <functional>

namespace attune {

/// Entropies of the policy's next-token distributions: padded [B, T], or packed [1, N] with offsets; see `sequences`.
template <real T>
struct token_entropies {
  view<const T, 2> entropy{};              ///< [B, T] [nat]
  view<const std::uint8_t, 2> mask{};      ///< [B, T] 0 leaves the token out
  length_view offsets{};                   ///< [S + 1] of packed tensors
};

/// What was found. Reports of parts add up.
struct top_entropy_report {
  std::int64_t tokens = 0;      ///< active ones
  std::int64_t kept = 0;        ///< of these
  std::int64_t non_finite = 0;  ///< of the active: an entropy that is NaN or infinite

  top_entropy_report& operator+=(const top_entropy_report& other) {
    tokens += other.tokens;
    kept += other.kept;
    non_finite += other.non_finite;
    return *this;
  }
};

/// The least entropy that belongs to the top share of the active tokens:
///
///   threshold = the k-th largest of n entropies,     k = 1 + floor(share (n - 1))
///
/// the smallest one that is at or above the quantile 1 - share, in the usual definition that interpolates between two entropies. share in
/// [0, 1]: 0 is the largest entropy alone, 1 the smallest, 0.2 the paper's. Entropies that are NaN do not count; -infinity, which keeps
/// every token, if none does. scratch: as many as there are active tokens, or more. No allocation; time O(n).
/// Of a batch that lies on several ranks: gather the entropies first, as one tensor.
/// Throws attune::error, before scratch is written: sizes that differ, scratch that is too small, a share outside [0, 1].
template <real T>
double entropy_threshold(double share, const token_entropies<T>& x, std::span<double> scratch) {
  if (!(share >= 0 && share <= 1)) throw error("attune: share of entropy_threshold is " + detail::text(share) + "; expected a number in [0, 1]");
  const sequences where(x.entropy.extent(0), x.entropy.extent(1), x.mask, x.offsets);
  std::int64_t active = 0, n = 0;
  for (std::int64_t s = 0; s < where.size(); ++s) active += where.active_tokens(s);
  detail::require_scratch(std::int64_t(scratch.size()), active);
  for (std::int64_t s = 0; s < where.size(); ++s) {
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      const double entropy = double(x.entropy(row, t));
      if (entropy == entropy) scratch[std::size_t(n++)] = entropy;
    });
  }
  if (n == 0) return -infinity<double>;
  const auto place = scratch.begin() + std::int64_t(std::floor(share * double(n - 1)));
  std::nth_element(scratch.begin(), place, scratch.begin() + n, std::greater<>());
  return *place;
}

/// The mask of the tokens with at least that entropy: 1 for active tokens with entropy >= threshold, else 0. As the mask of a batch it takes
/// the others out of numerator and denominators.
/// Tokens of equal entropy stay or go together, so that more than the share may stay (all of them, where all entropies are equal); which ones
/// does not depend on their order. An active entropy that is NaN stays, and is counted: it shows in the loss. mask: of the tokens' shape,
/// memory of its own. No allocation.
/// Throws attune::error, before anything is written: sizes that differ, a threshold that is NaN.
/// Source   Wang et al. 2025, arXiv:2506.01939; TRL: top_entropy_quantile, with the quantile over all ranks.
template <real T>
top_entropy_report top_entropy_mask(double threshold, const token_entropies<T>& x, view<std::uint8_t, 2> mask) {
  if (threshold != threshold) throw error("attune: threshold of top_entropy_mask is nan; expected a number [nat]");
  const sequences where(x.entropy.extent(0), x.entropy.extent(1), x.mask, x.offsets);
  detail::require_token_results(mask, "mask", x.entropy, "entropy");
  detail::fill(mask, std::uint8_t(0));
  top_entropy_report report;
  for (std::int64_t s = 0; s < where.size(); ++s) {
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      const double entropy = double(x.entropy(row, t));
      const bool kept = !(entropy < threshold);
      mask(row, t) = kept;
      report.kept += kept;
      report.non_finite += !std::isfinite(entropy);
      ++report.tokens;
    });
  }
  return report;
}

}  // namespace attune
