// SPDX-License-Identifier: MIT
// Stage 2 on a device: the samples of a batch through an objective. The thread l of `lanes` does samples l, l + lanes, ..., and keeps the sums of
// its metrics; two small launches add these, in a fixed order, to a report.
#pragma once

#include <attune/exec/device/batch.hpp>
#include <attune/exec/device/fold.hpp>
#include <attune/exec/sample_metrics.hpp>

namespace attune::detail {

/// The sums of a lane, and the weight and number of its samples.
inline constexpr int lane_metrics = sample_sums::metrics + 2, lane_weight = sample_sums::metrics, lane_count = lane_weight + 1;
/// As many lanes as a device keeps busy, at most one a sample.
inline std::int64_t sample_lanes(std::int64_t samples) { return samples < 8192 ? samples : 8192; }
/// And for the weight of a batch fewer, since every thread that needs it adds up their sums.
inline std::int64_t weight_lanes(std::int64_t lanes) { return lanes < 256 ? lanes : 256; }

struct lane_totals {
  double of[lane_metrics] = {};
  template <class A> ATTUNE_FN void add(int metric, A x) { of[metric] += static_cast<double>(x); }
  /// To sums [lane_metrics, lanes], unless they are not wanted.
  ATTUNE_FN void store(double* sums, std::int64_t lane, std::int64_t lanes) const {
    for (int m = 0; sums != nullptr && m < lane_metrics; ++m) sums[m * lanes + lane] = of[m];
  }
};

/// What multiplies gradients: 1 / normalizer; or, where that is the batch's own weight, which the host does not know, of the sums that make it.
struct loss_scale {
  double given;
  const double* weights = nullptr;  ///< [lanes]
  std::int64_t lanes = 0;

  ATTUNE_FN double operator()() const {
    if (weights == nullptr) return given;
    double weight = 0;
    for (std::int64_t l = 0; l < lanes; ++l) weight += weights[l];
    return weight == 0 ? 0 : 1 / weight;
  }
};

/// The weights of the samples of a lane, for a batch whose weight the host does not know.
template <class Kind, class T> struct sum_weights {
  device_batch<Kind, T> batch;
  double* sums;  ///< [lanes]
  std::int64_t lanes;

  ATTUNE_FN void operator()(std::int64_t lane) const {
    double sum = 0;
    for (std::int64_t i = lane; i < batch.size; i += lanes) sum += static_cast<double>(batch.weight(i));
    sums[lane] = sum;
  }
};

/// A sample of a weight other than 0: its loss and metrics into `totals`, its gradients times `scale` where they are wanted.
template <class Kind, class T, class O>
ATTUNE_FN void evaluate_sample(const O& objective, const device_batch<Kind, T>& batch, std::int64_t i, const typename Kind::template sample<arithmetic<T>>& x,
                               arithmetic<T> weight, arithmetic<T> scale, lane_totals& totals) {
  using A = arithmetic<T>;
  const auto d = objective(lifted_sample<Kind, A>(x));  // also for the value alone: one type of sample that a user's formula must suit
  const A loss = d.value;
  A probe = weight * loss * A(0);  // 0 where everything is finite, else NaN
  for (int k = 0; k < policy_members<Kind>; ++k) {
    if (!batch.gradients[k].given()) continue;
    const A gradient = weight * scale * d.grad[k];
    probe += gradient * A(0);
    batch.gradients[k](i) = static_cast<T>(gradient);
  }
  totals.add(sample_sums::loss, weight * loss);
  totals.add(sample_sums::non_finite, probe == A(0) ? 0 : 1);
  totals.add(lane_weight, weight);
  totals.add(lane_count, 1);
  judge(objective, weight, x, totals);
}

template <class Kind, class T, class O> struct evaluate_lanes {
  using A = arithmetic<T>;
  O objective;
  device_batch<Kind, T> batch;
  loss_scale scale;
  double* sums;  ///< [lane_metrics, lanes]; null: no report is wanted
  std::int64_t lanes;

  ATTUNE_FN void operator()(std::int64_t lane) const {
    const A s = static_cast<A>(scale());
    lane_totals totals;
    for (std::int64_t i = lane; i < batch.size; i += lanes) {
      const A weight = batch.weight(i);
      if (weight == A(0)) batch.clear(i);
      else evaluate_sample(objective, batch, i, batch.read(i), weight, s, totals);
    }
    totals.store(sums, lane, lanes);
  }
};

struct write_report {
  const double* folded;
  report* to;
  bool paired;

  ATTUNE_FN void operator()(std::int64_t) const {
    double total[lane_metrics];
    for (int m = 0; m < lane_metrics; ++m) total[m] = folded_sum(folded, m);
    *to = report_of(total, total[lane_weight], static_cast<std::int64_t>(total[lane_count]), paired);
  }
};

}  // namespace attune::detail
