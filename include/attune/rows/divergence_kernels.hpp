// SPDX-License-Identifier: MIT
// What is done to a pair of rows whose normalisers are known: terms and weights of any generator, and gradients.
#pragma once

#include <attune/divergence/generator.hpp>
#include <attune/rows/normalise.hpp>

namespace attune::detail {

/// out_i = f(x_i, y_i)
template <class P, class K, class F>
ATTUNE_PACK_FN void for_twins(const K* policy, const K* target, K* out, int size, bool streamed, const F& f) {
  for (int i = 0; i < size; i += row_lanes) {
    prefetch_ahead(policy + i);
    prefetch_ahead(target + i);
    for (int k = i; k < i + row_lanes; k += 2 * lanes<P>) {
      const twin<P> x = read_twin<P>(policy + k), y = read_twin<P>(target + k), result{f(x.a, y.a), f(x.b, y.b)};
      if (streamed) stream_twin<P>(result, out + k);
      else write_twin<P>(result, out + k);
    }
  }
}

/// What the kernels know of a pair of rows, as numbers or as packs. Exp: row_exp, or coarse_row_exp for results of 16 bits.
template <class A, template <class> class Exp = row_exp> struct row_pair_scale {
  Exp<A> pi, p;                        // probabilities
  A rate, rate_ratio, log_mass_ratio;  // 1 / the policy's temperature; the policy's temperature over the target's

  template <class P> ATTUNE_PACK_FN row_pair_scale<P, Exp> as() const {
    return {pi.template as<P>(), p.template as<P>(), P(rate), P(rate_ratio), P(log_mass_ratio)};
  }
  /// log(pi/p) from the distances of both logits to their tops. The difference comes first: equal rows give exactly 0, also where products
  /// and sums are fused.
  ATTUNE_PACK_FN A log_ratio(const A& policy, const A& target) const { return (policy - target * rate_ratio) * rate + log_mass_ratio; }
};

/// The generator, a class_generator, on the classes of a pair of rows.
template <class P, class G> class class_terms {
  using A = lane_of<P>;
  using condition = decltype(std::declval<P>() < std::declval<P>());

 public:
  ATTUNE_PACK_FN class_terms(const G& generator, const row_pair_scale<P>& scale) : generator_(generator), scale_(scale) {}

  struct classes {
    P p, pi, u;                  // target and policy probability, log(pi/p)
    condition excluded, unused;  // probability exactly 0 under the target, under the policy

    ATTUNE_PACK_FN P choose(const P& both, const P& only_target, const P& only_policy) const {
      return select(excluded, select(unused, P(0.0f), only_policy), select(unused, only_target, both));
    }
  };
  ATTUNE_PACK_FN classes at(const P& policy, const P& target) const {
    const P none(-infinity<A>);
    const condition excluded = target == none, unused = policy == none;
    const P u = select(excluded | unused, P(0.0f), scale_.log_ratio(policy - scale_.pi.top, target - scale_.p.top));
    return {scale_.p(target), scale_.pi(policy), u, excluded, unused};
  }
  ATTUNE_PACK_FN P term(const classes& y) const {
    return y.choose(generator_.term(y.p, y.pi, y.u), product(generator_.value_at_zero(), y.p), product(generator_.slope_at_infinity(), y.pi));
  }
  ATTUNE_PACK_FN P weight(const classes& y) const {
    return y.choose(generator_.weight(y.p, y.pi, y.u), product(generator_.weight_at_zero(), y.p), product(generator_.slope_at_infinity(), y.pi));
  }

 private:
  /// An infinite limit costs infinitely much also where the mass beside it underflows to 0.
  static ATTUNE_PACK_FN P product(A limit, const P& mass) { return std::isinf(limit) ? P(limit) : P(limit) * mass; }

  G generator_;
  row_pair_scale<P> scale_;
};

struct divergence_sums {
  double term = 0, weight = 0;
};

/// Sums of the terms and, if wanted, of the weights.
template <bool WithWeights> struct block_divergence {
  template <class P, class G, class K>
  ATTUNE_PACK_FN static divergence_sums run(G generator, const row_pair_scale<lane_of<P>>* scale, const K* policy, const K* target, int size) {
    const class_terms<P, G> terms(generator, scale->template as<P>());
    lanes_64<P> term(0), weight(0);
    for (int i = 0; i < size; i += row_lanes) {
      prefetch_ahead(policy + i);
      prefetch_ahead(target + i);
      for (int k = 0; k < term.twins; ++k) {
        const twin<P> x = read_twin<P>(policy + i + 2 * k * lanes<P>), y = read_twin<P>(target + i + 2 * k * lanes<P>);
        add(terms, terms.at(x.a, y.a), term.part[k].a, weight.part[k].a);
        add(terms, terms.at(x.b, y.b), term.part[k].b, weight.part[k].b);
      }
    }
    return {term.template total<K>(), WithWeights ? weight.template total<K>() : 0};
  }

 private:
  template <class P, class G>
  static ATTUNE_PACK_FN void add(const class_terms<P, G>& terms, const typename class_terms<P, G>::classes& y, P& term, P& weight) {
    term = term + terms.term(y);
    if constexpr (WithWeights) weight = weight + terms.weight(y);
  }
};

/// out_i = scale (w_i - pi_i W),  w_i = pi_i f'(pi_i/p_i),  W = sum_j w_j.
/// For infinite W its limit: w_i on the classes whose weight is infinite, -W on the others that the policy uses, 0 on the rest.
struct block_divergence_gradient {
  template <class P, class G, class K>
  ATTUNE_PACK_FN static void run(G generator, const row_pair_scale<lane_of<P>>* given, lane_of<P> weight_sum, lane_of<P> given_scale, const K* policy,
                                 const K* target, K* out, int size, bool streamed) {
    const class_terms<P, G> terms(generator, given->template as<P>());
    const P total(weight_sum), scale(given_scale);
    const bool infinite = std::isinf(weight_sum);
    for_twins<P>(policy, target, out, size, streamed, [&](const P& x, const P& y) __attribute__((always_inline)) {
      const auto at = terms.at(x, y);
      const P w = terms.weight(at), limit = select(abs(w) == P(infinity<lane_of<P>>), w, select(at.unused, P(0.0f), -total));
      return scale * (infinite ? limit : w - at.pi * total);
    });
  }
};

/// out_i = pi_i - p_i, with masses scaled as the gradient is: that of the forward KL divergence, whose weights pi - p have the sum 0.
struct block_difference {
  template <class P, class Scale, class K>
  ATTUNE_PACK_FN static void run(const Scale* given, const K* policy, const K* target, K* out, int size, bool streamed) {
    const auto a = given->pi.template as<P>(), b = given->p.template as<P>();
    for_twins<P>(policy, target, out, size, streamed, [&](const P& x, const P& y) __attribute__((always_inline)) { return a(x) - b(y); });
  }
};
/// out_i = pi_i log(pi_i/p_i), where log_mass_ratio is given less D: the gradient pi (log(pi/p) - D) of a finite reverse KL divergence D.
struct block_log_ratio {
  template <class P, class Scale, class K>
  ATTUNE_PACK_FN static void run(const Scale* given, const K* policy, const K* target, K* out, int size, bool streamed) {
    const auto s = given->template as<P>();
    const P least(-1e30f);  // instead of -inf: where the policy has no mass, 0 times anything finite
    for_twins<P>(policy, target, out, size, streamed, [&](const P& x, const P& y) __attribute__((always_inline)) {
      return s.pi(x) * s.log_ratio(larger(least, x - s.pi.top), larger(least, y - s.p.top));
    });
  }
};

}  // namespace attune::detail
