// SPDX-License-Identifier: MIT
// Distributional policy gradients for a trainer: what it feeds to its backward pass for a batch of sampled sequences.
//
//   dpg::partitions z(prompts);                                  // once
//   dpg::windowed_mean baseline;
//
//   z.update(batch);                                             // every step, batch: log pi, log P, log q of the samples
//   dpg::pseudo_rewards(f, batch, z, rewards);
//   dpg::policy_coefficients(f, batch, z, coefficients, {.baseline = baseline.value()});
//   baseline.update(rewards, batch.mask);                        // after its use: it must not know the batch
//   token_coefficients(coefficients, mask, ...);                 // on to the tokens, and to logits_gradient
#pragma once

#include <attune/policy/dpg/partitions.hpp>

#include <optional>

namespace attune::dpg {

/// The pseudo-reward as it is used:  R = min(scale (-f'(pi/p)), limit).
struct reward_shape {
  double scale = 1;                 ///< > 0
  double limit = infinity<double>;  ///< a bound on the weight of rare samples. Where it acts, the gradient is that of another f, with a bounded f'
};

template <real T>
struct coefficient_options {
  double baseline = 0;               ///< of every sample, in units of R
  view<const T> baselines{};         ///< [N]: of each sample, as leave_one_out makes them, instead
  reward_shape reward{};
  std::optional<double> normalizer{};  ///< what the sum is divided by: the active samples of this batch, or of the whole of which it is a part
};

namespace detail {

inline void require_shape(const reward_shape& shape) {
  if (!(shape.scale > 0 && shape.scale < infinity<double>) || shape.limit != shape.limit) {
    throw error("attune: reward_shape is {.scale = " + attune::detail::text(shape.scale) + ", .limit = " + attune::detail::text(shape.limit) +
                "}; expected a finite scale > 0, and a number or infinity as limit");
  }
}
/// NaN stays.
inline double limited(double reward, double limit) { return reward > limit ? limit : reward; }

/// R of a sample whose target is normalised.
template <divergence::generator G>
double shaped_reward(const G& f, const divergence::importance_sample& x, const reward_shape& shape) {
  return limited(shape.scale * divergence::pseudo_reward(f, x.log_policy, x.log_target), shape.limit);
}

/// -(pi/q)(R - baseline). Where no limit acts, (pi/q) f' is one product that does not overflow although f' may.
template <divergence::generator G>
double coefficient(const G& f, const divergence::importance_sample& x, const reward_shape& shape, double baseline) {
  const double weight = std::exp(x.log_policy - x.log_proposal);
  if (shape.limit < infinity<double> && shaped_reward(f, x, shape) == shape.limit) return weight * (baseline - shape.limit);
  return shape.scale * divergence::gradient_coefficient(f, x, 0) + weight * baseline;
}

template <real T>
double normalizer_of(const samples<T>& batch, const std::optional<double>& given) {
  double active = 0;
  for (std::int64_t i = 0; i < batch.size(); ++i) active += batch.is_active(i);
  const double result = given.value_or(active);
  if (!(result >= 0 && result < infinity<double>) || (result == 0 && active > 0)) {
    throw error("attune: coefficient_options.normalizer is " + attune::detail::text(result) +
                "; expected a finite number > 0, the samples of the whole batch");
  }
  return result;
}

}  // namespace detail

/// Pseudo-rewards R_i = min(scale (-f'(t_i)), limit), t = pi/p, p = P/Z: those with which REINFORCE descends D_f(pi || p). For the running
/// baseline, and to be logged; policy_coefficients does not need them.
///
///   reverse_kl       R = -log(pi/p)         P = a e^(r/beta): the reward minus the KL penalty, divided by beta
///   forward_kl       R = p/pi - 1           DPG and GDC: the weights of importance sampling, heavy-tailed
///   jensen_shannon   R = log((1 + p/pi)/2)  at least -log 2, grows like log p/pi only
///   total_variation  R = +-1/2
///
/// f is normalised to f'(1) = 0, so that a constant is taken off the R of papers, which changes nothing but the baseline.
/// rewards [N], 0 for masked samples. -f'(inf) where the target excludes a sample: -inf for reverse_kl, counted as non-finite.
/// Throws attune::error, before anything is written: sizes and contexts that are wrong, a context without an estimate of Z. No allocation.
/// Source   f-DPG, arXiv:2302.08215, theorem 1 and algorithm 1.
template <divergence::generator G, real T>
sample_report pseudo_rewards(const G& f, const samples<T>& batch, const partitions& z, std::type_identity_t<view<T>> rewards,
                             const reward_shape& shape = {}) {
  detail::require_normalisable(batch, z);
  detail::require_results(rewards, batch.size(), "rewards");
  detail::require_shape(shape);
  sample_report report;
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    ++report.samples;
    report.masked += !batch.is_active(i);
    rewards(i) = T(0);
    if (!batch.is_active(i)) continue;
    const divergence::importance_sample x = detail::normalised(batch, z, i);
    rewards(i) = T(detail::shaped_reward(f, x, shape));
    detail::count(report, x, double(rewards(i)));
  }
  return report;
}

/// d loss / d log pi of each sample, for the loss whose expected gradient is that of D_f(pi || p):
///
///   coefficients[i] = -(pi_i/q_i) (R_i - baseline_i) / normalizer,     R_i as in pseudo_rewards
///   gradient        = sum_i coefficients[i] grad log pi(x_i),          E_q[gradient] = grad D_f(pi || p)
///
/// coefficients [N], exactly 0 for masked samples; it may be the memory of the baselines. The expectation holds for every q that covers pi
/// and for every baseline that does not depend on the sample's own x: the mean of past pseudo-rewards (windowed_mean) or of the other
/// samples' (leave_one_out); not for the batch's own mean. It needs the right Z, and no limit; see partitions for what an estimate does.
/// A descent along it lowers the divergence: no sign is to be changed.
/// Limits   f'(inf) pi/q where the target excludes a sample; for reverse_kl +inf, which counts as non-finite: give that target a floor, or
///          take a divergence with a finite f'(inf). A context whose samples so far are all excluded has p = 0, not 0/0.
/// Throws   attune::error, before anything is written: as pseudo_rewards; baselines that are not [N] or given beside a baseline; a
///          normalizer that is not > 0. No allocation.
/// Source   f-DPG, arXiv:2302.08215, theorem 1 and algorithm 1; off policy and with a baseline as in the authors' repository (naver/disco).
template <divergence::generator G, real T>
sample_report policy_coefficients(const G& f, const samples<T>& batch, const partitions& z, std::type_identity_t<view<T>> coefficients,
                                  const std::type_identity_t<coefficient_options<T>>& o = {}) {
  detail::require_normalisable(batch, z);
  detail::require_results(coefficients, batch.size(), "coefficients");
  detail::require_shape(o.reward);
  if (!o.baselines.absent()) {
    attune::detail::require_extent(o.baselines.extent(0), batch.size(), "coefficient_options.baselines", "samples.log_policy");
    if (o.baseline != 0) throw error("attune: coefficient_options.baseline and baselines are both given; expected one of them");
  }
  const double normalizer = detail::normalizer_of(batch, o.normalizer);
  sample_report report;
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    ++report.samples;
    report.masked += !batch.is_active(i);
    const bool active = batch.is_active(i);
    const double baseline = !active || o.baselines.absent() ? o.baseline : double(o.baselines(i));
    coefficients(i) = T(0);
    if (!active) continue;
    const divergence::importance_sample x = detail::normalised(batch, z, i);
    coefficients(i) = T(detail::coefficient(f, x, o.reward, baseline) / normalizer);
    detail::count(report, x, double(coefficients(i)));
  }
  return report;
}

}  // namespace attune::dpg
