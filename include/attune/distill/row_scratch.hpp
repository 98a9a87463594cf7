// SPDX-License-Identifier: MIT
// What losses share whose rows need memory beside them: scratch of the caller, a row of it for every row that is worked on at a time.
#pragma once

#include <attune/rows/row_divergence.hpp>

namespace attune::distill {

/// An element of scratch memory in which rows are ranked.
struct ranked_class {
  double p;            ///< probability of the class
  std::int64_t index;  ///< the class
};

namespace detail {

using attune::detail::not_a_number;
using attune::detail::target_kind;
using attune::detail::target_rows;

/// Throws unless there is a row of scratch, and every row of it is `needed` consecutive elements of its own.
template <class T>
void require_scratch(const view<T, 2>& scratch, std::int64_t rows, std::int64_t needed) {
  using attune::detail::quoted;
  if (rows == 0) return;
  if (scratch.extent(0) < 1 || scratch.extent(1) < needed) {
    throw error("attune: scratch has " + quoted(scratch.extent(0)) + " rows of " + quoted(scratch.extent(1)) + " elements; expected 1 row or more of " +
                quoted(needed) + " or more");
  }
  if (scratch.extent(1) > 1 && scratch.stride(1) != 1) {
    throw error("attune: the elements of a row of scratch are " + quoted(scratch.stride(1)) + " apart; expected them one after the other");
  }
  attune::detail::require_distinct(scratch, "scratch");
}

/// Row n of a matrix as a matrix, element n of a vector as a vector. Of what is absent: absent.
template <class T>
constexpr view<T, 2> row_as_matrix(const view<T, 2>& m, std::int64_t n) {
  return m.absent() ? m : view<T, 2>(m.data() + n * m.stride(0), {1, m.extent(1)}, m.strides());
}
template <class T>
constexpr view<T> element_as_vector(const view<T>& v, std::int64_t n) {
  return v.absent() ? v : view<T>(v.data() + n * v.stride(0), {1}, v.strides());
}

/// Calls work(n, slot, report) for every row n; rows that are in work at the same time have different slots in [0, slots).
template <execution_policy Policy, class Work>
row_report for_rows_in_slots(Policy policy, std::int64_t rows, std::int64_t columns, std::int64_t slots, const Work& work) {
  const std::int64_t most = slots < max_chunks ? slots : max_chunks, used = rows < most ? rows : most;
  std::array<row_report, max_chunks> parts{};
  const auto run = [&](int slot) {
    row_report part;
    for (std::int64_t n = slot; n < rows; n += used) work(n, std::int64_t{slot}, part);
    parts[static_cast<std::size_t>(slot)] = part;
  };
  run_chunks(policy, static_cast<int>(used), run, 16 * rows * columns);  // an exponential a class, and more, takes longer than its memory
  row_report total;
  for (const row_report& part : parts) total += part;
  return total;
}

/// Probabilities of a row, in double, class by class. Returns false, without them, for a row that has none: a NaN or +inf, or no mass.
template <target_kind Kind, class T>
bool read_probabilities(const view<T>& row, double temperature, ranked_class* out) {
  const auto at = [&](std::int64_t v) { return static_cast<double>(static_cast<arithmetic<std::remove_const_t<T>>>(row(v))); };
  const double rate = Kind == target_kind::logits ? 1 / temperature : 1;
  double top = Kind == target_kind::probabilities ? 0 : -infinity<double>, sum = 0;
  for (std::int64_t v = 0; v < row.extent(0); ++v) {
    const double x = at(v);
    if (!(x < infinity<double>) || (Kind == target_kind::probabilities && x < 0)) return false;
    top = x > top ? x : top;
  }
  if (!(top > (Kind == target_kind::probabilities ? 0 : -infinity<double>))) return false;
  for (std::int64_t v = 0; v < row.extent(0); ++v) {
    const double mass = Kind == target_kind::probabilities ? at(v) / top : std::exp((at(v) - top) * rate);
    out[v] = {mass, v};
    sum += mass;
  }
  for (std::int64_t v = 0; v < row.extent(0); ++v) out[v].p /= sum;
  return true;
}

/// The order of a ranking: likely classes first, of equally likely ones the first.
inline bool ranks_before(const ranked_class& a, const ranked_class& b) { return a.p > b.p || (a.p == b.p && a.index < b.index); }

}  // namespace detail
}  // namespace attune::distill
