// SPDX-License-Identifier: MIT
#include "trainer.hpp"

#include <numbers>

namespace align {
namespace {

/// Calls work(slice) for runs of at most `size` of the indices.
template <class Work> void for_each_slice(const std::vector<std::size_t>& indices, std::size_t size, Work work) {
  for (std::size_t i = 0; i < indices.size(); i += size) {
    const auto end = indices.begin() + std::ptrdiff_t(std::min(i + size, indices.size()));
    work(std::vector<std::size_t>(indices.begin() + std::ptrdiff_t(i), end));
  }
}

std::vector<std::size_t> all_of(const data_split& data) {
  std::vector<std::size_t> indices(data.pairs.size());
  std::iota(indices.begin(), indices.end(), std::size_t(0));
  return indices;
}

/// The stored log-probs of some pairs, in the order of a batch: chosen, then rejected.
std::vector<float> gather(const data_split& data, const std::vector<std::size_t>& indices) {
  std::vector<float> logps;
  if (data.initial_logps.empty()) return logps;
  for (std::size_t half : {std::size_t(0), data.pairs.size()}) {
    for (std::size_t i : indices) logps.push_back(data.initial_logps[half + i]);
  }
  return logps;
}

/// Prompt k of `count` is that of pair indices[k], from the beginning again after the last.
std::vector<preference_tokens> prompts_of(const data_split& data, const std::vector<std::size_t>& indices, std::size_t count) {
  std::vector<preference_tokens> prompts;
  for (std::size_t k = 0; k < count; ++k) prompts.push_back(data.pairs[indices[k % indices.size()]]);
  return prompts;
}

/// What the constraints say of completions: [constraints][completions].
std::vector<std::vector<float>> quantities(const attune::l3m& l3m, const std::vector<preference_tokens>& samples) {
  std::vector<std::vector<float>> values;
  for (const attune::average_constraint& c : l3m.constraints) {
    values.emplace_back();
    for (const preference_tokens& y : samples) values.back().push_back(quantity_of(c, y));
  }
  return values;
}

}  // namespace

trainer::trainer(const settings& s, const std::vector<preference_text>& pairs)
    : settings_((validate(s), s)), schedule_(attune::reference_schedule::parse(s.reference)), network_(s.model, 2 * s.micro_batch, s.threads) {
  if (s.on_policy()) on_policy_.emplace(s);
  else objective_ = make_objective(s.objective, s.set, s.reward_shape, s.set_reward_shape);
  state_.policy = initial_parameters<float>(s.model, s.seed);
  state_.l3m.constraints = make_constraints(s.constraints, s.data.empty());
  state_.optimiser = adam(network_.count());
  if (reference_moves() && !reads_reference()) {
    const std::string who = s.on_policy() ? s.policy.name + " with --kl-coefficient 0" : s.objective;
    throw attune::error("--reference " + s.reference + ": the objective " + who + " has no reference model; expected frozen");
  }
  const auto held = std::max<std::size_t>(1, std::size_t(std::lround(s.holdout * double(pairs.size()))));
  if (pairs.size() < held + 1) throw attune::error("there are " + std::to_string(pairs.size()) + " usable pairs; expected at least 2");
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    (i + held < pairs.size() ? train_ : heldout_).pairs.push_back(tokenise(pairs[i], s.model.context));
  }
}

bool trainer::fit(const progress& report, const std::function<bool()>& stop) {
  while (state_.sft_done < settings_.sft_steps) {
    if (stop()) return true;
    fit_step();
    report("sft", state_.sft_done, settings_.sft_steps, state_.since_logged.objective.loss());
    if (state_.sft_done % settings_.log_every == 0) log("sft", state_.sft_done);
  }
  const bool first = state_.initial.empty();
  if (first) {  // the policy so far becomes the reference; Adam forgets
    state_.initial = state_.policy;
    if (reference_moves()) state_.reference = state_.policy;
    state_.optimiser = adam(network_.count());
    state_.since_logged = {};
  }
  if (objective_ && reads_reference()) {
    for (data_split* part : {&train_, &heldout_}) part->initial_logps = logps_of(state_.initial, *part);
  }
  if (first) state_.history.push_back({"align", "heldout", 0, evaluate(state_.policy, heldout_)});
  return false;
}

bool trainer::align(const progress& report, const std::function<bool()>& stop) {
  while (state_.done < settings_.steps) {
    if (stop()) return true;
    on_policy_ ? policy_step() : align_step();
    if (on_policy_) report("policy", state_.done, settings_.steps, state_.since_logged.policy.rewards.mean);
    else report("align", state_.done, settings_.steps, state_.since_logged.objective.loss());
    if (state_.done % settings_.log_every == 0) log("align", state_.done);
    if (state_.done % settings_.evaluate_every == 0)
      state_.history.push_back({"align", "heldout", state_.done, evaluate(state_.policy, heldout_)});
  }
  return false;
}

void trainer::fit_step() {
  std::vector<batch> micro_batches;
  std::size_t tokens = 0;
  for_each_slice(indices_of_step(state_.sft_done, 3), network_.max_rows(), [&](const auto& slice) {
    micro_batches.push_back(make_batch(train_.pairs, slice, /*chosen_only=*/true));
    tokens += micro_batches.back().active();
  });
  double loss = 0;
  for (const batch& b : micro_batches) loss += fit_micro_batch(network_, state_.policy, b, tokens);
  state_.optimiser.update(state_.policy, network_.take_gradient(), rate(settings_.sft_rate, state_.sft_done));
  state_.since_logged.objective += attune::report{.loss_sum = loss * double(tokens), .weight = double(tokens)};
  ++state_.sft_done;
}

void trainer::align_step() {
  const auto indices = indices_of_step(state_.done, 4);
  for_each_slice(indices, settings_.micro_batch, [&](const auto& slice) {
    const batch b = make_batch(train_.pairs, slice, /*chosen_only=*/false);
    const std::vector<float> reference = reference_moves() ? score(network_, state_.reference, b).logps : gather(train_, slice);
    state_.since_logged += align_micro_batch(network_, state_.policy, b, reference, *objective_, indices.size());
  });
  if (constrained()) constrain_step(indices);
  state_.optimiser.update(state_.policy, network_.take_gradient(), rate(settings_.rate, state_.done) * cosine(state_.done));
  ++state_.done;
  move_reference();
}

void trainer::move_reference() {
  if (reference_moves()) attune::apply(network_.threads(), schedule_, std::int64_t(state_.done), state_.reference, state_.policy);
}

/// Completions of the step's prompts, and --updates gradient steps on them: from the second on the policy is not the one that wrote them.
void trainer::policy_step() {
  const auto prompts = prompts_of(train_, indices_of_step(state_.done, 4), settings_.batch);
  sampled_step step = on_policy_->sample(network_, state_.policy, reference(), prompts, random_source(settings_.seed, state_.done * 8 + 6));
  random_source random(settings_.seed, state_.done * 8);
  for (std::size_t i = 0; i < settings_.policy.updates; ++i) {
    step.found.tokens += on_policy_->gradient(network_, state_.policy, step, random_source(random.next()));
    state_.optimiser.update(state_.policy, network_.take_gradient(), rate(settings_.rate, state_.done));
    ++step.found.updates;
  }
  state_.since_logged.policy += step.found;
  ++state_.done;
  move_reference();
}

/// L3M: completions of the step's prompts, what the constraints say of them, and the gradient of sum_i lambda_i C_i.
void trainer::constrain_step(const std::vector<std::size_t>& indices) {
  const auto prompts = prompts_of(train_, indices, settings_.samples);
  const auto samples = sample_all(network_, state_.policy, prompts, random_source(settings_.seed, state_.done * 8 + 6));
  const std::vector<std::vector<float>> values = quantities(state_.l3m, samples);
  const std::vector<attune::view<const float>> views(values.begin(), values.end());
  std::vector<float> d_logps(samples.size());
  state_.l3m.step(double(state_.done) / double(settings_.steps), {views}, d_logps);

  std::vector<std::size_t> all(samples.size());
  std::iota(all.begin(), all.end(), std::size_t(0));
  for_each_slice(all, network_.max_rows(), [&](const auto& slice) {
    const batch b = make_batch(samples, slice, /*chosen_only=*/true);
    const auto first = d_logps.begin() + std::ptrdiff_t(slice.front());
    backpropagate(network_, state_.policy, b, score(network_, state_.policy, b), {first, first + std::ptrdiff_t(slice.size())});
  });
}

std::vector<double> trainer::sampled_averages(const std::vector<float>& parameters) {
  std::vector<double> averages;
  if (!constrained()) return averages;
  const auto samples = sample_all(network_, parameters, prompts_of(heldout_, all_of(heldout_), 128), random_source(settings_.seed, 7));
  for (const auto& values : quantities(state_.l3m, samples)) averages.push_back(attune::average_of(values).mean());
  return averages;
}

std::vector<float> trainer::logps_of(const std::vector<float>& parameters, const data_split& data) {
  const std::size_t count = data.pairs.size();
  std::vector<float> logps(2 * count);
  for_each_slice(all_of(data), settings_.micro_batch, [&](const auto& slice) {
    const std::vector<float> found = score(network_, parameters, make_batch(data.pairs, slice, /*chosen_only=*/false)).logps;
    for (std::size_t i = 0; i < slice.size(); ++i) {
      logps[slice[i]] = found[i];
      logps[count + slice[i]] = found[slice.size() + i];
    }
  });
  return logps;
}

evaluation trainer::evaluate(const std::vector<float>& parameters, const data_split& data) {
  evaluation total;
  if (on_policy_) {
    const auto prompts = prompts_of(data, all_of(data), std::min<std::size_t>(data.pairs.size(), 256));
    total.policy = on_policy_->measure(network_, parameters, state_.initial, prompts, random_source(settings_.seed, 7));
    return total;
  }
  for_each_slice(all_of(data), settings_.micro_batch, [&](const auto& slice) {
    total +=
        evaluate_micro_batch(network_, parameters, make_batch(data.pairs, slice, /*chosen_only=*/false), gather(data, slice), *objective_);
  });
  return total;
}

/// Pairs of a step: every epoch is a permutation of its own, made from the seed, so a resumed run needs no state of a generator.
std::vector<std::size_t> trainer::indices_of_step(std::size_t step, std::uint64_t stream) const {
  std::vector<std::size_t> indices, order;
  for (std::size_t k = step * settings_.batch; k < (step + 1) * settings_.batch; ++k) {
    if (order.empty() || k % train_.pairs.size() == 0)
      order = permutation(train_.pairs.size(), random_source(settings_.seed, (k / train_.pairs.size()) * 8 + stream));
    indices.push_back(order[k % train_.pairs.size()]);
  }
  return indices;
}

double trainer::rate(double full, std::size_t step) const { return full * std::min(1.0, double(step + 1) / double(settings_.warmup + 1)); }

/// With constraints the learning rate falls to 0 after the warm-up, as half a cosine: at a constant one the multipliers end by jumping.
double trainer::cosine(std::size_t step) const {
  if (!constrained() || step < settings_.warmup) return 1;
  const double share = double(step - settings_.warmup) / double(settings_.steps - settings_.warmup);
  return 0.5 * (1 + std::cos(std::numbers::pi * share));
}

void trainer::log(const char* phase, std::size_t step) {
  state_.history.push_back({phase, "train", step, state_.since_logged});
  for (const attune::average_constraint& c : state_.l3m.constraints) {
    if (c.estimate.count > 0) state_.history.back().constraints.push_back({c.name, c.estimate.value(), -c.value(), c.multiplier});
  }
  state_.since_logged = {};
}

}  // namespace align
