// SPDX-License-Identifier: MIT
// How the rewards of several completions are read: what best-of-n, expert iteration, Quark and pair rules have in common.
#pragma once

#include <attune/core/view.hpp>

#include <cmath>

namespace attune::reward::detail {

template <class X>
using element_of = std::remove_const_t<typename decltype(as_view<1>(std::declval<X>()))::element>;

/// Rewards, each a number to be compared with the others: throws attune::error for one that is NaN or infinite, except under a mask of 0.
template <tensor Rewards>
auto comparable(Rewards&& rewards, view<const std::uint8_t> mask = {}, const char* name = "reward") {
  static_assert(real<element_of<Rewards>>, "attune: rewards are float or double");
  const view<const element_of<Rewards>> r = as_view<1>(static_cast<Rewards&&>(rewards));
  if (!mask.absent()) attune::detail::require_extent(mask.extent(0), r.extent(0), "mask", "rewards");
  for (std::int64_t i = 0; i < r.extent(0); ++i) {
    if ((mask.absent() || mask(i) != 0) && !std::isfinite(r(i))) {
      throw error(std::string("attune: ") + name + " " + attune::detail::text((long long)i) + " is " + attune::detail::text(double(r(i))) + "; expected a finite number");
    }
  }
  return r;
}

/// The first of the highest (sign 1) or of the lowest (sign -1). Throws attune::error for none.
template <class T>
std::int64_t first_extreme(const view<const T>& r, double sign, const char* name) {
  if (r.extent(0) == 0) throw error(std::string("attune: ") + name + " has 0 elements; expected the reward of 1 completion or more");
  std::int64_t found = 0;
  for (std::int64_t i = 1; i < r.extent(0); ++i) found = sign * double(r(i)) > sign * double(r(found)) ? i : found;
  return found;
}

}  // namespace attune::reward::detail
