// SPDX-License-Identifier: MIT
// The inner loop of evaluate on tokens.
#pragma once

#include <attune/exec/sample_loop.hpp>  // lane_sums, run_length, run_quantum
#include <attune/policy/kl/estimators.hpp>
#include <attune/policy/token.hpp>

namespace attune::detail {

/// Active tokens as the kernel reads and writes them; `size` is a multiple of 64, the last ones may be padding of weight 0.
///
/// The gradient is the derivative along one direction: along[k] = d (k-th policy member) / d (variable). A token's own log-probability moves logp
/// and its own log-ratio, {1, 1, 0}; a log-ratio that a sequence shares is another variable, {0, 1, 0}; and so is the entropy, {0, 0, 1}.
template <class R>
struct token_run {
  std::array<const R*, member_count<token_kind>> members;    ///< log_ratio null: logp - old_logp
  const R* scale;                                            ///< multiplies loss and derivative
  const R* weight;                                           ///< of the token in the metrics
  const R* offset;                                           ///< added to the gradient; null: nothing
  R* gradient;
  std::array<R, std::size_t(policy_members<token_kind>)> along;
  R gradient_scale;
  R ratio_limit;                                             ///< of log_ratio, where loss and metrics are not wanted
  int size;
  bool counted;                                              ///< whether loss and metrics are wanted
  bool has_reference, has_entropy;                           ///< else their means are 0
};

template <class R>
struct token_sums : lane_sums<R, 7> {
  enum metric { loss, held_high, held_low, kl, old_kl, entropy, non_finite };
};

template <bool WithGradients>
struct run_tokens {
  template <class P, class O, class R>
  ATTUNE_PACK_FN static void run(const O* given_objective, const token_run<R>* given_tokens, token_sums<R>* total) {
    const O objective = *given_objective;  // copies: stores of gradients cannot change them, so they stay in registers
    const token_run<R> tokens = *given_tokens;
    if (WithGradients && !tokens.counted) {
      sum_packs<P, token_sums<R>> unused;
      for (int i = 0; i < tokens.size; i += lanes<P>) step<false>(objective, tokens, i, unused);
      return;
    }
    for (int first = 0; first < tokens.size; first += summed_at_once<P>) {
      const int last = first + summed_at_once<P> < tokens.size ? first + summed_at_once<P> : tokens.size;
      sum_packs<P, token_sums<R>> metrics;
      for (int i = first; i < last; i += lanes<P>) step<true>(objective, tokens, i, metrics);
      metrics.add(token_sums<R>::kl, tokens.has_reference ? sum_kl<P>(tokens, first, last) : P(0.0f));
      metrics.add(token_sums<R>::entropy, tokens.has_entropy ? sum_entropy<P>(tokens, first, last) : P(0.0f));
      metrics.add_to(*total);
    }
  }

 private:
  template <class P, class R>
  ATTUNE_PACK_FN static token<P> read_token(const token_run<R>& tokens, int i) {
    token<P> x;
    for_each_member<token_kind>([&](auto m, auto) __attribute__((always_inline)) {
      if constexpr (m != 1) std::get<m>(token_kind::members).of(x) = read_pack<P>(tokens.members[m] + i);
    });
    x.log_ratio = tokens.members[1] ? read_pack<P>(tokens.members[1] + i) : x.logp - x.old_logp;
    return x;
  }

  template <bool Counted, class P, class O, class R>
  ATTUNE_PACK_FN static void step(const O& objective, const token_run<R>& tokens, int i, sum_packs<P, token_sums<R>>& metrics) {
    const P scale = read_pack<P>(tokens.scale + i), zero(0.0f);
    token<P> x = read_token<P>(tokens, i);
    if constexpr (!Counted) x.log_ratio = min(x.log_ratio, P(tokens.ratio_limit));
    P loss, gradient = zero;
    if constexpr (WithGradients) {
      const dual<P, 1> d = objective(moved(x, tokens));
      loss = d.value;
      gradient = select(scale == zero, zero, scale * P(tokens.gradient_scale) * d.grad[0]);
      if (tokens.offset) gradient = gradient + read_pack<P>(tokens.offset + i);
      write_pack<P>(tokens.gradient + i, gradient);
    } else {
      loss = objective(x);
    }
    if constexpr (Counted) count(objective, x, select(scale == zero, zero, scale * loss), gradient, read_pack<P>(tokens.weight + i), metrics);
  }

  /// The token as a function of the variable.
  template <class P, class R>
  ATTUNE_PACK_FN static token<dual<P, 1>> moved(const token<P>& x, const token_run<R>& tokens) {
    token<dual<P, 1>> y;
    for_each_member<token_kind>([&](auto m, auto k) __attribute__((always_inline)) {
      constexpr auto member = std::get<m>(token_kind::members);
      member.of(y) = member.of(x);
      if constexpr (member.is == role::policy) member.of(y).grad[0] = P(tokens.along[k]);
    });
    return y;
  }

  template <class P, class O, class R>
  ATTUNE_PACK_FN static void count(const O& objective, const token<P>& x, const P& loss, const P& gradient, const P& weight, sum_packs<P, token_sums<R>>& metrics) {
    using sums = token_sums<R>;
    const P zero(0.0f);
    metrics.add(sums::loss, loss);
    metrics.add(sums::non_finite, select((loss + gradient) * zero == zero, zero, P(1.0f)));
    metrics.add(sums::old_kl, weight * (x.log_ratio * x.log_ratio) * P(0.5f));
    if constexpr (requires { objective.held(x); }) {
      const P held = select(objective.held(x), weight, zero);
      metrics.add(sums::held_high, select(x.advantage > zero, held, zero));
      metrics.add(sums::held_low, select(x.advantage < zero, held, zero));
    }
  }
  // In loops of their own, because not every batch has them, and with them the objective's numbers do not fit into registers.
  template <class P, class R>
  ATTUNE_PACK_FN static P sum_kl(const token_run<R>& tokens, int first, int last) {
    constexpr std::size_t logp = 0, ref_logp = 4;  // of token_kind::members
    P sum(0.0f);
    for (int i = first; i < last; i += lanes<P>) {
      const P u = read_pack<P>(tokens.members[logp] + i) - read_pack<P>(tokens.members[ref_logp] + i);
      sum = sum + read_pack<P>(tokens.weight + i) * kl::k3{}.value(u);
    }
    return sum;
  }
  template <class P, class R>
  ATTUNE_PACK_FN static P sum_entropy(const token_run<R>& tokens, int first, int last) {
    constexpr std::size_t entropy = 2;
    P sum(0.0f);
    for (int i = first; i < last; i += lanes<P>) sum = sum + read_pack<P>(tokens.weight + i) * read_pack<P>(tokens.members[entropy] + i);
    return sum;
  }
};

}  // namespace attune::detail
