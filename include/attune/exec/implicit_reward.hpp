// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/completion.hpp>

namespace attune::detail {

/// Implicit reward of a completion, for the metrics: the objective's own definition, else beta x log-ratio, else the log-ratio.
ATTUNE_CALLS_ANY
template <class O, class P>
ATTUNE_FN P implicit_reward(const O& objective, const completion<P>& y) {
  if constexpr (requires { objective.reward(y); }) {
    return objective.reward(y);
  } else if constexpr (requires { objective.beta; }) {
    return P(lane_of<P>(objective.beta)) * y.log_ratio();
  } else {
    return y.log_ratio();
  }
}

}  // namespace attune::detail
