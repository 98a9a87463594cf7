// SPDX-License-Identifier: MIT
// What is done to a pair of rows on a device whose normalisers are known: the terms and weights of any generator, and gradients.
#pragma once

#include <attune/divergence/generator.hpp>
#include <attune/exec/device/row_gradient.hpp>
#include <attune/exec/device/row_pair_state.hpp>
#include <attune/rows/divergence_kernels.hpp>  // divergence_sums

namespace attune::detail {

/// The sum beside the normalisers that tells a generator's divergence, if there is one: those of the KL divergences.
template <class G> device_cross cross_of(const G& generator) {
  if constexpr (divergence::power_generator<G>) {
    return generator.power() == 0 ? device_cross::forward : generator.power() == 1 ? device_cross::reverse : device_cross::none;
  } else {
    return device_cross::none;
  }
}

/// The generator on the classes of a pair of rows (rows/divergence_kernels.hpp has it on lanes).
template <real A, class G> struct pair_terms {
  divergence::class_generator<A, G> generator;
  A policy_top, target_top, rate, inverse_temperature, policy_mass, target_mass, log_mass_ratio;

  ATTUNE_FN pair_terms(const divergence::class_generator<A, G>& g, const pair_state& s, double temperature)
      : generator(g), policy_top(static_cast<A>(s.policy_top)), target_top(static_cast<A>(s.target_top)),
        rate(device_unit<A> * static_cast<A>(1 / temperature)), inverse_temperature(static_cast<A>(1 / temperature)),
        policy_mass(static_cast<A>(1 / s.policy_sum)), target_mass(static_cast<A>(1 / s.target_sum)),
        log_mass_ratio(static_cast<A>(std::log(s.target_sum) - std::log(s.policy_sum))) {}

  ATTUNE_FN A policy(A x) const { return policy_mass * device_power((x - policy_top) * rate); }
  ATTUNE_FN A target(A y) const { return target_mass * device_power((y - target_top) * rate); }
  /// log(pi/p): the difference comes first, so equal rows give exactly 0.
  ATTUNE_FN A log_ratio(A x, A y) const { return ((x - policy_top) - (y - target_top)) * inverse_temperature + log_mass_ratio; }

  ATTUNE_FN A term(A x, A y) const {
    if (y == -infinity<A>) return x == -infinity<A> ? A(0) : product(generator.slope_at_infinity(), policy(x));
    if (x == -infinity<A>) return product(generator.value_at_zero(), target(y));
    return generator.term(target(y), policy(x), log_ratio(x, y));
  }
  ATTUNE_FN A weight(A x, A y) const {
    if (y == -infinity<A>) return x == -infinity<A> ? A(0) : product(generator.slope_at_infinity(), policy(x));
    if (x == -infinity<A>) return product(generator.weight_at_zero(), target(y));
    return generator.weight(target(y), policy(x), log_ratio(x, y));
  }

 private:
  /// An infinite limit costs infinitely much also where the mass beside it underflows to 0.
  static ATTUNE_FN A product(A limit, A mass) { return is_finite(limit) ? limit * mass : limit; }
};

template <real A, class G> struct term_summer {
  pair_terms<A, G> terms;
  double term, weight;

  template <int N> ATTUNE_FN void operator()(const A (&x)[N], const A (&y)[N]) {
    A t[N], w[N];
    for (int k = 0; k < N; ++k) t[k] = terms.term(x[k], y[k]), w[k] = terms.weight(x[k], y[k]);
    term += static_cast<double>(folded_sum<N>(t));
    weight += static_cast<double>(folded_sum<N>(w));
  }
};

/// Third launch where the value is not known: sums of terms and weights of the generator.
template <class G, class T, class U> struct divergence_term_lanes {
  using A = arithmetic<T>;
  divergence::class_generator<A, G> generator;
  strided_rows<const T> policy;
  strided_rows<const U> target;
  strided<const std::uint8_t> mask;
  double temperature;
  int log2_lanes;
  const pair_state* states;
  divergence_sums* parts;  ///< [rows, lanes]

  ATTUNE_FN void operator()(std::int64_t i) const {
    const std::int64_t n = i >> log2_lanes;
    const int lanes = 1 << log2_lanes, lane = static_cast<int>(i & (lanes - 1));
    if ((mask.given() && mask(n) == 0) || states[n].policy_sum != states[n].policy_sum) return;
    term_summer<A, G> sum{pair_terms<A, G>(generator, states[n], temperature), 0, 0};
    for_lane_pairs(policy.row(n), target.row(n), lane, lanes, sum);
    parts[i].term = sum.term;
    parts[i].weight = sum.weight;
  }
};
/// Fourth launch, of a thread a row.
template <real A> struct divergence_term_rows {
  strided<const std::uint8_t> mask;
  int log2_lanes;
  const divergence_sums* parts;
  pair_state* states;
  strided<A> values;
  strided<const A> coefficients;
  device_report report;

  ATTUNE_FN void operator()(std::int64_t n) const {
    if ((mask.given() && mask(n) == 0) || states[n].policy_sum != states[n].policy_sum) return;
    const std::int64_t begin = n << log2_lanes, end = begin + (std::int64_t{1} << log2_lanes);
    double term = 0, weight = 0;
    for (std::int64_t i = begin; i < end; ++i) term += parts[i].term, weight += parts[i].weight;
    states[n].value = term;
    states[n].weight = weight;
    values(n) = static_cast<A>(term);
    if (!is_finite(term) || (coefficients.given() && !is_finite(coefficients(n)))) report.non_finite();
  }
};

/// out_v = scale (w_v - pi_v W),  w_v = pi_v f'(pi_v/p_v),  W = sum w. For infinite W its limit: w_v on the classes whose weight is infinite, -W on the
/// others that the policy uses, 0 on the rest.
template <real A, class G> struct pair_gradient {
  pair_terms<A, G> terms;
  A total, scale;

  /// In place of the policy's logits a; of `count` elements, beyond which it is 0.
  template <int N> ATTUNE_FN void operator()(A (&a)[N], const A (&b)[N], int count) const {
    const bool infinite = std::fabs(total) == infinity<A>;
    for (int k = 0; k < N; ++k) {
      const A w = terms.weight(a[k], b[k]), limit = std::fabs(w) == infinity<A> ? w : a[k] == -infinity<A> ? A(0) : -total;
      a[k] = k < count ? scale * (infinite ? limit : w - terms.policy(a[k]) * total) : A(0);
    }
  }
};

/// Last launch.
template <class G, class T, class U> struct divergence_gradient_lanes {
  using A = arithmetic<T>;
  divergence::class_generator<A, G> generator;
  strided_rows<const T> policy;
  strided_rows<const U> target;
  strided_rows<T> gradient;
  strided<const std::uint8_t> mask;
  strided<const A> coefficients;
  double temperature;
  int log2_lanes;
  const pair_state* states;

  ATTUNE_FN void operator()(std::int64_t i) const {
    const std::int64_t n = i >> log2_lanes;
    const int lanes = 1 << log2_lanes;
    write_row(n, static_cast<int>(i & (lanes - 1)), lanes, states[n]);
  }
  /// A lane's part of row n.
  ATTUNE_FN void write_row(std::int64_t n, int lane, int lanes, const pair_state& s) const {
    write_row(n, lane, lanes, s, [](const pair_gradient<A, G>&) { return false; });
  }
  /// Unless write_held(pair_gradient) does it, from what it has read before.
  template <class WriteHeld> ATTUNE_FN void write_row(std::int64_t n, int lane, int lanes, const pair_state& s, const WriteHeld& write_held) const {
    const strided_row<T> out = gradient.row(n);
    const double coefficient = coefficients.given() ? static_cast<double>(coefficients(n)) : 1;
    if (mask.given() && mask(n) == 0) return fill_vectors(out, lane, lanes, out.size, A(0));
    if (s.policy_sum != s.policy_sum) return fill_vectors(out, lane, lanes, out.size, static_cast<A>(nan_double()));
    if (coefficient == 0) return fill_vectors(out, lane, lanes, out.size, A(0));
    const pair_gradient<A, G> elements{pair_terms<A, G>(generator, s, temperature), static_cast<A>(s.weight), static_cast<A>(coefficient / temperature)};
    if (!write_held(elements)) write(n, out, lane, lanes, elements);
  }

 private:
  ATTUNE_FN void write(std::int64_t n, const strided_row<T>& out, int lane, int lanes, const pair_gradient<A, G>& elements) const {
    constexpr int length = vector_length<T>;
    const strided_row<const T> x = policy.row(n);
    const strided_row<const U> y = target.row(n);
    for (int first = first_written(out, lane); first < out.size; first += lanes * length) {
      A a[length], b[length];
      load_pair(x, y, first, a, b);
      elements(a, b, x.size - first);
      store_vector(out, first, a);
    }
  }
};

}  // namespace attune::detail
