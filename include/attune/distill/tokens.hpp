// SPDX-License-Identifier: MIT
// What functions on the sampled tokens of a student share: shapes, and the zeros where no active token is.
#pragma once

#include <attune/policy/sequences.hpp>
#include <attune/rows/arguments.hpp>

namespace attune::distill {

/// Which elements of tensors [B, T] (or packed, [1, N]) are tokens of which sequence: see `sequences`.
struct token_layout {
  view<const std::uint8_t, 2> mask{};  ///< bytes of the tensors' shape; 0: prompt, padding, a token that is left out. Absent: every token
  length_view offsets{};               ///< [S + 1], of packed sequences. Absent: every row is a sequence
};

namespace detail {

template <class T> sequences sequences_of(const view<T, 2>& tokens, const token_layout& layout) {
  return {tokens.extent(0), tokens.extent(1), layout.mask, layout.offsets};
}

template <class T, class U>
void require_same_tokens(const view<T, 2>& given, const char* rows, const char* columns, const view<U, 2>& like) {
  attune::detail::require_extent(given.extent(0), like.extent(0), rows, "the tokens");
  attune::detail::require_extent(given.extent(1), like.extent(1), columns, "the tokens");
}

/// 0 where no active token is; and what there is.
template <real A> row_report finish_tokens(const sequences& all, const view<A, 2>& out) {
  const std::int64_t last = all.size() - 1;
  const std::int64_t begin = last < 0 ? 0 : all[0].begin, end = last < 0 ? 0 : all[last].end;
  row_report report{.rows = out.size()};
  for (std::int64_t b = 0; b < out.extent(0); ++b) {
    for (std::int64_t t = 0; t < out.extent(1); ++t) {
      if (t >= begin && t < end && all.active(b, t)) {
        report.non_finite += !std::isfinite(out(b, t));
      } else {
        out(b, t) = 0;
        ++report.masked;
      }
    }
  }
  return report;
}

}  // namespace detail
}  // namespace attune::distill
