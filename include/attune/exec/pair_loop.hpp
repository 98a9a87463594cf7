// SPDX-License-Identifier: MIT
// The inner loop of evaluate: packs of pairs through an objective.
#pragma once

#include <attune/core/dual.hpp>
#include <attune/exec/lanes.hpp>
#include <attune/exec/policy.hpp>  // chunk_range
#include <attune/exec/report.hpp>
#include <attune/preference/pairs.hpp>

namespace attune::detail {

/// Implicit reward of a completion, for the metrics: the objective's own definition, else beta x log-ratio, else the log-ratio.
template <class O, class P>
P reward(const O& objective, const completion<P>& y) {
  if constexpr (requires { objective.reward(y); }) {
    return objective.reward(y);
  } else if constexpr (requires { objective.beta; }) {
    return P(lane_of<P>(objective.beta)) * y.log_ratio();
  } else {
    return y.log_ratio();
  }
}

/// The sums behind a report, over the pairs of one chunk.
template <class P>
struct report_sums {
  wide_sum<P> loss, weight, accuracy, reward_chosen, reward_rejected, logp_chosen, logp_rejected;
  P count{0.0}, non_finite{0.0};  // small whole numbers: exact

  ATTUNE_PACK_FN void add(const P& w, const P& sample_loss, const P& chosen, const P& rejected, const P& chosen_logp, const P& rejected_logp) {
    using R = lane_of<P>;
    const wide<P> weights(w);
    loss.add(weights, wide<P>(sample_loss));
    weight.add(weights, wide<P>(P(R(1))));
    accuracy.add(weights, wide<P>(select(chosen > rejected, P(R(1)), P(R(0)))));
    reward_chosen.add(weights, wide<P>(chosen));
    reward_rejected.add(weights, wide<P>(rejected));
    logp_chosen.add(weights, wide<P>(chosen_logp));
    logp_rejected.add(weights, wide<P>(rejected_logp));
  }
  report finish() const {
    report r;
    r.loss_sum = loss.total();
    r.weight = weight.total();
    r.count = lane_total(count);
    r.non_finite = lane_total(non_finite);
    const double scale = r.weight > 0 ? 1 / r.weight : 0;
    r.accuracy = accuracy.total() * scale;
    r.reward_chosen = reward_chosen.total() * scale;
    r.reward_rejected = reward_rejected.total() * scale;
    r.margin = r.reward_chosen - r.reward_rejected;
    r.logp_chosen = logp_chosen.total() * scale;
    r.logp_rejected = logp_rejected.total() * scale;
    return r;
  }
  static std::int64_t lane_total(const P& x) {
    std::int64_t n = 0;
    for (lane_of<P> lane : lane_buffer<P>(x).lane) n += static_cast<std::int64_t>(lane);
    return n;
  }
};

/// The loop over the pairs of a chunk: gathers a pack of samples, runs the objective on it (on duals of packs where gradients are wanted),
/// stores the gradients and adds to the sums.
template <class P, class T, class O>
class pair_loop {
  using R = lane_of<P>;
  static constexpr int width = lanes<P>;

 public:
  pair_loop(const O& objective, const pairs<T>& batch, const pair_gradients<T>& gradients, double gradient_scale)
      : objective_(objective), chosen_(batch.chosen, R(0)), rejected_(batch.rejected, R(0)), ref_chosen_(batch.ref_chosen, R(0)),
        ref_rejected_(batch.ref_rejected, R(0)), margin_(batch.margin, R(0)), weight_(batch.weight, R(1)), mask_(batch.mask),
        chosen_length_(batch.chosen_length), rejected_length_(batch.rejected_length), d_chosen_(gradients.chosen, R(0)),
        d_rejected_(gradients.rejected, R(0)), scale_(R(gradient_scale)) {}

  static report run(const pair_loop self, chunk_range range) {
    report_sums<P> sums;
    std::int64_t i = range.begin;
    if (!self.weight_.given() && self.mask_.absent()) {
      for (; i + width <= range.end; i += width) self.step(self.read_whole(i), i, width, sums);
    }
    for (; i < range.end; i += width) {
      const int n = static_cast<int>(range.end - i < width ? range.end - i : width);
      self.step(self.read_some(i, n), i, n, sums);
    }
    return sums.finish();
  }

 private:
  /// The pairs of one pack. Those that are padding, masked or of weight 0 are a harmless sample of weight 0.
  struct input {
    pair<P> sample;
    P weight;
  };

  /// A whole pack of a batch without mask and weights.
  ATTUNE_PACK_FN input read_whole(std::int64_t i) const {
    return {{{chosen_.whole(i), ref_chosen_.whole(i), whole(chosen_length_, i)},
             {rejected_.whole(i), ref_rejected_.whole(i), whole(rejected_length_, i)},
             margin_.whole(i)},
            P(R(1))};
  }
  static ATTUNE_PACK_FN P whole(const length_view& lengths, std::int64_t i) {
    if (lengths.absent()) return P(R(1));
    lane_buffer<P> buffer(R(1));
    lengths.read<width>(i, buffer.lane);
    return buffer.packed();
  }

  /// Any n pairs of any batch, lane by lane; the numbers of masked ones are not read.
  input read_some(std::int64_t i, int n) const {
    bool active[width];
    for (int k = 0; k < width; ++k) active[k] = k < n && (mask_.absent() || mask_(i + k) != 0);
    lane_buffer<P> weight = lane_buffer<P>(weight_.some(i, n, active)), chosen_length(R(1)), rejected_length(R(1));
    for (int k = 0; k < width; ++k) {
      if (!active[k]) weight.lane[k] = R(0);
      active[k] = weight.lane[k] > R(0);
      if (active[k] && !chosen_length_.absent()) chosen_length.lane[k] = static_cast<R>(chosen_length_(i + k));
      if (active[k] && !rejected_length_.absent()) rejected_length.lane[k] = static_cast<R>(rejected_length_(i + k));
    }
    return {{{chosen_.some(i, n, active), ref_chosen_.some(i, n, active), chosen_length.packed()},
             {rejected_.some(i, n, active), ref_rejected_.some(i, n, active), rejected_length.packed()},
             margin_.some(i, n, active)},
            weight.packed()};
  }

  ATTUNE_PACK_FN void step(const input& in, std::int64_t i, int n, report_sums<P>& sums) const {
    const P zero(R(0)), one(R(1));
    const auto active = in.weight > zero;
    P loss, largest;  // largest: the magnitude that tells whether anything is NaN or infinite
    if (!d_chosen_.given()) {
      loss = objective_(in.sample);
      largest = abs(loss);
    } else {
      const dual<P, 2> d = objective_(differentiable(in.sample));
      const P scaled = in.weight * P(scale_);
      const P d_chosen = select(active, scaled * d.grad[0], zero), d_rejected = select(active, scaled * d.grad[1], zero);
      d_chosen_.put(i, n, d_chosen);
      d_rejected_.put(i, n, d_rejected);
      loss = d.value;
      largest = max(abs(loss), max(abs(d_chosen), abs(d_rejected)));
    }
    const P active_one = select(active, one, zero);
    sums.count = sums.count + active_one;
    sums.non_finite = sums.non_finite + select(largest <= P(std::numeric_limits<R>::max()), zero, active_one);
    sums.add(in.weight, select(active, loss, zero), reward(objective_, in.sample.chosen), reward(objective_, in.sample.rejected),
             in.sample.chosen.logp, in.sample.rejected.logp);
  }

  static ATTUNE_PACK_FN pair<dual<P, 2>> differentiable(const pair<P>& x) {
    return {{dual<P, 2>::variable(x.chosen.logp, 0), x.chosen.ref_logp, x.chosen.length},
            {dual<P, 2>::variable(x.rejected.logp, 1), x.rejected.ref_logp, x.rejected.length},
            x.margin};
  }

  O objective_;
  column<P, const T> chosen_, rejected_, ref_chosen_, ref_rejected_, margin_, weight_;
  view<const std::uint8_t> mask_;
  length_view chosen_length_, rejected_length_;
  column<P, T> d_chosen_, d_rejected_;
  R scale_;
};

}  // namespace attune::detail
