// SPDX-License-Identifier: MIT
// Stable scalar mathematics: every function is accurate to a few ulp x (1 + condition number) over the whole line, has no branch,
// and never forms inf - inf or 0 * inf. They are defined once, for numbers and for lanes of numbers; each states its derivative,
// which core/dual.hpp uses.
#pragma once

#include <attune/core/scalar.hpp>  // exp, expm1, log, log1p, max, select

namespace attune {

inline constexpr double ln2 = 0.693147180559945309417232121458;

/// softplus(x) = log(1 + e^x) = max(x, 0) + log(1 + e^-|x|);   softplus'(x) = sigmoid(x).
/// Limits 0 at -inf, x at +inf; softplus(0) = log 2. Convex, increasing. It is the loss of the logistic link at margin -x.
template <class S> ATTUNE_FN S softplus(S x) { return max(x, S(0)) + log1p_unit(exp(-abs(x))); }

/// sigmoid(x) = 1 / (1 + e^-x);   sigmoid'(x) = sigmoid(x) sigmoid(-x). Limits 0 and 1; the left tail keeps relative accuracy.
template <class S> ATTUNE_FN S sigmoid(S x) {
  const S decay = exp(-abs(x));
  return select(x >= S(0), S(1), decay) / (S(1) + decay);
}

/// log_sigmoid(x) = -softplus(-x);   log_sigmoid'(x) = sigmoid(-x).
template <class S> ATTUNE_FN S log_sigmoid(S x) { return -softplus(-x); }

/// log1mexp(x) = log(1 - e^x) for x <= 0;   log1mexp'(x) = -1 / (e^-x - 1).
/// -inf at 0, NaN above. Two forms meet at x = -log 2, where neither loses a bit (Maechler 2012, eq. 7).
template <class S> ATTUNE_FN S log1mexp(S x) { return select(x > S(-ln2), log(-expm1(x)), log1p(-exp(x))); }
template <class S> ATTUNE_FN S log1mexp_slope(S x) { return S(-1) / expm1(-x); }

/// log_add_exp(a, b) = log(e^a + e^b) = max(a, b) + log(1 + e^-|a-b|);   partials sigmoid(a - b) and sigmoid(b - a).
/// Equal arguments give a + log 2, also at -inf and +inf.
template <class S> ATTUNE_FN S log_add_exp(S a, S b) {
  return select(a == b, a + S(ln2), max(a, b) + log1p_unit(exp(-abs(a - b))));
}

namespace detail {
/// exp_remainder for |x| < 0.75, by its series.
template <class S> ATTUNE_FN S exp_remainder_series(S x) {
  using R = lane_of<S>;
  S tail = S(1);
  constexpr int terms = std::same_as<R, float> ? 11 : 18;
  ATTUNE_UNROLL  // 1/n are constants
  for (int n = terms; n >= 3; --n) tail = S(1) + x * tail * S(R(1) / R(n));
  return S(R(0.5)) * x * x * tail;
}
}  // namespace detail

/// exp_remainder(x) = e^x - 1 - x >= 0;   exp_remainder'(x) = e^x - 1. The pointwise forward KL generator at log t = x, and the "k3"
/// estimator of a KL divergence. Near 0, where e^x - 1 and x cancel, its Taylor series: x^2/2 (1 + x/3 (1 + x/4 (...))).
template <class S> ATTUNE_FN S exp_remainder(S x) {
  using R = lane_of<S>;
  const S local = select(abs(x) < S(R(0.75)), x, S(0));
  return select(abs(x) < S(R(0.75)), detail::exp_remainder_series(local), expm1(x) - x);
}

namespace detail {
/// log((1 + e^x) / 2) and log((1 + e^-x) / 2), from one exponential.
template <class S> struct log_means {
  S up, down;
};
template <class S> ATTUNE_FN log_means<S> log_mean_exp0_both(S x) {
  using R = lane_of<S>;
  const S tail = log1p_unit(exp(-abs(x))) - S(R(ln2));
  S up, down;  // of |x| < 1
  if constexpr (std::is_same_v<R, float>) {  // +-x/2 + log cosh(x/2); the latter's minimax polynomial in x^2, relative error 6e-9
    const S y = x * x, y2 = y * y, c01 = S(-0x1.555518p-8f) * y + S(0x1p-3f), c23 = S(-0x1.b499b0p-16f) * y + S(0x1.6bf804p-12f);
    const S even = (S(0x1.d3ba20p-20f) * y2 + c23) * y2 + c01;
    up = y * even + S(0.5f) * x;
    down = y * even - S(0.5f) * x;
  } else {
    up = log1p(S(R(0.5)) * expm1(min(x, S(1))));
    down = log1p(S(R(0.5)) * expm1(min(-x, S(1))));
  }
  return {select(abs(x) < S(1), up, max(x, S(0)) + tail), select(abs(x) < S(1), down, max(-x, S(0)) + tail)};
}
}  // namespace detail

/// log_mean_exp0(x) = log((1 + e^x) / 2) = softplus(x) - log 2;   derivative sigmoid(x). Exactly 0 at 0, accurate near it.
template <class S> ATTUNE_FN S log_mean_exp0(S x) { return detail::log_mean_exp0_both(x).up; }

}  // namespace attune
