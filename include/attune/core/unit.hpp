// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/dual.hpp>  // chain, is_dual

namespace attune {

/// A scalar unit: a value struct with value(x) and its derivative slope(x), both in closed form and stable over its whole domain.
template <class U, class S = double>
concept scalar_unit = requires(const U& u, S x) {
  { u.value(x) } -> std::convertible_to<S>;
  { u.slope(x) } -> std::convertible_to<S>;
};

/// Slope of the unit at x. A dual argument (second derivatives) goes through the body of slope itself.
template <class Unit, class S>
ATTUNE_FN S apply_slope(const Unit& unit, const S& x) {
  return unit.slope(x);
}

/// Unit at x: for a dual argument, unit(f + d.h) = value(f) + slope(f) d.h. So a derivative passes through a unit by the closed form
/// that was proved once, whatever the unit is part of.
template <class Unit, class S>
ATTUNE_FN S apply(const Unit& unit, const S& x) {
  if constexpr (is_dual<S>) {
    return chain(x, apply(unit, x.value), apply_slope(unit, x.value));
  } else {
    return unit.value(x);
  }
}

}  // namespace attune
