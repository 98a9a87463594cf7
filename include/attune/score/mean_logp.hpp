// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/pair.hpp>  // completion

namespace attune::score {

/// Mean log-probability per token  s(y) = log pi(y) / |y|  [nat/token], |y| > 0. Needs no reference model.
/// Source   SimPO, Meng et al. 2024, arXiv:2405.14734, eq. 4.
struct mean_logp {
  template <class S> ATTUNE_FN S operator()(const completion<S>& y) const { return y.mean_logp(); }
};

}  // namespace attune::score
