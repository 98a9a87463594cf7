// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/core/unit.hpp>

namespace attune::reward {

/// Slow growth, fast convergence: PAR's sigmoid moved to the right, of the centred reward x = r - r_ref:
///
///   f(x)  = sigmoid(k (x - shift))                x, shift: reward above that of a reference answer [nat], any real;  k in (0, inf) [1/nat]
///   f'(x) = k sigmoid(k (x - shift)) sigmoid(-k (x - shift))
///
/// In (0, 1), 1/2 at x = shift. The rival that grows fast only far above the reference: against it PAR's study argues for growth that is
/// fast at the reference and slow above it. shift = 0 is par.
/// Source   the authors' code of PAR, arXiv:2502.18770, repository PorUna-byte/PAR at 257865a (sgfc: sigmoid(3 (x - 3))).
struct sgfc {
  double k = 3;
  double shift = 3;

  template <class S> ATTUNE_FN S value(S x) const { return sigmoid(scaled(x)); }
  template <class S> ATTUNE_FN S slope(S x) const { return S(lane_of<S>(k)) * sigmoid(scaled(x)) * sigmoid(-scaled(x)); }

  static constexpr auto parameters() {
    return std::array{parameter<sgfc>{"k", &sgfc::k, positive, "steepness [1/nat]"},
                      parameter<sgfc>{"shift", &sgfc::shift, real_line, "where the result is 1/2 [nat]"}};
  }

 private:
  template <class S> ATTUNE_FN S scaled(S x) const { return S(lane_of<S>(k)) * (x - S(lane_of<S>(shift))); }
};

}  // namespace attune::reward
