// SPDX-License-Identifier: MIT
#pragma once

#include "alignment.hpp"
#include "constraints.hpp"
#include "settings.hpp"

#include <attune/reference/schedule.hpp>

#include <functional>

namespace align {

/// One part of the data, with what the policy after SFT says of it: log pi of the chosen, then of the rejected completions [2 x pairs];
/// empty for objectives without a reference. A frozen reference model is never run again, so it costs no memory during training.
struct data_split {
  std::vector<preference_tokens> pairs;
  std::vector<float> initial_logps;
};

/// Supervised fine-tuning on the chosen answers, then alignment.
class trainer {
 public:
  using progress = std::function<void(const char* phase, std::size_t step, std::size_t steps, double loss)>;

  /// Keeps references to neither argument. Throws attune::error for settings without meaning.
  trainer(const settings& s, const std::vector<preference_text>& pairs);

  /// One phase after the other, from wherever the state is. `stop` is asked after each step; true if it ended the run.
  bool fit(const progress& report, const std::function<bool()>& stop);
  bool align(const progress& report, const std::function<bool()>& stop);

  /// The policy `parameters` on one part of the data, with the policy after SFT as the reference: one yardstick for all runs, also
  /// for those whose reference moves. After fit().
  evaluation evaluate(const std::vector<float>& parameters, const data_split& data);

  /// The average of each constraint's quantity over completions that the policy `parameters` writes to held-out prompts.
  std::vector<double> sampled_averages(const std::vector<float>& parameters);

  const data_split& train() const { return train_; }
  const data_split& heldout() const { return heldout_; }
  const objective& loss() const { return objective_; }
  training_state& state() { return state_; }

 private:
  void fit_step();
  void align_step();
  void constrain_step(const std::vector<std::size_t>& indices);
  std::vector<std::size_t> indices_of_step(std::size_t step, std::uint64_t stream) const;
  std::vector<float> logps_of(const std::vector<float>& parameters, const data_split& data);
  bool reference_moves() const { return schedule_.policy_weight > 0; }
  bool constrained() const { return !state_.l3m.constraints.empty(); }
  double rate(double full, std::size_t step) const;
  double cosine(std::size_t step) const;
  void log(const char* phase, std::size_t step);

  settings settings_;
  objective objective_;
  attune::reference_schedule schedule_;
  data_split train_, heldout_;
  network<float> network_;
  training_state state_;
};

}  // namespace align
