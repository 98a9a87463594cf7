// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

namespace attune {

/// What `evaluate` found. Means are over the weight of the active samples; reports of micro-batches are combined by +=, which gives what
/// the whole batch would have given. Chosen and rejected are the completions of a pair; of single completions, the desirable and the
/// undesirable ones; of a group, the one with the highest and the one with the lowest reward.
struct report {
  double loss_sum = 0;         ///< sum of weight x loss [nat]
  double weight = 0;           ///< sum of the weights of the active samples
  double weight_chosen = 0;    ///< of those with a chosen completion: all pairs and groups, desirable singles
  double weight_rejected = 0;  ///< of those with a rejected one
  double accuracy = 0;         ///< share of the weight whose chosen reward exceeds the rejected one (a tie does not count); of singles,
                               ///< whose reward has the label's sign
  double margin = 0;           ///< reward_chosen - reward_rejected
  double reward_chosen = 0;    ///< mean implicit reward, beta x score [nat]
  double reward_rejected = 0;  ///< the same for rejected completions
  double logp_chosen = 0;      ///< mean log-probability under the policy [nat]
  double logp_rejected = 0;    ///< the same for rejected completions
  std::int64_t count = 0;      ///< active samples: not masked, weight > 0
  std::int64_t non_finite = 0; ///< active samples whose loss or gradient is NaN or infinite; the sums show it too

  /// Mean loss over the weight; 0 for a batch without active samples.
  double loss() const { return weight == 0 ? 0 : loss_sum / weight; }

  report& operator+=(const report& other) {
    const auto combine = [&](double report::*mean, double report::*over) {
      const double total = this->*over + other.*over, mine = total > 0 ? this->*over / total : 0, theirs = total > 0 ? other.*over / total : 0;
      this->*mean = mine * (this->*mean) + theirs * (other.*mean);
    };
    combine(&report::accuracy, &report::weight);
    combine(&report::reward_chosen, &report::weight_chosen);
    combine(&report::logp_chosen, &report::weight_chosen);
    combine(&report::reward_rejected, &report::weight_rejected);
    combine(&report::logp_rejected, &report::weight_rejected);
    margin = reward_chosen - reward_rejected;
    loss_sum += other.loss_sum;
    weight += other.weight;
    weight_chosen += other.weight_chosen;
    weight_rejected += other.weight_rejected;
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
