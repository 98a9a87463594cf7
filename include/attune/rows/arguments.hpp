// SPDX-License-Identifier: MIT
// What the row functions share at their edge: deducing element types from tensors, the checks, and the walk over rows.
#pragma once

#include <attune/core/pack.hpp>    // native_pack
#include <attune/exec/policy.hpp>  // execution_policy, partition, run_chunks
#include <attune/rows/options.hpp>

#include <cmath>

namespace attune::detail {

/// How X is seen as a tensor with Rank dimensions. No type at all where X is no tensor: then an overload drops out, without an error.
template <class X, int Rank> struct seen_as {};
template <class X, int Rank>
  requires tensor<X>
struct seen_as<X, Rank> {
  using type = decltype(see<Rank>(std::declval<std::remove_reference_t<X>&>()));
};
template <class X, int Rank> using element_of = std::remove_const_t<typename seen_as<X, Rank>::type::element>;
template <class X, int Rank>
concept host_tensor = tensor<X> &&(seen_as<X, Rank>::type::rank == Rank) && std::same_as<typename seen_as<X, Rank>::type::space, host>;

template <int Rank, class X> constexpr view<const element_of<X, Rank>, Rank> readable(X&& x) { return as_view<Rank>(static_cast<X&&>(x)); }

/// The first argument decides the types of the others: they are not deduced, so that whatever converts to their views may be passed.
template <class X>
concept logits_matrix = host_tensor<X, 2> && storage<element_of<X, 2>>;
template <class X>
concept label_vector = host_tensor<X, 1> && std::signed_integral<element_of<X, 1>> &&(sizeof(element_of<X, 1>) >= 4);
template <class X, int Rank>
concept real_tensor = host_tensor<X, Rank> && real<element_of<X, Rank>>;

/// Element type of logits, its arithmetic type, and packs of that. The pack is a template argument of every function whose code depends
/// on it, up to the public ones, so that translation units compiled for different machines can be linked together.
template <class X> using logit = element_of<X, 2>;
template <class X> using logit_arithmetic = arithmetic<logit<X>>;
template <class X> using logit_pack = native_pack<logit_arithmetic<X>>;

/// Row n of a matrix; offsets are 64-bit.
template <class T> constexpr view<T> row_of(const view<T, 2>& m, std::int64_t n) {
  return {m.data() + n * m.stride(0), {m.extent(1)}, {m.stride(1)}};
}

inline std::string quoted(std::int64_t x) { return text(static_cast<long long>(x)); }

/// The inverse has to be a normal number in the arithmetic of the rows.
template <real A> void require_temperature(double temperature) {
  if (!(temperature > 0) || !std::isnormal(static_cast<A>(1 / temperature))) {
    throw error("attune: row_options.temperature is " + text(temperature) + "; expected a finite value > 0 (with a finite inverse)");
  }
}

/// The options that say how a row is read.
template <real A, class Space> void require_row_options(const basic_row_options<Space>& o) {
  require_temperature<A>(o.temperature);
  if (!(o.softcap > 0) || (!std::isinf(o.softcap) && !std::isnormal(static_cast<A>(1 / o.softcap)))) {
    throw error("attune: row_options.softcap is " + text(o.softcap) + "; expected a value > 0, or infinity for none");
  }
}

template <class X> void require_rows(const X& x, std::int64_t rows, const char* name) {
  require_extent(x.extent(0), rows, name, "the logits' rows");
}
template <class X> void require_rows_if_given(const X& x, std::int64_t rows, const char* name) {
  if (!x.absent()) require_rows(x, rows, name);
}

/// As require_distinct of a vector (core/view.hpp).
template <class T, class Space> void require_distinct(const view<T, 2, Space>& out, const char* name) {
  const auto span = [&](int r) { return out.extent(r) > 1 ? (out.extent(r) - 1) * std::abs(out.stride(r)) : 0; };
  const auto apart = [&](int r) { return out.extent(r) <= 1 || std::abs(out.stride(r)) > span(1 - r); };
  const bool within = out.extent(0) <= 1 || out.extent(1) <= 1 || (out.stride(0) != 0 && out.stride(1) != 0);
  if (out.size() > 0 && !(within && (apart(0) || apart(1)))) {
    throw error(std::string("attune: ") + name + " has strides (" + quoted(out.stride(0)) + ", " + quoted(out.stride(1)) +
                ") with which its elements overlap; expected an element for every result");
  }
}

/// Whether two matrices share an element. Exact for equal strides (halves of one buffer, side by side or interleaved), which is where
/// the address ranges of disjoint matrices meet in practice; different strides with meeting ranges count as sharing.
template <class T, class Space = host>
bool overlap(const view<const T, 2, std::type_identity_t<Space>>& a, const view<const T, 2, std::type_identity_t<Space>>& b) {
  if (a.size() == 0 || b.size() == 0) return false;
  constexpr std::int64_t size = sizeof(T);
  const auto address = [](const view<const T, 2, Space>& x) { return static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(x.data())); };
  const auto bound = [&](const view<const T, 2, Space>& x, bool upper) {
    std::int64_t at = address(x);
    for (int r = 0; r < 2; ++r) at += (x.stride(r) > 0) == upper ? (x.extent(r) - 1) * x.stride(r) * size : 0;
    return at;
  };
  if (bound(a, true) + size <= bound(b, false) || bound(b, true) + size <= bound(a, false)) return false;
  const std::int64_t bytes = address(b) - address(a);
  if (a.strides() != b.strides() || bytes % size != 0) return true;
  // a's (i, j) is b's (k, l)  <=>  (i - k) rows + (j - l) columns of stride lead from a's origin to b's.
  for (std::int64_t di = 1 - b.extent(0); di < a.extent(0); ++di) {
    const std::int64_t rest = bytes / size - di * a.stride(0), step = a.stride(1);
    if (step == 0 ? rest == 0 : rest % step == 0 && rest / step > -b.extent(1) && rest / step < a.extent(1)) return true;
  }
  return false;
}

/// Throws unless `gradient` has a row for each of `logits`, at least as many columns, elements of its own, and is either exactly in
/// place of the logits or apart from them.
template <class T, class Space> void require_gradient(const view<T, 2, Space>& gradient, const view<const T, 2, Space>& logits) {
  require_rows(gradient, logits.extent(0), "gradient");
  if (gradient.extent(1) < logits.extent(1)) {
    throw error("attune: gradient has " + quoted(gradient.extent(1)) + " columns; expected the logits' " + quoted(logits.extent(1)) +
                " or more");
  }
  require_distinct(gradient, "gradient");
  const bool in_place = gradient.data() == logits.data() && gradient.strides() == logits.strides();
  if (!in_place && overlap<T, Space>(gradient, logits)) {
    throw error("attune: gradient overlaps the logits in part; expected the same memory with the same strides, or memory of its own");
  }
}

[[noreturn]] inline void throw_bad_label(std::int64_t row, std::int64_t label, std::int64_t classes, std::int64_t ignore_index) {
  throw error("attune: the target of row " + quoted(row) + " is " + quoted(label) + "; expected a class in [0, " + quoted(classes) +
              "), or ignore_index = " + quoted(ignore_index));
}
/// Throws for a target outside [0, classes) in a row that is read.
template <class Index> void require_labels(const view<const Index>& targets, std::int64_t classes, const row_options& o) {
  for (std::int64_t n = 0; n < targets.extent(0); ++n) {
    if (!o.mask.absent() && o.mask(n) == 0) continue;
    const std::int64_t label = targets(n);
    if (label != o.ignore_index && (label < 0 || label >= classes)) throw_bad_label(n, label, classes, o.ignore_index);
  }
}

template <class Index> bool is_read(const row_options& o, const view<const Index>& targets, std::int64_t n) {
  return (o.mask.absent() || o.mask(n) != 0) && targets(n) != o.ignore_index;
}

/// Calls work(n, report) for every row n. A chunk is a run of at least 8 rows and, where there are as many, 64k elements.
template <execution_policy Policy, class Work>
row_report for_rows(Policy policy, std::int64_t rows, std::int64_t columns, const Work& work) {
  const std::int64_t enough = (std::int64_t{1} << 16) / (columns > 0 ? columns : 1);
  const partition cut(rows, enough > 8 ? enough : 8);
  std::array<row_report, max_chunks> parts{};
  const auto run = [&](int c) {
    row_report part;
    for (std::int64_t n = cut[c].begin; n < cut[c].end; ++n, ++part.rows) work(n, part);
    parts[static_cast<std::size_t>(c)] = part;
  };
  run_chunks(policy, cut.chunks(), run, 4 * rows * columns);  // an element of 16 bits takes as long as a float
  row_report total;
  for (const row_report& part : parts) total += part;
  return total;
}

}  // namespace attune::detail
