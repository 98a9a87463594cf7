// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

namespace attune {

/// The normaliser of one row z = logits / temperature [nat], kept between the forward and the backward call:
///
///   log sum_v e^{z_v} = shift + log(sum),     shift = max_v z_v,   sum = sum_v e^{z_v - shift} >= 1
///
/// Two doubles and not one rounded log-sum-exp: for a row offset by -1e4 a float log-sum-exp is off by up to 5e-4, and every
/// probability computed from it by as much. A row that is not read has {0, 1}; a row without a distribution has {NaN, NaN}.
struct row_state {
  double shift = 0;
  double sum = 1;

  double log_sum_exp() const { return shift + std::log(sum); }
};

}  // namespace attune
