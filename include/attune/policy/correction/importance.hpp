// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/correction/report.hpp>
#include <attune/policy/token_tensors.hpp>

namespace attune::correction {

/// Of what the ratio is taken, with l[t] = old_logp[t] - sampler_logp[t], and sums and means over the active tokens of a sequence:
///
///   token            e^l[t]
///   sequence_sum     e^(sum l)     the sequence's own ratio, a product over its tokens      one number for all
///   sequence_mean    e^(mean l)    its geometric mean: of the size of a token's ratio       tokens of a sequence
enum class level { token, sequence_sum, sequence_mean };

/// What becomes of a ratio outside of the range: it is held at the end that it passed, or its token (with a level of sequences: its
/// sequence) has multiplier 0.
enum class outside { truncate, mask };

/// A range of ratios, ends included. 0 <= lower <= upper, upper > 0; upper may be infinity.
struct range {
  double lower = 0;
  double upper = infinity<double>;
};

/// How tokens are corrected that one program sampled (an inference engine, in other arithmetic) and another trains on.
struct options {
  level ratio = level::token;
  range within{.lower = 0, .upper = 2};   ///< of that ratio
  outside otherwise = outside::truncate;
  range sequence_mean{};                  ///< of the sequence's e^(mean l): outside of it the whole sequence has multiplier 0
};

/// The tokens: padded [B, T], or packed [1, N] with offsets; see `sequences`.
template <real T>
struct samples {
  view<const T, 2> old_logp{};             ///< [B, T] log-probability by the trainer, before the update [nat]
  view<const T, 2> sampler_logp{};         ///< [B, T] by the sampler. -inf is a value (the ratio is +inf); a missing one has a mask of 0
  view<const std::uint8_t, 2> mask{};      ///< [B, T] 0 leaves the token out
  length_view offsets{};                   ///< [S + 1] of packed tensors
};

namespace detail {

inline void require_range(const range& r, const char* name) {
  if (r.lower >= 0 && r.lower <= r.upper && r.upper > 0) return;
  throw error(std::string("attune: ") + name + " is [" + attune::detail::text(r.lower) + ", " + attune::detail::text(r.upper) +
              "]; expected 0 <= lower <= upper and upper > 0");
}
template <real T>
sequences require_samples(const options& o, const samples<T>& x) {
  require_range(o.within, "options.within");
  require_range(o.sequence_mean, "options.sequence_mean");
  attune::detail::require_token_shape(x.sampler_logp, "sampler_logp", x.old_logp, "old_logp");
  return sequences(x.old_logp.extent(0), x.old_logp.extent(1), x.mask, x.offsets);
}

/// False for NaN, which stays visible.
inline bool is_outside(const range& r, double ratio) { return ratio < r.lower || ratio > r.upper; }

struct weight {
  double value;
  bool truncated, masked;
};
inline weight weight_of(const options& o, double log_ratio) {
  const double ratio = std::exp(log_ratio);  // +inf is a value here: both what truncates and what masks it are finite
  if (!is_outside(o.within, ratio)) return {ratio, false, false};
  if (o.otherwise == outside::mask) return {0, false, true};
  return {ratio > o.within.upper ? o.within.upper : o.within.lower, true, false};
}
inline void add(report& r, const weight& w, double written) {
  ++r.tokens;
  r.truncated += w.truncated;
  r.masked += w.masked;
  r.non_finite += !std::isfinite(written);
  r.sum += written;
  r.squares += written * written;
  r.largest = written > r.largest ? written : r.largest;
}

/// Calls write(row, t, weight) for every active token; it returns the number that it wrote.
template <real T, class Write>
report for_each_weight(const options& o, const samples<T>& x, const sequences& where, const Write& write) {
  report result;
  for (std::int64_t s = 0; s < where.size(); ++s) {
    const auto log_ratio = [&](std::int64_t row, std::int64_t t) { return double(x.old_logp(row, t)) - double(x.sampler_logp(row, t)); };
    double sum = 0, tokens = 0;
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      sum += log_ratio(row, t);
      ++tokens;
    });
    if (tokens == 0) continue;
    ++result.sequences;
    const bool refused = is_outside(o.sequence_mean, std::exp(sum / tokens));
    const weight common = refused ? weight{0, false, true} : weight_of(o, o.ratio == level::sequence_mean ? sum / tokens : sum);
    const bool single = !refused && o.ratio == level::token;
    result.masked_sequences += !single && common.masked;
    where.for_each_active(s, [&](std::int64_t row, std::int64_t t) {
      const weight w = single ? weight_of(o, log_ratio(row, t)) : common;
      add(result, w, write(row, t, w));
    });
  }
  return result;
}

}  // namespace detail

/// Multipliers that correct a policy-gradient loss for a sampler that is not quite the policy in whose name it samples:
///
///   r = e^l, e^(sum l) or e^(mean l)                            options.ratio, options.within, l = old_logp - sampler_logp
///   truncate    multiplier = min(max(r, lower), upper)          TIS
///   mask        multiplier = r if lower <= r <= upper, else 0   MIS, IcePop
///   and 0 for all tokens of a sequence whose e^(mean l) is outside of options.sequence_mean
///
///   name                    ratio            within             otherwise   sequence_mean
///   TIS                     token            [0, C]             truncate
///   TIS of sequences        sequence_sum     [0, C]             truncate
///   IcePop, MIS             token            [lower, upper]     mask
///   MIS of sequences        sequence_sum     [lower, upper]     mask
///   seq-mask-tis            token            [0, inf]           truncate    [lower, upper]       the others' ratios as they are
///
/// They are constants of the step (no gradient), multiply the surrogate of a token, and leave the denominators alone: `accepted` makes a mask
/// that does not. A range on the mean is one on r itself, so that its upper end refuses sequences that the trainer finds too likely (a test of
/// -log r against [log lower, log upper] exchanges the ends).
/// multipliers: of the tokens' shape, exactly 0 for tokens that are not active; memory of its own. Exponentials are taken of sums, never
/// multiplied: no overflow but that of the ratio itself, which a finite upper end truncates or masks. Computed in double, in token order.
/// Limits   sampler_logp = -inf: r = +inf; old_logp = -inf: r = 0. Both, or a NaN: NaN, counted as non-finite, neither truncated nor masked.
/// Throws   attune::error, before anything is written: sizes that differ, offsets that are none, a range without meaning. No allocation.
/// Source   truncated importance sampling: Ionides 2008; of a sampler's mismatch: F. Yao et al. 2025, "Your efficient RL framework secretly
///          brings you off-policy RL training"; masks: IcePop. There is no common default: TRL masks sequences at 3, verl truncates at 2.
template <real T>
report weights(const options& o, const samples<T>& x, std::type_identity_t<view<T, 2>> multipliers) {
  const sequences where = detail::require_samples(o, x);
  attune::detail::require_token_results(multipliers, "multipliers", x.old_logp, "old_logp");
  attune::detail::fill(multipliers, T(0));
  return detail::for_each_weight(o, x, where, [&](std::int64_t row, std::int64_t t, const detail::weight& w) {
    return double(multipliers(row, t) = static_cast<T>(w.value));
  });
}

/// Rejection sampling by the same options: mask = 1 for active tokens that `weights` does not mask, else 0. As the mask of a batch it takes the
/// refused tokens out of numerator and denominators. Memory of its own. The report is that of multipliers 0 and 1.
/// Throws attune::error as weights does.
template <real T>
report accepted(const options& o, const samples<T>& x, view<std::uint8_t, 2> mask) {
  const sequences where = detail::require_samples(o, x);
  attune::detail::require_token_results(mask, "mask", x.old_logp, "old_logp");
  attune::detail::fill(mask, std::uint8_t(0));
  return detail::for_each_weight(o, x, where, [&](std::int64_t row, std::int64_t t, const detail::weight& w) {
    return double(mask(row, t) = w.masked ? 0 : 1);
  });
}

}  // namespace attune::correction
