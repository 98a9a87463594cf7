// SPDX-License-Identifier: MIT
// The catalogue: f-divergence generators, in log space: value f(t), slope f'(t), argument log t.
#pragma once

#include <attune/catalog/entry.hpp>
#include <attune/divergence/alpha_t.hpp>
#include <attune/divergence/alpha_u.hpp>
#include <attune/divergence/chi_squared_kl.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/generalized_jensen_shannon.hpp>
#include <attune/divergence/jeffreys.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/mixed_kl.hpp>
#include <attune/divergence/neyman_chi_squared.hpp>
#include <attune/divergence/pearson_chi_squared.hpp>
#include <attune/divergence/reverse_kl.hpp>
#include <attune/divergence/scaled_jensen_shannon.hpp>
#include <attune/divergence/skewed_forward_kl.hpp>
#include <attune/divergence/skewed_reverse_kl.hpp>
#include <attune/divergence/squared_hellinger.hpp>
#include <attune/divergence/total_variation.hpp>

namespace attune::catalog {

template <class Visitor>
void for_each_divergence(Visitor&& visit) {
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
  visit(catalog_entry<divergence::total_variation>{
      .name = "total_variation", .family = "divergence", .formula = "abs(t - 1)/2", .where = "t = exp(log_t)",
      .slope = "1/2 if t > 1 else (-1/2 if t < 1 else 0)", .argument = "log_t", .is = {.nonnegative = true},
      .source = "arXiv:2302.08215 table 1 (TV)", .also = "tvd"});
  visit(catalog_entry<divergence::pearson_chi_squared>{
      .name = "pearson_chi_squared", .family = "divergence", .formula = "(t - 1)**2", .where = "t = exp(log_t)", .slope = "2*(t - 1)",
      .argument = "log_t", .is = {.nonnegative = true}, .source = "Pearson 1900; chi2(policy || target)", .also = "reverse_chi2"});
  visit(catalog_entry<divergence::neyman_chi_squared>{
      .name = "neyman_chi_squared", .family = "divergence", .formula = "(t - 1)**2/t", .where = "t = exp(log_t)", .slope = "1 - 1/t**2",
      .argument = "log_t", .is = {.nonnegative = true}, .source = "Neyman 1949; chi2(target || policy)", .also = "chi2"});
  visit(catalog_entry<divergence::squared_hellinger>{
      .name = "squared_hellinger", .family = "divergence", .formula = "(sqrt(t) - 1)**2", .where = "t = exp(log_t)",
      .slope = "1 - 1/sqrt(t)", .argument = "log_t", .is = {.nonnegative = true}, .source = "Hellinger 1909; Liese and Vajda 2006"});
  visit(catalog_entry<divergence::jeffreys>{
      .name = "jeffreys", .family = "divergence", .formula = "(t - 1)*log(t)", .where = "t = exp(log_t)", .slope = "log(t) + 1 - 1/t",
      .argument = "log_t", .is = {.nonnegative = true}, .source = "Jeffreys 1946; arXiv:2410.21662"});
  visit(catalog_entry<divergence::alpha_t>{
      .name = "alpha_t", .family = "divergence",
      .formula = "t*log(t) - t + 1 if alpha == 1 else (t - 1 - log(t) if alpha == 0 else "
                 "(t**alpha - alpha*t - (1 - alpha))/(alpha*(alpha - 1)))",
      .where = "t = exp(log_t)", .slope = "log(t) if alpha == 1 else (t**(alpha - 1) - 1)/(alpha - 1)", .argument = "log_t",
      .is = {.nonnegative = true}, .source = "Cressie and Read 1984; f-DPG's alpha", .also = "cressie_read"});
  visit(catalog_entry<divergence::alpha_u>{
      .name = "alpha_u", .family = "divergence",
      .formula = "t*log(t) - t + 1 if alpha == 0 else (t - 1 - log(t) if alpha == 1 else "
                 "((1 - alpha)*t + alpha - t**(1 - alpha))/(alpha*(1 - alpha)))",
      .where = "t = exp(log_t)", .slope = "log(t) if alpha == 0 else (1 - t**(-alpha))/alpha", .argument = "log_t",
      .is = {.nonnegative = true}, .source = "arXiv:2309.16240 table 1 (alpha-divergence)"});
  visit(catalog_entry<divergence::skewed_forward_kl>{
      .name = "skewed_forward_kl", .family = "divergence", .formula = "-log(skew + (1 - skew)*t) + (1 - skew)*(t - 1)",
      .where = "t = exp(log_t)", .slope = "(1 - skew) - (1 - skew)/(skew + (1 - skew)*t)", .argument = "log_t", .is = {.nonnegative = true},
      .source = "arXiv:2402.03898 (SKL)", .also = "skl"});
  visit(catalog_entry<divergence::skewed_reverse_kl>{
      .name = "skewed_reverse_kl", .family = "divergence", .formula = "t*log(t/(skew*t + (1 - skew))) - (1 - skew)*(t - 1)",
      .where = "t = exp(log_t)", .slope = "log(t/(skew*t + 1 - skew)) + (1 - skew)/(skew*t + 1 - skew) - (1 - skew)", .argument = "log_t",
      .is = {.nonnegative = true}, .source = "arXiv:2402.03898 (SRKL)", .also = "srkl"});
  visit(catalog_entry<divergence::generalized_jensen_shannon>{
      .name = "generalized_jensen_shannon", .family = "divergence", .formula = "beta*log(1/m) + (1 - beta)*t*log(t/m)",
      .where = "t = exp(log_t); m = beta + (1 - beta)*t", .slope = "(1 - beta)*log(t/m)", .argument = "log_t", .is = {.nonnegative = true},
      .source = "arXiv:2306.13649 (JSD(beta))"});
  visit(catalog_entry<divergence::chi_squared_kl>{
      .name = "chi_squared_kl", .family = "divergence", .formula = "(t - 1)**2/2 + t*log(t) - t + 1", .where = "t = exp(log_t)",
      .slope = "t - 1 + log(t)", .argument = "log_t", .is = {.nonnegative = true}, .source = "arXiv:2407.13399 (mixed chi-squared)"});
  visit(catalog_entry<divergence::mixed_kl>{
      .name = "mixed_kl", .family = "divergence", .formula = "forward*(t - 1 - log(t)) + (1 - forward)*(t*log(t) - t + 1)", .where = "t = exp(log_t)",
      .slope = "forward*(1 - 1/t) + (1 - forward)*log(t)", .argument = "log_t", .is = {.nonnegative = true},
      .source = "torchtune SymmetricKLLoss, NeMo-RL mixed; arXiv:2404.02657", .also = "symmetric_kl"});
  visit(catalog_entry<divergence::scaled_jensen_shannon>{
      .name = "scaled_jensen_shannon", .family = "divergence",
      .formula = "t - 1 - log(t) if beta == 0 else (t*log(t) - t + 1 if beta == 1 else t*log(t/m)/beta - log(m)/(1 - beta))",
      .where = "t = exp(log_t); m = beta + (1 - beta)*t", .slope = "1 - 1/t if beta == 0 else log(t/m)/beta", .argument = "log_t",
      .is = {.nonnegative = true}, .source = "arXiv:2306.13649 (JSD(beta)), divided by beta (1 - beta)"});
}

}  // namespace attune::catalog
