// SPDX-License-Identifier: MIT
// The exponentials of a row: most of the work of everything that is done to logits. Three of them, each as exact as its use needs.
//
//   exp_term         a term of a sum over the row
//   row_exp          an element of a result in float
//   coarse_row_exp   an element of a result that is rounded to 16 bits
//
// All are a power of 2 times a minimax polynomial.
#pragma once

#include <attune/exec/instruction_set.hpp>  // packs, ATTUNE_TARGET_AVX512

#include <cmath>

namespace attune::detail {

// What follows is given to a kernel as numbers. There, before its loop, it becomes packs: g++ does not take the copies out of the loop.

/// Distance of a logit to a number near the row's largest, (x_v - top) / temperature: exact where x_v is near the top, so an offset common
/// to the whole row costs no accuracy.
template <class A> struct row_scale {
  A top, inverse_temperature;

  template <class P> ATTUNE_PACK_FN row_scale<P> as() const { return {P(top), P(inverse_temperature)}; }
  ATTUNE_PACK_FN A operator()(const A& x) const { return (x - top) * inverse_temperature; }
};

/// The exponents of exp_term are powers of 2 for float, of e for double: so many of them are a nat.
template <real A> inline constexpr A term_unit = std::same_as<A, float> ? A(0x1.715476p0) : A(1);
/// The scale on which z(x) is the exponent of exp_term.
template <real A> row_scale<A> term_scale(double top, double inverse_temperature) {
  return {static_cast<A>(top), static_cast<A>(inverse_temperature) * term_unit<A>};
}

#if !defined(__CUDACC__)

/// A number t >= -159 as n + rest with whole n and |rest| <= 1/2, and what 2^n multiplies.
template <int N> struct binary_exponent {
  using F = pack<float, N>;
  using integers = typename F::integers;
  F rest, shifted;  // n + 1.5 2^23: its last bits are n

  /// t, or `least` if that is larger.
  ATTUNE_PACK_FN binary_exponent(const F& t, float least) : rest(larger(F(least), t)), shifted(rest + F(12582912.0f)) {
    rest = rest - (shifted - F(12582912.0f));
  }
  /// p 2^(n + bias), for -127 <= n + bias <= 127; 0 for -127.
  ATTUNE_PACK_FN F scale(const F& p, int bias) const {
    return p * F{__builtin_bit_cast(typename F::vector, (__builtin_bit_cast(integers, shifted.v) << 23) + ((127 + bias) << 23))};
  }
};

// AVX-512 has instructions for both, and for any t: then nothing need be bounded.
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define ATTUNE_AVX512_FN ATTUNE_PACK_FN
#elif defined(__x86_64__) && !defined(__AVX512F__)
#define ATTUNE_AVX512_FN __attribute__((target(ATTUNE_TARGET_AVX512))) inline
#endif
#if defined(ATTUNE_AVX512_FN)
#if defined(__clang__)
#define ATTUNE_REDUCE(x) __builtin_ia32_reduceps512_mask(x, 8, x, 0xffff, 4)
#define ATTUNE_SCALE(x, n) __builtin_ia32_scalefps512_mask(x, n, x, 0xffff, 4)
#else
#define ATTUNE_REDUCE(x) __builtin_ia32_reduceps512_mask_round(x, 8, x, -1, 4)
#define ATTUNE_SCALE(x, n) __builtin_ia32_scalefps512_mask(x, n, x, -1, 4)
#endif
template <> struct binary_exponent<16> {
  using F = pack<float, 16>;
  F rest, t;

  ATTUNE_AVX512_FN binary_exponent(const F& x, float) : rest(ATTUNE_REDUCE(x.v)), t(x) {}
  ATTUNE_AVX512_FN F scale(const F& p, int bias) const {
    return {ATTUNE_SCALE(p.v, (t - rest + F(bias)).v)};
  }
};
#undef ATTUNE_REDUCE
#undef ATTUNE_SCALE
#undef ATTUNE_AVX512_FN
#endif

/// 2^t, to 3 ulp near 1 and an error of |t| ulp below it, where a term is weighted by its own size. Exponents up to 127; what is smaller
/// than 2^-126 counts as that, or as what it is. NaN stays NaN.
template <int N> ATTUNE_PACK_FN pack<float, N> exp_term(const pack<float, N>& t) {
  using F = pack<float, N>;
  const binary_exponent<N> exponent(t, -126.0f);
  F p = F(0x1.5bd97cp-10f);  // relative error 9.3e-8
  p = p * exponent.rest + F(0x1.3ce8b2p-7f);
  p = p * exponent.rest + F(0x1.c6b6dap-5f);
  p = p * exponent.rest + F(0x1.ebf9c2p-3f);
  p = p * exponent.rest + F(0x1.62e42ap-1f);
  p = p * exponent.rest + F(1.0f);
  return exponent.scale(p, 0);
}
template <int N> ATTUNE_PACK_FN pack<double, N> exp_term(const pack<double, N>& t) { return exp(t); }

#endif

// On numbers, where there are no packs.
template <real A> ATTUNE_FN A exp_term(A t) { return exp(t / term_unit<A>); }

/// x -> factor e^{(x - top) / temperature} for x <= top, to 1 ulp, and exactly 0 where that is less than 2^-158 factor.
///
/// With d = x - top: e^{d / temperature} = 2^n e^{r / temperature}, n = round(d log2(e) / temperature), r = d - n log(2) temperature with
/// |r| <= log(2) temperature / 2. log(2) temperature is split in two so that r is exact (Cody and Waite; n times the first half is exact,
/// with or without fused operations). The polynomial in r contains temperature and factor: neither costs an operation. It also contains
/// 2^-32, and the power of 2 2^32: so results pass through the subnormal numbers to 0, and the power is a normal number.
template <class A> struct row_exp {
  A top, inverse_temperature, factor, least, per_step, step_high, step_low, c[7];

  row_exp(const row_scale<A>& z, double given_factor) requires real<A>
      : top(z.top), inverse_temperature(z.inverse_temperature), factor(static_cast<A>(given_factor)) {
    const double rate = z.inverse_temperature, step = 0x1.62e42fefa39efp-1 / rate;
    least = static_cast<A>(-159 * step);
    per_step = static_cast<A>(1 / step);
    const int exponent = std::ilogb(step);
    step_high = static_cast<A>(std::ldexp(std::nearbyint(std::ldexp(step, 14 - exponent)), exponent - 14));
    step_low = static_cast<A>(step - static_cast<double>(step_high));
    double power = given_factor * 0x1p-32;
    for (int i = 0; i < 7; ++i, power *= rate) c[i] = static_cast<A>(static_cast<double>(exp_polynomial[i]) * power);
  }
  template <class B>
  ATTUNE_PACK_FN explicit row_exp(const row_exp<B>& x)
      : top(x.top), inverse_temperature(x.inverse_temperature), factor(x.factor), least(x.least), per_step(x.per_step), step_high(x.step_high),
        step_low(x.step_low), c{A(x.c[0]), A(x.c[1]), A(x.c[2]), A(x.c[3]), A(x.c[4]), A(x.c[5]), A(x.c[6])} {}
  template <class P> ATTUNE_PACK_FN row_exp<P> as() const { return row_exp<P>(*this); }

  ATTUNE_PACK_FN A operator()(const A& x) const {
#if !defined(__CUDACC__)
    if constexpr (std::same_as<lane_of<A>, float> && !real<A>) {
      using integers = typename A::integers;
      const A d = larger(least, x - top), shifted = d * per_step + A(12582912.0f), n = shifted - A(12582912.0f);
      const A r = (d - n * step_high) - n * step_low;
      A p = c[6];
      p = p * r + c[5];
      p = p * r + c[4];
      p = p * r + c[3];
      p = p * r + c[2];
      p = p * r + c[1];
      p = p * r + c[0];
      return p * A{__builtin_bit_cast(typename A::vector, (__builtin_bit_cast(integers, shifted.v) << 23) + ((127 + 32) << 23))};  // 0 for n = -159
    }
#endif
    return factor * exp((x - top) * inverse_temperature);
  }
};

/// The same for results that are rounded to 16 bits, to 3e-6 + 6e-8 |(x - top) / temperature|: a hundredth of that rounding.
template <class A> struct coarse_row_exp {
  A top, units, c[5];

  coarse_row_exp(const row_scale<A>& z, double factor) requires real<A> : top(z.top), units(z.inverse_temperature * term_unit<float>) {
    // 2^r: minimax polynomial of degree 4 for |r| <= 1/2, relative error 2.6e-6
    constexpr double coefficients[5] = {0x1.ffffe8p-1, 0x1.62e0dcp-1, 0x1.ec06dap-3, 0x1.ca1440p-5, 0x1.3997d6p-7};
    for (int i = 0; i < 5; ++i) c[i] = static_cast<A>(coefficients[i] * factor * 0x1p-32);
  }
  template <class B>
  ATTUNE_PACK_FN explicit coarse_row_exp(const coarse_row_exp<B>& x)
      : top(x.top), units(x.units), c{A(x.c[0]), A(x.c[1]), A(x.c[2]), A(x.c[3]), A(x.c[4])} {}
  template <class P> ATTUNE_PACK_FN coarse_row_exp<P> as() const { return coarse_row_exp<P>(*this); }

  ATTUNE_PACK_FN A operator()(const A& x) const {
#if !defined(__CUDACC__)
    if constexpr (!real<A>) {
      const binary_exponent<int(sizeof(A) / sizeof(float))> t((x - top) * units, -159.0f);
      A p = c[4];
      p = p * t.rest + c[3];
      p = p * t.rest + c[2];
      p = p * t.rest + c[1];
      p = p * t.rest + c[0];
      return t.scale(p, 32);
    }
#endif
    return c[0] * A(0x1p32f) * exp((x - top) * units * A(1 / term_unit<float>));
  }
};

}  // namespace attune::detail
