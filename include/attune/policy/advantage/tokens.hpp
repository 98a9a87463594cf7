// SPDX-License-Identifier: MIT
// What the functions that write a number for every token have in common: their report, their checks, the walk from the last token back.
#pragma once

#include <attune/core/scalar.hpp>  // real
#include <attune/policy/sequences.hpp>

#include <span>

namespace attune::advantage {

/// What a function on tokens has seen. Values that are not finite stay in the result, and are counted here.
struct token_report {
  std::int64_t sequences = 0;
  std::int64_t empty = 0;       ///< of them without an active token
  std::int64_t tokens = 0;      ///< active ones
  std::int64_t non_finite = 0;  ///< results that are NaN or infinite
};

namespace detail {

template <class X, int Rank>
using element_of = std::remove_const_t<typename decltype(as_view<Rank>(std::declval<X>()))::element>;

/// Floats or doubles, seen as they are.
template <int Rank, class X>
view<const element_of<X, Rank>, Rank> readable(X&& x) {
  static_assert(real<element_of<X, Rank>>, "attune: rewards, values and advantages are float or double");
  return as_view<Rank>(static_cast<X&&>(x));
}

template <class T>
void require_tokens(const view<T, 2>& given, const sequences& where, const char* name) {
  if (given.extent(0) == where.rows() && given.extent(1) == where.columns()) return;  // no text is made before
  attune::detail::require_extent(given.extent(0), where.rows(), (std::string(name) + " (in rows)").c_str(), "the sequences");
  attune::detail::require_extent(given.extent(1), where.columns(), (std::string(name) + " (in columns)").c_str(), "the sequences");
}
/// Also that each token has memory of its own.
template <class T>
void require_token_results(const view<T, 2>& out, const sequences& where, const char* name) {
  require_tokens(out, where, name);
  for (int r = 0; r < 2; ++r) {
    if (out.extent(r) > 1 && out.stride(r) == 0) throw error(std::string("attune: ") + name + " has stride 0; expected an element for every token");
  }
}
template <class T>
void require_apart(const view<T, 2>& a, const view<T, 2>& b, const char* names) {
  if (a.size() > 0 && a.data() == b.data()) throw error(std::string("attune: ") + names + " are given the same memory; expected memory of its own for each");
}
/// One number a sequence, optional.
template <class T>
void require_per_sequence(const view<T>& given, const sequences& where, const char* name) {
  if (!given.absent()) attune::detail::require_extent(given.extent(0), where.size(), name, "the number of sequences");
}

/// visit(row, t) for the active tokens of sequence s, from the last to the first.
template <class Visit>
void for_each_active_backwards(const sequences& where, std::int64_t s, Visit&& visit) {
  const sequences::tokens own = where[s];
  for (std::int64_t t = own.end; t-- > own.begin;) {
    if (where.active(own.row, t)) visit(own.row, t);
  }
}

inline std::int64_t active_tokens(const sequences& where) {
  std::int64_t n = 0;
  for (std::int64_t s = 0; s < where.size(); ++s) n += where.active_tokens(s);
  return n;
}

/// visit(row, t) for the elements of the tensors that are no active token of a sequence.
template <class Visit>
void for_each_inactive(const sequences& where, Visit&& visit) {
  const std::int64_t count = where.size();
  std::int64_t s = 0;
  for (std::int64_t row = 0; row < where.rows(); ++row) {
    std::int64_t t = 0;
    for (; s < count && where[s].row == row; ++s) {
      for (; t < where[s].begin; ++t) visit(row, t);
      for (; t < where[s].end; ++t) {
        if (!where.active(row, t)) visit(row, t);
      }
    }
    for (; t < where.columns(); ++t) visit(row, t);
  }
}

/// Exactly 0 where there is no active token, without reading what is there.
template <class T>
void clear_inactive(const sequences& where, const view<T, 2>& out) {
  for_each_inactive(where, [&](std::int64_t row, std::int64_t t) { out(row, t) = T(0); });
}

inline void count_sequence(token_report& report, std::int64_t tokens) {
  ++report.sequences;
  report.empty += tokens == 0;
  report.tokens += tokens;
}

}  // namespace detail
}  // namespace attune::advantage
