// SPDX-License-Identifier: MIT
#pragma once

#include <attune/rows/arguments.hpp>

namespace attune {
namespace detail {

inline bool is_active(const view<const std::uint8_t, 2>& mask, std::int64_t b, std::int64_t t) { return mask.absent() || mask(b, t) != 0; }

inline void require_sequence_mask(const view<const std::uint8_t, 2>& mask, std::int64_t sequences, std::int64_t tokens) {
  if (mask.absent()) return;
  require_extent(mask.extent(0), sequences, "mask (in rows)", "the tokens' number of sequences");
  require_extent(mask.extent(1), tokens, "mask (in columns)", "the tokens of a sequence");
}

template <execution_policy Policy, real A>
row_report sequence_logps(Policy policy, const view<const A, 2>& tokens, const view<const std::uint8_t, 2>& mask, const view<A>& logps,
                          const view<A>& lengths) {
  const std::int64_t sequences = tokens.extent(0), steps = tokens.extent(1);
  require_sequence_mask(mask, sequences, steps);
  require_extent(logps.extent(0), sequences, "logps", "the number of sequences");
  if (!lengths.absent()) require_extent(lengths.extent(0), sequences, "lengths", "the number of sequences");
  require_distinct(logps, "logps");
  require_distinct(lengths, "lengths");

  return for_rows(policy, sequences, steps, [&](std::int64_t b, row_report& report) {
    double sum = 0;
    std::int64_t length = 0;
    for (std::int64_t t = 0; t < steps; ++t) {
      if (!is_active(mask, b, t)) continue;
      sum += static_cast<double>(tokens(b, t));
      ++length;
    }
    if (length == 0) ++report.masked;
    if (!std::isfinite(sum)) ++report.non_finite;
    logps(b) = static_cast<A>(sum);
    if (!lengths.absent()) lengths(b) = static_cast<A>(length);
  });
}

template <execution_policy Policy, real A>
void token_coefficients(Policy policy, const view<const A>& sequences, const view<const std::uint8_t, 2>& mask, const view<A, 2>& tokens) {
  require_extent(tokens.extent(0), sequences.extent(0), "coefficients (in rows)", "the sequence coefficients");
  require_sequence_mask(mask, tokens.extent(0), tokens.extent(1));
  require_distinct(tokens, "coefficients");

  for_rows(policy, tokens.extent(0), tokens.extent(1), [&](std::int64_t b, row_report&) {
    for (std::int64_t t = 0; t < tokens.extent(1); ++t) tokens(b, t) = is_active(mask, b, t) ? sequences(b) : A(0);
  });
}

}  // namespace detail

/// Log-probabilities of whole completions from those of their tokens.
///
///   logps[b] = sum_t mask[b, t] token_logps[b, t] [nat],     lengths[b] = sum_t mask[b, t] [tokens]
///
/// token_logps [B, T] and logps [B]: float or double; mask [B, T]: bytes, 0 for prompt and padding (absent: every token counts);
/// lengths [B], optional: the mean log-probability is logps / lengths. Sums in double, in token order; values under a 0 are not read, so
/// left- and right-padded copies agree bit for bit. A completion without active tokens has sum and length 0, and counts as `masked`;
/// `non_finite` counts sums that are NaN or infinite. No allocation.
/// Throws attune::error, before anything is written: sizes that differ.
template <execution_policy Policy, detail::real_tensor<2> Tokens>
row_report sequence_logps(Policy policy, Tokens&& token_logps, view<const std::uint8_t, 2> mask, view<detail::element_of<Tokens, 2>> logps,
                          view<detail::element_of<Tokens, 2>> lengths = {}) {
  return detail::sequence_logps<Policy, detail::element_of<Tokens, 2>>(policy, detail::readable<2>(static_cast<Tokens&&>(token_logps)),
                                                                       mask, logps, lengths);
}
template <detail::real_tensor<2> Tokens>
row_report sequence_logps(Tokens&& token_logps, view<const std::uint8_t, 2> mask, view<detail::element_of<Tokens, 2>> logps,
                          view<detail::element_of<Tokens, 2>> lengths = {}) {
  return attune::sequence_logps(serial{}, static_cast<Tokens&&>(token_logps), mask, logps, lengths);
}

/// The transpose of sequence_logps: carries d loss / d (sequence log-probability) [B] to its tokens [B, T],
///
///   coefficients[b, t] = sequence_coefficients[b] where mask[b, t] is not 0, exactly 0 elsewhere,
///
/// which, as one vector of B T elements, is what logits_gradient takes. Same conventions and errors as sequence_logps.
template <execution_policy Policy, detail::real_tensor<1> Coefficients>
void token_coefficients(Policy policy, Coefficients&& sequence_coefficients, view<const std::uint8_t, 2> mask,
                        view<detail::element_of<Coefficients, 1>, 2> coefficients) {
  detail::token_coefficients<Policy, detail::element_of<Coefficients, 1>>(
      policy, detail::readable<1>(static_cast<Coefficients&&>(sequence_coefficients)), mask, coefficients);
}
template <detail::real_tensor<1> Coefficients>
void token_coefficients(Coefficients&& sequence_coefficients, view<const std::uint8_t, 2> mask,
                        view<detail::element_of<Coefficients, 1>, 2> coefficients) {
  attune::token_coefficients(serial{}, static_cast<Coefficients&&>(sequence_coefficients), mask, coefficients);
}

}  // namespace attune
