// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

namespace attune {

/// What `evaluate` found. Means are over the weight of the active pairs; reports of micro-batches are combined by +=, which gives what
/// the whole batch would have given.
struct report {
  double loss_sum = 0;         ///< sum of weight x loss [nat]
  double weight = 0;           ///< sum of the weights of the active pairs
  double accuracy = 0;         ///< share of the weight whose chosen reward exceeds the rejected one (a tie does not count)
  double margin = 0;           ///< mean of reward(chosen) - reward(rejected)
  double reward_chosen = 0;    ///< mean implicit reward, beta x score [nat]
  double reward_rejected = 0;  ///< the same for rejected completions
  double logp_chosen = 0;      ///< mean log-probability under the policy [nat]
  double logp_rejected = 0;    ///< the same for rejected completions
  std::int64_t count = 0;      ///< active pairs: not masked, weight > 0
  std::int64_t non_finite = 0; ///< active pairs whose loss or gradient is NaN or infinite; the sums show it too

  /// Mean loss over the weight; 0 for a batch without active pairs.
  double loss() const { return weight > 0 ? loss_sum / weight : 0; }

  report& operator+=(const report& other) {
    const double total = weight + other.weight, mine = total > 0 ? weight / total : 0, theirs = total > 0 ? other.weight / total : 0;
    for (double report::*mean : {&report::accuracy, &report::margin, &report::reward_chosen, &report::reward_rejected,
                                 &report::logp_chosen, &report::logp_rejected}) {
      this->*mean = mine * (this->*mean) + theirs * (other.*mean);
    }
    loss_sum += other.loss_sum;
    weight = total;
    count += other.count;
    non_finite += other.non_finite;
    return *this;
  }
  friend report operator+(report a, const report& b) { return a += b; }

  struct metric {
    const char* name;
    double value;
  };
  /// The metrics under the names that TRL logs.
  std::array<metric, 7> metrics() const {
    return {{{"loss", loss()},
             {"rewards/chosen", reward_chosen},
             {"rewards/rejected", reward_rejected},
             {"rewards/accuracies", accuracy},
             {"rewards/margins", margin},
             {"logps/chosen", logp_chosen},
             {"logps/rejected", logp_rejected}}};
  }
};

}  // namespace attune
