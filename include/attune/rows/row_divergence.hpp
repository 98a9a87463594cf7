// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>  // validate
#include <attune/divergence/generator.hpp>
#include <attune/rows/arguments.hpp>
#include <attune/rows/blocks.hpp>

namespace attune {

struct divergence_options {
  double temperature = 1;           ///< divides the logits of both models, finite and > 0; the gradient carries 1/temperature
  view<const std::uint8_t> mask{};  ///< [N]; a row whose byte is 0 is not read. Absent: every row is read
};

namespace detail {

/// The generator on the classes of one pair of rows, block by block.
template <class A, class G> class divergence_kernel {
 public:
  struct sums {
    double term = 0, weight = 0;
  };

  divergence_kernel(const G& generator, const row_state& policy, const row_state& target, double temperature)
      : generator_(generator), policy_(scale_of<A>(policy, temperature)), target_(scale_of<A>(target, temperature)),
        policy_mass_(static_cast<A>(scale_correction(policy, temperature, policy_) / policy.sum / exp_scale)),
        target_mass_(static_cast<A>(scale_correction(target, temperature, target_) / target.sum / exp_scale)),
        log_mass_ratio_(static_cast<A>(std::log(target.sum) - std::log(policy.sum))) {}

  template <class P, class K> ATTUNE_PACK_FN sums block_sums(const K* policy, const K* target, int size) const {
    lanes_64<P> terms(0), weights(0);
    for (int i = 0; i < size; i += row_lanes) {
      prefetch_ahead(policy + i);
      prefetch_ahead(target + i);
      for (int k = 0; k < terms.twins; ++k) {
        const twin<P> x = read_twin<P>(policy + i + 2 * k * lanes<P>), y = read_twin<P>(target + i + 2 * k * lanes<P>);
        add(classes_of(x.a, y.a), terms.part[k].a, weights.part[k].a);
        add(classes_of(x.b, y.b), terms.part[k].b, weights.part[k].b);
      }
    }
    return {terms.template total<K>(), weights.template total<K>()};
  }

  /// out_i = scale (w_i - pi_i W),  w_i = pi_i f'(pi_i/p_i),  W = sum_j w_j.
  /// For infinite W its limit: w_i on the classes whose weight is infinite, -W on the others that the policy uses, 0 on the rest.
  template <class P, class K> ATTUNE_PACK_FN void block_gradient(const K* policy, const K* target, A* out, int size, A weight_sum, A scale) const {
    for (int i = 0; i < size; i += 2 * lanes<P>) {
      const twin<P> x = read_twin<P>(policy + i), y = read_twin<P>(target + i);
      write_slopes<K>(slope(classes_of(x.a, y.a), weight_sum, scale), slope(classes_of(x.b, y.b), weight_sum, scale), out + i);
    }
  }

 private:
  template <class P> struct classes {
    using condition = decltype(std::declval<P>() < std::declval<P>());
    P p, pi, u;                  // target and policy probability, log(pi/p)
    condition excluded, unused;  // probability exactly 0 under the target, under the policy

    ATTUNE_PACK_FN P choose(const P& both, const P& only_target, const P& only_policy) const {
      return select(excluded, select(unused, P(0.0f), only_policy), select(unused, only_target, both));
    }
  };
  template <class P> ATTUNE_PACK_FN classes<P> classes_of(const P& policy, const P& target) const {
    const P z_policy = policy_(policy), z_target = target_(target), none(-infinity<A>);
    const auto excluded = z_target == none, unused = z_policy == none;
    const P u = select(excluded | unused, P(0.0f), (z_policy - z_target) + P(log_mass_ratio_));
    return {scaled_exp(z_target) * P(target_mass_), scaled_exp(z_policy) * P(policy_mass_), u, excluded, unused};
  }
  template <class P> ATTUNE_PACK_FN void add(const classes<P>& y, P& term, P& weights) const {
    term = term + y.choose(generator_.term(y.p, y.pi, y.u), product(generator_.value_at_zero(), y.p), product(generator_.slope_at_infinity(), y.pi));
    weights = weights + weight(y);  // also where no gradient is wanted: with one, the value has the same bits
  }
  template <class P> ATTUNE_PACK_FN P slope(const classes<P>& y, A weight_sum, A scale) const {
    const P w = weight(y), total(weight_sum);
    return P(scale) * (std::isinf(weight_sum) ? select(abs(w) == P(infinity<A>), w, select(y.unused, P(0.0f), -total)) : w - y.pi * total);
  }
  /// In the order in which read_twin found their classes.
  template <class K, class P> static ATTUNE_PACK_FN void write_slopes(const P& a, const P& b, A* out) {
    if constexpr (std::same_as<K, bfloat16>) {
      const lane_buffer<P> even(a), odd(b);
      for (int k = 0; k < lanes<P>; ++k) out[2 * k] = even.lane[k];
      for (int k = 0; k < lanes<P>; ++k) out[2 * k + 1] = odd.lane[k];
    } else {
      write_twin<P>({a, b}, out);
    }
  }
  template <class P> ATTUNE_PACK_FN P weight(const classes<P>& y) const {
    return y.choose(generator_.weight(y.p, y.pi, y.u), product(generator_.weight_at_zero(), y.p),
                    product(generator_.slope_at_infinity(), y.pi));
  }
  /// An infinite limit costs infinitely much also where the mass beside it underflows to 0.
  template <class P> static ATTUNE_PACK_FN P product(double limit, const P& mass) { return std::isinf(limit) ? P(limit) : P(limit) * mass; }

  G generator_;
  row_scale<A> policy_, target_;
  A policy_mass_, target_mass_, log_mass_ratio_;
};

// The kernels work on a copy, which stores of gradients cannot change.
struct block_divergence {
  template <class P, class A, class G, class K>
  ATTUNE_PACK_FN static auto run(const divergence_kernel<A, G>* given, const K* policy, const K* target, int size) {
    const divergence_kernel<A, G> kernel = *given;
    return kernel.template block_sums<P>(policy, target, size);
  }
};
struct block_divergence_gradient {
  template <class P, class A, class G, class K>
  ATTUNE_PACK_FN static void run(const divergence_kernel<A, G>* given, const K* policy, const K* target, A* out, int size, A weight_sum, A scale) {
    const divergence_kernel<A, G> kernel = *given;
    kernel.template block_gradient<P>(policy, target, out, size, weight_sum, scale);
  }
};

template <class P, divergence::generator G, class T, class U>
double write_row_divergence(const G& generator, const view<const T>& policy, const view<const U>& target, double temperature, double scale,
                            const view<T>& gradient) {
  using A = lane_of<P>;
  const row_state policy_state = normalise<P>(policy, temperature), target_state = normalise<P>(target, temperature);
  if (!(policy_state.sum > 0 && target_state.sum > 0)) {
    fill(gradient, 0, not_a_number<double>);
    return not_a_number<double>;
  }
  const divergence_kernel<A, G> kernel(generator, policy_state, target_state, temperature);
  // Both rows as one type: bfloat16 only if both are.
  using K = std::conditional_t<std::same_as<kernel_type<T>, kernel_type<U>>, kernel_type<T>, A>;
  block_buffer<K> policy_block, target_block;
  block_buffer<A> out;
  typename divergence_kernel<A, G>::sums sum;
  for_blocks(policy.extent(0), [&](std::int64_t first, int count) {
    const K* x = load_block(policy, first, count, policy_block);
    const K* y = load_block(target, first, count, target_block);
    const auto part = run_kernel<P, block_divergence>(&kernel, x, y, padded(count));
    sum.term += part.term;
    sum.weight += part.weight;
  });
  if (scale == 0) {
    fill(gradient, 0, 0);
  } else if (gradient.extent(0) > 0) {
    for_blocks(policy.extent(0), [&](std::int64_t first, int count) {
      const K* x = load_block(policy, first, count, policy_block);
      const K* y = load_block(target, first, count, target_block);
      run_kernel<P, block_divergence_gradient>(&kernel, x, y, out.values + 0, padded(count), static_cast<A>(sum.weight), static_cast<A>(scale));
      store_block(gradient, first, count, out);
    });
    fill(gradient, policy.extent(0), 0);
  }
  return sum.term;
}

template <class P, execution_policy Policy, divergence::generator G, class T, class U>
row_report row_divergence(Policy policy, const G& generator, const view<const T, 2>& policy_logits, const view<const U, 2>& target_logits,
                          const view<arithmetic<T>>& values, const view<T, 2>& gradient, const view<const arithmetic<T>>& coefficients,
                          const divergence_options& o) {
  const std::int64_t rows = policy_logits.extent(0), classes = policy_logits.extent(1);
  validate(generator);
  require_temperature<arithmetic<T>>(o.temperature);
  require_rows(target_logits, rows, "target_logits");
  require_extent(target_logits.extent(1), classes, "target_logits (in columns)", "policy_logits");
  require_rows(values, rows, "values");
  require_rows_if_given(coefficients, rows, "coefficients");
  require_rows_if_given(o.mask, rows, "divergence_options.mask");
  require_distinct(values, "values");
  if (!gradient.absent()) {
    require_gradient(gradient, policy_logits);
    if constexpr (std::same_as<T, U>) {
      if (overlap<T>(gradient, target_logits)) throw error("attune: gradient overlaps target_logits; expected memory of its own");
    }
  }

  return for_rows(policy, rows, classes, [&](std::int64_t n, row_report& report) {
    const view<T> out = row_of(gradient, n);
    double value = 0;
    if (o.mask.absent() || o.mask(n) != 0) {
      const double coefficient = coefficients.absent() ? 1 : static_cast<double>(coefficients(n));
      value = write_row_divergence<P>(generator, row_of(policy_logits, n), row_of(target_logits, n), o.temperature,
                                      coefficient / o.temperature, out);
      if (!std::isfinite(value) || !std::isfinite(coefficient)) ++report.non_finite;
    } else {
      ++report.masked;
      fill(out, 0, 0);
    }
    values(n) = static_cast<arithmetic<T>>(value);
  });
}

}  // namespace detail

/// f-divergence between two models, row by row, over the whole vocabulary, and its gradient with respect to the policy's logits.
///
///   values[n]      = D_f(policy || target) = sum_v p_v f(pi_v / p_v) [nat]
///   gradient[n, i] = coefficients[n] / temperature pi_i (f'(t_i) - sum_j pi_j f'(t_j)),     t = pi / p
///
/// pi, p: softmax of policy_logits[n, :] / temperature and target_logits[n, :] / temperature, both [N, V] and of the same arithmetic type;
/// generator: forward_kl = KL(target || policy), reverse_kl = KL(policy || target), jensen_shannon (twice the one with halves), or any
/// other; values [N]; gradient [N, Vp], Vp >= V, optional: columns from V on become 0, may be the memory of policy_logits (in place);
/// coefficients [N], optional: d loss / d values[n], 1 if absent.
/// Values  >= 0, and exactly 0 with gradient 0 for equal rows; in the input's arithmetic (16-bit logits: float), sums carried in double.
///         A class with -inf in both rows contributes 0 to both. Mass of one model where the other has none costs f(0) or f'(inf) a
///         unit: +inf under forward_kl where the policy has none and under reverse_kl where the target has none, never NaN. Then the
///         gradient is its limit: finite under forward_kl (pi - p); under reverse_kl +inf on the classes that the target excludes and
///         -inf on the others that the policy uses.
///         A masked row gives 0 and is not read; a row with coefficient 0 has gradient exactly 0. A row with a NaN or +inf, or without a
///         finite logit on either side, gives NaN. The report counts rows whose value or coefficient is NaN or infinite.
/// Order   results have the same bits for any policy, batch, position in it and strides, in place or not. No allocation.
/// Throws  attune::error, before anything is written: sizes that differ, temperature outside (0, inf), a gradient whose elements overlap,
///         or that overlaps policy_logits in part or target_logits at all.
/// Source  f-DPG, arXiv:2302.08215, theorem 1; the gradient is that theorem with d log pi_j / d z_i = (1[i = j] - pi_i) / temperature.
template <execution_policy Policy, divergence::generator G, detail::logits_matrix Logits, detail::logits_matrix TargetLogits,
          class Pack = detail::logit_pack<Logits>>
row_report row_divergence(Policy policy, const G& generator, Logits&& policy_logits, TargetLogits&& target_logits,
                          view<detail::logit_arithmetic<Logits>> values, view<detail::logit<Logits>, 2> gradient,
                          view<const detail::logit_arithmetic<Logits>> coefficients = {}, const divergence_options& o = {}) {
  static_assert(std::same_as<detail::logit_arithmetic<Logits>, detail::logit_arithmetic<TargetLogits>>,
                "attune: policy_logits and target_logits are computed with in different types; expected both double, or neither");
  return detail::row_divergence<Pack>(policy, generator, detail::readable<2>(static_cast<Logits&&>(policy_logits)),
                                      detail::readable<2>(static_cast<TargetLogits&&>(target_logits)), values, gradient, coefficients, o);
}
template <execution_policy Policy, divergence::generator G, detail::logits_matrix Logits, detail::logits_matrix TargetLogits,
          class Pack = detail::logit_pack<Logits>>
row_report row_divergence(Policy policy, const G& generator, Logits&& policy_logits, TargetLogits&& target_logits,
                          view<detail::logit_arithmetic<Logits>> values, const divergence_options& o = {}) {
  return attune::row_divergence(policy, generator, static_cast<Logits&&>(policy_logits), static_cast<TargetLogits&&>(target_logits), values,
                                view<detail::logit<Logits>, 2>{}, {}, o);
}
template <divergence::generator G, detail::logits_matrix Logits, detail::logits_matrix TargetLogits,
          class Pack = detail::logit_pack<Logits>>
row_report row_divergence(const G& generator, Logits&& policy_logits, TargetLogits&& target_logits,
                          view<detail::logit_arithmetic<Logits>> values, view<detail::logit<Logits>, 2> gradient,
                          view<const detail::logit_arithmetic<Logits>> coefficients = {}, const divergence_options& o = {}) {
  return attune::row_divergence(serial{}, generator, static_cast<Logits&&>(policy_logits), static_cast<TargetLogits&&>(target_logits),
                                values, gradient, coefficients, o);
}
template <divergence::generator G, detail::logits_matrix Logits, detail::logits_matrix TargetLogits,
          class Pack = detail::logit_pack<Logits>>
row_report row_divergence(const G& generator, Logits&& policy_logits, TargetLogits&& target_logits,
                          view<detail::logit_arithmetic<Logits>> values, const divergence_options& o = {}) {
  return attune::row_divergence(serial{}, generator, static_cast<Logits&&>(policy_logits), static_cast<TargetLogits&&>(target_logits),
                                values, o);
}

}  // namespace attune
