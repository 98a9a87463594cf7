// SPDX-License-Identifier: MIT
#pragma once

#include "alignment.hpp"
#include "constraints.hpp"
#include "on_policy.hpp"
#include "settings.hpp"

#include <attune/reference/schedule.hpp>

#include <functional>
#include <optional>

namespace align {

/// One part of the data, with what the policy after SFT says of it: log pi of the chosen, then of the rejected completions [2 x pairs];
/// empty for objectives without a reference. A frozen reference model is never run again, so it costs no memory during training.
struct data_split {
  std::vector<preference_tokens> pairs;
  std::vector<float> initial_logps;
};

/// Supervised fine-tuning on the chosen answers, then alignment: on preferences, or on-policy.
class trainer {
 public:
  /// The phase is "sft", "align", or "policy"; of the latter the reward is given in the place of the loss.
  using progress = std::function<void(const char* phase, std::size_t step, std::size_t steps, double loss)>;

  /// Keeps references to neither argument. Throws attune::error for settings without meaning.
  trainer(const settings& s, const std::vector<preference_text>& pairs);

  /// One phase after the other, from wherever the state is. `stop` is asked after each step; true if it ended the run.
  bool fit(const progress& report, const std::function<bool()>& stop);
  bool align(const progress& report, const std::function<bool()>& stop);

  /// The policy `parameters` on one part of the data, with the policy after SFT as the reference: one yardstick for all runs, also
  /// for those whose reference moves. After fit().
  /// With --policy: what it writes to the first prompts of that part, 256 at most.
  evaluation evaluate(const std::vector<float>& parameters, const data_split& data);

  /// The average of each constraint's quantity over completions that the policy `parameters` writes to held-out prompts.
  std::vector<double> sampled_averages(const std::vector<float>& parameters);

  const data_split& train() const { return train_; }
  const data_split& heldout() const { return heldout_; }
  const objective* pair_loss() const { return objective_ ? &*objective_ : nullptr; }  ///< null with --policy
  const on_policy* policy_loss() const { return on_policy_ ? &*on_policy_ : nullptr; }  ///< null without
  training_state& state() { return state_; }

 private:
  void fit_step();
  void align_step();
  void policy_step();
  void move_reference();
  void constrain_step(const std::vector<std::size_t>& indices);
  std::vector<std::size_t> indices_of_step(std::size_t step, std::uint64_t stream) const;
  std::vector<float> logps_of(const std::vector<float>& parameters, const data_split& data);
  bool reference_moves() const { return schedule_.policy_weight > 0; }
  const std::vector<float>& reference() const { return reference_moves() ? state_.reference : state_.initial; }
  bool reads_reference() const { return objective_ ? objective_->reads_reference() : on_policy_->objective().reads_reference; }
  bool constrained() const { return !state_.l3m.constraints.empty(); }
  double rate(double full, std::size_t step) const;
  double cosine(std::size_t step) const;
  void log(const char* phase, std::size_t step);

  settings settings_;
  std::optional<objective> objective_;    // of preferences; or
  std::optional<on_policy> on_policy_;
  attune::reference_schedule schedule_;
  data_split train_, heldout_;
  network<float> network_;
  training_state state_;
};

}  // namespace align
