// SPDX-License-Identifier: MIT
// Dual numbers: a value with N derivatives, as a plain value. With h the vector of infinitesimals (h_i h_j = 0),
//
//   dual{f, d} stands for f + d . h,      and every function below is the line  g(f + d.h) = g(f) + g'(f) d.h .
//
// T may be a number, a pack of lanes, or another dual (for second derivatives). Comparisons look at the value only.
#pragma once

#include <attune/core/math.hpp>  // exp, log1p, softplus, sigmoid, select

namespace attune {

template <class T, int N>
struct dual {
  T value{};
  T grad[N]{};

  constexpr dual() = default;  // implicitly for host and device
  /// A constant: f + 0 h.
  template <class R>
    requires std::convertible_to<R, T>
  ATTUNE_FN constexpr dual(const R& constant) : value(T(constant)) {}

  /// The i-th independent variable: f + h_i.
  static ATTUNE_FN constexpr dual variable(T x, int i) {
    dual result(x);
    result.grad[i] = T(1);
    return result;
  }
};

/// g(f + d.h) = g(f) + g'(f) d.h, given g(f) and g'(f).
template <class T, int N>
ATTUNE_FN dual<T, N> chain(const dual<T, N>& x, T value, T slope) {
  dual<T, N> result(value);
  for (int i = 0; i < N; ++i) result.grad[i] = slope * x.grad[i];
  return result;
}
/// g(x, y) with partials g_x, g_y.
template <class T, int N>
ATTUNE_FN dual<T, N> chain(const dual<T, N>& x, const dual<T, N>& y, T value, T slope_x, T slope_y) {
  dual<T, N> result(value);
  for (int i = 0; i < N; ++i) result.grad[i] = slope_x * x.grad[i] + slope_y * y.grad[i];
  return result;
}

template <class T, int N>
struct real_type<dual<T, N>> {
  using type = real_of<T>;
};
template <class T, int N>
struct lane_type<dual<T, N>> {
  using type = lane_of<T>;
};

template <class X> inline constexpr bool is_dual = false;
template <class T, int N> inline constexpr bool is_dual<dual<T, N>> = true;

/// The same number without its derivatives: a constant ("stop-gradient").
template <class S> ATTUNE_FN S detach(const S& x) { return x; }
template <class T, int N> ATTUNE_FN dual<T, N> detach(const dual<T, N>& x) { return dual<T, N>(x.value); }

/// What may stand beside a dual<T, N> in arithmetic as a constant.
template <class R, class T, int N>
concept constant_for = std::convertible_to<R, T> && !std::same_as<R, dual<T, N>>;

// -(f + d.h) = -f + (-d).h
template <class T, int N> ATTUNE_FN dual<T, N> operator-(const dual<T, N>& x) { return chain(x, -x.value, T(-1)); }
// (f + d.h) + (g + e.h) = (f + g) + (d + e).h
template <class T, int N> ATTUNE_FN dual<T, N> operator+(dual<T, N> x, const dual<T, N>& y) {
  x.value = x.value + y.value;
  for (int i = 0; i < N; ++i) x.grad[i] = x.grad[i] + y.grad[i];
  return x;
}
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> operator+(dual<T, N> x, R c) {
  x.value = x.value + T(c);
  return x;
}
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> operator+(R c, const dual<T, N>& x) { return x + c; }
// (f + d.h) - (g + e.h) = (f - g) + (d - e).h
template <class T, int N> ATTUNE_FN dual<T, N> operator-(dual<T, N> x, const dual<T, N>& y) {
  x.value = x.value - y.value;
  for (int i = 0; i < N; ++i) x.grad[i] = x.grad[i] - y.grad[i];
  return x;
}
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> operator-(dual<T, N> x, R c) {
  x.value = x.value - T(c);
  return x;
}
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> operator-(R c, const dual<T, N>& x) { return (-x) + c; }
// (f + d.h)(g + e.h) = f g + (g d + f e).h
template <class T, int N> ATTUNE_FN dual<T, N> operator*(const dual<T, N>& x, const dual<T, N>& y) {
  return chain(x, y, x.value * y.value, y.value, x.value);
}
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> operator*(const dual<T, N>& x, R c) {
  return chain(x, x.value * T(c), T(c));
}
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> operator*(R c, const dual<T, N>& x) { return x * c; }
// (f + d.h) / (g + e.h) = q + (d/g - q e/g).h  with q = f/g
template <class T, int N> ATTUNE_FN dual<T, N> operator/(const dual<T, N>& x, const dual<T, N>& y) {
  const T quotient = x.value / y.value, inverse = T(1) / y.value;
  return chain(x, y, quotient, inverse, -quotient * inverse);
}
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> operator/(const dual<T, N>& x, R c) {
  return chain(x, x.value / T(c), T(1) / T(c));
}
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> operator/(R c, const dual<T, N>& x) {
  const T quotient = T(c) / x.value;
  return chain(x, quotient, -quotient / x.value);
}

// Comparisons see the value: dual with dual, and dual with constant on either side.
#define ATTUNE_DUAL_COMPARISON(op)                                                                                                 \
  template <class T, int N> ATTUNE_FN auto operator op(const dual<T, N>& x, const dual<T, N>& y) { return x.value op y.value; }    \
  template <class T, int N, constant_for<T, N> R> ATTUNE_FN auto operator op(const dual<T, N>& x, R c) { return x.value op T(c); } \
  template <class T, int N, constant_for<T, N> R> ATTUNE_FN auto operator op(R c, const dual<T, N>& x) { return T(c) op x.value; }
ATTUNE_DUAL_COMPARISON(<)
ATTUNE_DUAL_COMPARISON(<=)
ATTUNE_DUAL_COMPARISON(>)
ATTUNE_DUAL_COMPARISON(>=)
ATTUNE_DUAL_COMPARISON(==)
ATTUNE_DUAL_COMPARISON(!=)
#undef ATTUNE_DUAL_COMPARISON

// select takes the whole dual from one side, so the other side's derivative (even an infinite one) has no influence.
template <class Condition, class T, int N>
ATTUNE_FN dual<T, N> select(Condition condition, const dual<T, N>& x, const dual<T, N>& y) {
  dual<T, N> result(select(condition, x.value, y.value));
  for (int i = 0; i < N; ++i) result.grad[i] = select(condition, x.grad[i], y.grad[i]);
  return result;
}
template <class Condition, class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> select(Condition condition, const dual<T, N>& x, R c) {
  return select(condition, x, dual<T, N>(c));
}
template <class Condition, class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> select(Condition condition, R c, const dual<T, N>& x) {
  return select(condition, dual<T, N>(c), x);
}
// |x|: slope -1 left of 0, +1 at 0 and right of it.   max, min: the second argument's derivative at a tie.
template <class T, int N> ATTUNE_FN dual<T, N> abs(const dual<T, N>& x) { return select(x.value < T(0), -x, x); }
template <class T, int N> ATTUNE_FN dual<T, N> max(const dual<T, N>& x, const dual<T, N>& y) {
  return select(x.value > y.value, x, select(x.value != x.value, x, y));
}
template <class T, int N> ATTUNE_FN dual<T, N> min(const dual<T, N>& x, const dual<T, N>& y) {
  return select(x.value < y.value, x, select(x.value != x.value, x, y));
}

template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> max(const dual<T, N>& x, R c) { return max(x, dual<T, N>(c)); }
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> max(R c, const dual<T, N>& x) { return max(dual<T, N>(c), x); }
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> min(const dual<T, N>& x, R c) { return min(x, dual<T, N>(c)); }
template <class T, int N, constant_for<T, N> R> ATTUNE_FN dual<T, N> min(R c, const dual<T, N>& x) { return min(dual<T, N>(c), x); }
// exp(f + d.h) = e^f + e^f d.h
template <class T, int N> ATTUNE_FN dual<T, N> exp(const dual<T, N>& x) {
  const T e = exp(x.value);
  return chain(x, e, e);
}
// expm1(f + d.h) = (e^f - 1) + e^f d.h
template <class T, int N> ATTUNE_FN dual<T, N> expm1(const dual<T, N>& x) { return chain(x, expm1(x.value), exp(x.value)); }
// log(f + d.h) = log f + d/f.h
template <class T, int N> ATTUNE_FN dual<T, N> log(const dual<T, N>& x) { return chain(x, log(x.value), T(1) / x.value); }
// log1p(f + d.h) = log(1 + f) + d/(1 + f).h
template <class T, int N> ATTUNE_FN dual<T, N> log1p(const dual<T, N>& x) { return chain(x, log1p(x.value), T(1) / (T(1) + x.value)); }
template <class T, int N> ATTUNE_FN dual<T, N> log1p_unit(const dual<T, N>& x) { return chain(x, log1p_unit(x.value), T(1) / (T(1) + x.value)); }
// sqrt(f + d.h) = r + d/(2 r).h  with r = sqrt f
template <class T, int N> ATTUNE_FN dual<T, N> sqrt(const dual<T, N>& x) {
  const T root = sqrt(x.value);
  return chain(x, root, T(0.5) / root);
}
// softplus(f + d.h) = softplus(f) + sigmoid(f) d.h
template <class T, int N> ATTUNE_FN dual<T, N> softplus(const dual<T, N>& x) { return chain(x, softplus(x.value), sigmoid(x.value)); }
// sigmoid(f + d.h) = s(f) + s(f) s(-f) d.h
template <class T, int N> ATTUNE_FN dual<T, N> sigmoid(const dual<T, N>& x) {
  const T s = sigmoid(x.value);
  return chain(x, s, s * sigmoid(-x.value));
}
// log_sigmoid(f + d.h) = log s(f) + s(-f) d.h
template <class T, int N> ATTUNE_FN dual<T, N> log_sigmoid(const dual<T, N>& x) {
  return chain(x, log_sigmoid(x.value), sigmoid(-x.value));
}
// log1mexp(f + d.h) = log(1 - e^f) - 1/(e^-f - 1) d.h
template <class T, int N> ATTUNE_FN dual<T, N> log1mexp(const dual<T, N>& x) {
  return chain(x, log1mexp(x.value), log1mexp_slope(x.value));
}
// log_add_exp(f + d.h, g + e.h) = log(e^f + e^g) + (s(f - g) d + s(g - f) e).h
template <class T, int N> ATTUNE_FN dual<T, N> log_add_exp(const dual<T, N>& x, const dual<T, N>& y) {
  return chain(x, y, log_add_exp(x.value, y.value), sigmoid(x.value - y.value), sigmoid(y.value - x.value));
}
namespace detail {
template <class T, int N> ATTUNE_FN dual<T, N> exp_remainder_series(const dual<T, N>& x) { return chain(x, exp_remainder_series(x.value), expm1(x.value)); }
}  // namespace detail
// exp_remainder(f + d.h) = (e^f - 1 - f) + (e^f - 1) d.h
template <class T, int N> ATTUNE_FN dual<T, N> exp_remainder(const dual<T, N>& x) {
  return chain(x, exp_remainder(x.value), expm1(x.value));
}
// log_mean_exp0(f + d.h) = log((1 + e^f)/2) + s(f) d.h
template <class T, int N> ATTUNE_FN dual<T, N> log_mean_exp0(const dual<T, N>& x) {
  return chain(x, log_mean_exp0(x.value), sigmoid(x.value));
}

}  // namespace attune
