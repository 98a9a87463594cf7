// SPDX-License-Identifier: MIT
// The catalogue: objectives on preference pairs.
#pragma once

#include <attune/catalog/entry.hpp>
#include <attune/preference/alpha_dpo.hpp>
#include <attune/preference/alpha_po.hpp>
#include <attune/preference/apo.hpp>
#include <attune/preference/bco_pair.hpp>
#include <attune/preference/beta_dpo.hpp>
#include <attune/preference/cal_dpo.hpp>
#include <attune/preference/cdpo.hpp>
#include <attune/preference/chi_po.hpp>
#include <attune/preference/cpo.hpp>
#include <attune/preference/discopop.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/dpo_nll.hpp>
#include <attune/preference/dpo_per_token.hpp>
#include <attune/preference/dpo_reference_free.hpp>
#include <attune/preference/dpo_shift.hpp>
#include <attune/preference/dpop.hpp>
#include <attune/preference/dr_dpo.hpp>
#include <attune/preference/exo_pref.hpp>
#include <attune/preference/f_dpo.hpp>
#include <attune/preference/f_dpo_parametrised.hpp>
#include <attune/preference/hinge_dpo.hpp>
#include <attune/preference/ipo.hpp>
#include <attune/preference/mpo.hpp>
#include <attune/preference/nca_pair.hpp>
#include <attune/preference/nll.hpp>
#include <attune/preference/odpo.hpp>
#include <attune/preference/orpo.hpp>
#include <attune/preference/r_dpo.hpp>
#include <attune/preference/rebel.hpp>
#include <attune/preference/robust_dpo.hpp>
#include <attune/preference/simpo.hpp>
#include <attune/preference/slic_hf.hpp>
#include <attune/preference/sppo.hpp>
#include <attune/preference/tdpo.hpp>
#include <attune/preference/tpo.hpp>
#include <attune/preference/xpo.hpp>

namespace attune::catalog {

template <class Visitor>
void for_each_pair_objective(Visitor&& visit) {
  constexpr const char* delta = "delta = (chosen - ref_chosen) - (rejected - ref_rejected); z = beta*delta - margin";
  visit(catalog_entry<dpo>{.name = "dpo", .family = "preference", .formula = "-log(1/(1 + exp(-z)))", .where = delta,
                           .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2305.18290 eq. 7", .also = "step_dpo"});
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
                                .is = {.nonnegative = true}, .source = "arXiv:2402.00856 eq. 16", .also = "exo_pair"});
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
  visit(catalog_entry<f_dpo_pearson_chi_squared>{
      .name = "f_dpo_pearson_chi_squared", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; z = beta*(2*exp(a) - 2*exp(b)) - margin",
      .domain = {.upper = 707}, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9"});
  visit(catalog_entry<f_dpo_neyman_chi_squared>{
      .name = "f_dpo_neyman_chi_squared", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; z = beta*(exp(-2*b) - exp(-2*a)) - margin",
      .domain = {.lower = -353}, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9"});
  visit(catalog_entry<f_dpo_squared_hellinger>{
      .name = "f_dpo_squared_hellinger", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; z = beta*(exp(-b/2) - exp(-a/2)) - margin",
      .domain = {.lower = -1414}, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9"});
  visit(catalog_entry<f_dpo_jeffreys>{
      .name = "f_dpo_jeffreys", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; z = beta*((a - exp(-a)) - (b - exp(-b))) - margin",
      .domain = {.lower = -708}, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9"});
  visit(catalog_entry<f_dpo_chi_squared_kl>{
      .name = "f_dpo_chi_squared_kl", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; z = beta*((exp(a) + a) - (exp(b) + b)) - margin",
      .domain = {.upper = 708}, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2407.13399, without its clipping"});
  visit(catalog_entry<f_dpo_alpha_t>{
      .name = "f_dpo_alpha_t", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; "
               "d = a - b if alpha == 1 else (exp((alpha - 1)*a) - exp((alpha - 1)*b))/(alpha - 1); z = beta*d - margin",
      .domain = {.lower = -280, .upper = 700}, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9",
      .also = "alpha_divergence"});
  visit(catalog_entry<f_dpo_alpha_u>{
      .name = "f_dpo_alpha_u", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; "
               "d = a - b if alpha == 0 else (exp(-alpha*b) - exp(-alpha*a))/alpha; z = beta*d - margin",
      .domain = {.lower = -350, .upper = 470}, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9, table 1"});
  visit(catalog_entry<f_dpo_skewed_forward_kl>{
      .name = "f_dpo_skewed_forward_kl", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; "
               "w = 1 - skew; z = beta*(w/(skew + w*exp(b)) - w/(skew + w*exp(a))) - margin",
      .domain = {.lower = -708}, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9"});
  visit(catalog_entry<f_dpo_skewed_reverse_kl>{
      .name = "f_dpo_skewed_reverse_kl", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; "
               "w = 1 - skew; m = skew*exp(a) + w; n = skew*exp(b) + w; z = beta*((log(exp(a)/m) + w/m) - (log(exp(b)/n) + w/n)) - margin",
      .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9"});
  visit(catalog_entry<f_dpo_generalized_jensen_shannon>{
      .name = "f_dpo_generalized_jensen_shannon", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "a = chosen - ref_chosen; b = rejected - ref_rejected; "
               "w = 1 - target_weight; m = target_weight + w*exp(a); n = target_weight + w*exp(b); "
               "z = beta*w*(log(exp(a)/m) - log(exp(b)/n)) - margin",
      .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.16240 eq. 9"});

  // Composed of one score and one link, judged by the margin.
  visit(catalog_entry<robust_dpo>{
      .name = "robust_dpo", .family = "preference",
      .formula = "(-(1 - label_smoothing)*log(1/(1 + exp(-z))) + label_smoothing*log(1/(1 + exp(z))))/(1 - 2*label_smoothing)",
      .where = delta, .is = {.monotone = true}, .source = "arXiv:2403.00409", .also = "rdpo robust"});
  visit(catalog_entry<hinge_dpo>{.name = "hinge_dpo", .family = "preference", .formula = "1 - z if z < 1 else 0", .where = delta,
                                 .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2309.06657", .also = "slic rso"});
  visit(catalog_entry<dpo_reference_free>{.name = "dpo_reference_free", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                                          .where = "z = beta*(chosen - rejected) - margin", .is = {.nonnegative = true, .monotone = true},
                                          .source = "arXiv:2305.18290 eq. 7 with a constant reference", .also = "reference_free"});
  visit(catalog_entry<dpo_per_token>{
      .name = "dpo_per_token", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "z = beta*((chosen - ref_chosen)/chosen_length - (rejected - ref_rejected)/rejected_length) - margin",
      .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2411.15124", .also = "sigmoid_norm dpo_norm"});
  visit(catalog_entry<discopop>{.name = "discopop", .family = "preference", .formula = "-(1 - g)*log(1/(1 + exp(-z))) + g*exp(-z)",
                                .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected); z = beta*delta - margin; "
                                         "g = 1/(1 + exp(-z/tau))",
                                .is = {.nonnegative = true}, .source = "arXiv:2406.08414"});
  visit(catalog_entry<alpha_po>{
      .name = "alpha_po", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "p = exp(chosen/chosen_length); q = exp(rejected/rejected_length); "
               "z = beta*((1 - p**(-alpha))/alpha - (1 - q**(-alpha))/alpha) - gamma - margin",
      .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2501.03884", .also = "alphapo"});

  // Each completion judged alone.
  constexpr const char* ratios = "w = chosen - ref_chosen; l = rejected - ref_rejected";
  visit(catalog_entry<nca_pair>{.name = "nca_pair", .family = "preference",
                                .formula = "-log(1/(1 + exp(-beta*w))) - log(1/(1 + exp(beta*w)))/2 - log(1/(1 + exp(beta*l)))/2",
                                .where = ratios, .is = {.nonnegative = true}, .source = "arXiv:2402.05369"});
  visit(catalog_entry<bco_pair>{.name = "bco_pair", .family = "preference",
                                .formula = "-log(1/(1 + exp(-beta*w))) - log(1/(1 + exp(beta*l)))", .where = ratios,
                                .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2404.04656, as in TRL"});
  visit(catalog_entry<sppo_hard>{.name = "sppo_hard", .family = "preference", .formula = "(w - 1/(2*beta))**2 + (l + 1/(2*beta))**2",
                                 .where = ratios, .is = {.nonnegative = true}, .source = "arXiv:2405.00675, hard labels as in TRL"});
  visit(catalog_entry<sppo>{.name = "sppo", .family = "preference",
                            .formula = "(w - (2*chosen_reward - 1)/(2*beta))**2 + (l - (2*rejected_reward - 1)/(2*beta))**2",
                            .where = ratios, .is = {.nonnegative = true}, .source = "arXiv:2405.00675, authors' repository at 2c5eb7f"});
  visit(catalog_entry<apo_zero>{.name = "apo_zero", .family = "preference", .formula = "1 - 1/(1 + exp(-beta*w)) + 1/(1 + exp(-beta*l))",
                                .where = ratios, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2408.06266"});
  visit(catalog_entry<apo_down>{.name = "apo_down", .family = "preference", .formula = "1/(1 + exp(-beta*w)) + 1 - 1/(1 + exp(-z))",
                                .where = "w = chosen - ref_chosen; l = rejected - ref_rejected; z = beta*(w - l) - margin",
                                .is = {.nonnegative = true}, .source = "arXiv:2408.06266"});

  // Likelihood of one completion, and weighted sums.
  visit(catalog_entry<nll>{.name = "nll", .family = "preference", .formula = "-chosen", .is = {.nonnegative = true, .monotone = true},
                           .source = "definition"});
  visit(catalog_entry<nll_per_token>{.name = "nll_per_token", .family = "preference", .formula = "-chosen/chosen_length",
                                     .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2404.19733"});
  visit(catalog_entry<nll_token_mean>{.name = "nll_token_mean", .family = "preference", .formula = "-chosen/mean_length",
                                      .is = {.nonnegative = true, .monotone = true}, .source = "TRL, Liger"});
  visit(catalog_entry<slic_hf>{.name = "slic_hf", .family = "preference", .formula = "(delta - z if z < delta else 0) - nll_weight*chosen",
                               .where = "z = beta*(chosen - rejected) - margin", .is = {.nonnegative = true, .monotone = true},
                               .source = "arXiv:2305.10425"});
  constexpr const char* without_reference = "z = beta*(chosen - rejected) - margin; "
                               "f = -(1 - label_smoothing)*log(1/(1 + exp(-z))) - label_smoothing*log(1/(1 + exp(z)))";
  visit(catalog_entry<cpo>{.name = "cpo", .family = "preference", .formula = "f - nll_weight*chosen", .where = without_reference,
                           .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2401.08417"});
  visit(catalog_entry<cpo_token_mean>{.name = "cpo_token_mean", .family = "preference", .formula = "f - nll_weight*chosen/mean_length",
                                      .where = without_reference, .is = {.nonnegative = true, .monotone = true}, .source = "TRL, Liger"});
  constexpr const char* odds = "p = exp(chosen/chosen_length); q = exp(rejected/rejected_length); "
                               "z = log(p/(1 - p)) - log(q/(1 - q)) - margin";
  visit(catalog_entry<orpo>{.name = "orpo", .family = "preference", .formula = "-chosen/chosen_length - odds_weight*log(1/(1 + exp(-z)))",
                            .where = odds, .domain = {.upper = 0}, .is = {.nonnegative = true, .monotone = true},
                            .source = "arXiv:2403.07691"});
  visit(catalog_entry<orpo_with_prompt>{.name = "orpo_with_prompt", .family = "preference",
                                        .formula = "-target/target_length - odds_weight*log(1/(1 + exp(-z)))", .where = odds,
                                        .domain = {.upper = 0}, .is = {.nonnegative = true, .monotone = true},
                                        .source = "TRL's ORPO trainer"});
  visit(catalog_entry<xpo>{.name = "xpo", .family = "preference", .formula = "-log(1/(1 + exp(-z))) + alpha*target", .where = delta,
                           .is = {.monotone = true}, .source = "arXiv:2405.21046"});
  visit(catalog_entry<xpo_ipo>{.name = "xpo_ipo", .family = "preference", .formula = "(delta - margin/beta - 1/(2*beta))**2 + alpha*target",
                               .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected)", .source = "arXiv:2405.21046, TRL's XPO trainer"});
  visit(catalog_entry<tpo>{.name = "tpo", .family = "preference", .formula = "f - target_weight*target/target_length",
                           .where = without_reference, .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2405.16681"});
  visit(catalog_entry<tpo_l>{.name = "tpo_l", .family = "preference",
                             .formula = "-log(1/(1 + exp(-z))) - target_weight*target/target_length",
                             .where = "z = beta*(chosen/chosen_length - rejected/rejected_length) - gamma - margin",
                             .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2405.16681", .also = "tpo-l"});
  visit(catalog_entry<dpo_nll>{.name = "dpo_nll", .family = "preference",
                               .formula = "-log(1/(1 + exp(-z))) - nll_weight*chosen/chosen_length", .where = delta,
                               .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2404.19733", .also = "rpo irpo rpo_alpha"});
  visit(catalog_entry<mpo>{
      .name = "mpo", .family = "preference",
      .formula = "-preference_weight*log(1/(1 + exp(-z))) - quality_weight*(log(1/(1 + exp(-beta*w))) + log(1/(1 + exp(beta*l)))) "
                 "- nll_weight*chosen/chosen_length",
      .where = "w = chosen - ref_chosen; l = rejected - ref_rejected; z = beta*(w - l) - margin",
      .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2411.10442"});
  visit(catalog_entry<cal_dpo>{
      .name = "cal_dpo", .family = "preference",
      .formula = "-log(1/(1 + exp(-(w - l - margin)))) + calibration_weight*((w - 1/(2*beta))**2 + (l + 1/(2*beta))**2)", .where = ratios,
      .is = {.nonnegative = true}, .source = "arXiv:2412.14516, authors' repository at 646a754"});

  // DPO with another margin, or with statistics of the batch.
  visit(catalog_entry<dpop>{.name = "dpop", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                            .where = "w = chosen - ref_chosen; l = rejected - ref_rejected; "
                                     "z = beta*(w - l - penalty*(-w if w < 0 else 0)) - margin",
                            .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2402.13228", .also = "dpo_positive"});
  visit(catalog_entry<dpo_shift>{.name = "dpo_shift", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                                 .where = "z = beta*((chosen - ref_chosen) - shift*(rejected - ref_rejected)) - margin",
                                 .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2502.07599"});
  visit(catalog_entry<r_dpo>{.name = "r_dpo", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                             .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected); "
                                      "z = beta*delta + alpha*(chosen_length - rejected_length) - margin",
                             .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2403.19159"});
  visit(catalog_entry<odpo>{.name = "odpo", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                            .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected); "
                                     "z = beta*delta - alpha*log(chosen_reward - rejected_reward) - margin",
                            .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2402.10571, authors' repository at c4a01be"});
  visit(catalog_entry<chi_po>{.name = "chi_po", .family = "preference", .formula = "-log(1/(1 + exp(-(c - margin))))",
                              .where = "t = exp(chosen - ref_chosen); u = exp(rejected - ref_rejected); "
                                       "d = beta*(t + log(t) - u - log(u)); c = clip if d > clip else -clip if d < -clip else d",
                              .domain = {.upper = 709}, .is = {.nonnegative = true, .monotone = true},
                              .source = "arXiv:2407.13399 algorithm 1"});
  visit(catalog_entry<tdpo1>{.name = "tdpo1", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                             .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected); "
                                      "z = beta*(delta + chosen_kl - rejected_kl) - margin",
                             .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2404.11999, authors' repository at 4a36a00"});
  visit(catalog_entry<tdpo2>{.name = "tdpo2", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                             .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected); k = chosen_kl; "
                                      "z = beta*(delta + alpha*(fixed_k - rejected_kl)) - margin",
                             .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2404.11999, authors' repository at 4a36a00",
                             .also = "tdpo"});
  visit(catalog_entry<rebel>{.name = "rebel", .family = "preference",
                             .formula = "(delta/eta - (chosen_reward - rejected_reward) - margin)**2",
                             .where = "delta = (chosen - ref_chosen) - (rejected - ref_rejected)", .is = {.nonnegative = true},
                             .source = "arXiv:2404.16767 algorithm 1"});
  visit(catalog_entry<beta_dpo>{.name = "beta_dpo", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
                                .where = "a = (1 + alpha*(batch_gap - usual_gap))*beta; b = a if a > floor else floor; "
                                         "z = b*((chosen - ref_chosen) - (rejected - ref_rejected)) - margin",
                                .is = {.nonnegative = true, .monotone = true},
                                .source = "arXiv:2407.08639, authors' repository at 6f3abb8"});
  visit(catalog_entry<dr_dpo>{.name = "dr_dpo", .family = "preference",
                              .formula = "-batch_temperature*(exp(h/batch_temperature - log_mean) - 1 + log_mean)",
                              .where = "z = beta*((chosen - ref_chosen) - (rejected - ref_rejected)) - margin; h = log(1/(1 + exp(-z)))",
                              .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2407.07880, by pair"});
  visit(catalog_entry<alpha_dpo>{
      .name = "alpha_dpo", .family = "preference", .formula = "-log(1/(1 + exp(-z)))",
      .where = "m = (chosen - ref_chosen)/chosen_length - (rejected - ref_rejected)/rejected_length; s = (m - mean)/deviation; "
               "z = beta*(chosen/chosen_length - rejected/rejected_length) - gamma - alpha*fixed_s - margin",
      .is = {.nonnegative = true, .monotone = true}, .source = "arXiv:2410.10148, authors' repository at f6a8102"});
}

}  // namespace attune::catalog
