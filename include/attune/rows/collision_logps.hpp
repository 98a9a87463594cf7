// SPDX-License-Identifier: MIT
#pragma once

#include <attune/rows/arguments.hpp>
#include <attune/rows/normalise.hpp>

namespace attune {
namespace detail {

struct collision_sums {
  double ties = 0;    ///< elements equal to the largest, each 1
  double rest = 0;    ///< sum of e^{z - max z} over all others
  double second = 0;  ///< sum of e^{2 (z - max z)} over all others
};

/// A square that underflows is nothing beside its root.
struct block_collision_sums {
  template <class P, class K> ATTUNE_PACK_FN static collision_sums run(const K* x, int size, row_scale<lane_of<P>> given) {
    const row_scale<P> z = given.template as<P>();
    lanes_64<P> ties(0), rest(0), squares(0);
    for (int i = 0; i < size; i += row_lanes) {
      prefetch_ahead(x + i);
      ATTUNE_UNROLL
      for (int k = 0; k < ties.twins; ++k) {
        const twin<P> logits = read_twin<P>(x + i + 2 * k * lanes<P>);
        add(logits.a, z, ties.part[k].a, rest.part[k].a, squares.part[k].a);
        add(logits.b, z, ties.part[k].b, rest.part[k].b, squares.part[k].b);
      }
    }
    return {ties.template total<K>(), rest.template total<K>(), squares.template total<K>()};
  }

 private:
  template <class P> ATTUNE_PACK_FN static void add(const P& logit, const row_scale<P>& z, P& ties, P& rest, P& squares) {
    const P zero(0.0f), one(1.0f);
    const auto tie = logit == z.top;
    const P term = select(tie, zero, exp(z(logit)));
    ties = ties + select(tie, one, zero);
    rest = rest + term;
    squares = squares + term * term;
  }
};

/// With m elements at the top, a = rest/m and b = squares/m: log((m + m b) / (m + m a)^2), whose two parts are both <= 0.
template <class P, class Reader> double collision_logp(Reader& row, double temperature) {
  using A = lane_of<P>;
  A top = -infinity<A>;
  for_blocks(row.size(), [&](std::int64_t first, int count) { top = max(top, run_kernel<P, block_max>(row.at(first, count), padded(count))); });
  if (!std::isfinite(top)) return not_a_number<double>;
  const row_scale<A> z{top, static_cast<A>(1 / temperature)};
  collision_sums sum;
  for_blocks(row.size(), [&](std::int64_t first, int count) {
    const collision_sums part = run_kernel<P, block_collision_sums>(row.at(first, count), padded(count), z);
    sum.ties += part.ties;
    sum.rest += part.rest;
    sum.second += part.second;
  });
  return (std::log1p(sum.second / sum.ties) - 2 * std::log1p(sum.rest / sum.ties)) - std::log(sum.ties);
}

template <class P, execution_policy Policy, class T>
row_report collision_logps(Policy policy, const view<const T, 2>& logits, const view<arithmetic<T>>& values, const row_options& o) {
  const std::int64_t rows = logits.extent(0), classes = logits.extent(1);
  require_row_options<arithmetic<T>>(o);
  require_rows(values, rows, "values");
  require_rows_if_given(o.mask, rows, "row_options.mask");
  require_distinct(values, "values");

  return for_rows(policy, rows, classes, [&](std::int64_t n, row_report& report) {
    double value = 0;
    if (o.mask.absent() || o.mask(n) != 0) {
      value = read_row<P>(row_of(logits, n), o, [&](auto& row) { return collision_logp<P>(row, o.temperature); });
      if (value != value) ++report.non_finite;
    } else {
      ++report.masked;
    }
    values(n) = static_cast<arithmetic<T>>(value);
  });
}

}  // namespace detail

/// Log-probability that two tokens drawn from a row's distribution are equal: what WPO compares a token's own log-probability with.
///
///   values[n] = log sum_v p_v^2 = log sum_v e^{2 z_v} - 2 log sum_v e^{z_v},     z = logits[n, :] / temperature [nat],  p = softmax(z)
///
/// logits [N, V], options (temperature, softcap, mask; there are no targets to ignore) and values [N] as in token_logps. It is a constant of the
/// step, as are the weights made of it: there is no gradient.
/// Values  in [-log V, 0]: -log V for equal logits, 0 for a single possible class; accurate relative to itself also near 0 (a confident
///         row), in the input's arithmetic. -inf logits add nothing. A row with a NaN or +inf, or without a finite logit, gives NaN and
///         is counted in the report; a masked row gives 0 and is not read.
/// Order   results have the same bits for any policy, batch, position in it and strides. No allocation.
/// Throws  attune::error, before anything is written: sizes that differ, temperature outside (0, inf).
/// Source  WPO, Zhou et al. 2024, arXiv:2406.11827, eq. 2.
template <execution_policy Policy, detail::logits_matrix Logits, class Pack = detail::logit_pack<Logits>>
row_report collision_logps(Policy policy, Logits&& logits, view<detail::logit_arithmetic<Logits>> values, const row_options& o = {}) {
  return detail::collision_logps<Pack>(policy, detail::readable<2>(static_cast<Logits&&>(logits)), values, o);
}
template <detail::logits_matrix Logits, class Pack = detail::logit_pack<Logits>>
row_report collision_logps(Logits&& logits, view<detail::logit_arithmetic<Logits>> values, const row_options& o = {}) {
  return attune::collision_logps(serial{}, static_cast<Logits&&>(logits), values, o);
}

}  // namespace attune
