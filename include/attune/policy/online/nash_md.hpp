// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/math.hpp>
#include <attune/core/parameter.hpp>
#include <attune/core/weighted.hpp>
#include <attune/policy/token_tensors.hpp>

#include <optional>

namespace attune {

/// Whose log-ratios weigh a token's gradient in a KL penalty on sampled sequences, l[t] = log pi - log pi_ref of token t:
///
///   token      l[t] alone. The expected gradient lacks what a token does to the log-ratios of those that follow it: it is that of the KL of the
///              next token, summed over places that are held as they were sampled
///   sequence   sum of l[u] over the sequence's active tokens u >= t: the gradient of KL(pi || pi_ref) of whole sequences. Those before t are
///              left out, because their expected gradient is 0
enum class kl_scope { token, sequence };

/// Nash mirror descent from the preferences of a reward model or judge between the policy's completion y and one of the geometric mixture of policy
/// and reference:
///
///   d loss / d log pi(token t of y) = beta k[t] - (p - 1/2),   p = sigmoid(score(y) - score(y')),  y' of the mixture
///   loss = mean over sequences of sum_t (beta sg(k[t]) - (p - 1/2)) log pi(t)        k[t] by kl_scope; sg: a constant
///
/// The mixture is for the sampler: logits (1 - m) log pi + m log pi_ref, m = 1/2 in TRL. beta >= 0 [1/nat].
/// Source   Munos et al. 2023, arXiv:2312.00886; TRL's Nash-MD trainer is kl_scope::token.
struct nash_md {
  double beta = 0.1;
  kl_scope kl = kl_scope::token;

  static constexpr auto parameters() { return std::array{parameter<nash_md>{"beta", &nash_md::beta, nonnegative, "weight of the KL penalty [1/nat]"}}; }
};

/// Completions of the policy: padded [B, T], or packed [1, N] with offsets; see `sequences`. S sequences.
template <real T>
struct nash_samples {
  view<const T, 2> logp{};                 ///< [B, T] log pi of each token [nat]
  view<const T, 2> ref_logp{};             ///< [B, T] log pi_ref
  view<const T> score{};                   ///< [S] of the policy's completion; of a judge that gives p: log(p/(1 - p))
  view<const T> mixture_score{};           ///< [S] of the mixture's completion of the same prompt; 0 for such a judge
  view<const std::uint8_t, 2> mask{};      ///< [B, T] 0 leaves the token out
  length_view offsets{};                   ///< [S + 1] of packed tensors
};

/// Sums over the sequences with active tokens. Reports of parts add up.
struct nash_report {
  std::int64_t sequences = 0;
  std::int64_t non_finite = 0;  ///< of these whose loss is NaN or infinite
  double loss_sum = 0;          ///< sum_t (beta k[t] - (p - 1/2)) log pi(t)
  double kl_sum = 0;            ///< sum_t l[t] [nat]
  double win_sum = 0;           ///< p

  double loss() const { return mean(loss_sum); }  ///< means over the sequences; 0 for none
  double kl() const { return mean(kl_sum); }
  double win_rate() const { return mean(win_sum); }

  nash_report& operator+=(const nash_report& other) {
    sequences += other.sequences;
    non_finite += other.non_finite;
    loss_sum += other.loss_sum;
    kl_sum += other.kl_sum;
    win_sum += other.win_sum;
    return *this;
  }

 private:
  double mean(double sum) const { return sequences > 0 ? sum / static_cast<double>(sequences) : 0; }
};

namespace detail {

template <real T>
sequences require_nash(const nash_md& objective, const nash_samples<T>& x) {
  validate(objective);
  require_token_shape(x.ref_logp, "ref_logp", x.logp, "logp");
  const sequences where(x.logp.extent(0), x.logp.extent(1), x.mask, x.offsets);
  require_extent(x.score.extent(0), where.size(), "score", "the number of sequences");
  require_extent(x.mixture_score.extent(0), where.size(), "mixture_score", "the number of sequences");
  return where;
}
inline double require_sequences(const std::optional<double>& given, std::int64_t sequences) {
  const double n = given.value_or(double(sequences));
  if (!(n >= 0 && n < infinity<double>) || (n == 0 && sequences > 0)) {
    throw error("attune: normalizer is " + text(n) + "; expected a finite number > 0, the sequences of the whole batch");
  }
  return n;
}

}  // namespace detail

/// Writes d loss / d log pi of each token, for the backward pass (logits_gradient): that of the mean over the sequences with active tokens, or of
/// their sum divided by `normalizer`, the sequences of the whole batch where it is split.
/// coefficients: of the tokens' shape, exactly 0 for tokens that are not active; memory of its own. In double, in token order. No allocation.
/// Throws attune::error, before anything is written: sizes that differ, beta outside its domain, a normalizer that is not > 0.
template <real T>
nash_report nash_md_coefficients(const nash_md& objective, const nash_samples<T>& x, std::type_identity_t<view<T, 2>> coefficients,
                                 std::optional<double> normalizer = {}) {
  const sequences where = detail::require_nash(objective, x);
  detail::require_token_results(coefficients, "coefficients", x.logp, "logp");
  std::int64_t active = 0;
  for (std::int64_t s = 0; s < where.size(); ++s) active += where.active_tokens(s) > 0;
  const double divisor = detail::require_sequences(normalizer, active);
  detail::fill(coefficients, T(0));

  nash_report report;
  for (std::int64_t s = 0; s < where.size(); ++s) {
    const auto log_ratio = [&](std::int64_t row, std::int64_t t) { return double(x.logp(row, t)) - double(x.ref_logp(row, t)); };
    double total = 0, loss = 0;
    std::int64_t tokens = 0;
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      total += log_ratio(row, t);
      ++tokens;
    });
    if (tokens == 0) continue;
    const double win = sigmoid(double(x.score(s)) - double(x.mixture_score(s)));
    double left = total;  // from here on
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      const double penalty = objective.kl == kl_scope::token ? log_ratio(row, t) : left;
      const double coefficient = weighted<double>(objective.beta, penalty) - (win - 0.5);
      left -= log_ratio(row, t);
      loss += coefficient * double(x.logp(row, t));
      coefficients(row, t) = static_cast<T>(coefficient / divisor);
    });
    ++report.sequences;
    report.non_finite += !std::isfinite(loss);
    report.loss_sum += loss;
    report.kl_sum += total;
    report.win_sum += win;
  }
  return report;
}

}  // namespace attune
