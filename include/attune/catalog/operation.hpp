// SPDX-License-Identifier: MIT
// The catalogue: objectives that are no function of one sample's log-probabilities. They match the samples of a batch anew or act on single
// tokens, before or after the units, and go with any of them. Their tests are tests/exec/aot.cpp and tests/rows.
#pragma once

namespace attune {

struct operation_entry {
  const char* name;
  const char* on;       ///< what it takes
  const char* formula;
  const char* where = "";
  const char* call;     ///< how it is used
  const char* source;
  const char* also = "";
};

/// Calls visit(operation_entry) for each.
template <class Visitor>
void for_each_operation(Visitor&& visit) {
  constexpr const char* matched = "phi(z) = -(1 - label_smoothing)*log(1/(1 + exp(-z))) - label_smoothing*log(1/(1 + exp(z)))";
  visit(operation_entry{.name = "aot_paired", .on = "a batch of pairs", .formula = "mean(phi(beta*(sorted(chosen - rejected)[k] - sorted(ref_chosen - ref_rejected)[k])))",
                        .where = matched, .call = "evaluate(aot_paired{}, pairs, gradients, workspace)", .source = "arXiv:2406.05882 (paired)", .also = "aot aot_pair"});
  visit(operation_entry{.name = "aot_unpaired", .on = "a batch of pairs", .formula = "mean(phi(beta*(sorted(chosen - ref_chosen)[k] - sorted(rejected - ref_rejected)[k])))",
                        .where = matched, .call = "evaluate(aot_unpaired{}, pairs, gradients, workspace)", .source = "arXiv:2406.05882 (unpaired)"});
  visit(operation_entry{.name = "ld_dpo", .on = "tokens of a pair", .formula = "chosen = sum(w[t]*token_logp[t]), rejected alike",
                        .where = "w[t] = 1 if t < min(chosen_length, rejected_length) else alpha", .call = "ld_dpo_weights(alpha, masks, weights), sequence_logps",
                        .source = "arXiv:2409.06411", .also = "ld-dpo ld_alpha"});
  visit(operation_entry{.name = "wpo", .on = "tokens of a pair", .formula = "weight = min(chosen_weight*rejected_weight, 1)",
                        .where = "chosen_weight = exp(mean(token_logp[t] - log(sum(p**2 for p in row[t])))), rejected alike",
                        .call = "collision_logps, wpo_weights, wpo_pair_weights, pairs.weight", .source = "arXiv:2406.11827 eq. 2", .also = "use_weighting"});
  visit(operation_entry{.name = "humanline", .on = "tokens of a completion", .formula = "log_ratio = sum(min(max(token_logp[t] - ref_token_logp[t], lower), upper))",
                        .call = "humanline_log_ratios, humanline_coefficients", .source = "arXiv:2509.24207"});
}

}  // namespace attune
