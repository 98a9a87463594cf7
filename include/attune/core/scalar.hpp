// SPDX-License-Identifier: MIT
// The few operations from which every formula is built, for float and double, on host and device. core/pack.hpp and core/dual.hpp
// overload the same names, so that one branch-free body serves numbers, lanes of numbers and derivatives of both.
#pragma once

#include <attune/core/config.hpp>  // ATTUNE_FN

#include <cmath>
#include <concepts>
#include <limits>

namespace attune {

/// The real type beneath a scalar: float and double are their own; a dual number's is that of its value; a pack's is itself.
template <class S>
struct real_type {
  using type = S;
};
template <class S>
using real_of = typename real_type<S>::type;

/// The arithmetic type of one lane: float for float, pack<float, N> and dual<pack<float, N>, K>.
template <class S>
struct lane_type {
  using type = S;
};
template <class S>
using lane_of = typename lane_type<S>::type;

template <class T>
concept real = std::same_as<T, float> || std::same_as<T, double>;

/// Constants as variables: device code may read these, but not call the standard library's constexpr functions.
template <real T> inline constexpr T infinity = std::numeric_limits<T>::infinity();
template <real T> inline constexpr T largest = std::numeric_limits<T>::max();
template <real T> inline constexpr T largest_log = std::same_as<T, float> ? T(88) : T(709);  ///< a whole number below log(largest)

template <real T> ATTUNE_FN T exp(T x) { return std::exp(x); }
template <real T> ATTUNE_FN T expm1(T x) { return std::expm1(x); }
template <real T> ATTUNE_FN T log(T x) { return std::log(x); }
template <real T> ATTUNE_FN T log1p(T x) { return std::log1p(x); }
/// log(1 + x) for x in [0, 1]: a name of its own because lanes have a shorter way there.
template <real T> ATTUNE_FN T log1p_unit(T x) { return std::log1p(x); }
template <real T> ATTUNE_FN T sqrt(T x) { return std::sqrt(x); }
template <real T> ATTUNE_FN T abs(T x) { return std::fabs(x); }

/// condition ? a : b, with both evaluated: the only form of choice in a formula that also runs on lanes.
template <real T> ATTUNE_FN T select(bool condition, T a, T b) { return condition ? a : b; }

/// a > b ? a : b and a < b ? a : b, which are b where either is NaN.
template <real T> ATTUNE_FN T larger(T a, T b) { return a > b ? a : b; }
template <real T> ATTUNE_FN T smaller(T a, T b) { return a < b ? a : b; }

/// The larger and the smaller of two; NaN if either is NaN, so that a broken input is never hidden.
template <real T> ATTUNE_FN T max(T a, T b) { return (a > b || a != a) ? a : b; }
template <real T> ATTUNE_FN T min(T a, T b) { return (a < b || a != a) ? a : b; }

}  // namespace attune
