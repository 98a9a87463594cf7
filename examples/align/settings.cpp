// SPDX-License-Identifier: MIT
#include "settings.hpp"

#include <attune/core/error.hpp>

#include <nlohmann/json.hpp>

#include <cmath>

namespace align {

namespace {

void require(bool good, const std::string& option, const std::string& expected) {
  if (!good) throw attune::error("--" + option + ": expected " + expected);
}

/// Without --policy none of its options has a meaning; with it, none of those of preferences.
void validate_policy(const settings& s) {
  const policy_settings &p = s.policy, none;
  if (!s.on_policy()) {
    const bool untouched = p.reward.empty() && p.advantage.empty() && p.kl.empty() && p.reduction.empty() && p.group == none.group &&
                           p.updates == none.updates && p.kl_coefficient == none.kl_coefficient && p.entropy_coefficient == none.entropy_coefficient;
    return require(untouched, "policy", "the name of an objective, with options of the on-policy mode");
  }
  require(!p.reward.empty(), "reward", "a reward with --policy, such as length:24");
  require(p.group >= 2 && p.group <= 256, "group", "2 to 256 completions a prompt");
  require(s.batch * p.group <= 4096, "batch, --group", "at most 4096 completions a step");
  require(p.updates >= 1 && p.updates <= 64, "updates", "1 to 64 gradient steps");
  require(p.kl_coefficient >= 0 && std::isfinite(p.kl_coefficient), "kl-coefficient", "a number >= 0");
  require(p.kl.empty() || p.kl_coefficient > 0, "kl " + p.kl, "a --kl-coefficient > 0");
  require(std::isfinite(p.entropy_coefficient), "entropy-coefficient", "a finite number");
  require(s.constraints.empty(), "constraint", "no --policy: constraints are kept beside an objective of preferences");
  require(s.reward_shape.empty() && s.set_reward_shape.empty(), "shape", "no --policy: it shapes the rewards of pairs");
}

}  // namespace

void validate(const settings& s) {
  validate_policy(s);
  require(s.holdout > 0 && s.holdout < 1, "holdout", "a share in (0, 1)");
  require(s.batch > 0, "batch", "at least 1 pair");
  require(s.samples >= 2 && s.samples <= 1024, "samples", "2 to 1024 completions");
  require(s.micro_batch > 0 && s.micro_batch <= 32, "micro-batch", "1 to 32 pairs");
  require(s.model.context >= 8 && s.model.context <= 4096, "context", "8 to 4096 positions");
  require(s.model.layers > 0 && s.model.heads > 0, "layers, --heads", "at least 1");
  require(s.model.width > 0 && s.model.width % s.model.heads == 0, "width", "a multiple of --heads");
  require(s.sft_rate > 0 && s.rate > 0, "lr, --sft-lr", "a positive learning rate");
  require(s.log_every > 0 && s.evaluate_every > 0, "log-every, --evaluate-every", "at least 1 step");
  require(s.threads >= 0, "threads", "0 (all processors) or more");
}

nlohmann::json fingerprint(const settings& s) {
  nlohmann::json j{{"objective", s.objective},
          {"set", s.set},
          {"shape", s.reward_shape},
          {"set_shape", s.set_reward_shape},
          {"reference", s.reference},
          {"holdout", s.holdout},
          {"context", s.model.context},
          {"width", s.model.width},
          {"layers", s.model.layers},
          {"heads", s.model.heads},
          {"sft_steps", s.sft_steps},
          {"batch", s.batch},
          {"micro_batch", s.micro_batch},
          {"sft_lr", s.sft_rate},
          {"lr", s.rate},
          {"warmup", s.warmup},
          {"seed", s.seed},
          {"log_every", s.log_every},
          {"evaluate_every", s.evaluate_every},
          {"constraints", s.constraints}};
  if (s.on_policy()) {
    const policy_settings& p = s.policy;
    for (const char* name : {"objective", "shape", "set_shape", "constraints"}) j.erase(name);
    j.update({{"policy", p.name}, {"reward", p.reward}, {"advantage", p.advantage}, {"group", p.group}, {"updates", p.updates}, {"kl", p.kl},
              {"kl_coefficient", p.kl_coefficient}, {"entropy_coefficient", p.entropy_coefficient}, {"reduction", p.reduction}});
  }
  if (!s.constraints.empty()) j.update({{"samples", s.samples}, {"steps", s.steps}});  // mu and the learning rate depend on the steps
  return j;
}

}  // namespace align
