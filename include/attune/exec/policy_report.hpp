// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

namespace attune {

/// What `evaluate` found in a batch of tokens. Reports of micro-batches and ranks are combined by +=, which gives what the whole batch would have
/// given. Means are over active tokens, by their weight, whatever the reduction of the loss is.
struct policy_report {
  double loss_sum = 0;          ///< numerator of the loss: token_reduction's sum, before it is divided by the denominator
  double weight = 0;            ///< denominator: weight of the active tokens (token_mean, token_sum), or of the sequences that have some
  double tokens = 0;            ///< weight of the active tokens
  double held_high = 0;      ///< share of the tokens that have a positive advantage and a ratio that a bound of the objective holds
  double held_low = 0;       ///< the same with a negative advantage
  double kl = 0;                ///< k3 estimate of KL(policy || reference) [nat a token]; 0 without ref_logp
  double old_kl = 0;            ///< mean of log_ratio^2 / 2, an estimate of KL(old || policy) [nat a token]
  double entropy = 0;           ///< mean entropy [nat]; 0 without entropy
  std::int64_t sequences = 0;   ///< sequences with active tokens
  std::int64_t count = 0;       ///< active tokens: not masked, weight > 0
  std::int64_t non_finite = 0;  ///< active tokens whose loss or gradient is NaN or infinite; the sums show it too

  /// The loss; 0 for a batch without active tokens. (With token_sum the loss is loss_sum itself.)
  double loss() const { return weight == 0 ? 0 : loss_sum / weight; }
  double clip_ratio() const { return held_high + held_low; }

  /// The means over tokens.
  static constexpr std::array<double policy_report::*, 5> means() {
    return {&policy_report::held_high, &policy_report::held_low, &policy_report::kl, &policy_report::old_kl, &policy_report::entropy};
  }

  policy_report& operator+=(const policy_report& other) {
    const double total = tokens + other.tokens;
    for (double policy_report::*mean : means()) {
      if (total > 0) this->*mean = this->*mean * (tokens / total) + other.*mean * (other.tokens / total);
    }
    loss_sum += other.loss_sum;
    weight += other.weight;
    tokens = total;
    sequences += other.sequences;
    count += other.count;
    non_finite += other.non_finite;
    return *this;
  }
  friend policy_report operator+(policy_report a, const policy_report& b) { return a += b; }

  struct metric {
    const char* name;
    double value;
  };
  /// The metrics under the names that TRL logs (ppo_kl: verl).
  std::array<metric, 7> metrics() const {
    return {{{"loss", loss()},
             {"kl", kl},
             {"ppo_kl", old_kl},
             {"entropy", entropy},
             {"clip_ratio/low_mean", held_low},
             {"clip_ratio/high_mean", held_high},
             {"clip_ratio/region_mean", clip_ratio()}}};
  }
};

}  // namespace attune
