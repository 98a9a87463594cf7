// SPDX-License-Identifier: MIT
// The catalogue: what is no function of one sample's log-probabilities. These match or choose the samples of a batch, act on single tokens,
// follow a run's averages, distil from a teacher, or move the reference model, before or after the units, and go with any of them. Their tests are
// tests/exec/aot.cpp, tests/rows, tests/policy, tests/distill, tests/constraint, tests/reward and tests/reference.
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
  visit(operation_entry{.name = "f_dpg", .on = "sampled completions", .formula = "coefficient = -(pi/q)*(R - baseline)/N", .where = "R = -f'(pi/p), p = P/Z, any divergence f",
                        .call = "dpg::partitions, dpg::pseudo_rewards, dpg::policy_coefficients", .source = "arXiv:2302.08215 theorem 1", .also = "dpg gdc"});
  visit(operation_entry{.name = "alpha_dpg", .on = "sampled completions", .formula = "R = min((p/pi)**(1 - alpha) - 1, limit)",
                        .call = "dpg::alpha_dpg, as f_dpg", .source = "naver/alpha-dpg"});
  visit(operation_entry{.name = "importance_correction", .on = "tokens of completions", .formula = "multiplier = min(max(r, lower), upper), or r if lower <= r <= upper else 0",
                        .where = "r = exp(l[t]), exp(sum(l)) or exp(mean(l)), l = old_logp - sampler_logp; 0 if exp(mean(l)) is outside of options.sequence_mean",
                        .call = "correction::weights, correction::accepted, tokens.correction", .source = "TRL, verl, OpenRLHF, NeMo-RL",
                        .also = "tis mis icepop seq-mask-tis token_truncate token_mask sequence_truncate sequence_mask rollout_is rollout_rs"});
  visit(operation_entry{.name = "off_policy_mask", .on = "tokens of completions", .formula = "multiplier = 0 if advantage < 0 and mean(sampler_logp - logp) > threshold else 1",
                        .call = "correction::off_policy_mask, tokens.correction", .source = "arXiv:2512.02556", .also = "off_policy_mask_threshold"});
  visit(operation_entry{.name = "top_entropy", .on = "tokens of completions", .formula = "mask = 1 if entropy >= threshold else 0", .where = "threshold: quantile 1 - share of the batch's entropies",
                        .call = "entropy_threshold, top_entropy_mask, tokens.mask", .source = "arXiv:2506.01939", .also = "top_entropy_quantile"});
  visit(operation_entry{.name = "clip_cov_selection", .on = "tokens of completions", .formula = "selected = max(1, share*n) random tokens with lower < c < upper", .where = "c = (A - mean(A))*(logp - mean(logp))",
                        .call = "covariance::select(covariance::clip_cov{}, ...), tokens.selected", .source = "arXiv:2505.22617"});
  visit(operation_entry{.name = "kl_cov_selection", .on = "tokens of completions", .formula = "selected = the max(1, share*n) tokens of largest c", .where = "c = (A - mean(A))*(logp - mean(logp))",
                        .call = "covariance::select(covariance::kl_cov{}, ...), tokens.selected", .source = "arXiv:2505.22617"});
  visit(operation_entry{.name = "online_pairs", .on = "scored groups", .formula = "chosen = first of the highest, rejected = last of the lowest", .where = "of reward - missing_eos_penalty*(1 - ended)",
                        .call = "online_pairs, evaluate(dpo{}, pairs)", .source = "arXiv:2402.04792", .also = "online_dpo online_ipo"});
  visit(operation_entry{.name = "nash_md", .on = "tokens of completions", .formula = "coefficient = beta*k[t] - (p - 1/2)",
                        .where = "p = 1/(1 + exp(mixture_score - score)); k[t] = l[t], or the sum of l[u] over u >= t; l = logp - ref_logp",
                        .call = "nash_md_coefficients", .source = "arXiv:2312.00886"});
  visit(operation_entry{.name = "sppo_reward", .on = "completions of a group", .formula = "(logp - old_logp - eta*(reward - softmean(reward)))**2", .where = "softmean = log(mean(exp(eta*reward)))/eta",
                        .call = "optimal_value, evaluate(a_star_po{.beta = 1}, singles)", .source = "arXiv:2405.00675, verl's recipe"});
  visit(operation_entry{.name = "grpo_advantage", .on = "groups", .formula = "advantage = (r - mean(r))/(std(r) + eps)", .where = "over the group, std with ddof = 1; 0 where all r are equal",
                        .call = "advantage::of_groups(rewards, {.group_size = K}, result)", .source = "arXiv:2402.03300", .also = "group_norm"});
  visit(operation_entry{.name = "dr_grpo_advantage", .on = "groups", .formula = "advantage = r - mean(r)", .call = "advantage::of_groups, options advantage::dr_grpo", .source = "arXiv:2503.20783"});
  visit(operation_entry{.name = "rloo_advantage", .on = "groups", .formula = "advantage = K/(K - 1)*(r - mean(r))", .where = "= r - mean of the others",
                        .call = "advantage::of_groups, options advantage::rloo", .source = "arXiv:2402.14740", .also = "leave_one_out"});
  visit(operation_entry{.name = "lite_ppo_advantage", .on = "groups", .formula = "advantage = (r - mean(r))/(std(all r) + eps)", .where = "mean of the group, std of the batch",
                        .call = "advantage::of_groups, options advantage::lite_ppo", .source = "arXiv:2508.08221", .also = "scale_rewards_batch"});
  visit(operation_entry{.name = "reinforce_plus_plus_baseline", .on = "groups", .formula = "advantage = (a - mean(a))/sqrt(var(a) + eps)", .where = "a = r - mean(r) of the group; over the batch",
                        .call = "advantage::of_groups with dr_grpo, then whiten or whiten_tokens", .source = "arXiv:2501.03262", .also = "reinforce_baseline minus_baseline"});
  visit(operation_entry{.name = "gdpo_advantage", .on = "groups with several rewards", .formula = "advantage = (a - mean(a))/(std(a) + eps)", .where = "a = sum(w[k]*(r[k] - mean(r[k]))/(std(r[k]) + eps)) of the group; over the batch",
                        .call = "advantage::gdpo", .source = "arXiv:2601.05242", .also = "normalize_then_sum"});
  visit(operation_entry{.name = "pass_at_k_advantage", .on = "groups", .formula = "advantage = (r - second)/(std(r) + eps) for the best, else 0", .call = "advantage::pass_at_k",
                        .source = "arXiv:2503.19595", .also = "grpo_passk"});
  visit(operation_entry{.name = "opo_advantage", .on = "groups", .formula = "advantage = r - sum(length*r)/sum(length)", .call = "advantage::opo", .source = "arXiv:2505.23585"});
  visit(operation_entry{.name = "remax_advantage", .on = "groups", .formula = "advantage = r - r_greedy", .call = "advantage::remax", .source = "arXiv:2310.10505"});
  visit(operation_entry{.name = "gpg_advantage", .on = "groups", .formula = "advantage = B/nonzero*(r - mean(r))", .where = "nonzero: rewards of the batch that are not 0", .call = "advantage::gpg",
                        .source = "arXiv:2504.02546, convention of verl"});
  visit(operation_entry{.name = "gae", .on = "tokens of completions", .formula = "A[t] = r[t] + gamma*V[t + 1] - V[t] + gamma*lambda*A[t + 1]", .call = "advantage::gae(where, rewards, values, advantages, returns)",
                        .source = "arXiv:1506.02438 eqs. 11 to 16"});
  visit(operation_entry{.name = "decoupled_gae", .on = "tokens of completions", .formula = "gae with one lambda for A and one for the returns", .where = "lambda = max(1 - 1/(alpha*length), 0) by length",
                        .call = "advantage::gae with .policy_lambda or .length_alpha", .source = "arXiv:2504.05118", .also = "vapo length_adaptive_gae"});
  visit(operation_entry{.name = "reinforce_plus_plus", .on = "tokens of completions", .formula = "R[t] = r[t] + gamma*R[t + 1], whitened over the tokens of the batch",
                        .call = "advantage::token_rewards, advantage::discounted_returns, advantage::whiten_tokens", .source = "arXiv:2501.03262"});
  visit(operation_entry{.name = "optimal_token_baseline", .on = "tokens of groups", .formula = "A[t] = R[t] - sum(W[t]*R[t])/sum(W[t])", .where = "over the group; W[t] = sum(1 - 2*p[i] + sum(p**2) for i <= t)",
                        .call = "advantage::optimal_token_baseline; of completions: advantage::optimal_baseline", .source = "arXiv:2602.07078", .also = "otb"});
  visit(operation_entry{.name = "v_trace", .on = "tokens of completions", .formula = "v[t] = V[t] + rho*(r[t] + gamma*V[t + 1] - V[t]) + gamma*c*(v[t + 1] - V[t + 1])",
                        .where = "rho = min(rho_bar, pi/mu), c = lambda*min(c_bar, pi/mu)", .call = "advantage::v_trace", .source = "arXiv:1802.01561 eq. 1", .also = "impala"});
  visit(operation_entry{.name = "whiten", .on = "completions or tokens", .formula = "(x - mean(x))/sqrt(var(x) + eps)", .where = "of the batch, statistics merge over ranks", .call = "advantage::whiten, advantage::whiten_tokens",
                        .source = "arXiv:2009.01325", .also = "masked_whiten normalize_advantages"});
  visit(operation_entry{.name = "kl_in_reward", .on = "tokens of completions", .formula = "r[t] = -coefficient*kl[t] + (reward if t is last else 0)", .call = "advantage::token_rewards", .source = "arXiv:1909.08593"});
  visit(operation_entry{.name = "adaptive_kl", .on = "averages over completions", .formula = "coefficient*(1 + min(max(kl/target - 1, -clip), clip)*n/horizon)", .call = "adaptive_kl::update(kl, n)",
                        .source = "arXiv:1909.08593 section 2.2", .also = "kl_ctrl fixed_kl"});
  visit(operation_entry{.name = "adaptive_entropy", .on = "averages over tokens", .formula = "coefficient + step if entropy <= target else coefficient - step", .where = "in [0, 1]; applied only while entropy <= target",
                        .call = "adaptive_entropy::applied(entropy), update(entropy)", .source = "arXiv:2505.22312"});
  visit(operation_entry{.name = "stop_properly", .on = "completions", .formula = "factor*r if truncated else r", .call = "reward::stop_properly", .source = "ProRL"});
  visit(operation_entry{.name = "generalized_jsd", .on = "rows of logits", .formula = "beta*KL(T, m) + (1 - beta)*KL(S, m)",
                        .where = "m = beta*T + (1 - beta)*S; KL(T, S) at beta = 0, KL(S, T) at 1",
                        .call = "distill::with_generalized_jsd(beta, ...), row_divergence or top_k_divergence", .source = "arXiv:2306.13649", .also = "gkd jsd"});
  visit(operation_entry{.name = "adaptive_kl_distillation", .on = "rows of logits", .formula = "a*KL(T, S) + (1 - a)*KL(S, T)",
                        .where = "a: share of the teacher's head, the likeliest classes with half the mass, in sum(abs(T - S))",
                        .call = "distill::adaptive_kl", .source = "arXiv:2404.02657", .also = "akl"});
  visit(operation_entry{.name = "uld", .on = "rows of logits", .formula = "sum(abs(sorted(S)[k] - sorted(T)[k]))",
                        .where = "vocabularies of any sizes", .call = "distill::uld", .source = "arXiv:2402.12030"});
  visit(operation_entry{.name = "hard_soft", .on = "rows of logits", .formula = "hard*-log(S[label]) + soft*D(T, S)",
                        .where = "D: any divergence, times temperature**2 if asked for", .call = "distill::hard_soft", .source = "arXiv:1503.02531",
                        .also = "kd_ratio"});
  visit(operation_entry{.name = "opd", .on = "sampled tokens", .formula = "advantage = log(T[y]) - log(S[y])",
                        .call = "distill::on_policy_advantages", .source = "arXiv:2306.13649", .also = "on_policy_distillation"});
  visit(operation_entry{.name = "iw_opd", .on = "sampled tokens", .formula = "weight = 1 + gamma*(1 - sum(abs(a[:t]))/sum(abs(a)))",
                        .where = "a: advantages of opd", .call = "distill::position_weights", .source = "arXiv:2606.22600 algorithm 1"});
  visit(operation_entry{.name = "minillm", .on = "sampled tokens", .formula = "sum(gamma**(i - t)*a[i] for i >= t)",
                        .where = "a: advantages of opd; divided by the sum of the powers if normalised", .call = "distill::reward_to_go",
                        .source = "arXiv:2306.08543"});
  visit(operation_entry{.name = "l3m", .on = "averages over completions", .formula = "multiplier = mu/max(-C, s)", .where = "C: moving estimate of limit - E[r] or E[r] - limit, mu falls exponentially",
                        .call = "l3m.step(progress, samples, d_logp)", .source = "arXiv:2410.21533"});
  visit(operation_entry{.name = "dual_ascent", .on = "averages over completions", .formula = "multiplier = max(0, multiplier + rate*C)",
                        .call = "lagrangian<dual_ascent>, as l3m", .source = "arXiv:2310.12773", .also = "lagrangian saddle_point"});
  visit(operation_entry{.name = "crpg", .on = "judged completions", .formula = "coefficient = -(Rt - mean(Rt))/N",
                        .where = "Rt = max(1 - (logp - ref_logp)/max_kl, 0)*R, R = 1/(1 + exp(base - reward)) if accepted else 0", .call = "cgpo::crpg_coefficients",
                        .source = "arXiv:2409.20370 eqs. 10 to 12", .also = "cgpo"});
  visit(operation_entry{.name = "codpo", .on = "judged groups", .formula = "chosen = best accepted, rejected = worst refused", .where = "or the worst, if none is refused",
                        .call = "cgpo::codpo_pairs, evaluate(cgpo::codpo{}, pairs)", .source = "arXiv:2409.20370 eqs. 13 to 15"});
  visit(operation_entry{.name = "crraft", .on = "judged groups", .formula = "chosen = best of the accepted with logp - ref_logp <= max_kl, weight R", .call = "cgpo::crraft_select, evaluate(sft{}, singles)",
                        .source = "arXiv:2409.20370 eqs. 16 to 18"});
  visit(operation_entry{.name = "best_of_n", .on = "a group, or a distribution", .formula = "p[i]*(F[i]**n - G[i]**n)/(F[i] - G[i])", .where = "F, G: mass of outcomes with at most, with less reward",
                        .call = "reward::best_of, reward::best_of_n", .source = "arXiv:2009.01325"});
  visit(operation_entry{.name = "expert_iteration", .on = "groups", .formula = "weight = 1/ties for the best of each group, else 0", .call = "reward::expert_iteration_weights, evaluate(sft{}, singles)",
                        .source = "arXiv:1705.08439", .also = "raft rejection_sampling"});
  visit(operation_entry{.name = "quark", .on = "a pool of completions", .formula = "quantile = min(place//(N//count), count - 1)", .call = "reward::quark_quantiles, reward::quark_weights",
                        .source = "arXiv:2205.13636"});
  visit(operation_entry{.name = "temporal_self_rewarding", .on = "scores of a prompt", .formula = "chosen = best of present and future, rejected = worst of present and past",
                        .call = "reward::temporal_self_rewarding_pair", .source = "arXiv:2508.06026"});
  visit(operation_entry{.name = "tr", .on = "the reference model", .formula = "reference + policy_weight*(policy - reference)", .where = "policy_weight = 1: a copy",
                        .call = "apply(reference_schedule, step, reference, policy), soft_update, hard_update", .source = "arXiv:2404.09656", .also = "tr_dpo sync_ref_model"});
  visit(operation_entry{.name = "bema", .on = "the reference model", .formula = "average + (rho + gamma*step)**-eta*(policy - start)", .where = "average + (rho + gamma*step)**-kappa*(policy - average)",
                        .call = "apply(bema{}, step, average, start, policy, reference)", .source = "arXiv:2508.00180"});
}

}  // namespace attune
