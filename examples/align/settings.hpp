// SPDX-License-Identifier: MIT
#pragma once

#include "data.hpp"
#include "model.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace align {

/// The on-policy mode: completions that the policy writes, a reward, and an objective of policy gradient. No name: preferences.
struct policy_settings {
  std::string name;                 ///< of the objective
  std::string reward;               ///< NAME or NAME:ARGUMENT; see reward.hpp
  std::string advantage;            ///< empty: that of the objective's name, or else grpo; see advantages.hpp
  std::size_t group = 8;            ///< completions a prompt
  std::size_t updates = 1;          ///< gradient steps on the completions of a step
  std::string kl;                   ///< estimator of the penalty; empty: k3
  double kl_coefficient = 0.04;     ///< [reward / nat]
  double entropy_coefficient = 0;   ///< of the bonus [reward / nat]
  std::string reduction;            ///< empty: the objective's own
};

/// Everything that a run depends on. The defaults are the demonstration: a few thousand synthetic pairs, done in seconds.
struct settings {
  std::string objective = "dpo";
  std::vector<std::string> set;      ///< "parameter=value" of the objective
  std::string reward_shape;             ///< shaping of the rewards, for objectives that read them; empty: none
  std::vector<std::string> set_reward_shape;  ///< "parameter=value" of the shaping
  std::string reference = "frozen";  ///< or soft:WEIGHT, or hard:STEPS; see attune::reference_schedule

  policy_settings policy;  ///< with a name: in the place of the objective of preferences
  bool on_policy() const { return !policy.name.empty(); }

  std::vector<std::string> constraints;  ///< NAME>=VALUE or NAME<=VALUE; see constraints.hpp
  std::size_t samples = 16;              ///< completions that the policy writes at each step, if there are constraints

  std::string data;          ///< JSONL file; empty: the synthetic task
  std::size_t pairs = 2400;  ///< of the synthetic task
  double holdout = 0.1;      ///< last share of the pairs, never trained on
  on_malformed malformed = on_malformed::skip;

  shape model;
  std::size_t sft_steps = 300, steps = 300;
  std::size_t batch = 16, micro_batch = 8;  ///< pairs a step; pairs whose activations are held at a time
  double sft_rate = 3e-3, rate = 5e-4;      ///< Adam's, after a linear warm-up
  std::size_t warmup = 20;                  ///< steps
  std::uint64_t seed = 1;
  int threads = 0;  ///< 0: one per processor. Results do not depend on it

  std::size_t log_every = 10, evaluate_every = 50;  ///< steps
  std::string out = "align-out";
  std::string checkpoint, resume;  ///< files; checkpoint defaults to OUT/checkpoint.bin
  bool gradient_check = false;
};

/// Throws attune::error for values without meaning.
void validate(const settings& s);

/// What decides the trajectory: two runs with equal fingerprints and equal data take the same steps.
nlohmann::json fingerprint(const settings& s);

}  // namespace align
