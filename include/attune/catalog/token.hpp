// SPDX-License-Identifier: MIT
// The catalogue: policy-gradient objectives on one token, and those of a critic. Names that stand for the same function of a token with another
// ratio or another mean (grpo, gspo, ...) are other names of it.
#pragma once

#include <attune/catalog/entry.hpp>
#include <attune/policy/surrogate/clip.hpp>
#include <attune/policy/surrogate/covariance.hpp>
#include <attune/policy/surrogate/divergence_masked.hpp>
#include <attune/policy/surrogate/importance_weighted.hpp>
#include <attune/policy/surrogate/reinforce.hpp>
#include <attune/policy/surrogate/smooth.hpp>

namespace attune::catalog {

template <class Visitor>
void for_each_token_objective(Visitor&& visit) {
  constexpr const char* clipped = "r = exp(log_ratio); clipped = min(max(r, 1 - low), 1 + high)";
  visit(catalog_entry<ppo>{.name = "ppo", .family = "policy",
                           .formula = "-min(r*advantage, clipped*advantage) if advantage >= 0 else min(-min(r*advantage, clipped*advantage), -dual*advantage)", .where = clipped,
                           .source = "arXiv:1707.06347 eq. 7, arXiv:1912.09729, arXiv:2503.14476", .also = "ppo_clip bnpo dapo grpo dr_grpo gspo gspo_token luspo rloo"});
  visit(catalog_entry<reinforce>{.name = "reinforce", .family = "policy", .formula = "-advantage*logp", .source = "Williams 1992, arXiv:2504.02546", .also = "gpg"});
  visit(catalog_entry<awr>{.name = "awr", .family = "policy", .formula = "-min(exp(advantage/beta), limit)*logp", .source = "arXiv:1910.00177"});
  visit(catalog_entry<dro>{.name = "dro", .family = "policy", .formula = "-(advantage*logp - beta/2*log_ratio**2)", .source = "arXiv:2405.19107"});
  visit(catalog_entry<cispo>{.name = "cispo", .family = "policy", .formula = "-fixed_w*advantage*logp", .where = "w = min(max(exp(log_ratio), lower), upper)",
                             .source = "arXiv:2506.13585 eq. 4"});
  visit(catalog_entry<topr>{.name = "topr", .family = "policy", .formula = "-fixed_w*advantage*logp", .where = "w = 1 if advantage > 0 else min(exp(log_ratio), upper)",
                            .source = "arXiv:2503.14286"});
  visit(catalog_entry<vespo>{.name = "vespo", .family = "policy", .formula = "-fixed_w*advantage*logp",
                             .where = "k = k_positive if advantage >= 0 else k_negative; decay = lambda_positive if advantage >= 0 else lambda_negative; "
                                      "w = exp(k*log_ratio + decay*(1 - exp(log_ratio)))",
                             .source = "arXiv:2602.10693"});
  visit(catalog_entry<sapo>{.name = "sapo", .family = "policy", .formula = "-4/tau/(1 + exp(-tau*(exp(log_ratio) - 1)))*advantage",
                            .where = "tau = tau_positive if advantage > 0 else tau_negative", .source = "arXiv:2511.20347"});
  visit(catalog_entry<gmpo>{.name = "gmpo", .family = "policy", .formula = "-exp(log_ratio)*advantage", .source = "arXiv:2507.20673", .also = "geo_mean"});
  visit(catalog_entry<dppo_tv>{.name = "dppo_tv", .family = "policy", .formula = "0 if fixed_masked else -fixed_w*advantage*logp",
                               .where = "moved = exp(logp) - exp(old_logp); masked = moved > high if advantage > 0 else -moved > low; w = min(exp(log_ratio), cap)",
                               .source = "arXiv:2602.04879"});
  visit(catalog_entry<dppo_kl>{.name = "dppo_kl", .family = "policy", .formula = "0 if fixed_masked else -fixed_w*advantage*logp",
                               .where = "p = exp(logp); q = exp(old_logp); kl = q*log(q/p) + (1 - q)*log((1 - q)/(1 - p)); "
                                        "masked = (kl > high) * (p > q) if advantage > 0 else (kl > low) * (p < q); w = min(exp(log_ratio), cap)",
                               .source = "arXiv:2602.04879"});
  visit(catalog_entry<clip_cov>{.name = "clip_cov", .family = "policy", .formula = "-(1 - selected)*min(r*advantage, clipped*advantage)", .where = clipped,
                                .source = "arXiv:2505.22617"});
  visit(catalog_entry<kl_cov>{.name = "kl_cov", .family = "policy", .formula = "-exp(log_ratio)*advantage + kappa*selected*abs(log_ratio)", .source = "arXiv:2505.22617"});
}

template <class Visitor>
void for_each_value_objective(Visitor&& visit) {
  visit(catalog_entry<value_loss>{.name = "value_loss", .family = "policy",
                                  .formula = "max((value - target)**2, (min(max(value, old_value - clip), old_value + clip) - target)**2)/2",
                                  .is = {.nonnegative = true}, .source = "openai/baselines, ppo2", .also = "value_clip critic"});
}

}  // namespace attune::catalog
