// SPDX-License-Identifier: MIT
#pragma once

#include "adam.hpp"

#include <attune/constraint/lagrangian.hpp>
#include <attune/exec/policy_report.hpp>
#include <attune/exec/report.hpp>
#include <attune/reward/statistics.hpp>

#include <string>

namespace align {

/// What completions that the policy wrote say of it. Parts are combined by +=.
struct policy_evaluation {
  attune::policy_report tokens;                  ///< loss, KL divergence from the reference, entropy, shares that are clipped
  attune::reward::statistics rewards, lengths;   ///< of completions; lengths in tokens
  std::int64_t truncated = 0;                    ///< completions that the context ended
  std::int64_t groups = 0, constant_groups = 0;  ///< groups; those of one reward, which teach nothing
  std::int64_t updates = 0;                      ///< gradient steps; 0: it was only measured, and there is no loss

  policy_evaluation& operator+=(const policy_evaluation& other) {
    tokens += other.tokens;
    rewards += other.rewards;
    lengths += other.lengths;
    truncated += other.truncated;
    groups += other.groups;
    constant_groups += other.constant_groups;
    updates += other.updates;
    return *this;
  }
};

/// What a batch of pairs says about a policy. Parts of a batch are combined by +=.
struct evaluation {
  attune::report objective;  ///< loss and implicit rewards of the objective
  attune::report ranking;    ///< the pairs ranked by log pi per token, which needs no reference: rewards are mean log-probs [nat/token]
  policy_evaluation policy{};  ///< with --policy, in the place of both

  evaluation& operator+=(const evaluation& other) {
    objective += other.objective;
    ranking += other.ranking;
    policy += other.policy;
    return *this;
  }
};

/// Where a constraint stands at a step.
struct constraint_reading {
  std::string name;
  double average = 0, slack = 0, multiplier = 0;
};

/// One row of the metrics: the mean since the last one for "train", all held-out pairs for "heldout".
struct record {
  std::string phase, split;  ///< "sft" or "align"; "train" or "heldout"
  std::size_t step = 0;      ///< steps of the phase that were done
  evaluation found;          ///< of "sft": only the loss, -log pi per completion token [nat]
  std::vector<constraint_reading> constraints{};  ///< of "align", "train"
};

/// All that a run carries from step to step; checkpoint.hpp stores it whole.
struct training_state {
  std::size_t sft_done = 0, done = 0;  ///< steps
  std::vector<float> policy, initial;  ///< parameters; `initial`, the policy after SFT, is empty before
  std::vector<float> reference;        ///< parameters of a reference that moves; else empty
  adam optimiser;
  attune::l3m l3m;  ///< the constraints with their estimates and multipliers
  evaluation since_logged;
  std::vector<record> history;
};

}  // namespace align
