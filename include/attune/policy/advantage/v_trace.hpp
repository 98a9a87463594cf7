// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/policy/advantage/tokens.hpp>

namespace attune::advantage {

/// Parameters of V-trace. rho_bar >= c_bar in the source's analysis, which is not required here.
struct v_trace_options {
  double gamma = 1;    ///< discount, in [0, 1]
  double lambda = 1;   ///< decay of the traces, in [0, 1] (remark 2)
  double rho_bar = 1;  ///< > 0, or infinity: bound on the ratio in delta: decides whose value function is found (of pi where it does not act)
  double c_bar = 1;    ///< > 0, or infinity: bound on the ratio in the trace: decides how fast

  static constexpr auto parameters() {
    constexpr interval bound{.lower = 0, .includes_upper = true};
    return std::array{parameter<v_trace_options>{"gamma", &v_trace_options::gamma, unit_interval, "discount"},
                      parameter<v_trace_options>{"lambda", &v_trace_options::lambda, unit_interval, "trace decay"},
                      parameter<v_trace_options>{"rho_bar", &v_trace_options::rho_bar, bound, "largest importance weight"},
                      parameter<v_trace_options>{"c_bar", &v_trace_options::c_bar, bound, "largest trace coefficient"}};
  }
};

namespace detail {
/// min(bound, e^log_ratio) without overflow on the way; a NaN stays one.
inline double clipped_ratio(double log_ratio, double log_bound) { return std::exp(log_ratio > log_bound ? log_bound : log_ratio); }
}  // namespace detail

/// V-trace: targets of the value function and advantages of the policy pi from completions of another policy mu, over the active tokens
/// t = 0 .. n-1 of each sequence:
///
///   rho_t   = min(rho_bar, pi_t/mu_t),   c_t = lambda min(c_bar, pi_t/mu_t)              pi_t/mu_t = e^(log_ratios[t])
///   delta_t = rho_t (r_t + gamma V_(t+1) - V_t),     V_n = bootstrap
///   v_t     = V_t + delta_t + gamma c_t (v_(t+1) - V_(t+1))                              v_n = V_n            -> targets
///   A_t     = rho_t (r_t + gamma v_(t+1) - V_t)                                                               -> advantages
///
/// On policy with lambda = 1, v_t = sum_k gamma^k r_(t+k) + gamma^(n-t) bootstrap, the n-step Bellman target, and A_t = v_t - V_t.
/// With both bounds infinite and lambda = 1 the mean of v_t is the value under pi, whatever V is; finite bounds trade that for variance.
/// log_ratios, rewards, values [B, T] or packed [1, N]; targets (optional, may be absent) and advantages of the same shape, exactly 0 where
/// no token is active; each may be the memory of an input. Masked tokens are skipped, as in gae. bootstrap [S], optional. In double; ratios
/// are clipped as logarithms, so that a large one does not overflow. No allocation. Not finite: as gae.
/// Throws attune::error, before anything is written: sizes that differ; results in the same memory; parameters outside their domain.
/// Source   Espeholt et al. 2018 (IMPALA), arXiv:1802.01561: eq. 1, remarks 1 and 2; the advantage: section 4.2.
template <tensor Rewards>
token_report v_trace(const sequences& where, view<const detail::element_of<Rewards, 2>, 2> log_ratios, Rewards&& rewards,
                     view<const detail::element_of<Rewards, 2>, 2> values, view<detail::element_of<Rewards, 2>, 2> advantages,
                     view<detail::element_of<Rewards, 2>, 2> targets = {}, const v_trace_options& o = {},
                     view<const detail::element_of<Rewards, 2>> bootstrap = {}) {
  using T = detail::element_of<Rewards, 2>;
  const auto r = detail::readable<2>(static_cast<Rewards&&>(rewards));
  validate(o);
  detail::require_tokens(log_ratios, where, "log_ratios");
  detail::require_tokens(r, where, "rewards");
  detail::require_tokens(values, where, "values");
  detail::require_token_results(advantages, where, "advantages");
  if (!targets.absent()) detail::require_token_results(targets, where, "targets");
  detail::require_apart(advantages, targets, "advantages and targets");
  detail::require_per_sequence(bootstrap, where, "bootstrap");

  const double log_rho_bar = std::log(o.rho_bar), log_c_bar = std::log(o.c_bar);
  token_report report;
  for (std::int64_t s = 0; s < where.size(); ++s) {
    const std::int64_t tokens = where.active_tokens(s);
    detail::count_sequence(report, tokens);
    if (tokens == 0) continue;
    double next = bootstrap.absent() ? 0 : static_cast<double>(bootstrap(s)), residual = 0;  // V_(t+1), v_(t+1) - V_(t+1)
    detail::for_each_active_backwards(where, s, [&](std::int64_t row, std::int64_t t) {
      const auto value = static_cast<double>(values(row, t)), ratio = static_cast<double>(log_ratios(row, t));
      const double rho = detail::clipped_ratio(ratio, log_rho_bar), c = o.lambda * detail::clipped_ratio(ratio, log_c_bar);
      const double delta = static_cast<double>(r(row, t)) + o.gamma * next - value, advantage = rho * (delta + o.gamma * residual);
      residual = rho * delta + o.gamma * c * residual;
      next = value;
      advantages(row, t) = static_cast<T>(advantage);
      if (!targets.absent()) targets(row, t) = static_cast<T>(value + residual);
      report.non_finite += !std::isfinite(advantage);
    });
  }
  detail::clear_inactive(where, advantages);
  if (!targets.absent()) detail::clear_inactive(where, targets);
  return report;
}

}  // namespace attune::advantage
