// SPDX-License-Identifier: MIT
#include "settings.hpp"

#include <attune/core/error.hpp>

#include <nlohmann/json.hpp>

namespace align {

void validate(const settings& s) {
  const auto require = [](bool good, const std::string& option, const std::string& expected) {
    if (!good) throw attune::error("--" + option + ": expected " + expected);
  };
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
  if (!s.constraints.empty()) j.update({{"samples", s.samples}, {"steps", s.steps}});  // mu and the learning rate depend on the steps
  return j;
}

}  // namespace align
