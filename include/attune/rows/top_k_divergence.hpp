// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>  // validate
#include <attune/divergence/categorical.hpp>
#include <attune/rows/arguments.hpp>
#include <attune/rows/row_gradient.hpp>

namespace attune {

/// What becomes of the classes that a target's list of K classes lacks.
enum class tail {
  bucket,       ///< they are one further class, for both models: with the probability that the lists leave over
  renormalise,  ///< they are not looked at: each model's probabilities are those given that the token is in the list
};

template <real A> struct top_k_options {
  double temperature = 1;           ///< divides the policy's logits, finite and > 0; the target's log-probabilities are taken as they are
  view<const std::uint8_t> mask{};  ///< [N]; a row whose byte is 0 is not read. Absent: every row is read
  tail rest = tail::bucket;
  view<const A> tail_logps{};       ///< [N], the target's log-probability of the bucket. Absent: log(1 - sum of the list)
};

namespace detail {

template <class Index> void require_classes(const view<const Index, 2>& classes, std::int64_t size, const view<const std::uint8_t>& mask) {
  constexpr std::int64_t window = 1 << 16;  // classes that are looked at together, for duplicates, without allocation
  for (std::int64_t n = 0; n < classes.extent(0); ++n) {
    if (!mask.absent() && mask(n) == 0) continue;
    for (std::int64_t first = 0; first < size; first += window) {
      std::array<std::uint64_t, window / 64> seen{};
      for (std::int64_t k = 0; k < classes.extent(1); ++k) {
        const std::int64_t v = classes(n, k), bit = v - first;
        if (v < 0 || v >= size) {
          throw error("attune: classes(" + quoted(n) + ", " + quoted(k) + ") is " + quoted(v) + "; expected a class in [0, " + quoted(size) + ")");
        }
        if (bit < 0 || bit >= window) continue;
        std::uint64_t& word = seen[static_cast<std::size_t>(bit / 64)];
        const std::uint64_t one = std::uint64_t{1} << (bit % 64);
        if ((word & one) != 0) throw error("attune: row " + quoted(n) + " of classes has " + quoted(v) + " twice; expected different classes");
        word |= one;
      }
    }
  }
}

/// The policy's row, split into the listed classes and the rest, and the target's log-probabilities, normalised over what is looked at.
template <class P, class G, class T, class Index> class top_k_row {
  using A = lane_of<P>;
  using K = kernel_type<T>;

 public:
  top_k_row(const G& generator, const top_k_options<A>& o, bool streamed) : f_(generator), options_(o), streamed_(streamed) {}

  double operator()(const view<const T>& row, const view<const Index>& classes, const view<const A>& logps, double tail_logp, double coefficient,
                    const view<T>& gradient) const {
    split s = read(row, classes, logps, tail_logp);
    double value = s.valid ? 0 : not_a_number<double>, weight = 0;
    if (s.valid) {
      for (std::int64_t k = 0; k < classes.extent(0); ++k) add(s.log_pi(double(A(row(classes(k))))), double(logps(k)) - s.log_given, value, weight);
      if (s.with_rest) add(s.log_rest, s.log_tail, value, weight);
    }
    if (gradient.extent(0) == 0) return value;
    const double scale = coefficient / options_.temperature;
    if (!s.valid) fill(gradient, 0, not_a_number<double>);
    else if (scale == 0) fill(gradient, 0, 0);
    else write(row, classes, logps, s, weight, scale, gradient);
    fill(gradient, row.extent(0), value == value ? 0 : not_a_number<double>);
    return value;
  }

 private:
  struct split {
    double rate;                        // 1 / temperature
    double top, log_sum;                // of the classes that are looked at: log pi = (x - top) rate - log_sum
    double rest_top, rest_sum;          // of the classes that are not listed
    double log_rest, log_tail;          // their probability in both models
    double log_given;                   // what the target's log-probabilities are lessened by
    bool with_rest, valid;
    double log_pi(double x) const { return x == -infinity<double> ? x : (x - top) * rate - log_sum; }
  };

  /// A block in which the listed classes are -inf, and whether there is one.
  bool clear(const view<const T>& row, const view<const Index>& classes, std::int64_t first, int count, block_buffer<K>& buffer) const {
    bool any = false;
    for (std::int64_t k = 0; k < classes.extent(0); ++k) {
      const std::int64_t i = classes(k) - first;
      if (i < 0 || i >= count) continue;
      if (!any) copy_block(row, first, count, buffer);
      buffer.values[i] = static_cast<K>(-infinity<A>);
      any = true;
    }
    return any;
  }

  split read(const view<const T>& row, const view<const Index>& classes, const view<const A>& logps, double tail_logp) const {
    split s{};
    s.rate = 1 / options_.temperature;
    running_sum<A> rest(options_.temperature), listed(options_.temperature);
    block_buffer<K> buffer;
    bool has_nan = false;
    s.with_rest = options_.rest == tail::bucket && classes.extent(0) < row.extent(0);
    for_blocks(s.with_rest ? row.extent(0) : 0, [&](std::int64_t first, int count) {
      const K* x = clear(row, classes, first, count, buffer) ? buffer.values : load_block(row, first, count, buffer);
      rest.add_block([&] { return static_cast<double>(run_kernel<P, block_max>(x, padded(count))); },
                     [&](A top) { return run_kernel<P, block_exp_sum<false>>(x, padded(count), term_scale<A>(double(top), s.rate)); });
    });
    double given = 0;
    for (std::int64_t k = 0; k < classes.extent(0); ++k) {
      const double x = static_cast<double>(static_cast<A>(row(classes(k))));
      has_nan = has_nan || x != x;
      if (x > -infinity<double>) listed.add(x);
      given += std::exp(static_cast<double>(logps(k)));
    }
    const block_sum& a = listed.value();
    const block_sum& b = rest.value();
    s.rest_top = b.top;
    s.rest_sum = b.sum;
    s.top = s.with_rest && b.top > a.top ? b.top : a.top;
    const auto mass = [&](const block_sum& sum) { return sum.top == -infinity<double> ? 0 : sum.sum * std::exp((sum.top - s.top) * s.rate); };
    const double rest_mass = s.with_rest ? mass(b) : 0;
    s.log_sum = std::log(mass(a) + rest_mass);
    s.log_rest = std::log(rest_mass) - s.log_sum;
    // A list that sums to more than 1 by its roundings leaves nothing over.
    const double tail_mass = !s.with_rest ? 0 : tail_logp == tail_logp ? std::exp(tail_logp) : given < 1 ? 1 - given : 0;
    s.log_given = std::log(given + tail_mass);
    s.log_tail = std::log(tail_mass) - s.log_given;
    s.valid = !has_nan && std::isfinite(s.top) && s.log_sum == s.log_sum && b.sum == b.sum && std::isfinite(s.log_given);
    return s;
  }
  void add(double log_pi, double log_p, double& value, double& weight) const {
    value += divergence::class_term(f_, log_pi, log_p);
    weight += divergence::class_weight(f_, log_pi, log_p);
  }
  /// d value / d log-odds of a class, pi (f' - W), or the limit of that for an infinite W.
  double slope(double log_pi, double log_p, double weight) const {
    const double w = divergence::class_weight(f_, log_pi, log_p);
    if (!std::isinf(weight)) return w - std::exp(log_pi) * weight;
    return std::isinf(w) ? w : log_pi == -infinity<double> ? 0 : -weight;
  }

  void write(const view<const T>& row, const view<const Index>& classes, const view<const A>& logps, const split& s, double weight, double scale,
             const view<T>& gradient) const {
    // What is not listed shares the gradient of the bucket in proportion to its probability.
    const double shared = s.with_rest && s.rest_top > -infinity<double> ? scale * slope(s.log_rest, s.log_tail, weight) : 0;
    const bool finite = std::isfinite(shared), any = finite && shared != 0;
    const row_scale<A> z{static_cast<A>(any ? s.rest_top : 0), static_cast<A>(s.rate)};
    const std::conditional_t<half_storage<T>, coarse_row_exp<A>, row_exp<A>> e(z, any ? shared / s.rest_sum : 0);
    block_buffer<K> buffer;
    row_writer<T> to(gradient, streamed_);
    for_blocks(row.extent(0), to.head(), [&](std::int64_t first, int count) {
      const K* x = copy_block(row, first, count, buffer);  // the gradient may replace the logits, and the listed ones are still wanted
      K* out = to.place(first, count);
      if (any) run_kernel<P, block_exp<false>>(x, out, padded(count), e, line<A>{}, to.is_streamed(out), prefetch_distance);
      for (int i = 0; !any && i < count; ++i) out[i] = static_cast<K>(A(0));
      to.written(first, count, out);
      for (int i = 0; !finite && i < count; ++i) {
        gradient(first + i) = static_cast<T>(buffer.values[i] > static_cast<K>(-infinity<A>) ? static_cast<A>(shared) : A(0));
      }
      for (std::int64_t k = 0; k < classes.extent(0); ++k) {
        const std::int64_t i = classes(k) - first;
        if (i < 0 || i >= count) continue;
        const double log_pi = s.log_pi(static_cast<double>(static_cast<A>(buffer.values[i])));
        gradient(first + i) = static_cast<T>(static_cast<A>(scale * slope(log_pi, double(logps(k)) - s.log_given, weight)));
      }
    });
    to.end();
  }

  G f_;
  top_k_options<A> options_;
  bool streamed_;
};

template <class P, execution_policy Policy, divergence::generator G, class T, class Index>
row_report top_k_divergence(Policy policy, const G& generator, const view<const T, 2>& logits, const view<const Index, 2>& classes,
                            const view<const arithmetic<T>, 2>& logps, const view<arithmetic<T>>& values, const view<T, 2>& gradient,
                            const view<const arithmetic<T>>& coefficients, const top_k_options<arithmetic<T>>& o) {
  const std::int64_t rows = logits.extent(0), size = logits.extent(1);
  validate(generator);
  require_temperature<arithmetic<T>>(o.temperature);
  require_rows(classes, rows, "classes");
  require_rows(logps, rows, "target_logps");
  require_extent(logps.extent(1), classes.extent(1), "target_logps (in columns)", "classes");
  require_rows(values, rows, "values");
  require_rows_if_given(coefficients, rows, "coefficients");
  require_rows_if_given(o.mask, rows, "top_k_options.mask");
  require_rows_if_given(o.tail_logps, rows, "top_k_options.tail_logps");
  if (o.rest == tail::renormalise && !o.tail_logps.absent()) {
    throw error("attune: top_k_options.tail_logps is given, but tail::renormalise reads no tail; expected it absent");
  }
  require_distinct(values, "values");
  if (!gradient.absent()) require_gradient(gradient, logits);
  require_classes(classes, size, o.mask);
  const top_k_row<P, G, T, Index> on_row(generator, o, is_streamed(gradient, logits.data()));

  return for_rows(policy, rows, size, [&](std::int64_t n, row_report& report) {
    const view<T> out = row_of(gradient, n);
    double value = 0;
    if (o.mask.absent() || o.mask(n) != 0) {
      const double coefficient = coefficients.absent() ? 1 : static_cast<double>(coefficients(n));
      const double tail_logp = o.tail_logps.absent() ? not_a_number<double> : static_cast<double>(o.tail_logps(n));
      value = on_row(row_of(logits, n), row_of(classes, n), row_of(logps, n), tail_logp, coefficient, out);
      if (!std::isfinite(value) || !std::isfinite(coefficient)) ++report.non_finite;
    } else {
      ++report.masked;
      fill(out, 0, 0);
    }
    values(n) = static_cast<arithmetic<T>>(value);
  });
}

template <class X>
concept class_matrix = host_tensor<X, 2> && std::signed_integral<element_of<X, 2>> &&(sizeof(element_of<X, 2>) >= 4);

}  // namespace detail

/// f-divergence between a policy and a target of which only a list of K classes a row is known (a teacher's top K, stored before training), and
/// its gradient with respect to the policy's logits.
///
///   tail::bucket        values[n] = sum_k p_k f(pi_k/p_k) + p_r f(pi_r/p_r),   p_r = 1 - sum_k p_k,   pi_r = 1 - sum_k pi_k
///                       gradient[n, i] = coefficients[n]/temperature (pi_k (f'_k - W) for i = classes[n, k], else pi_i (f'_r - W)),
///                       f' at the ratios above, W = sum_k pi_k f'_k + pi_r f'_r. Never more than the divergence of the whole rows, and equal to
///                       it for K = V.
///   tail::renormalise   the divergence of the distributions given that the token is in the list; gradient 0 outside it
///
/// policy_logits [N, V]; classes [N, K] int32 or int64, different ones in a row, in any order; target_logps [N, K] = log p of these [nat], float
/// (double for double logits), -inf for none; values, gradient, coefficients, temperature of the policy, mask: as in row_divergence.
/// Values  pi_r is summed over the other classes, not found as a difference: a policy that is sure of the list keeps its gradient. Log-probabilities
///         that sum to more than 1 are normalised and leave no tail (then the reverse KL is +inf: give tail_logps). A row with NaN, or without
///         mass among what is looked at on either side, gives NaN. Rows that are masked give 0, gradients of coefficient 0 are 0.
/// Order   results have the same bits for any policy, batch and position in it. No allocation.
/// Throws  attune::error, before anything is written: sizes that differ, classes outside [0, V) or twice in a row, temperature outside (0, inf),
///         tail_logps with tail::renormalise, a gradient that overlaps itself or the logits in part.
template <execution_policy Policy, divergence::generator G, detail::logits_matrix Logits, detail::class_matrix Classes,
          class Pack = detail::logit_pack<Logits>>
row_report top_k_divergence(Policy policy, const G& generator, Logits&& policy_logits, Classes&& classes,
                            view<const detail::logit_arithmetic<Logits>, 2> target_logps, view<detail::logit_arithmetic<Logits>> values,
                            view<detail::logit<Logits>, 2> gradient = {}, view<const detail::logit_arithmetic<Logits>> coefficients = {},
                            const top_k_options<detail::logit_arithmetic<Logits>>& o = {}) {
  return detail::top_k_divergence<Pack>(policy, generator, detail::readable<2>(static_cast<Logits&&>(policy_logits)),
                                        detail::readable<2>(static_cast<Classes&&>(classes)), target_logps, values, gradient, coefficients, o);
}
template <divergence::generator G, detail::logits_matrix Logits, detail::class_matrix Classes, class Pack = detail::logit_pack<Logits>>
row_report top_k_divergence(const G& generator, Logits&& policy_logits, Classes&& classes,
                            view<const detail::logit_arithmetic<Logits>, 2> target_logps, view<detail::logit_arithmetic<Logits>> values,
                            view<detail::logit<Logits>, 2> gradient = {}, view<const detail::logit_arithmetic<Logits>> coefficients = {},
                            const top_k_options<detail::logit_arithmetic<Logits>>& o = {}) {
  return attune::top_k_divergence(serial{}, generator, static_cast<Logits&&>(policy_logits), static_cast<Classes&&>(classes), target_logps, values,
                                  gradient, coefficients, o);
}

}  // namespace attune
