// SPDX-License-Identifier: MIT
// Stage 2 of policy gradient on a device: the tokens of a batch through an objective. Each sequence has `sequence_lanes` threads, of which neighbours
// read neighbouring tokens; what they find is added in the order of the lanes, and of the sequences.
#pragma once

#include <attune/core/dual.hpp>
#include <attune/exec/device/batch.hpp>
#include <attune/exec/device/fold.hpp>
#include <attune/exec/policy_report.hpp>
#include <attune/policy/kl/estimators.hpp>
#include <attune/policy/token.hpp>

namespace attune::detail {

inline constexpr std::int64_t sequence_lanes = 32;

/// A tensor of tokens; without data it is absent.
template <class T> struct token_tensor {
  T* data = nullptr;
  std::int64_t row_stride = 0, stride = 0;

  ATTUNE_FN bool given() const { return data != nullptr; }
  ATTUNE_FN T& operator()(std::int64_t row, std::int64_t t) const { return data[row * row_stride + t * stride]; }
};

/// A number that is a weight: NaN if it is negative or not finite.
template <class A> ATTUNE_FN A weight_or_nan(A w) { return w >= A(0) && w < infinity<A> ? w : A(__builtin_nan("")); }

/// What the tokens of a sequence have in common. Added up by lane, then by sequence.
struct sequence_part {
  double weight = 0;         ///< of the sequence, 0 without active tokens
  double tokens = 0;         ///< sum of the weights of its active tokens
  double count = 0;          ///< active tokens
  double log_ratio = 0;      ///< of the sequence, where its tokens share it
};
/// The sums over tokens, and over sequences, that make a report.
struct token_totals {
  enum metric { loss, held_high, held_low, kl, old_kl, entropy, non_finite, metrics };
  enum count { weight, tokens, active, sequences, counts };
};

template <class T> struct device_tokens {
  using A = arithmetic<T>;

  std::int64_t size, columns;  ///< sequences; tokens in a row of the tensors
  token_tensor<const T> logp, old_logp, ref_logp, advantages, correction, entropy, token_weights;
  token_tensor<const std::uint8_t> selected, mask;
  strided<const T> advantage, weights;
  device_column offsets;
  token_tensor<T> d_logp, d_entropy;

  ratio_level level;
  A lower, upper;                ///< of the tokens' log-ratios, in a ratio that they share
  token_reduction reduction;
  double constant_length;
  bool on_policy, folds_correction;
  A typical[member_count<token_kind>];

  /// The tokens (row, begin) .. (row, end - 1) of a sequence. Offsets that are none are never used as an index.
  struct range {
    std::int64_t row, begin, end;
  };
  ATTUNE_FN range operator[](std::int64_t s) const {
    if (offsets.data == nullptr) return {s, 0, columns};
    const std::int64_t begin = clamp(offsets.length(s), 0), end = clamp(offsets.length(s + 1), begin);
    return {0, begin, end};
  }
  ATTUNE_FN A token_weight(std::int64_t row, std::int64_t t) const {
    if (mask.given() && mask(row, t) == 0) return A(0);
    return token_weights.given() ? weight_or_nan(static_cast<A>(token_weights(row, t))) : A(1);
  }
  ATTUNE_FN A sequence_weight(std::int64_t s) const { return weights.given() ? weight_or_nan(static_cast<A>(weights(s))) : A(1); }

  /// Whether its tokens share a ratio that carries derivatives; and one that has a value. On policy a mean of equal shares is each token's own
  /// share; the sum is not.
  ATTUNE_FN bool shares_value() const { return level != ratio_level::token && (!on_policy || level == ratio_level::sequence_sum); }
  ATTUNE_FN bool shares_derivative() const { return shares_value() && level != ratio_level::sequence_token; }
  /// What a shared ratio's sum is divided by.
  ATTUNE_FN double ratio_share(const sequence_part& q) const { return level == ratio_level::sequence_sum ? 1 : q.tokens; }

  ATTUNE_FN A advantage_of(std::int64_t s, std::int64_t row, std::int64_t t) const {
    if (advantages.given()) return static_cast<A>(advantages(row, t));
    return advantage.given() ? static_cast<A>(advantage(s)) : typical[5];
  }
  ATTUNE_FN A own_log_ratio(std::int64_t row, std::int64_t t) const {
    return old_logp.given() ? static_cast<A>(logp(row, t)) - static_cast<A>(old_logp(row, t)) : A(0);
  }
  /// Within the ratio's bounds, and whether it may move.
  ATTUNE_FN A bounded(A l, A a) const {
    return min(max(l, a < A(0) ? lower : -infinity<A>), a > A(0) ? upper : infinity<A>);
  }
  ATTUNE_FN bool is_free(A l, A a) const { return !(a > A(0) && l > upper) && !(a < A(0) && l < lower); }

  ATTUNE_FN token<A> read(std::int64_t s, std::int64_t row, std::int64_t t, const sequence_part& q) const {
    token<A> x;
    x.logp = static_cast<A>(logp(row, t));
    x.old_logp = on_policy ? x.logp : value(old_logp, row, t, typical[3]);
    x.log_ratio = shares_value() ? static_cast<A>(q.log_ratio) : on_policy ? A(0) : old_logp.given() ? x.logp - x.old_logp : typical[1];
    x.entropy = value(entropy, row, t, typical[2]);
    x.ref_logp = value(ref_logp, row, t, typical[4]);
    x.advantage = advantage_of(s, row, t);
    x.correction = folds_correction ? A(1) : value(correction, row, t, A(1));
    x.selected = selected.given() ? static_cast<A>(selected(row, t)) : A(0);
    return x;
  }
  /// What multiplies the loss of a token.
  ATTUNE_FN A scale(std::int64_t row, std::int64_t t, A w, const sequence_part& q) const {
    double of_sequence = q.weight;
    if (reduction == token_reduction::sequence_mean_token_mean) of_sequence /= q.tokens;
    if (reduction == token_reduction::constant_length) of_sequence /= constant_length;
    const A scale = static_cast<A>(of_sequence) * w;
    return folds_correction ? scale * static_cast<A>(correction(row, t)) : scale;
  }

 private:
  template <class X> ATTUNE_FN static A value(const token_tensor<X>& x, std::int64_t row, std::int64_t t, A otherwise) {
    return x.given() ? static_cast<A>(x(row, t)) : otherwise;
  }
  ATTUNE_FN std::int64_t clamp(double offset, std::int64_t least) const {
    return !(offset > static_cast<double>(least)) ? least : offset < static_cast<double>(columns) ? static_cast<std::int64_t>(offset) : columns;
  }
};

/// First launch, of size x sequence_lanes threads: each lane's part of its sequence.
template <class T> struct measure_lanes {
  device_tokens<T> batch;
  sequence_part* parts;

  ATTUNE_FN void operator()(std::int64_t i) const {
    using A = arithmetic<T>;
    const std::int64_t s = i / sequence_lanes;
    const auto [row, begin, end] = batch[s];
    sequence_part part;
    for (std::int64_t t = begin + i % sequence_lanes; t < end; t += sequence_lanes) {
      const A w = batch.token_weight(row, t);
      if (w == A(0)) continue;
      part.tokens += static_cast<double>(w);
      part.count += 1;
      if (!batch.shares_value() || batch.on_policy) continue;
      part.log_ratio += static_cast<double>(w) * static_cast<double>(batch.bounded(batch.own_log_ratio(row, t), batch.advantage_of(s, row, t)));
    }
    parts[i] = part;
  }
};
/// Second launch, of a thread a sequence.
template <class T> struct measure_sequences {
  device_tokens<T> batch;
  const sequence_part* parts;
  sequence_part* sequences;

  ATTUNE_FN void operator()(std::int64_t s) const {
    sequence_part q;
    for (std::int64_t i = s * sequence_lanes; i < (s + 1) * sequence_lanes; ++i) {
      q.tokens += parts[i].tokens;
      q.count += parts[i].count;
      q.log_ratio += parts[i].log_ratio;
    }
    q.weight = static_cast<double>(batch.sequence_weight(s));
    if (q.tokens == 0 || q.weight == 0) q = {};
    else q.log_ratio /= batch.ratio_share(q);
    sequences[s] = q;
  }
};
/// Counts and denominator of the batch, in folded_parts parts.
struct count_sequences {
  const sequence_part* sequences;
  std::int64_t size;
  bool by_tokens;   ///< whether the denominator is the weight of the tokens, else that of the sequences
  double* folded;   ///< [counts, folded_parts]

  ATTUNE_FN void operator()(std::int64_t p) const {
    double sum[token_totals::counts] = {};
    for (std::int64_t s = p; s < size; s += folded_parts) {
      const sequence_part q = sequences[s];
      sum[token_totals::weight] += by_tokens ? q.weight * q.tokens : q.weight;
      sum[token_totals::tokens] += q.weight * q.tokens;
      sum[token_totals::active] += q.count;
      sum[token_totals::sequences] += q.count > 0 ? 1 : 0;
    }
    for (int m = 0; m < token_totals::counts; ++m) folded[m * folded_parts + p] = sum[m];
  }
};
/// The gradients of packed tokens where there are no sequences.
template <class T> struct clear_packed {
  token_tensor<T> d_logp, d_entropy;
  ATTUNE_FN void operator()(std::int64_t t) const {
    d_logp(0, t) = static_cast<T>(arithmetic<T>(0));
    if (d_entropy.given()) d_entropy(0, t) = static_cast<T>(arithmetic<T>(0));
  }
};

/// What a launch over the tokens is for: loss, metrics and (where no ratio is shared) gradients; or the gradients of tokens that share a ratio, once
/// each lane's part of d loss / d log-ratio is known from the first.
enum class token_pass { whole, shared_gradients };

template <class T, class O> struct evaluate_tokens_lanes {
  using A = arithmetic<T>;
  using D = dual<A, 2>;  // along a token's log-probability (or the sequence's log-ratio), and along its entropy
  O objective;
  device_tokens<T> batch;
  token_pass pass;
  const sequence_part* sequences;
  double given_scale;      ///< 1 / normalizer; or, of this batch's own denominator,
  const double* counts;    ///< its folded sums
  double* sums;            ///< [metrics, lanes]; null: no report is wanted
  double* ratio_slopes;    ///< [lanes], parts of d loss / d log-ratio; null: no ratio is shared, or no gradient wanted

  ATTUNE_FN void operator()(std::int64_t i) const {
    const std::int64_t s = i / sequence_lanes, lane = i % sequence_lanes, lanes = batch.size * sequence_lanes;
    const auto [row, begin, end] = batch[s];
    const sequence_part q = sequences[s];
    const A gradient_scale = static_cast<A>(scale_of_batch());
    const double slope = pass == token_pass::shared_gradients ? shared_slope(s, q) : 0;
    double sum[token_totals::metrics] = {}, ratio_slope = 0;
    if (writes()) clear_outside(s, lane, begin, end);
    for (std::int64_t t = begin + lane; t < end; t += sequence_lanes) {
      const A w = q.weight == 0 ? A(0) : batch.token_weight(row, t);
      if (w == A(0)) write(row, t, A(0), A(0));
      else one(s, row, t, w, q, gradient_scale, slope, sum, ratio_slope);
    }
    if (pass == token_pass::shared_gradients) return;
    for (int m = 0; sums != nullptr && m < token_totals::metrics; ++m) sums[m * lanes + i] = sum[m];
    if (ratio_slopes != nullptr) ratio_slopes[i] = ratio_slope;
  }

 private:
  ATTUNE_FN double scale_of_batch() const {
    if (counts == nullptr) return given_scale;
    const double weight = folded_sum(counts, token_totals::weight);
    return weight == 0 ? 0 : 1 / weight;
  }
  ATTUNE_FN double shared_slope(std::int64_t s, const sequence_part& q) const {
    double sum = 0;
    for (std::int64_t i = s * sequence_lanes; i < (s + 1) * sequence_lanes; ++i) sum += ratio_slopes[i];
    return sum / batch.ratio_share(q);
  }
  ATTUNE_FN bool writes() const { return batch.d_logp.given() && (pass == token_pass::shared_gradients || ratio_slopes == nullptr); }
  ATTUNE_FN void write(std::int64_t row, std::int64_t t, A d_logp, A d_entropy) const {
    if (!writes()) return;
    batch.d_logp(row, t) = static_cast<T>(d_logp);
    if (batch.d_entropy.given()) batch.d_entropy(row, t) = static_cast<T>(d_entropy);
  }
  /// Packed tokens before the first and behind the last sequence.
  ATTUNE_FN void clear_outside(std::int64_t s, std::int64_t lane, std::int64_t begin, std::int64_t end) const {
    if (batch.offsets.data == nullptr) return;
    for (std::int64_t t = lane; s == 0 && t < begin; t += sequence_lanes) write(0, t, A(0), A(0));
    for (std::int64_t t = end + lane; s == batch.size - 1 && t < batch.columns; t += sequence_lanes) write(0, t, A(0), A(0));
  }

  /// Where a ratio overflows that a derivative does not move, that derivative would be 0 x inf: it is taken at the largest ratio.
  ATTUNE_FN static token<A> at_finite_ratio(token<A> x) {
    x.log_ratio = min(x.log_ratio, largest_log<A>);
    return x;
  }
  ATTUNE_FN A entropy_slope(const token<A>& x, const D& d) const {
    return x.log_ratio > largest_log<A> ? loss_of(at_finite_ratio(x), A(0), A(0), A(1)).grad[1] : d.grad[1];
  }
  /// The loss of a token and its derivatives where its log-probability moves logp by `by_logp` and log_ratio by `by_ratio`.
  ATTUNE_FN D loss_of(const token<A>& x, A by_logp, A by_ratio, A by_entropy) const {
    token<D> y;
    y.logp = D(x.logp);
    y.log_ratio = D(x.log_ratio);
    y.entropy = D(x.entropy);
    y.logp.grad[0] = by_logp;
    y.log_ratio.grad[0] = by_ratio;
    y.entropy.grad[1] = by_entropy;
    y.old_logp = x.old_logp;
    y.ref_logp = x.ref_logp;
    y.advantage = x.advantage;
    y.correction = x.correction;
    y.selected = x.selected;
    return objective(y);
  }
  ATTUNE_FN void one(std::int64_t s, std::int64_t row, std::int64_t t, A w, const sequence_part& q, A gradient_scale, double slope,
                     double (&sum)[token_totals::metrics], double& ratio_slope) const {
    const token<A> x = batch.read(s, row, t, q);
    const A scale = batch.scale(row, t, w, q);
    const auto scaled = [&](A d) { return scale == A(0) ? A(0) : scale * gradient_scale * d; };
    if (pass == token_pass::shared_gradients) {
      const D d = loss_of(at_finite_ratio(x), A(1), A(0), A(1));
      const bool moves = batch.is_free(batch.own_log_ratio(row, t), x.advantage);
      const A share = moves ? static_cast<A>(slope * static_cast<double>(w)) : A(0);
      return write(row, t, scaled(d.grad[0]) + share, scaled(d.grad[1]));
    }
    const bool shared = batch.shares_derivative();
    const D d = loss_of(x, shared ? A(0) : A(1), A(1), A(1));
    const A gradient = batch.d_logp.given() ? scaled(d.grad[0]) : A(0), loss = scale == A(0) ? A(0) : scale * d.value;
    if (shared) ratio_slope += static_cast<double>(gradient);
    else write(row, t, gradient, scaled(entropy_slope(x, d)));
    if (sums != nullptr) count(x, static_cast<A>(q.weight) * w, loss, gradient, sum);
  }
  ATTUNE_FN void count(const token<A>& x, A weight, A loss, A gradient, double (&sum)[token_totals::metrics]) const {
    using totals = token_totals;
    sum[totals::loss] += static_cast<double>(loss);
    sum[totals::non_finite] += (loss + gradient) * A(0) == A(0) ? 0 : 1;
    sum[totals::old_kl] += static_cast<double>(weight * (x.log_ratio * x.log_ratio) * A(0.5));
    sum[totals::entropy] += static_cast<double>(weight * x.entropy);
    if (batch.ref_logp.given()) sum[totals::kl] += static_cast<double>(weight * kl::k3{}.value(x.logp - x.ref_logp));
    if constexpr (requires { objective.held(x); }) {
      const double held = objective.held(x) ? static_cast<double>(weight) : 0;
      sum[totals::held_high] += x.advantage > A(0) ? held : 0;
      sum[totals::held_low] += x.advantage < A(0) ? held : 0;
    }
  }
};

struct write_policy_report {
  const double *counts, *folded;
  policy_report* to;

  ATTUNE_FN void operator()(std::int64_t) const {
    using totals = token_totals;
    policy_report r;
    r.weight = folded_sum(counts, totals::weight);
    r.tokens = folded_sum(counts, totals::tokens);
    r.count = static_cast<std::int64_t>(folded_sum(counts, totals::active));
    r.sequences = static_cast<std::int64_t>(folded_sum(counts, totals::sequences));
    r.loss_sum = folded_sum(folded, totals::loss);
    r.non_finite = static_cast<std::int64_t>(folded_sum(folded, totals::non_finite));
    if (!(r.tokens == 0)) {
      r.held_high = folded_sum(folded, totals::held_high) / r.tokens;
      r.held_low = folded_sum(folded, totals::held_low) / r.tokens;
      r.kl = folded_sum(folded, totals::kl) / r.tokens;
      r.old_kl = folded_sum(folded, totals::old_kl) / r.tokens;
      r.entropy = folded_sum(folded, totals::entropy) / r.tokens;
    }
    *to = r;
  }
};

}  // namespace attune::detail
