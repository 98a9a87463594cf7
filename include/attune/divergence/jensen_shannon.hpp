// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/generator.hpp>

namespace attune::divergence {

/// Jensen-Shannon divergence as f-DPG and f-DPO scale it: KL(policy || m) + KL(target || m) with m = (policy + target) / 2, that is,
/// TWICE the Jensen-Shannon divergence with halves, which is generalized_jensen_shannon at beta = 1/2. Symmetric, bounded by 2 log 2; the
/// best overall trade-off in the f-DPG paper.
///
///   f(t)  = t log(2t / (1 + t)) + log(2 / (1 + t))          u = log t = log policy - log target [nat], any real
///   f'(t) = log(2t / (1 + t)) = log 2 - log(1 + e^-u)
///
/// Limits   f(0) = log 2, f(1) = 0, f'(inf) = log 2; the slope tends to u + log 2 for u -> -inf.
/// Source   f-DPG, arXiv:2302.08215, table 1 ("JS"); f-DPO, arXiv:2309.16240, table 1.
struct jensen_shannon {
  // With c = log cosh(u/2):  -log((1 + t)/2) = -u/2 - c  and  log(2t/(1 + t)) = u/2 - c,  so  f = (t - 1) u/2 - (t + 1) c.
  template <class S> ATTUNE_FN S value(S u) const {
    const S inner = select(abs(u) < S(1), u, S(0));
    const S central = expm1(inner) * inner * S(0.5) - (exp(inner) + S(1)) * log_cosh(inner * S(0.5));
    return select(abs(u) < S(1), central, exp(u) * slope(u) - log_mean_exp0(u));
  }
  template <class S> ATTUNE_FN S slope(S u) const { return -log_mean_exp0(-u); }
  template <class S> ATTUNE_FN S curvature(S u) const { return sigmoid(-u); }

  template <class S> ATTUNE_FN S term(S p, S pi, S u) const {
    const auto m = attune::detail::log_mean_exp0_both(u);
    return select(abs(u) < S(1), central_term(p, pi, select(abs(u) < S(1), u, S(0))), -(pi * m.down + p * m.up));
  }
  template <class S> ATTUNE_FN S weight(S, S pi, S u) const { return -pi * attune::detail::log_mean_exp0_both(u).down; }

  static ATTUNE_FN constexpr double value_at_zero() { return ln2; }
  static ATTUNE_FN constexpr double slope_at_infinity() { return ln2; }
  static ATTUNE_FN constexpr double weight_at_zero() { return 0; }

 private:
  // With s = tanh(u/2) = (pi - p)/(pi + p):  p f = (p + pi)/2 (s u - 2 c), a power series in u^2.
  template <class S> static ATTUNE_FN S central_term(S p, S pi, S u) {
    if constexpr (std::is_same_v<lane_of<S>, float>) {  // minimax polynomial, relative error 5e-8
      const S y = u * u, q01 = S(-0x1.fffeb8p-6f) * y + S(0x1p-2f), q23 = S(-0x1.7b7552p-12f) * y + S(0x1.c6c9dcp-9f);
      return S(0.5f) * (p + pi) * y * ((S(0x1.f6c93cp-16f) * (y * y) + q23) * (y * y) + q01);
    } else {
      return p * (expm1(u) * u * S(0.5) - (exp(u) + S(1)) * log_cosh(u * S(0.5)));
    }
  }
  // log cosh x = log(1 + sinh^2 x) / 2 for small x; sinh x = (e^x - e^-x) / 2 = (m + m / (1 + m)) / 2 with m = e^x - 1.
  template <class S> static ATTUNE_FN S log_cosh(S x) {
    const S m = expm1(x), sinh = S(0.5) * (m + m / (S(1) + m));
    return S(0.5) * log1p(sinh * sinh);
  }
};

}  // namespace attune::divergence
