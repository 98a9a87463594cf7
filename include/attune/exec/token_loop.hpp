// SPDX-License-Identifier: MIT
// Makes runs of a batch of tokens, and puts their gradients where they belong.
//
// Active tokens of one sequence after another, padding skipped, come in runs of up to 256: arrays that are the tensors themselves where a run is one
// stretch of packed memory, else copies. So the kernel knows neither layout nor strides nor types, and padded and packed batches give the same bits. Where a sequence shares its ratio, its tokens are run twice: for d loss / d log-ratio, summed
// over the sequence, and then for what each token's own log-probability adds.
#pragma once

#include <attune/exec/check_tokens.hpp>
#include <attune/exec/objective_ref.hpp>
#include <attune/exec/policy.hpp>  // chunk_range

#include <algorithm>  // fill_n

namespace attune::detail {

template <class T, class P>
class token_loop {
  using R = arithmetic<T>;
  using objective = objective_ref<token_kind, R>;
  enum column { logp, log_ratio, entropy, old_logp, ref_logp, advantage, correction, selected };  // token_kind::members
  static constexpr std::size_t columns = member_count<token_kind>;

 public:
  token_loop(const objective& f, const tokens<T>& batch, const token_gradients<T>& gradients, const token_options& o, double gradient_scale)
      : objective_(f), batch_(batch), gradients_(gradients), options_(o), recipe_(recipe_of(f, o)), layout_(sequences_of(batch)),
        folds_correction_(!batch.correction.absent() && !reads_token(f, "correction")),
        bounds_(recipe_.ratio.lower > -infinity<double> || recipe_.ratio.upper < infinity<double>) {
    constexpr auto table = members<token_kind>();
    for (std::size_t m = 0; m < columns; ++m) {
      typical_[m] = static_cast<R>(m == correction ? 1 : m == entropy || m == selected ? 0 : table[m].typical);
      fill(column_[m], run_length, typical_[m]);
    }
    run_.gradient_scale = static_cast<R>(gradient_scale);
    run_.has_reference = !batch.ref_logp.absent();
    run_.has_entropy = !batch.entropy.absent();
  }

  /// Sequences range.begin .. range.end - 1: loss_sum and means of tokens; counts and weights are not its business.
  policy_report run(chunk_range range) {
    for (std::int64_t s = range.begin; s < range.end; ++s) {
      const sequence_share share = share_of(batch_, layout_, s);
      clear_inactive(s, share.count == 0);
      if (share.count > 0) add(s, share);
    }
    flush();
    policy_report r;
    using sums = token_sums<R>;
    r.loss_sum = sums_.total(sums::loss);
    r.held_high = sums_.total(sums::held_high);
    r.held_low = sums_.total(sums::held_low);
    r.kl = sums_.total(sums::kl);
    r.old_kl = sums_.total(sums::old_kl);
    r.entropy = sums_.total(sums::entropy);
    r.non_finite = static_cast<std::int64_t>(sums_.total(sums::non_finite));
    return r;
  }

 private:
  enum class pass { whole, ratio_only, logp_only };
  struct stretch {
    std::int64_t row, begin;
    int at, size;
  };

  bool with_gradients() const { return !gradients_.logp.absent(); }
  /// On policy a mean of equal shares is each token's own share; the sum is not.
  bool shares_ratio() const { return recipe_.ratio.level != ratio_level::token && (!options_.on_policy || recipe_.ratio.level == ratio_level::sequence_sum); }

  void add(std::int64_t s, const sequence_share& share) {
    if (share.count >= run_length) flush();  // a long sequence has runs of its own, which can be read where they lie
    const double n = recipe_.ratio.level == ratio_level::sequence_sum ? 1 : share.tokens;
    if (shares_ratio()) shared_ratio_ = options_.on_policy ? 0 : sum_log_ratios(s) / n;
    if (!shares_ratio() || recipe_.ratio.level == ratio_level::sequence_token || !with_gradients()) return push(s, share, pass::whole);
    flush();
    ratio_gradient_ = 0;
    push(s, share, pass::ratio_only);
    flush();
    ratio_gradient_ /= n;
    push(s, share, pass::logp_only);
    flush();
  }

  /// sum of w l over the sequence, each l within the ratio's range. Eight sums, because one would wait for itself.
  double sum_log_ratios(std::int64_t s) const {
    double sum[8] = {};
    std::size_t n = 0;
    const bool plain = batch_.token_weight.absent() && !bounds_;
    layout_.for_each_stretch(s, [&](std::int64_t row, std::int64_t begin, std::int64_t end, bool on) {
      if (!on) return;
      const T *now = &batch_.logp(row, begin), *old = &batch_.old_logp(row, begin);
      const std::int64_t step = batch_.logp.stride(1), old_step = batch_.old_logp.stride(1);
      for (std::int64_t t = begin; t < end; ++t, now += step, old += old_step) {
        const double w = plain ? 1 : token_weight(row, t);
        if (!(w > 0)) continue;
        const R l = static_cast<R>(*now) - static_cast<R>(*old);
        sum[n++ % 8] += plain ? static_cast<double>(l) : w * static_cast<double>(bounded(l, advantage_of(s, row, t)));
      }
    });
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  }
  R bounded(R l, R a) const {
    const R upper = a > 0 ? static_cast<R>(recipe_.ratio.upper) : infinity<R>, lower = a < 0 ? static_cast<R>(recipe_.ratio.lower) : -infinity<R>;
    return min(max(l, lower), upper);
  }
  R advantage_of(std::int64_t s, std::int64_t row, std::int64_t t) const {
    if (!batch_.token_advantage.absent()) return static_cast<R>(batch_.token_advantage(row, t));
    return batch_.advantage.absent() ? R(0) : static_cast<R>(batch_.advantage(s));
  }
  double token_weight(std::int64_t row, std::int64_t t) const { return batch_.token_weight.absent() ? 1 : static_cast<double>(batch_.token_weight(row, t)); }
  /// Whether a token's log-ratio moves the sequence's.
  bool is_free(R l, R a) const {
    return !(a > 0 && l > static_cast<R>(recipe_.ratio.upper)) && !(a < 0 && l < static_cast<R>(recipe_.ratio.lower));
  }

  double loss_scale(const sequence_share& share) const {
    switch (recipe_.reduction) {
      case token_reduction::sequence_mean_token_mean: return share.weight / share.tokens;
      case token_reduction::constant_length: return share.weight / options_.constant_length;
      default: return share.weight;
    }
  }

  /// The active tokens of a sequence, behind those that wait already.
  void push(std::int64_t s, const sequence_share& share, pass which) {
    pass_ = which;
    layout_.for_each_stretch(s, [&](std::int64_t row, std::int64_t begin, std::int64_t end, bool on) {
      for (std::int64_t t = begin; on && t < end;) {
        if (size_ == run_length) flush();
        const int n = static_cast<int>(end - t < run_length - size_ ? end - t : run_length - size_);
        direct_ = n == run_length && batch_.token_weight.absent() && !folds_correction_;
        add_stretch(s, share, {row, t, size_, n});
        t += n;
        size_ += n;
      }
    });
  }

  void add_stretch(std::int64_t s, const sequence_share& share, const stretch& at) {
    stretches_[stretch_count_++] = at;
    read(logp, batch_.logp, at);
    read(old_logp, batch_.old_logp, at);
    read(ref_logp, batch_.ref_logp, at);
    read(entropy, batch_.entropy, at);
    read(selected, batch_.selected, at);
    if (!folds_correction_) read(correction, batch_.correction, at);
    read(advantage, batch_.token_advantage, at);
    if (!batch_.advantage.absent()) run_.members[advantage] = constant(column_[advantage], constant_[0], static_cast<R>(batch_.advantage(s)), at);
    if (folds_correction_) run_.members[correction] = column_[correction];
    add_ratio(at);
    run_.scale = constant(scale_, constant_[1], static_cast<R>(loss_scale(share)), at);
    run_.weight = constant(weight_, constant_[2], static_cast<R>(share.weight), at);
    if (!direct_) copy_weights(at);
    if (pass_ == pass::logp_only) copy_offsets(at);
  }
  void add_ratio(const stretch& at) {
    run_.members[log_ratio] = nullptr;  // logp - old_logp
    if (options_.on_policy) run_.members[old_logp] = run_.members[logp];
    if (shares_ratio()) {
      run_.members[log_ratio] = constant(column_[log_ratio], constant_[3], static_cast<R>(shared_ratio_), at);
    } else if (!options_.on_policy && batch_.old_logp.absent()) {
      run_.members[log_ratio] = column_[log_ratio];
    }
  }
  void copy_weights(const stretch& at) {
    for (int k = 0; !batch_.token_weight.absent() && k < at.size; ++k) {
      const R w = static_cast<R>(batch_.token_weight(at.row, at.begin + k));
      scale_[at.at + k] *= w;
      weight_[at.at + k] *= w;
      if (!(w > 0)) neutralise(at.at + k);
    }
    for (int k = 0; folds_correction_ && k < at.size; ++k) {
      if (weight_[at.at + k] > 0) scale_[at.at + k] *= static_cast<R>(batch_.correction(at.row, at.begin + k));
    }
  }
  /// What the sequence's ratio adds to each token: its share of d loss / d log-ratio.
  void copy_offsets(const stretch& at) {
    const R share = static_cast<R>(ratio_gradient_);
    if (batch_.token_weight.absent() && !bounds_) return fill(offset_ + at.at, at.size, share);
    for (int k = 0; k < at.size; ++k) {
      const R l = run_.members[logp][at.at + k] - run_.members[old_logp][at.at + k];
      const double w = token_weight(at.row, at.begin + k);
      offset_[at.at + k] = w > 0 && is_free(l, run_.members[advantage][at.at + k]) ? static_cast<R>(ratio_gradient_ * w) : R(0);
    }
  }

  /// A stretch of a tensor as a part of the run: where it lies, or copied.
  template <class X>
  void read(column m, const X& x, const stretch& at) {
    run_.members[m] = column_[m];
    if (x.absent()) return;
    const auto* from = &x(at.row, at.begin);
    const std::int64_t stride = x.stride(1);
    R* to = column_[m] + at.at;
    if constexpr (std::same_as<std::remove_cvref_t<decltype(*from)>, R>) {
      if (stride == 1 && direct_) return void(run_.members[m] = from);
      if (stride == 1) return void(std::memcpy(to, from, static_cast<std::size_t>(at.size) * sizeof(R)));
    }
    for (int k = 0; k < at.size; ++k) to[k] = static_cast<R>(from[k * stride]);
  }
  /// One number for a stretch: an array that holds it already, if the stretch is a whole run, else filled in.
  const R* constant(R* own, R* whole, R x, const stretch& at) {
    if (!direct_) {
      fill(own + at.at, at.size, x);
      return own;
    }
    if (!(whole[0] == x)) fill(whole, run_length, x);
    return whole;
  }
  static void fill(R* to, int n, R x) {
    int k = 0;
    for (; k + 16 <= n; k += 16) {
      for (int j = 0; j < 16; ++j) to[k + j] = x;  // a constant number of them: a few vector stores
    }
    for (; k < n; ++k) to[k] = x;
  }
  /// Where the weight is 0, whatever is there (garbage in padding, NaN) is replaced by what every objective can read.
  void neutralise(int k) {
    for (std::size_t m = 0; m < columns; ++m) column_[m][k] = typical_[m];
  }

  /// Runs what waits.
  void flush() {
    if (size_ == 0) return;
    run_.size = (size_ + run_quantum - 1) / run_quantum * run_quantum;
    for (int k = size_; k < run_.size; ++k) {
      neutralise(k);
      scale_[k] = weight_[k] = offset_[k] = R(0);
    }
    if (!with_gradients()) {
      call({R(0), R(0), R(0)}, true, nullptr);
    } else if (pass_ == pass::ratio_only) {
      run_.gradient = derivative_;
      call({R(0), R(1), R(0)}, true, nullptr);
      ratio_gradient_ += sum_derivatives();
    } else {
      const bool whole = pass_ == pass::whole;
      run_into(gradients_.logp, {R(1), R(whole ? 1 : 0), R(0)}, whole, whole ? nullptr : offset_);
      if (!gradients_.entropy.absent()) run_into(gradients_.entropy, {R(0), R(0), R(1)}, false, nullptr);
    }
    size_ = stretch_count_ = 0;
  }
  double sum_derivatives() const {
    double sum[8] = {};
    for (int k = 0; k < run_.size; ++k) sum[k % 8] += k < size_ ? static_cast<double>(derivative_[k]) : 0;
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  }
  void run_into(const view<T, 2>& to, const std::array<R, 3>& along, bool counted, const R* offset) {
    run_.gradient = derivative_;
    if constexpr (std::same_as<T, R>) {
      if (direct_ && to.stride(1) == 1) run_.gradient = &to(stretches_[0].row, stretches_[0].begin);
    }
    call(along, counted, offset);
    if (run_.gradient == derivative_) write(to);
  }
  void call(const std::array<R, 3>& along, bool counted, const R* offset) {
    run_.along = along;
    run_.ratio_limit = along[1] == R(0) ? largest_log<R> : infinity<R>;  // else 0 x inf where a ratio overflows that this derivative does not move
    run_.counted = counted;
    run_.offset = offset;
    objective_.run(run_, sums_, with_gradients());
  }
  void write(const view<T, 2>& to) const {
    for (int i = 0; i < stretch_count_; ++i) {
      const stretch& at = stretches_[i];
      T* out = &to(at.row, at.begin);
      if constexpr (std::same_as<T, R>) {
        if (to.stride(1) == 1) {
          std::memcpy(out, derivative_ + at.at, static_cast<std::size_t>(at.size) * sizeof(R));
          continue;
        }
      }
      for (int k = 0; k < at.size; ++k) out[k * to.stride(1)] = static_cast<T>(derivative_[at.at + k]);
    }
  }
  /// Gradients of tokens that are left out are 0.
  void clear_inactive(std::int64_t s, bool skipped) const {
    if (!with_gradients()) return;
    layout_.for_each_stretch(s, [&](std::int64_t row, std::int64_t begin, std::int64_t end, bool on) {
      if (on && !skipped) return;
      clear(gradients_.logp, row, begin, end);
      if (!gradients_.entropy.absent()) clear(gradients_.entropy, row, begin, end);
    });
  }
  static void clear(const view<T, 2>& x, std::int64_t row, std::int64_t begin, std::int64_t end) {
    if (x.stride(1) == 1) return void(std::fill_n(&x(row, begin), end - begin, T(0)));
    for (std::int64_t t = begin; t < end; ++t) x(row, t) = T(0);
  }

  objective objective_;
  const tokens<T>& batch_;
  const token_gradients<T>& gradients_;
  const token_options& options_;
  token_recipe recipe_;
  sequences layout_;
  bool folds_correction_;
  bool bounds_;          ///< the ratio's form bounds the tokens' log-ratios
  bool direct_ = false;  ///< the run is one whole stretch, and its tensors are read where they lie

  token_run<R> run_;
  token_sums<R> sums_;
  pass pass_ = pass::whole;
  double shared_ratio_ = 0, ratio_gradient_ = 0;
  int size_ = 0, stretch_count_ = 0;
  stretch stretches_[run_length];
  R typical_[columns];
  alignas(64) R column_[columns][run_length];
  alignas(64) R constant_[4][run_length] = {};
  alignas(64) R scale_[run_length], weight_[run_length], offset_[run_length], derivative_[run_length];
};

/// Gradients of packed tokens that belong to no sequence are 0.
template <class T>
void clear_outside(const sequences& layout, const token_gradients<T>& gradients, bool is_packed) {
  if (!is_packed || gradients.logp.absent()) return;
  const std::int64_t first = layout.size() > 0 ? layout[0].begin : gradients.logp.extent(1), last = layout.size() > 0 ? layout[layout.size() - 1].end : 0;
  for (const auto* g : {&gradients.logp, &gradients.entropy}) {
    for (std::int64_t t = 0; t < g->extent(1); ++t) {
      if (t < first || t >= last) (*g)(0, t) = T(0);
    }
  }
}

}  // namespace attune::detail
