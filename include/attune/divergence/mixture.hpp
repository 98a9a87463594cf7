// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/generator.hpp>

namespace attune::divergence::detail {

/// Logarithms of parameters. Functions without side effects: where one is not used, compilers leave it out.
#if defined(__CUDACC__)
#define ATTUNE_PURE ATTUNE_FN
#else
#define ATTUNE_PURE __attribute__((const, noinline)) inline
#endif
ATTUNE_PURE double log_of_weight(double kept, double moved) { return kept > 0.5 ? std::log1p(-moved) : std::log(kept); }
ATTUNE_PURE double log_of_odds(double kept, double moved) { return std::log(moved / kept); }
#undef ATTUNE_PURE

/// The mixture m = kept p + moved pi of two distributions, kept + moved = 1, seen from p: with t = pi/p and u = log t,
///
///   log_of(u) = log(m/p)        = log(kept + moved t)            0 at u = 0, tends to log kept at -inf (to u if kept = 0)
///   share(u)  = moved pi / m    = moved t / (kept + moved t)     = sigmoid(u + log(moved/kept)), moved > 0: the derivative of log_of
///   kl_term   = p (log(p/m) + moved (t - 1)) >= 0                whose sum is KL(p || m)
///
/// Seen from pi, the same mixture is swapped() at -u. Both weights are given because each may be too small to be found from the other.
template <class R> struct mixture {
  R kept, moved, log_kept, log_moved, log_odds;

  static ATTUNE_FN mixture of(double kept, double moved) {
    return {static_cast<R>(kept), static_cast<R>(moved), static_cast<R>(log_of_weight(kept, moved)), static_cast<R>(log_of_weight(moved, kept)),
            static_cast<R>(log_of_odds(kept, moved))};
  }
  ATTUNE_FN mixture swapped() const { return {moved, kept, log_moved, log_kept, -log_odds}; }

  template <class S> ATTUNE_FN S log_of(S u) const {
    const S x = S(moved) * expm1(min(u, S(80)));  // m/p - 1; log(1 + x) is accurate unless x is near -1
    const S sum = log_add_exp(S(log_kept), S(log_moved) + u);
    return select(x > S(R(-0.5)), select(u < S(80), log1p(x), sum), sum);
  }
  template <class S> ATTUNE_FN S share(S u) const {
    const S k = S(kept), m = S(moved), decay = exp(-abs(u));
    const S ratio = select(u < S(0), m * decay, m) / select(u < S(0), k + m * decay, k * decay + m);
    return select(u > S(-40), ratio, sigmoid(u + S(log_odds)));  // in its left tail e^u may underflow before the share
  }

  // With v = log(m/p): log(p/m) + moved (t - 1) = e^v - 1 - v.
  template <class S> ATTUNE_FN S kl_term(S p, S pi, S u) const {
    const S v = log_of(u), inner = select(abs(v) < S(R(0.75)), v, S(0));
    return select(abs(v) < S(R(0.75)), p * attune::detail::exp_remainder_series(inner), S(moved) * (pi - p) - p * v);
  }
};

}  // namespace attune::divergence::detail
