// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/policy/advantage/tokens.hpp>

#include <optional>

namespace attune::advantage {

/// lambda of VAPO for a completion of `length` tokens: min(max(1 - 1/(alpha length), 0), 1), alpha > 0, so that the advantages' weights
/// reach over a constant share of any completion: sum of lambda^t = 1/(1 - lambda) = alpha length. length >= 1.
/// Source   VAPO, arXiv:2504.05118 (alpha 0.05).
inline double length_adaptive_lambda(double alpha, std::int64_t length) {
  const double lambda = 1 - 1 / (alpha * static_cast<double>(length));
  return lambda > 0 ? lambda : 0;
}

/// Parameters of generalised advantage estimation. Peers' (gamma, lambda): (1, 0.95) TRL, torchtune, NeMo-RL; (1, 1) verl, OpenRLHF;
/// (0.99, 0.95) HALOs.
struct gae_options {
  double gamma = 1;                       ///< discount, in [0, 1]
  double lambda = 0.95;                   ///< of the returns, and of the advantages unless one of the next is given; in [0, 1]
  std::optional<double> policy_lambda{};  ///< decoupled: of the advantages alone
  std::optional<double> length_alpha{};   ///< length-adaptive: the advantages' is length_adaptive_lambda(alpha, tokens of the sequence)

  static constexpr auto parameters() {
    return std::array{parameter<gae_options>{"gamma", &gae_options::gamma, unit_interval, "discount"},
                      parameter<gae_options>{"lambda", &gae_options::lambda, unit_interval, "trace decay"}};
  }
};

namespace detail {

inline void require_gae(const gae_options& o) {
  validate(o);
  if (o.policy_lambda && o.length_alpha) throw error("attune: gae_options.policy_lambda and length_alpha are both given; expected one of them");
  if (o.policy_lambda && !unit_interval.contains(*o.policy_lambda)) {
    throw error("attune: gae_options.policy_lambda is " + attune::detail::text(*o.policy_lambda) + "; expected a value in [0, 1]");
  }
  if (o.length_alpha && !positive.contains(*o.length_alpha)) {
    throw error("attune: gae_options.length_alpha is " + attune::detail::text(*o.length_alpha) + "; expected a value in (0, inf)");
  }
}
inline double policy_lambda(const gae_options& o, std::int64_t tokens) {
  return o.length_alpha ? length_adaptive_lambda(*o.length_alpha, tokens) : o.policy_lambda.value_or(o.lambda);
}

}  // namespace detail

/// Generalised advantage estimation over the active tokens t = 0 .. n-1 of each sequence:
///
///   delta_t = r_t + gamma V_(t+1) - V_t,     V_n = bootstrap
///   A_t     = delta_t + gamma lambda A_(t+1)  =  sum_k (gamma lambda)^k delta_(t+k),     A_n = 0
///   R_t     = V_t + A_t                       what the value function is fitted to; with its own lambda where they are decoupled
///
/// lambda = 1: A_t = discounted rewards to go - V_t (Monte Carlo). lambda = 0: A_t = delta_t. At gamma = 1 the policy's gradient is unbiased
/// for lambda = 1 with any V, for other constant ones with the true V; not for one by length, which is not known when a token is chosen.
/// A masked token within a sequence (a tool's output) is skipped: the recursion carries across it, and it costs no discount, as in verl and
/// NeMo-RL.
/// rewards, values [B, T] or packed [1, N]: float or double, any stride; advantages and, optional, returns: the same shape, exactly 0 where
/// no token is active; they may be the memory of rewards and values. bootstrap [S], optional: the value after the last token, of a
/// completion that was cut; 0 if absent. The recursion is in double. No allocation. Constants of the step: no gradient goes through them.
/// A reward or value that is not finite reaches the tokens before it, and is counted in the report.
/// Throws attune::error, before anything is written: sizes that differ; advantages and returns in the same memory; parameters outside their
/// domain; policy_lambda beside length_alpha.
/// Source   Schulman et al. 2015, arXiv:1506.02438 eqs. 11 to 16; decoupled and length-adaptive: VAPO, arXiv:2504.05118.
template <tensor Rewards>
token_report gae(const sequences& where, Rewards&& rewards, view<const detail::element_of<Rewards, 2>, 2> values,
                 view<detail::element_of<Rewards, 2>, 2> advantages, view<detail::element_of<Rewards, 2>, 2> returns = {}, const gae_options& o = {},
                 view<const detail::element_of<Rewards, 2>> bootstrap = {}) {
  using T = detail::element_of<Rewards, 2>;
  const auto r = detail::readable<2>(static_cast<Rewards&&>(rewards));
  detail::require_gae(o);
  detail::require_tokens(r, where, "rewards");
  detail::require_tokens(values, where, "values");
  detail::require_token_results(advantages, where, "advantages");
  if (!returns.absent()) detail::require_token_results(returns, where, "returns");
  detail::require_apart(advantages, returns, "advantages and returns");
  detail::require_per_sequence(bootstrap, where, "bootstrap");

  token_report report;
  for (std::int64_t s = 0; s < where.size(); ++s) {
    const std::int64_t tokens = where.active_tokens(s);
    detail::count_sequence(report, tokens);
    if (tokens == 0) continue;
    const double for_policy = o.gamma * detail::policy_lambda(o, tokens), for_returns = o.gamma * o.lambda;
    double next = bootstrap.absent() ? 0 : static_cast<double>(bootstrap(s)), advantage = 0, residual = 0;
    detail::for_each_active_backwards(where, s, [&](std::int64_t row, std::int64_t t) {
      const auto value = static_cast<double>(values(row, t));
      const double delta = static_cast<double>(r(row, t)) + o.gamma * next - value;
      advantage = delta + for_policy * advantage;
      residual = delta + for_returns * residual;
      next = value;
      advantages(row, t) = static_cast<T>(advantage);
      if (!returns.absent()) returns(row, t) = static_cast<T>(value + residual);
      report.non_finite += !std::isfinite(advantage);
    });
  }
  detail::clear_inactive(where, advantages);
  if (!returns.absent()) detail::clear_inactive(where, returns);
  return report;
}

/// Discounted rewards to go over the active tokens of each sequence, R_t = r_t + gamma R_(t+1); result [B, T] or packed, exactly 0 where no
/// token is active; it may be the rewards' memory. Conventions and errors as gae; gamma in [0, 1].
///
/// REINFORCE++ whitens them over the tokens of the batch:
///   token_rewards(where, rewards, x, {.kl = kl, .coefficient = 0.01}),  discounted_returns(where, x, x),  whiten_tokens(where, x, x)
/// Source   REINFORCE, Williams 1992; REINFORCE++, arXiv:2501.03262.
template <tensor Rewards>
token_report discounted_returns(const sequences& where, Rewards&& rewards, view<detail::element_of<Rewards, 2>, 2> result, double gamma = 1) {
  using T = detail::element_of<Rewards, 2>;
  const auto r = detail::readable<2>(static_cast<Rewards&&>(rewards));
  validate(gae_options{.gamma = gamma});
  detail::require_tokens(r, where, "rewards");
  detail::require_token_results(result, where, "result");
  token_report report;
  for (std::int64_t s = 0; s < where.size(); ++s) {
    detail::count_sequence(report, where.active_tokens(s));
    double sum = 0;
    detail::for_each_active_backwards(where, s, [&](std::int64_t row, std::int64_t t) {
      sum = static_cast<double>(r(row, t)) + gamma * sum;
      result(row, t) = static_cast<T>(sum);
      report.non_finite += !std::isfinite(sum);
    });
  }
  detail::clear_inactive(where, result);
  return report;
}

}  // namespace attune::advantage
