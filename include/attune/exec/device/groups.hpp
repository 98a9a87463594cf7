// SPDX-License-Identifier: MIT
// Stage 2 on a device for groups of completions: a thread a group, in double. The thread l of `lanes` does groups l, l + lanes, ...
#pragma once

#include <attune/exec/device/samples.hpp>  // lane_totals
#include <attune/preference/group.hpp>

namespace attune::detail {

template <class T> struct device_groups {
  std::int64_t count, completions, size;  ///< groups; completions in all, and of every group (0: begin says)
  strided<const T> logp, ref_logp, reward, weights;
  strided<const std::int64_t> begins;
  device_column lengths;
  strided<const std::uint8_t> mask;
  strided<T> gradient;

  /// The first completion of a group, and of the one behind it. What is out of range is never used as an index.
  ATTUNE_FN std::int64_t begin(std::int64_t g) const {
    const std::int64_t b = begins.given() ? begins(g) : g * size;
    return b < 0 ? 0 : b < completions ? b : completions;
  }
  ATTUNE_FN bool active(std::int64_t i) const { return !mask.given() || mask(i) != 0; }
  /// 0 for a group that is left out; NaN for a weight that is none.
  ATTUNE_FN double weight(std::int64_t g) const {
    const double w = weights.given() ? static_cast<double>(static_cast<arithmetic<T>>(weights(g))) : 1;
    if (!(w >= 0 && w < infinity<double>)) return __builtin_nan("");
    for (std::int64_t i = begin(g); i < begin(g + 1); ++i) {
      if (active(i)) return w;
    }
    return 0;
  }
  ATTUNE_FN completion<double> read(std::int64_t i) const {
    return {number(logp, i), number(ref_logp, i), lengths.template at<double>(i), number(reward, i)};
  }
  ATTUNE_FN void write(std::int64_t i, double x) const {
    if (gradient.given()) gradient(i) = static_cast<T>(static_cast<arithmetic<T>>(x));
  }

 private:
  ATTUNE_FN static double number(const strided<const T>& x, std::int64_t i) { return x.given() ? static_cast<double>(static_cast<arithmetic<T>>(x(i))) : 0; }
};

template <class T> struct sum_group_weights {
  device_groups<T> batch;
  double* sums;  ///< [lanes]
  std::int64_t lanes;

  ATTUNE_FN void operator()(std::int64_t lane) const {
    double sum = 0;
    for (std::int64_t g = lane; g < batch.count; g += lanes) sum += batch.weight(g);
    sums[lane] = sum;
  }
};

template <class T, class O> struct evaluate_group_lanes {
  O objective;
  device_groups<T> batch;
  loss_scale scale;
  double* sums;  ///< [lane_metrics, lanes]; null: no report is wanted
  std::int64_t lanes;

  ATTUNE_FN void operator()(std::int64_t lane) const {
    const double s = scale();
    lane_totals totals;
    for (std::int64_t g = lane; g < batch.count; g += lanes) one(g, s, totals);
    totals.store(sums, lane, lanes);
  }

 private:
  /// Everything is read before anything is written: the gradient may be the memory of the log-probabilities.
  ATTUNE_FN void one(std::int64_t g, double s, lane_totals& totals) const {
    completion<double> y[group_room];
    double d[group_room];
    const double weight = batch.weight(g);
    const std::int64_t begin = batch.begin(g), end = batch.begin(g + 1);
    int size = 0;
    for (std::int64_t i = begin; weight != 0 && i < end; ++i) {
      if (!batch.active(i)) continue;
      if (size < group_room) y[size] = batch.read(i);
      ++size;
    }
    const bool fits = size <= group_room;
    const double loss = size == 0 ? 0 : fits ? weight * group_loss(objective, group<double>(y, size), d) : __builtin_nan("");
    double probe = loss * 0;  // 0 where everything is finite, else NaN
    int k = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      const bool active = size > 0 && batch.active(i);
      const double gradient = !active ? 0 : fits ? weight * s * d[k++] : __builtin_nan("");
      if (batch.gradient.given()) probe += gradient * 0;
      batch.write(i, gradient);
    }
    if (size == 0) return;
    totals.add(sample_sums::loss, loss);
    totals.add(sample_sums::non_finite, probe == 0 ? 0 : 1);
    totals.add(lane_weight, weight);
    totals.add(lane_count, 1);
    if (fits) judge_group(y, size, weight, totals);
  }
  /// By the completions with the highest and the lowest reward.
  ATTUNE_FN void judge_group(const completion<double>* y, int size, double weight, lane_totals& totals) const {
    int best = 0, worst = 0;
    for (int i = 1; i < size; ++i) {
      if (y[i].reward > y[best].reward) best = i;
      if (y[i].reward < y[worst].reward) worst = i;
    }
    const double chosen = implicit_reward(objective, y[best]), rejected = implicit_reward(objective, y[worst]);
    totals.add(sample_sums::accuracy, chosen > rejected ? weight : 0);
    totals.add(sample_sums::reward_chosen, weight * chosen);
    totals.add(sample_sums::reward_rejected, weight * rejected);
    totals.add(sample_sums::logp_chosen, weight * y[best].logp);
    totals.add(sample_sums::logp_rejected, weight * y[worst].logp);
  }
};

}  // namespace attune::detail
