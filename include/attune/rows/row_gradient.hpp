// SPDX-License-Identifier: MIT
// d loss / d logits of a row, where the loss depends on the row through the target's log-probability, the entropy and the log-sum-exp.
#pragma once

#include <attune/rows/normalise.hpp>

namespace attune {

/// Derivatives of a loss with respect to what one row of logits tells.
struct row_coefficients {
  double logp = 0;         ///< d loss / d log-probability of the target
  double entropy = 0;      ///< d loss / d entropy
  double log_sum_exp = 0;  ///< d loss / d log_sum_exp; of the z-loss c log_sum_exp^2: 2 c log_sum_exp
};

namespace detail {

/// factor + slope (x - top)
template <class A> struct line {
  A top, factor, slope;

  template <class P> ATTUNE_PACK_FN line<P> as() const { return {P(top), P(factor), P(slope)}; }
};

/// out_v = e(x_v), or e(x_v) times a line at x_v; out may be x. `ahead`: see prefetch_ahead.
template <bool WithLine> struct block_exp {
  template <class P, class K, class E>
  ATTUNE_PACK_FN static void run(const K* x, K* out, int size, E given, line<lane_of<P>> given_line, bool streamed, std::int64_t ahead) {
    const auto e = given.template as<P>();
    const line<P> l = given_line.template as<P>();
    for (int i = 0; i < size; i += row_lanes) {
      prefetch_ahead(x + i, ahead);
      for (int k = i; k < i + row_lanes; k += 2 * lanes<P>) {
        const twin<P> logits = read_twin<P>(x + k);
        const twin<P> result{element(logits.a, e, l), element(logits.b, e, l)};
        if (streamed) stream_twin<P>(result, out + k);
        else write_twin<P>(result, out + k);
      }
    }
  }

 private:
  template <class P, class E> static ATTUNE_PACK_FN P element(const P& x, const E& e, const line<P>& l) {
    if constexpr (WithLine) {
      const P d = x - l.top;
      return select(d == P(-infinity<lane_of<P>>), P(0.0f), e(x) * (l.factor + l.slope * d));
    } else {
      return e(x);
    }
  }
};

/// One row, as documented at logits_gradient; `entropy` is read if it has a coefficient. A block is read before it is written, so the gradient
/// may replace the logits. `ahead`: see prefetch_ahead.
template <class P, class Reader, class T>
void write_logits_gradient(Reader& row, std::int64_t y, const row_state& state, double entropy, const row_coefficients& c, const row_options& o,
                           const view<T>& gradient, bool streamed, std::int64_t ahead) {
  using A = lane_of<P>;
  using K = typename Reader::element;
  const row_scale<A> z = scale_of<A>(state, o.temperature);
  const double top = static_cast<double>(z.top) / o.temperature - state.shift, log_sum = std::log(state.sum);
  const double mass = std::exp(top) / state.sum / o.temperature;      // p_v / temperature = mass e^z
  const double level = c.entropy != 0 ? top - log_sum + entropy : 0;  // log p_v + entropy = z + level
  const double factor = c.log_sum_exp - c.logp - c.entropy * level;   // the gradient: mass e^z (factor - c.entropy z)
  const std::conditional_t<half_storage<K>, coarse_row_exp<A>, row_exp<A>> e(z, c.entropy != 0 ? mass : mass * factor);
  const line<A> l{z.top, static_cast<A>(factor), static_cast<A>(-c.entropy / o.temperature)};
  const double x_y = row(y), z_y = x_y / o.temperature - state.shift, e_y = std::exp(z_y);
  const double slope_y = Reader::capped ? 1 - (x_y / o.softcap) * (x_y / o.softcap) : 1;
  row_writer<T, K> write(gradient, streamed);
  for_blocks(row.size(), write.head(), [&](std::int64_t first, int count) {
    const K* x = row.at(first, count);
    K* out = write.place(first, count);
    const bool past_caches = write.is_streamed(out) && !Reader::capped;
    if (c.entropy == 0) run_kernel<P, block_exp<false>>(x, out, padded(count), e, l, past_caches, ahead);
    else run_kernel<P, block_exp<true>>(x, out, padded(count), e, l, past_caches, ahead);
    if constexpr (Reader::capped) run_kernel<P, block_softcap_slope>(x, out, padded(count), static_cast<A>(o.softcap));
    write.written(first, count, out);
  });
  write.end();
  if (x_y == -infinity<double>) return;
  // 1 - p_y from the sum of the others, in double and rounded once: a confident token keeps its gradient.
  const double others = c.logp * ((state.sum - e_y) / state.sum);
  const double rest = e_y / state.sum * (c.log_sum_exp - (c.entropy != 0 ? c.entropy * (z_y - log_sum + entropy) : 0));
  gradient(y) = static_cast<T>(static_cast<A>(slope_y * (others + rest) / o.temperature));
}

}  // namespace detail
}  // namespace attune
