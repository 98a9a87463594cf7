// SPDX-License-Identifier: MIT
// The functions of core/math.hpp as scalar units, value and slope, so that they are catalogued and proved like every other unit.
#pragma once

#include <attune/core/pack.hpp>
#include <attune/core/unit.hpp>

namespace attune::function {

struct softplus {
  template <class S> ATTUNE_FN S value(S x) const { return attune::softplus(x); }
  template <class S> ATTUNE_FN S slope(S x) const { return attune::sigmoid(x); }
};
struct sigmoid {
  template <class S> ATTUNE_FN S value(S x) const { return attune::sigmoid(x); }
  template <class S> ATTUNE_FN S slope(S x) const { return attune::sigmoid(x) * attune::sigmoid(-x); }
};
struct log_sigmoid {
  template <class S> ATTUNE_FN S value(S x) const { return attune::log_sigmoid(x); }
  template <class S> ATTUNE_FN S slope(S x) const { return attune::sigmoid(-x); }
};
struct log1mexp {
  template <class S> ATTUNE_FN S value(S x) const { return attune::log1mexp(x); }
  template <class S> ATTUNE_FN S slope(S x) const { return attune::log1mexp_slope(x); }
};
struct exp_remainder {
  template <class S> ATTUNE_FN S value(S x) const { return attune::exp_remainder(x); }
  template <class S> ATTUNE_FN S slope(S x) const { return attune::expm1(x); }
};
struct log_mean_exp0 {
  template <class S> ATTUNE_FN S value(S x) const { return attune::log_mean_exp0(x); }
  template <class S> ATTUNE_FN S slope(S x) const { return attune::sigmoid(x); }
};

}  // namespace attune::function
