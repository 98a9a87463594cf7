// SPDX-License-Identifier: MIT
// What functions on the tokens of a batch share at their edge: the shapes of what they are given, and advantages of tokens or of sequences.
#pragma once

#include <attune/core/scalar.hpp>
#include <attune/policy/sequences.hpp>

namespace attune::detail {

inline std::string shape_text(std::int64_t rows, std::int64_t columns) {
  std::string shape(1, '[');  // and not "[" + ...: g++ 12 warns of it without a reason
  return shape.append(text((long long)rows)).append(", ").append(text((long long)columns)).append("]");
}

/// Throws unless `given` has the shape of the tokens `like`.
template <class X, class T, class Space>
void require_token_shape(const view<X, 2, Space>& given, const char* name, const view<T, 2, Space>& like, const char* like_name) {
  if (given.extents() == like.extents()) return;
  throw error(std::string("attune: ") + name + " has shape " + shape_text(given.extent(0), given.extent(1)) + "; expected " +
              shape_text(like.extent(0), like.extent(1)) + ", like " + like_name);
}
/// The same of a result, which needs an element of its own for every token.
template <class X, class T>
void require_token_results(const view<X, 2>& given, const char* name, const view<T, 2>& like, const char* like_name) {
  require_token_shape(given, name, like, like_name);
  for (int r = 0; r < 2; ++r) {
    if (given.extent(r) <= 1 || given.stride(r) != 0) continue;
    throw error(std::string("attune: ") + name + " has stride 0; expected an element for every token");
  }
}
inline void require_scratch(std::int64_t given, std::int64_t active) {
  if (given >= active) return;
  throw error("attune: scratch has " + text((long long)given) + " elements; expected " + text((long long)active) + " or more, one for every active token");
}
template <class X>
void fill(const view<X, 2>& x, X value) {
  for (std::int64_t b = 0; b < x.extent(0); ++b) {
    for (std::int64_t t = 0; t < x.extent(1); ++t) x(b, t) = value;
  }
}

/// The advantage of each token: its own, or that of its sequence.
template <real T>
struct advantages_of {
  view<const T> sequence;
  view<const T, 2> token;

  double operator()(std::int64_t s, std::int64_t row, std::int64_t t) const { return double(token.absent() ? sequence(s) : token(row, t)); }
};
/// Throws unless exactly one of them is given, advantage [S] or token_advantage of the shape of the tokens.
template <real T, class X>
advantages_of<T> require_advantages(const view<const T>& advantage, const view<const T, 2>& token_advantage, const sequences& where,
                                    const view<X, 2>& like, const char* like_name) {
  if (advantage.absent() == token_advantage.absent()) {
    throw error(std::string("attune: advantage and token_advantage are ") + (advantage.absent() ? "missing" : "both given") + "; expected one of them");
  }
  if (!token_advantage.absent()) require_token_shape(token_advantage, "token_advantage", like, like_name);
  else require_extent(advantage.extent(0), where.size(), "advantage", "the number of sequences");
  return {advantage, token_advantage};
}

}  // namespace attune::detail
