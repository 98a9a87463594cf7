// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/core/unit.hpp>

namespace attune::reward {

/// Polynomial of degree 5 in place of PAR's sigmoid, of the centred reward x = r - r_ref:
///
///   f(x)  = 1/2 + first x + third x^3 + fifth x^5    for |x| < width, 0 for x <= -width, 1 for x >= width
///   f'(x) = first + 3 third x^2 + 5 fifth x^4        for |x| < width, else 0
///
/// x, width > 0 [nat]; first [1/nat], third [1/nat^3], fifth [1/nat^5]: any real. By default the least-squares fit to sigmoid(x) at 100
/// equally spaced points of [-5, 5], whose even coefficients vanish. It is within 0.018 of the sigmoid there and rises, but leaves [0, 1]
/// by 0.011 at the ends, where it jumps: as its source has it.
/// Source   the authors' code of PAR, arXiv:2502.18770, repository PorUna-byte/PAR at 257865a (fittedpoly).
struct polynomial {
  double first = 0.22878851177826098;
  double third = -0.010130912056492036;
  double fifth = 0.00020266916983218414;
  double width = 5;

  template <class S> ATTUNE_FN S value(S x) const {
    const S square = x * x, inside = S(0.5) + x * (of<S>(first) + square * (of<S>(third) + square * of<S>(fifth)));
    const S outside = select(x >= of<S>(width), S(1), select(x <= of<S>(-width), S(0), x));  // NaN stays
    return select(abs(x) < of<S>(width), inside, outside);
  }
  template <class S> ATTUNE_FN S slope(S x) const {
    const S square = x * x, inside = of<S>(first) + square * (of<S>(3 * third) + square * of<S>(5 * fifth));
    return select(abs(x) >= of<S>(width), S(0), inside);
  }

  static constexpr auto parameters() {
    return std::array{parameter<polynomial>{"first", &polynomial::first, real_line, "coefficient of x [1/nat]"},
                      parameter<polynomial>{"third", &polynomial::third, real_line, "coefficient of x^3 [1/nat^3]"},
                      parameter<polynomial>{"fifth", &polynomial::fifth, real_line, "coefficient of x^5 [1/nat^5]"},
                      parameter<polynomial>{"width", &polynomial::width, positive, "size of x beyond which the result is 0 or 1 [nat]"}};
  }

 private:
  template <class S> static ATTUNE_FN S of(double number) { return S(lane_of<S>(number)); }
};

}  // namespace attune::reward
