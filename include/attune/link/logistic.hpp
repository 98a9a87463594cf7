// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/core/unit.hpp>

namespace attune::link {

/// Logistic link: the negative log-likelihood of the Bradley-Terry model, and the link of DPO.
///
///   phi(z)  = -log sigmoid(z) = log(1 + e^-z)       z: margin [nat], any real
///   phi'(z) = -sigmoid(-z)
///
/// Limits   +inf at -inf (as -z), log 2 at 0, 0 at +inf. Convex, decreasing.
/// Source   Rafailov et al. 2023, arXiv:2305.18290, eq. 7.
struct logistic {
  template <class S> ATTUNE_FN S value(S z) const { return softplus(-z); }
  template <class S> ATTUNE_FN S slope(S z) const { return -sigmoid(-z); }
};

/// Logistic link with label smoothing: labels are flipped with probability e ("conservative" DPO).
///
///   phi(z)  = -(1 - e) log sigmoid(z) - e log sigmoid(-z) = log(1 + e^-z) + e z        e = label_smoothing
///   phi'(z) = e - sigmoid(-z)
///
/// Limits   +inf at both ends for e > 0; minimum at z = log((1 - e)/e). Convex. e = 0 is `logistic`.
/// Source   E. Mitchell, "A note on DPO with noisy preferences", 2023.
struct smoothed_logistic {
  double label_smoothing = 0.1;

  template <class S> ATTUNE_FN S value(S z) const {
    const S e = S(lane_of<S>(label_smoothing));
    return (S(1) - e) * softplus(-z) + e * softplus(z);  // no cancellation: both terms are positive
  }
  template <class S> ATTUNE_FN S slope(S z) const { return S(lane_of<S>(label_smoothing)) - sigmoid(-z); }

  static constexpr auto parameters() {
    return std::array{parameter<smoothed_logistic>{"label_smoothing", &smoothed_logistic::label_smoothing,
                                                   {.lower = 0, .upper = 0.5, .includes_lower = true}, "probability that a label is flipped"}};
  }
};

}  // namespace attune::link
