// SPDX-License-Identifier: MIT
// THE list of units. A unit that has a row here is verified (oracle, planted errors, finite differences), benchmarked, documented and
// available in the example programs with no further code.
//
// `formula` is the textbook formula, exactly as in the source, in Python's syntax; it is evaluated at high precision to produce the
// reference values that the code is compared with. It is written here a second time on purpose: naive, to be checked by eye against the
// paper; the code, stable, is checked by machine against it. `where` holds definitions used in it, in order, separated by ";".
// Parameters, their defaults and domains are the unit's own (Unit::parameters()); what an objective reads of a sample is found by
// evaluating it (attune::reads).
#pragma once

#include <attune/constraint/log_barrier.hpp>
#include <attune/core/functions.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/reverse_kl.hpp>
#include <attune/link/exo.hpp>
#include <attune/link/logistic.hpp>
#include <attune/link/square.hpp>
#include <attune/preference/cdpo.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/exo_pref.hpp>
#include <attune/preference/f_dpo.hpp>
#include <attune/preference/ipo.hpp>
#include <attune/preference/simpo.hpp>
#include <attune/score/f_slope.hpp>

namespace attune {

/// What is known about the shape of a unit; each is tested. For objectives, monotone: d loss/d chosen <= 0 and d loss/d rejected >= 0.
struct shape {
  bool convex = false;
  bool increasing = false;
  bool decreasing = false;
  bool nonnegative = false;
  bool monotone = false;
};

template <class Unit>
struct catalog_entry {
  using unit = Unit;

  const char* name;
  const char* family;         ///< the folder: core, divergence, score, link, preference, constraint
  const char* formula;        ///< value
  const char* where = "";     ///< definitions used in the formula
  const char* slope = "";     ///< formula of the slope, where it is not the derivative in the argument
  const char* argument = "";  ///< of a scalar unit
  interval domain{};          ///< of the argument; of an objective: of each completion's log-ratio, beyond which it saturates
  shape is{};
  const char* source = "";
};

/// Calls visit(catalog_entry<Unit>) for every unit.
template <class Visitor>
void for_each_unit(Visitor&& visit) {
  constexpr interval below_zero{.upper = 0};
  constexpr const char* delta = "delta = (chosen - ref_chosen) - (rejected - ref_rejected); z = beta*delta - margin";

  // Stable scalar functions.
  visit(catalog_entry<function::softplus>{.name = "softplus", .family = "core", .formula = "log(1 + exp(x))", .argument = "x",
                                          .is = {.convex = true, .increasing = true, .nonnegative = true}, .source = "definition"});
  visit(catalog_entry<function::sigmoid>{.name = "sigmoid", .family = "core", .formula = "1/(1 + exp(-x))", .argument = "x",
                                         .is = {.increasing = true, .nonnegative = true}, .source = "definition"});
  visit(catalog_entry<function::log_sigmoid>{.name = "log_sigmoid", .family = "core", .formula = "log(1/(1 + exp(-x)))", .argument = "x",
                                             .is = {.increasing = true}, .source = "definition"});
  visit(catalog_entry<function::log1mexp>{.name = "log1mexp", .family = "core", .formula = "log(1 - exp(x))", .argument = "x",
                                          .domain = below_zero, .is = {.decreasing = true}, .source = "Maechler 2012, eq. 7"});
  visit(catalog_entry<function::exp_remainder>{.name = "exp_remainder", .family = "core", .formula = "exp(x) - 1 - x", .argument = "x",
                                               .is = {.convex = true, .nonnegative = true}, .source = "definition"});
  visit(catalog_entry<function::log_mean_exp0>{.name = "log_mean_exp0", .family = "core", .formula = "log((1 + exp(x))/2)", .argument = "x",
                                               .is = {.convex = true, .increasing = true}, .source = "definition"});

  // f-divergence generators, in log space: value f(t), slope f'(t), argument log t.
  visit(catalog_entry<divergence::forward_kl>{.name = "forward_kl", .family = "divergence", .formula = "t - 1 - log(t)", .where = "t = exp(log_t)",
                                              .slope = "1 - 1/t", .argument = "log_t", .is = {.nonnegative = true},
                                              .source = "arXiv:2302.08215 table 1 (KL)"});
  visit(catalog_entry<divergence::reverse_kl>{.name = "reverse_kl", .family = "divergence", .formula = "t*log(t) - t + 1", .where = "t = exp(log_t)",
                                              .slope = "log(t)", .argument = "log_t", .is = {.nonnegative = true},
                                              .source = "arXiv:2302.08215 table 1 (reverse KL)"});
  visit(catalog_entry<divergence::jensen_shannon>{.name = "jensen_shannon", .family = "divergence",
                                                  .formula = "t*log(2*t/(1 + t)) + log(2/(1 + t))", .where = "t = exp(log_t)",
                                                  .slope = "log(2*t/(1 + t))", .argument = "log_t", .is = {.nonnegative = true},
                                                  .source = "arXiv:2302.08215 table 1 (JS)"});

  // f-DPO scores: f'(t) at t = pi/pi_ref, argument the log-ratio.
  visit(catalog_entry<score::f_slope<divergence::forward_kl>>{.name = "f_score_forward_kl", .family = "score", .formula = "1 - exp(-log_ratio)",
                                                              .argument = "log_ratio", .domain = {.lower = -708}, .is = {.increasing = true},
                                                              .source = "arXiv:2309.16240 table 1"});
  visit(catalog_entry<score::f_slope<divergence::reverse_kl>>{.name = "f_score_reverse_kl", .family = "score", .formula = "log_ratio",
                                                              .argument = "log_ratio", .is = {.convex = true, .increasing = true},
                                                              .source = "arXiv:2309.16240 table 1"});
  visit(catalog_entry<score::f_slope<divergence::jensen_shannon>>{
      .name = "f_score_jensen_shannon", .family = "score", .formula = "log(2/(1 + exp(-log_ratio)))", .argument = "log_ratio",
      .is = {.increasing = true}, .source = "arXiv:2309.16240 table 1"});

  // Links: margin to loss.
  visit(catalog_entry<link::logistic>{.name = "logistic", .family = "link", .formula = "log(1 + exp(-z))", .argument = "z",
                                      .is = {.convex = true, .decreasing = true, .nonnegative = true}, .source = "arXiv:2305.18290 eq. 7"});
  visit(catalog_entry<link::smoothed_logistic>{.name = "smoothed_logistic", .family = "link",
                                               .formula = "(1 - label_smoothing)*log(1 + exp(-z)) + label_smoothing*log(1 + exp(z))",
                                               .argument = "z", .is = {.convex = true, .nonnegative = true}, .source = "Mitchell 2023, note on cDPO"});
  visit(catalog_entry<link::square>{.name = "square", .family = "link", .formula = "((z - 1/2)/beta)**2", .argument = "z",
                                    .is = {.convex = true, .nonnegative = true}, .source = "arXiv:2310.12036 eq. 17"});
  visit(catalog_entry<link::exo>{.name = "exo", .family = "link",
                                 .formula = "q*(log(q) - log(1 - label_smoothing)) + (1 - q)*(log(1 - q) - log(label_smoothing))",
                                 .where = "q = 1/(1 + exp(-z))", .argument = "z", .is = {.nonnegative = true}, .source = "arXiv:2402.00856 eq. 16"});
  visit(catalog_entry<link::exo_authors>{.name = "exo_authors", .family = "link", .formula = "q*log(q) + (1 - q)*(log(1 - q) + 10)",
                                         .where = "q = 1/(1 + exp(-z))", .argument = "z", .source = "exact-optimization repository, a8ab360"});

  // Objectives on preference pairs.
  visit(catalog_entry<dpo>{.name = "dpo", .family = "preference", .formula = "-log(1/(1 + exp(-z)))", .where = delta,
                           .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2305.18290 eq. 7"});
  visit(catalog_entry<cdpo>{.name = "cdpo", .family = "preference",
                            .formula = "-(1 - label_smoothing)*log(1/(1 + exp(-z))) - label_smoothing*log(1/(1 + exp(z)))", .where = delta,
                            .is = {.nonnegative = true}, .source = "Mitchell 2023, note on cDPO"});
  visit(catalog_entry<ipo>{.name = "ipo", .family = "preference", .formula = "(delta - margin/beta - 1/(2*beta))**2",
                           .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected)", .is = {.nonnegative = true},
                           .source = "arXiv:2310.12036 eq. 17"});
  visit(catalog_entry<ipo_mean>{.name = "ipo_mean", .family = "preference", .formula = "(delta - margin/beta - 1/(2*beta))**2",
                                .where = "delta = (chosen - ref_chosen)/chosen_length - (rejected - ref_rejected)/rejected_length",
                                .is = {.nonnegative = true}, .source = "huggingface/trl issue 1265"});
  visit(catalog_entry<simpo>{.name = "simpo", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                             .where = "z = beta*(chosen/chosen_length - rejected/rejected_length) - gamma - margin",
                             .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2405.14734 eq. 6"});
  visit(catalog_entry<exo_pref>{.name = "exo_pref", .family = "preference",
                                .formula = "q*(log(q) - log(1 - label_smoothing)) + (1 - q)*(log(1 - q) - log(label_smoothing))",
                                .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected); q = 1/(1 + exp(-(beta*delta - margin)))",
                                .is = {.nonnegative = true}, .source = "arXiv:2402.00856 eq. 16"});
  visit(catalog_entry<exo_pref_authors>{.name = "exo_pref_authors", .family = "preference", .formula = "q*log(q) + (1 - q)*(log(1 - q) + 10)",
                                        .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected); q = 1/(1 + exp(-(beta*delta - margin)))",
                                        .source = "exact-optimization repository, a8ab360"});
  visit(catalog_entry<f_dpo_forward_kl>{.name = "f_dpo_forward_kl", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                                        .where = "z = beta*(exp(ref_rejected - rejected) - exp(ref_chosen - chosen)) - margin",
                                        .domain = {.lower = -708}, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9, table 1"});
  visit(catalog_entry<f_dpo_reverse_kl>{.name = "f_dpo_reverse_kl", .family = "preference", .formula = "-log(1/(1 + exp(-z)))", .where = delta,
                                        .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9, table 1"});
  visit(catalog_entry<f_dpo_jensen_shannon>{
      .name = "f_dpo_jensen_shannon", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = 1/(1 + exp(ref_chosen - chosen)); b = 1/(1 + exp(ref_rejected - rejected)); z = beta*(log(2*a) - log(2*b)) - margin",
      .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9, table 1"});

  // Constraint terms.
  visit(catalog_entry<log_barrier>{.name = "log_barrier", .family = "constraint",
                                   .formula = "-mu*log(-z) if z <= -t else (mu/t)*z + mu - mu*log(t)", .where = "t = s if s > 0 else mu**2",
                                   .argument = "z", .is = {.convex = true, .increasing = true}, .source = "arXiv:2410.21533 figure 1"});
}

}  // namespace attune
