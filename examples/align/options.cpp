// SPDX-License-Identifier: MIT
#include "options.hpp"

#include "objective.hpp"

#include <CLI/CLI.hpp>

#include <map>

namespace align {

std::optional<int> parse_command_line(int argc, char** argv, settings& s) {
  std::string names;
  for (const std::string& name : objective_names()) names += " " + name;
  CLI::App app("Trains a small byte-level transformer from scratch: first on the chosen answers (SFT), then on preferences.\nObjectives:" +
               names);
  app.option_defaults()->always_capture_default();

  app.add_option("--objective", s.objective, "pair objective of the catalogue")->group("Objective");
  app.add_option("--set", s.set, "parameter of the objective, as name=value; may be repeated")->group("Objective")->allow_extra_args(false);
  std::string shapings;
  for (const std::string& name : shaping_names()) shapings += " " + name;
  app.add_option("--shape", s.reward_shape, "shaping of the rewards, 1 for the chosen and 0 for the rejected answer, of objectives that read them:" + shapings)
      ->group("Objective");
  app.add_option("--set-shape", s.set_reward_shape, "parameter of the shaping, as name=value; may be repeated")->group("Objective")->allow_extra_args(false);
  app.add_option(
         "--reference", s.reference,
         "frozen, soft:WEIGHT or soft:WEIGHT:STEPS (moves by WEIGHT towards the policy every STEPS, default 1), hard:STEPS (a copy)")
      ->group("Objective");

  app.add_option("--constraint", s.constraints,
                 "average over the policy's own completions, as length<=25 (tokens) or reward>=0.9 (synthetic task: share of words in the "
                 "register asked for); L3M keeps it, with a learning rate that falls as a cosine; may be repeated")
      ->group("Constraints")
      ->allow_extra_args(false);
  app.add_option("--samples", s.samples, "completions that the policy writes at each step, if there are constraints")->group("Constraints");

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
  app.add_option("--steps", s.steps, "alignment steps")->group("Training");
  app.add_option("--batch", s.batch, "pairs a step")->group("Training");
  app.add_option("--micro-batch", s.micro_batch, "pairs in memory at a time")->group("Training");
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
