// SPDX-License-Identifier: MIT
#pragma once

#include <attune/constraint/batch_average.hpp>

namespace attune {

/// What is subtracted from a completion's value in a score-function gradient. The gradient of an average over completions y_b ~ pi,
///
///   d E_pi[x] / d theta = E_pi[ x grad log pi(y) ]  ~=  sum_b a_b grad log pi(y_b),     a_b = (w_b / W) (x_b - baseline_b),  W = sum_b w_b
///
///   none             0                                  unbiased, of large variance
///   batch_mean       mean = sum_b w_b x_b / W           biased by the factor (n-1)/n for n samples of weight 1: each is in its own mean
///   leave_one_out    (W mean - w_b x_b) / (W - w_b)     the mean of the others: unbiased. Needs 2 active completions
///
/// Where the completions are not samples but all outcomes, weighted by their probabilities, batch_mean changes nothing: the sum is exact.
/// Source   REINFORCE, Williams 1992; leave-one-out, Kool et al. 2019 ("Buy 4 REINFORCE samples, get a baseline for free!").
enum class baseline { none, batch_mean, leave_one_out };

namespace detail {

inline void require_baseline(baseline kind, const batch_average& batch, const std::string& name) {
  const std::int64_t least = kind == baseline::leave_one_out ? 2 : 1;
  if (batch.count < least || !(batch.weight > 0)) {
    throw error("attune: " + name + " has " + text((long long)batch.count) + " active completions; expected " + text((long long)least) +
                " or more" + (least > 1 ? " (leave_one_out)" : ""));
  }
}
/// a_b, see baseline. `batch`: the average over the whole batch, of which x_b is one.
inline double centred(baseline kind, double x, double weight, const batch_average& batch) {
  if (kind == baseline::none) return weight * x / batch.weight;
  const double above = x - batch.sum / batch.weight;
  return kind == baseline::batch_mean ? weight * above / batch.weight : weight * above / (batch.weight - weight);
}

}  // namespace detail
}  // namespace attune
