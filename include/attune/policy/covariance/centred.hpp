// SPDX-License-Identifier: MIT
// Covariance of advantage and log-probability, token by token: where it is large, a step of policy gradient lowers the entropy most
// (arXiv:2505.22617). Clip-Cov and KL-Cov treat those tokens in another way.
#pragma once

#include <attune/policy/token_tensors.hpp>

namespace attune::covariance {

/// The tokens: padded [B, T], or packed [1, N] with offsets; see `sequences`.
template <real T>
struct samples {
  view<const T, 2> logp{};                 ///< [B, T] log-probability by the policy as it is now [nat]
  view<const T, 2> old_logp{};             ///< [B, T] by the old policy: clip_cov then leaves out the tokens that PPO clips already
  view<const T> advantage{};               ///< [S] of a whole sequence; or
  view<const T, 2> token_advantage{};      ///< [B, T] of each token
  view<const std::uint8_t, 2> mask{};      ///< [B, T] 0 leaves the token out
  length_view offsets{};                   ///< [S + 1] of packed tensors
};

/// What was found. Of selections by micro-batch the counts add up; the selection is that of each one alone.
struct report {
  std::int64_t tokens = 0;      ///< active ones
  std::int64_t candidates = 0;  ///< of these that could be selected
  std::int64_t selected = 0;    ///< of these
  std::int64_t non_finite = 0;  ///< of the active: a covariance that is NaN or infinite; all are, if one log-probability or advantage is
  double sum = 0;               ///< of the covariances c

  /// Covariance of advantage and log-probability over the active tokens of one batch; 0 of none.
  double mean() const { return tokens > 0 ? sum / static_cast<double>(tokens) : 0; }

  report& operator+=(const report& other) {
    tokens += other.tokens;
    candidates += other.candidates;
    selected += other.selected;
    non_finite += other.non_finite;
    sum += other.sum;
    return *this;
  }
};

namespace detail {

inline void require_share(double share) {
  if (!(share >= 0 && share <= 1)) throw error("attune: share is " + attune::detail::text(share) + "; expected a number in [0, 1]");
}
/// The number of tokens that a share is: rounded down, but at least 1.
inline std::int64_t count_of(double share, std::int64_t tokens) {
  const auto n = static_cast<std::int64_t>(share * static_cast<double>(tokens));
  return n > 1 ? n : 1;
}

/// c = (A - mean A)(log pi - mean log pi) of single tokens, means over the active tokens of the batch: two passes, in double.
template <real T>
class centred {
 public:
  explicit centred(const samples<T>& x)
      : x_(x), where_(x.logp.extent(0), x.logp.extent(1), x.mask, x.offsets),
        advantage_(attune::detail::require_advantages(x.advantage, x.token_advantage, where_, x.logp, "logp")) {
    if (!x.old_logp.absent()) attune::detail::require_token_shape(x.old_logp, "old_logp", x.logp, "logp");
    double advantages = 0, logps = 0;
    for_each([&](std::int64_t s, std::int64_t row, std::int64_t t) {
      advantages += advantage_(s, row, t);
      logps += double(x_.logp(row, t));
      ++tokens_;
    });
    if (tokens_ == 0) return;
    mean_advantage_ = advantages / double(tokens_);
    mean_logp_ = logps / double(tokens_);
  }

  /// visit(s, row, t) for every active token, sequence by sequence.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (std::int64_t s = 0; s < where_.size(); ++s) {
      where_.for_each_active(s, [&](std::int64_t row, std::int64_t t) { visit(s, row, t); });
    }
  }
  double operator()(std::int64_t s, std::int64_t row, std::int64_t t) const {
    return (advantage_(s, row, t) - mean_advantage_) * (double(x_.logp(row, t)) - mean_logp_);
  }
  double advantage(std::int64_t s, std::int64_t row, std::int64_t t) const { return advantage_(s, row, t); }
  std::int64_t tokens() const { return tokens_; }

 private:
  samples<T> x_;
  sequences where_;
  attune::detail::advantages_of<T> advantage_;
  std::int64_t tokens_ = 0;
  double mean_advantage_ = 0, mean_logp_ = 0;
};

}  // namespace detail
}  // namespace attune::covariance
