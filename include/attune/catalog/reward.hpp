// SPDX-License-Identifier: MIT
// The catalogue: losses of reward models, and shapings of rewards.
#pragma once

#include <attune/catalog/entry.hpp>
#include <attune/reward/arctan.hpp>
#include <attune/reward/bradley_terry.hpp>
#include <attune/reward/clip.hpp>
#include <attune/reward/length_penalty.hpp>
#include <attune/reward/overlong.hpp>
#include <attune/reward/lsc.hpp>
#include <attune/reward/par.hpp>
#include <attune/reward/polynomial.hpp>
#include <attune/reward/process_reward.hpp>
#include <attune/reward/sgfc.hpp>
#include <attune/reward/tanh.hpp>

namespace attune::catalog {

template <class Visitor>
void for_each_reward(Visitor&& visit) {
  constexpr const char* par_code = "arXiv:2502.18770, repository PorUna-byte/PAR, 257865a";
  visit(catalog_entry<bradley_terry>{
      .name = "bradley_terry", .family = "reward",
      .formula = "-(1 - label_smoothing)*log(1/(1 + exp(-z))) - label_smoothing*log(1/(1 + exp(z))) + center*(chosen + rejected)**2",
      .where = "z = chosen - rejected - margin", .is = {.nonnegative = true, .monotone = true},
      .source = "arXiv:2203.02155 eq. 1, arXiv:2307.09288, arXiv:2312.09244", .also = "pairwise log_exp"});
  visit(catalog_entry<process_reward>{.name = "process_reward", .family = "reward", .formula = "-log(1/(1 + exp(-label*logp)))",
                                      .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2211.14275", .also = "prm"});
  visit(catalog_entry<implicit_process_reward>{.name = "implicit_process_reward", .family = "reward",
                                               .formula = "-log(1/(1 + exp(-label*beta*(logp - ref_logp))))",
                                               .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2502.01456",
                                               .also = "ce_dpo implicit_prm"});
  visit(catalog_entry<reward::par>{.name = "par", .family = "reward", .formula = "1/(1 + exp(-k*x))", .argument = "x",
                                   .is = {.increasing = true, .nonnegative = true}, .source = "arXiv:2502.18770, arXiv:2409.20370 eq. 5",
                                   .also = "calibrated_reward"});
  visit(catalog_entry<reward::tanh>{.name = "reward_tanh", .family = "reward", .formula = "(exp(k*x) - exp(-k*x))/(exp(k*x) + exp(-k*x))",
                                    .argument = "x", .is = {.increasing = true}, .source = par_code});
  visit(catalog_entry<reward::arctan>{.name = "reward_arctan", .family = "reward", .formula = "atan(k*x)", .argument = "x",
                                      .is = {.increasing = true}, .source = par_code});
  visit(catalog_entry<reward::sgfc>{.name = "sgfc", .family = "reward", .formula = "1/(1 + exp(-k*(x - shift)))", .argument = "x",
                                    .is = {.increasing = true, .nonnegative = true}, .source = par_code});
  visit(catalog_entry<reward::polynomial>{
      .name = "reward_polynomial", .family = "reward",
      .formula = "1/2 + first*x + third*x**3 + fifth*x**5 if abs(x) < width else 1 if x > 0 else 0",
      .slope = "first + 3*third*x**2 + 5*fifth*x**4 if abs(x) < width else 0", .argument = "x", .source = par_code, .also = "fittedpoly"});
  visit(catalog_entry<reward::lsc>{.name = "lsc", .family = "reward", .formula = "log(1/(1 + exp(-x)))", .argument = "x",
                                   .is = {.increasing = true}, .source = "arXiv:2402.00742"});
  visit(catalog_entry<reward::clip>{.name = "reward_clip", .family = "reward",
                                    .formula = "x if abs(x) < width else width if x > 0 else -width",
                                    .slope = "1 if abs(x) < width else 0", .argument = "x", .is = {.increasing = true},
                                    .source = par_code});
  visit(catalog_entry<reward::ceiling>{.name = "reward_ceiling", .family = "reward", .formula = "x if x < top else top",
                                       .slope = "1 if x < top else 0", .argument = "x", .is = {.increasing = true}, .source = par_code});
  visit(catalog_entry<reward::length_penalty>{.name = "length_penalty", .family = "reward", .formula = "-per_token*n if n > 0 else 0",
                                              .slope = "-per_token if n > 0 else 0", .argument = "n", .is = {.decreasing = true},
                                              .source = par_code});
  visit(catalog_entry<reward::soft_overlong>{.name = "soft_overlong", .family = "reward", .formula = "max(factor*min((max_length - buffer - n)/buffer, 0), lowest)",
                                             .slope = "-factor/buffer if n > max_length - buffer and factor*(max_length - buffer - n)/buffer > lowest else 0",
                                             .argument = "n", .is = {.decreasing = true}, .source = "arXiv:2503.14476 eq. 13"});
}

}  // namespace attune::catalog
