// SPDX-License-Identifier: MIT
// Lanes of numbers: the same formula on N samples at once, written with the compiler's vector extension (no intrinsics).
//
// Why explicit lanes and not the autovectoriser: a loop over scalar functors or scalar duals silently stops being vectorised with
// small changes of code, flags or compiler (5 to 50 times slower, still right). Over packs it cannot.
// For float, exp, expm1, log and log1p are polynomials on all lanes; for double they call the standard library lane by lane.
#pragma once

#include <attune/core/math.hpp>  // scalar exp, log, ...

#include <cstdint>
#include <type_traits>

namespace attune {

namespace detail {
/// e^r for |r| <= log(2)/2, coefficients of 1, r, r^2, ...: minimax polynomial, relative error 3.1e-9.
inline constexpr float exp_polynomial[7] = {1, 1, 0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558aap-5f, 0x1.12396cp-7f, 0x1.6a5232p-10f};
}  // namespace detail

#if defined(__CUDACC__)  // Device compilers have no vector extension: there, a lane is a plain number.
template <real T> using native_pack = T;
#else

/// Bytes of the widest vector register that this translation unit is compiled for. It is a template argument of everything that
/// depends on it, so units compiled for different machines can be linked together.
#if defined(__AVX512F__)
inline constexpr int native_vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr int native_vector_bytes = 32;
#else
inline constexpr int native_vector_bytes = 16;
#endif

namespace detail {

// Comparisons of vectors of so many bytes, and the choice by their result. g++ fixes the kind of truth value that a comparison gives (bits
// or bytes) where the comparison is written, by the instructions that are allowed there, and takes vectors apart that do not fit. So for
// vectors wider than the translation unit's, which occur in kernels (exec/instruction_set.hpp), these functions allow what kernels allow.
template <int Bytes, int Native = native_vector_bytes> struct comparison;
// g++ does not see by itself that this choice is an instruction of AVX-512.
#if defined(__x86_64__) && !defined(__clang__)
template <class V> concept sixteen_floats = sizeof(V) == 64 && std::is_same_v<std::remove_cvref_t<decltype(V{}[0])>, float>;
#define ATTUNE_LARGER if constexpr (sixteen_floats<V>) return {__builtin_ia32_maxps512_mask(a, b, b, -1, 4)}; else return {a > b ? a : b}
#define ATTUNE_SMALLER if constexpr (sixteen_floats<V>) return {__builtin_ia32_minps512_mask(a, b, b, -1, 4)}; else return {a < b ? a : b}
#else
#define ATTUNE_LARGER return {a > b ? a : b}
#define ATTUNE_SMALLER return {a < b ? a : b}
#endif
#define ATTUNE_COMPARISONS(specifiers)                                                                                      \
  template <class M, class V> specifiers static M less(const V& a, const V& b) { return {a < b}; }                          \
  template <class M, class V> specifiers static M less_equal(const V& a, const V& b) { return {a <= b}; }                   \
  template <class M, class V> specifiers static M greater(const V& a, const V& b) { return {a > b}; }                       \
  template <class M, class V> specifiers static M greater_equal(const V& a, const V& b) { return {a >= b}; }                \
  template <class M, class V> specifiers static M equal(const V& a, const V& b) { return {a == b}; }                        \
  template <class M, class V> specifiers static M unequal(const V& a, const V& b) { return {a != b}; }                      \
  template <class P, class C, class V> specifiers static P choose(const C& c, const V& a, const V& b) { return {c ? a : b}; }                \
  template <class P, class V> specifiers static P larger(const V& a, const V& b) { ATTUNE_LARGER; }                                  \
  template <class P, class V> specifiers static P smaller(const V& a, const V& b) { ATTUNE_SMALLER; }
template <int Bytes, int Native> struct comparison { ATTUNE_COMPARISONS(ATTUNE_PACK_FN) };
#if defined(__x86_64__) && !defined(__AVX__)
template <int Native> struct comparison<32, Native> { ATTUNE_COMPARISONS(__attribute__((target(ATTUNE_TARGET_AVX2))) inline) };
#endif
#if defined(__x86_64__) && !defined(__AVX512F__)
template <int Native> struct comparison<64, Native> { ATTUNE_COMPARISONS(__attribute__((target(ATTUNE_TARGET_AVX512))) inline) };
#endif
#undef ATTUNE_COMPARISONS
#undef ATTUNE_LARGER
#undef ATTUNE_SMALLER

}  // namespace detail

/// Result of comparing packs: one truth value a lane.
template <class T, int N>
struct pack_mask {
  using integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef integer vector __attribute__((vector_size(N * sizeof(T))));
  vector v;  // 0 or -1 in each lane

  ATTUNE_PACK_FN pack_mask(const vector& lanes) : v(lanes) {}
  ATTUNE_PACK_FN pack_mask(const pack_mask& x) : v(x.v) {}
  ATTUNE_PACK_FN pack_mask& operator=(const pack_mask& x) { v = x.v; return *this; }

  friend ATTUNE_PACK_FN pack_mask operator&(const pack_mask& a, const pack_mask& b) { return {a.v & b.v}; }
  friend ATTUNE_PACK_FN pack_mask operator|(const pack_mask& a, const pack_mask& b) { return {a.v | b.v}; }
  friend ATTUNE_PACK_FN pack_mask operator!(const pack_mask& a) { return {~a.v}; }
};

/// Copying is spelled out in packs and masks to make them types that a function call always passes by address. A vector itself is passed
/// in a register or in memory, depending on the instructions that caller and callee are compiled for; here these may differ.
template <class T, int N>
struct pack {
  using mask = pack_mask<T, N>;
  using integer = typename mask::integer;
  using integers = typename mask::vector;
  typedef T vector __attribute__((vector_size(N * sizeof(T))));
  using compare = detail::comparison<N * int(sizeof(T))>;
  vector v;

  ATTUNE_PACK_FN pack() : v{} {}
  ATTUNE_PACK_FN pack(const vector& lanes) : v(lanes) {}
  ATTUNE_PACK_FN pack(const pack& x) : v(x.v) {}
  ATTUNE_PACK_FN pack& operator=(const pack& x) { v = x.v; return *this; }
  /// The same number in every lane; a double is rounded to T once.
  template <class A>
    requires std::is_arithmetic_v<A>
  ATTUNE_PACK_FN pack(A x) : v(vector{} + static_cast<T>(x)) {}

  T operator[](int i) const { return v[i]; }

  friend ATTUNE_PACK_FN pack operator-(const pack& a) { ATTUNE_FUSE return {-a.v}; }
  friend ATTUNE_PACK_FN pack operator+(const pack& a, const pack& b) { ATTUNE_FUSE return {a.v + b.v}; }
  friend ATTUNE_PACK_FN pack operator-(const pack& a, const pack& b) { ATTUNE_FUSE return {a.v - b.v}; }
  friend ATTUNE_PACK_FN pack operator*(const pack& a, const pack& b) { ATTUNE_FUSE return {a.v * b.v}; }
  friend ATTUNE_PACK_FN pack operator/(const pack& a, const pack& b) { return {a.v / b.v}; }
  friend ATTUNE_PACK_FN mask operator<(const pack& a, const pack& b) { return compare::template less<mask>(a.v, b.v); }
  friend ATTUNE_PACK_FN mask operator<=(const pack& a, const pack& b) { return compare::template less_equal<mask>(a.v, b.v); }
  friend ATTUNE_PACK_FN mask operator>(const pack& a, const pack& b) { return compare::template greater<mask>(a.v, b.v); }
  friend ATTUNE_PACK_FN mask operator>=(const pack& a, const pack& b) { return compare::template greater_equal<mask>(a.v, b.v); }
  friend ATTUNE_PACK_FN mask operator==(const pack& a, const pack& b) { return compare::template equal<mask>(a.v, b.v); }
  friend ATTUNE_PACK_FN mask operator!=(const pack& a, const pack& b) { return compare::template unequal<mask>(a.v, b.v); }
};

template <class T, int N>
struct lane_type<pack<T, N>> {
  using type = T;
};

template <class T, int N>
ATTUNE_PACK_FN pack<T, N> select(const pack_mask<T, N>& condition, const std::type_identity_t<pack<T, N>>& a, const std::type_identity_t<pack<T, N>>& b) {
  return pack<T, N>::compare::template choose<pack<T, N>>(condition.v, a.v, b.v);
}
template <class T, int N>
ATTUNE_PACK_FN pack<T, N> abs(pack<T, N> a) {
  using P = pack<T, N>;
  constexpr typename P::integer magnitude = std::numeric_limits<typename P::integer>::max();
  return {__builtin_bit_cast(typename P::vector, __builtin_bit_cast(typename P::integers, a.v) & magnitude)};
}
/// a > b ? a : b and a < b ? a : b, which are b where either is NaN: one instruction, where max and min take four.
template <class T, int N> ATTUNE_PACK_FN pack<T, N> larger(const pack<T, N>& a, const pack<T, N>& b) {
  return pack<T, N>::compare::template larger<pack<T, N>>(a.v, b.v);
}
template <class T, int N> ATTUNE_PACK_FN pack<T, N> smaller(const pack<T, N>& a, const pack<T, N>& b) {
  return pack<T, N>::compare::template smaller<pack<T, N>>(a.v, b.v);
}
template <class T, int N> ATTUNE_PACK_FN pack<T, N> max(pack<T, N> a, pack<T, N> b) { return select((a > b) | (a != a), a, b); }
template <class T, int N> ATTUNE_PACK_FN pack<T, N> min(pack<T, N> a, pack<T, N> b) { return select((a < b) | (a != a), a, b); }

template <class T, int N, class A> requires std::is_arithmetic_v<A> ATTUNE_PACK_FN pack<T, N> max(pack<T, N> a, A b) { return max(a, pack<T, N>(b)); }
template <class T, int N, class A> requires std::is_arithmetic_v<A> ATTUNE_PACK_FN pack<T, N> max(A a, pack<T, N> b) { return max(pack<T, N>(a), b); }
template <class T, int N, class A> requires std::is_arithmetic_v<A> ATTUNE_PACK_FN pack<T, N> min(pack<T, N> a, A b) { return min(a, pack<T, N>(b)); }
template <class T, int N, class A> requires std::is_arithmetic_v<A> ATTUNE_PACK_FN pack<T, N> min(A a, pack<T, N> b) { return min(pack<T, N>(a), b); }

template <real T> using native_pack = pack<T, native_vector_bytes / int(sizeof(T))>;

namespace detail {

template <class T, int N, class F>
pack<T, N> each_lane(pack<T, N> x, F f) {
  for (int i = 0; i < N; ++i) x.v[i] = f(x.v[i]);
  return x;
}

// e^x = 2^n e^r with n = round(x / log 2) and |r| <= log(2)/2; log 2 is split in two so that r is exact (Cody and Waite).
// 2^n is applied in two factors, so that results pass gradually through the subnormal numbers to 0 and overflow to inf only where e^x does.
template <int N>
struct exp_parts {
  using F = pack<float, N>;
  using integers = typename F::integers;
  F r, half1, half2;

  ATTUNE_PACK_FN explicit exp_parts(F x) {
    x = smaller(F(89.0f), larger(F(-104.0f), x));  // NaN passes
    const F shifted = x * F(0x1.715476p0f) + F(12582912.0f), k = shifted - F(12582912.0f);  // 1.5 2^23: the last bits of `shifted` are n
    const integers n = __builtin_bit_cast(integers, shifted.v) - 0x4B400000;
    r = x - k * F(0x1.62e400p-1f);
    r = r - k * F(0x1.7f7d1cp-20f);
    const integers low = n >> 1;
    half1 = power_of_two(low);
    half2 = power_of_two(n - low);
  }
  static ATTUNE_PACK_FN F power_of_two(const integers& n) { return {__builtin_bit_cast(typename F::vector, (n + 127) << 23)}; }
  /// e^r - 1 = r + r^2 P(r). Of the polynomial, terms that do not need each other are written side by side (Estrin): a loop over samples
  /// waits for the results of one operation after the other, not for room to do them.
  ATTUNE_PACK_FN F expm1() const {
    constexpr const float (&c)[7] = exp_polynomial;
    const F r2 = r * r, low = F(c[3]) * r + F(c[2]), high = F(c[5]) * r + F(c[4]);
    return ((F(c[6]) * r2 + high) * r2 + low) * r2 + r;
  }
};

// log x = e log 2 + log1p(m) with x = 2^e (1 + m) and 1 + m in [sqrt(1/2), sqrt 2); `correction` is added to m's numerator
// (log1p passes what 1 + x lost to rounding). log1p(m) = m - m^2/2 + m^3 P(m), P minimax of degree 6.
template <int N>
ATTUNE_PACK_FN pack<float, N> log_core(pack<float, N> x, pack<float, N> lost) {
  using F = pack<float, N>;
  using integers = typename F::integers;
  const auto subnormal = x < F(0x1p-126f);
  x = select(subnormal, x * F(0x1p24f), x);
  const integers bits = __builtin_bit_cast(integers, x.v) & 0x7fffffff;  // no sign: of x < 0 callers make NaN, and nothing may overflow here
  const integers exponent = (bits - 0x3f3504f3) >> 23;  // 0x3f3504f3 is sqrt(1/2)
  const F scaled{__builtin_bit_cast(typename F::vector, bits - (exponent << 23))};
  const F e = F{__builtin_convertvector(exponent, typename F::vector)} - select(subnormal, F(24.0f), F(0.0f));
  const F m = (scaled - F(1.0f)) + lost * (scaled / x);
  F p = F(-0x1.33a1fcp-4f);
  p = p * m + F(0x1.04fe9ep-3f);
  p = p * m + F(-0x1.0e273cp-3f);
  p = p * m + F(0x1.22e9c0p-3f);
  p = p * m + F(-0x1.5464bap-3f);
  p = p * m + F(0x1.999f96p-3f);
  p = p * m + F(-0x1.000276p-2f);
  p = p * m + F(0x1.555554p-2f);
  p = p * m + F(-0x1.fffffep-2f);
  return e * F(0x1.62e400p-1f) + (e * F(0x1.7f7d1cp-20f) + (m * m * p + m));
}

}  // namespace detail

template <int N>
ATTUNE_PACK_FN pack<float, N> exp(pack<float, N> x) {
  const detail::exp_parts<N> parts(x);
  return (parts.expm1() + 1.0f) * parts.half1 * parts.half2;
}
template <int N>
ATTUNE_PACK_FN pack<float, N> expm1(pack<float, N> x) {
  using F = pack<float, N>;
  const detail::exp_parts<N> parts(x);
  const F scale = parts.half1 * parts.half2, m = parts.expm1();
  const F result = select(abs(x) < F(64.0f), m * scale + (scale - F(1.0f)), (m + F(1.0f)) * parts.half1 * parts.half2 - F(1.0f));
  return select(abs(x) < F(0x1p-30f), x, result);  // keeps subnormal arguments and the sign of zero
}
template <int N>
ATTUNE_PACK_FN pack<float, N> log(pack<float, N> x) {
  using F = pack<float, N>;
  const F inf = F(std::numeric_limits<float>::infinity()), nan = F(std::numeric_limits<float>::quiet_NaN());
  const F finite = detail::log_core(x, F(0.0f));
  return select(x > F(0.0f), select(x < inf, finite, inf), select(x == F(0.0f), -inf, nan));
}
template <int N>
ATTUNE_PACK_FN pack<float, N> log1p(pack<float, N> x) {
  using F = pack<float, N>;
  const F inf = F(std::numeric_limits<float>::infinity()), nan = F(std::numeric_limits<float>::quiet_NaN());
  const F u = x + F(1.0f);
  const F lost = select(x < F(1.0f), x - (u - F(1.0f)), F(1.0f) - (u - x));  // u + lost == 1 + x exactly
  const F finite = select(abs(x) < F(0x1p-30f), x, detail::log_core(u, select(u < inf, lost, F(0.0f))));
  return select(x > F(-1.0f), select(x < inf, finite, inf), select(x == F(-1.0f), -inf, nan));
}
// log1p(x) / x on [0, 1]: minimax polynomial of degree 9.
template <int N>
ATTUNE_PACK_FN pack<float, N> log1p_unit(pack<float, N> x) {
  using F = pack<float, N>;
  const F x2 = x * x, x4 = x2 * x2;
  const F p01 = F(0x1.554dd0p-2f) * x + F(-0x1.ffffd2p-2f), p23 = F(0x1.934b54p-3f) * x + F(-0x1.ff23e6p-3f);
  const F p45 = F(0x1.b4ae08p-4f) * x + F(-0x1.3a435ep-3f), p67 = F(0x1.4917cep-6f) * x + F(-0x1.d6b08cp-5f);
  const F low = p23 * x2 + p01, high = F(-0x1.af49cep-9f) * x4 + (p67 * x2 + p45);  // side by side, as in exp
  return (high * x4 + low) * x2 + x;
}
template <class T, int N> pack<T, N> exp(pack<T, N> x) { return detail::each_lane(x, [](T a) { return std::exp(a); }); }
template <class T, int N> pack<T, N> expm1(pack<T, N> x) { return detail::each_lane(x, [](T a) { return std::expm1(a); }); }
template <class T, int N> pack<T, N> log(pack<T, N> x) { return detail::each_lane(x, [](T a) { return std::log(a); }); }
template <class T, int N> pack<T, N> log1p(pack<T, N> x) { return detail::each_lane(x, [](T a) { return std::log1p(a); }); }
template <class T, int N> pack<T, N> log1p_unit(pack<T, N> x) { return log1p(x); }
template <class T, int N> pack<T, N> sqrt(pack<T, N> x) { return detail::each_lane(x, [](T a) { return std::sqrt(a); }); }

#endif
}  // namespace attune
