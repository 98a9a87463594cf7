// SPDX-License-Identifier: MIT
#pragma once

#include <attune/rows/arguments.hpp>
#include <attune/rows/blocks.hpp>

namespace attune {
namespace detail {

/// out_v = factor 2^32 e^{z_v - shift}; out may be x
struct block_exp {
  template <class P, class K> ATTUNE_PACK_FN static void run(const K* x, K* out, int size, row_scale<lane_of<P>> z, lane_of<P> factor) {
    for (int i = 0; i < size; i += row_lanes) {
      prefetch_ahead(x + i);
      for (int k = i; k < i + row_lanes; k += 2 * lanes<P>) {
        const twin<P> logits = read_twin<P>(x + k);
        write_twin<P>({P(factor) * scaled_exp(z(logits.a)), P(factor) * scaled_exp(z(logits.b))}, out + k);
      }
    }
  }
};

/// One row: scale (1[v = y] - softmax(z)_v). A block is read before it is written, so the gradient may replace the logits.
template <class P, class T>
void write_logits_gradient(const view<const T>& row, std::int64_t y, const row_state& state, double scale, double temperature,
                           const view<T>& gradient) {
  using A = lane_of<P>;
  const row_scale<A> z = scale_of<A>(state, temperature);
  const A factor = static_cast<A>(-scale * scale_correction(state, temperature, z) / state.sum / exp_scale);
  const double x_y = static_cast<A>(row(y)), e_y = std::exp(x_y / temperature - state.shift);
  block_buffer<kernel_type<T>> in, out;
  for_blocks(row.extent(0), [&](std::int64_t first, int count) {
    const auto* x = load_block(row, first, count, in);
    if constexpr (std::same_as<T, kernel_type<T>>) {
      if (gradient.stride(0) == 1 && count % row_lanes == 0) return run_kernel<P, block_exp>(x, gradient.data() + first, count, z, factor);
    }
    run_kernel<P, block_exp>(x, out.values + 0, padded(count), z, factor);
    store_block(gradient, first, count, out);
  });
  // 1 - p_y from the sum of the others, in double and rounded once: a confident token keeps its gradient.
  if (x_y > -infinity<double>) gradient(y) = static_cast<T>(static_cast<A>(scale * ((state.sum - e_y) / state.sum)));
}

template <class P, execution_policy Policy, class T, class Index>
row_report logits_gradient(Policy policy, const view<const T, 2>& logits, const view<const Index>& targets,
                           const view<const row_state>& states, const view<const arithmetic<T>>& coefficients, const view<T, 2>& gradient,
                           const row_options& o) {
  const std::int64_t rows = logits.extent(0), classes = logits.extent(1);
  require_temperature<arithmetic<T>>(o.temperature);
  require_rows(targets, rows, "targets");
  require_rows(states, rows, "states");
  require_rows(coefficients, rows, "coefficients");
  require_rows_if_given(o.mask, rows, "row_options.mask");
  require_gradient(gradient, logits);
  require_labels(targets, classes, o);

  return for_rows(policy, rows, classes, [&](std::int64_t n, row_report& report) {
    const view<T> out = row_of(gradient, n);
    const bool read = is_read(o, targets, n);
    const double coefficient = read ? coefficients(n) : 0;
    if (!read) ++report.masked;
    if (coefficient == 0) return fill(out, 0, 0);
    if (std::isfinite(coefficient) && std::isfinite(states(n).log_sum_exp())) {
      write_logits_gradient<P>(row_of(logits, n), targets(n), states(n), coefficient / o.temperature, o.temperature, out);
    } else {
      ++report.non_finite;
      fill(out, 0, not_a_number<double>);
    }
    fill(out, classes, 0);
  });
}

}  // namespace detail

/// Stage 3: from d loss / d log-probability to d loss / d logits.
///
///   gradient[n, v] = coefficients[n] / temperature (1[v = y] - softmax(z)_v),     z = logits[n, :] / temperature,  y = targets[n]
///
/// logits [N, V], targets [N], options as given to token_logps; states [N] as it wrote them; coefficients [N] = d loss / d logps[n];
/// gradient [N, Vp], Vp >= V, of the logits' type: columns from V on become 0 (a padded vocabulary). In place: pass the logits' memory with
/// the same strides as gradient, which costs about half the memory traffic.
/// Values  every element accurate relative to itself, rounded once to its type; 1 - p_y also to an absolute 2^-53 (the sum is a double).
///         Classes with a -inf logit have gradient 0. Rows that are masked or ignored, or have coefficient 0, are exactly 0 and not
///         read. A row whose state or coefficient is NaN or infinite becomes NaN and is counted in the report.
/// Order   results have the same bits for any policy, batch, position in it and strides, in place or not. No allocation.
/// Throws  attune::error, before anything is written: sizes that differ, temperature outside (0, inf), a target outside [0, V), a gradient
///         with overlapping elements or that overlaps the logits in part.
template <execution_policy Policy, detail::logits_matrix Logits, detail::label_vector Labels, class Pack = detail::logit_pack<Logits>>
row_report logits_gradient(Policy policy, Logits&& logits, Labels&& targets, view<const row_state> states,
                           view<const detail::logit_arithmetic<Logits>> coefficients, view<detail::logit<Logits>, 2> gradient,
                           const row_options& o = {}) {
  return detail::logits_gradient<Pack>(policy, detail::readable<2>(static_cast<Logits&&>(logits)),
                                       detail::readable<1>(static_cast<Labels&&>(targets)), states, coefficients, gradient, o);
}
template <detail::logits_matrix Logits, detail::label_vector Labels, class Pack = detail::logit_pack<Logits>>
row_report logits_gradient(Logits&& logits, Labels&& targets, view<const row_state> states,
                           view<const detail::logit_arithmetic<Logits>> coefficients, view<detail::logit<Logits>, 2> gradient,
                           const row_options& o = {}) {
  return attune::logits_gradient(serial{}, static_cast<Logits&&>(logits), static_cast<Labels&&>(targets), states, coefficients, gradient,
                                 o);
}

}  // namespace attune
