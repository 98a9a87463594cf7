// SPDX-License-Identifier: MIT
#include "options.hpp"

#include "advantages.hpp"
#include "objective.hpp"
#include "policy_objective.hpp"
#include "reward.hpp"

#include <CLI/CLI.hpp>

#include <map>

namespace align {

namespace {

/// The on-policy mode: its options need --policy, and --policy excludes those of preferences.
void add_policy_options(CLI::App& app, settings& s, const std::vector<CLI::Option*>& of_preferences) {
  policy_settings& p = s.policy;
  const auto spaced = [](const std::vector<std::string>& names) { return listed(names, " "); };
  auto* policy = app.add_option("--policy", p.name, "policy gradient on completions that the model writes, scored by --reward, instead of preferences: " +
                                                        spaced(policy_names()))
                     ->group("On-policy");
  for (CLI::Option* option : of_preferences) policy->excludes(option);
  auto* reward = app.add_option("--reward", p.reward, std::string("of a completion's text: ") + reward_help)->group("On-policy")->needs(policy);
  policy->needs(reward);
  const auto add = [&](const char* name, auto& value, const std::string& description) {
    app.add_option(name, value, description)->group("On-policy")->needs(policy);
  };
  add("--advantage", p.advantage, "of the rewards of a group: " + spaced(advantage_names()) + "; default: the one called like the objective, or grpo");
  add("--group", p.group, "completions of each of the --batch prompts of a step");
  add("--updates", p.updates, "gradient steps on the completions of a step; from the second on, ratios differ from 1");
  add("--kl", p.kl, "estimator of the KL divergence from the reference in the loss: " + spaced(kl_names()) +
                        " (value of k3, gradient of k2); default: k3. The expected gradient of k1 is 0");
  add("--kl-coefficient", p.kl_coefficient, "its weight; 0: the reference is not read");
  add("--entropy-coefficient", p.entropy_coefficient, "weight of a bonus on the entropy");
  add("--reduction", p.reduction, "of the losses of tokens: " + spaced(reduction_names()) + " (that length is --context); default: the objective's own");
}

}  // namespace

std::optional<int> parse_command_line(int argc, char** argv, settings& s) {
  std::string names;
  for (const std::string& name : objective_names()) names += " " + name;
  CLI::App app("Trains a small byte-level transformer from scratch: first on the chosen answers (SFT), then on preferences, or (--policy) on what it writes itself.\nObjectives:" +
               names);
  app.option_defaults()->always_capture_default();

  auto* objective = app.add_option("--objective", s.objective, "pair objective of the catalogue")->group("Objective");
  app.add_option("--set", s.set, "parameter of the objective (or of --policy), as name=value; may be repeated")->group("Objective")->allow_extra_args(false);
  std::string shapings;
  for (const std::string& name : shaping_names()) shapings += " " + name;
  auto* shape = app.add_option("--shape", s.reward_shape, "shaping of the rewards, 1 for the chosen and 0 for the rejected answer, of objectives that read them:" + shapings)
      ->group("Objective");
  auto* set_shape = app.add_option("--set-shape", s.set_reward_shape, "parameter of the shaping, as name=value; may be repeated")->group("Objective")->allow_extra_args(false);
  app.add_option(
         "--reference", s.reference,
         "frozen, soft:WEIGHT or soft:WEIGHT:STEPS (moves by WEIGHT towards the policy every STEPS, default 1), hard:STEPS (a copy)")
      ->group("Objective");

  auto* constraint = app.add_option("--constraint", s.constraints,
                 "average over the policy's own completions, as length<=25 (tokens) or reward>=0.9 (synthetic task: share of words in the "
                 "register asked for); L3M keeps it, with a learning rate that falls as a cosine; may be repeated")
      ->group("Constraints")
      ->allow_extra_args(false);
  auto* samples = app.add_option("--samples", s.samples, "completions that the policy writes at each step, if there are constraints")->group("Constraints");
  add_policy_options(app, s, {objective, shape, set_shape, constraint, samples});

  auto* data =
      app.add_option("--data", s.data, "JSONL file of preference pairs in the form of HH-RLHF, plain or gzip; default: a synthetic task")
          ->group("Data");
  app.add_option("--pairs", s.pairs, "size of the synthetic task")->excludes(data)->group("Data");
  app.add_option("--holdout", s.holdout, "last share of the pairs, which is only evaluated")->group("Data");
  const std::map<std::string, on_malformed> policies{{"skip", on_malformed::skip}, {"fail", on_malformed::fail}};
  app.add_option("--malformed", s.malformed, "what a malformed line does: skip (it is listed) or fail")
      ->transform(CLI::CheckedTransformer(policies))
      ->default_str("skip")
      ->group("Data");

  app.add_option("--context", s.model.context,
                 "longest sequence [bytes]; longer ones lose the left of the prompt, then the right of the completion")
      ->group("Model");
  app.add_option("--width", s.model.width, "of the residual stream")->group("Model");
  app.add_option("--layers", s.model.layers)->group("Model");
  app.add_option("--heads", s.model.heads)->group("Model");

  app.add_option("--sft-steps", s.sft_steps)->group("Training");
  app.add_option("--steps", s.steps, "alignment steps; with --policy, each samples anew and takes --updates gradient steps")->group("Training");
  app.add_option("--batch", s.batch, "pairs a step; prompts, with --policy")->group("Training");
  app.add_option("--micro-batch", s.micro_batch, "pairs in memory at a time; with --policy, of completions twice as many")->group("Training");
  app.add_option("--sft-lr", s.sft_rate, "learning rate of SFT")->group("Training");
  app.add_option("--lr", s.rate, "learning rate of the alignment")->group("Training");
  app.add_option("--warmup", s.warmup, "steps until the learning rate is full")->group("Training");
  app.add_option("--seed", s.seed)->group("Training");
  app.add_option("--threads", s.threads, "0: one per processor; results do not depend on it")->group("Training");

  app.add_option("--out", s.out, "folder for metrics.csv, metrics.json, the picture and the checkpoint")->group("Output");
  app.add_option("--log-every", s.log_every, "steps")->group("Output");
  app.add_option("--evaluate-every", s.evaluate_every, "steps between evaluations and checkpoints")->group("Output");
  app.add_option("--checkpoint", s.checkpoint, "file; default: checkpoint.bin in --out")->group("Output");
  app.add_option("--resume", s.resume, "go on from this checkpoint, with otherwise the same options")->group("Output");
  app.add_flag("--gradient-check", s.gradient_check, "compare the whole trainer's gradient with finite differences, and end")
      ->group("Output");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e);
  }
  return std::nullopt;
}

}  // namespace align
