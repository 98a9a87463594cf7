// SPDX-License-Identifier: MIT
// Stage 2 on a device for groups of completions: a thread a group, in double. The thread l of `lanes` does groups l, l + lanes, ...
#pragma once

#include <attune/exec/device/row_arguments.hpp>  // first_bad
#include <attune/exec/device/samples.hpp>        // lane_totals
#include <attune/exec/group_loop.hpp>
#include <attune/preference/group.hpp>

#include <bit>

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

/// A group that the host would refuse, as first_bad reports it: what is wrong of it; or at which group or completion; or what that is, the bits of a double.
template <class T> struct find_bad_group {
  enum fault { ends, size, length, weight };
  enum answer { what, where, value };
  device_groups<T> batch;
  bool reads_lengths;
  answer asked;

  ATTUNE_FN bad_label operator()(std::int64_t g) const {
    if (batch.begins.given()) {
      const std::int64_t begin = batch.begins(g), end = batch.begins(g + 1);
      if ((g == 0 && begin != 0) || (g + 1 == batch.count && end != batch.completions)) return found(g, ends, g, 0);
      if (end < begin || end - begin > max_device_group_size) return found(g, size, g, static_cast<double>(end - begin));
    }
    for (std::int64_t i = batch.begin(g); reads_lengths && i < batch.begin(g + 1); ++i) {
      if (batch.active(i) && !(batch.lengths.length(i) > 0)) return found(g, length, i, batch.lengths.length(i));
    }
    const double w = batch.weight(g);
    if (w != w) {
      for (std::int64_t i = batch.begin(g); i < batch.begin(g + 1); ++i) {
        if (batch.active(i)) return found(g, weight, g, static_cast<double>(static_cast<arithmetic<T>>(batch.weights(g))));
      }
    }
    return {batch.count, 0};
  }

 private:
  ATTUNE_FN bad_label found(std::int64_t g, fault f, std::int64_t at, double x) const {
    std::int64_t bits = asked == what ? std::int64_t{f} : at;
    if (asked == value) __builtin_memcpy(&bits, &x, sizeof bits);
    return {g, bits};
  }
};
template <class T, class Policy> void require_device_groups(const Policy& policy, const device_groups<T>& batch, bool reads_lengths) {
  using find = find_bad_group<T>;
  const auto ask = [&](typename find::answer asked) { return first_bad(policy, batch.count, find{batch, reads_lengths, asked}); };
  const bad_label fault = ask(find::what);
  if (fault.row == batch.count) return;
  const std::int64_t at = ask(find::where).label;
  const double value = std::bit_cast<double>(ask(find::value).label);
  if (fault.label == find::ends) throw_bad_group_ends(batch.completions);
  if (fault.label == find::size) throw_bad_group_size(at, static_cast<std::int64_t>(value), max_device_group_size);
  if (fault.label == find::length) throw_bad_completion_length(at, value);
  throw_bad_weight(group_kind::batch, at, value);
}

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
    completion<double> y[max_device_group_size];
    double d[max_device_group_size];
    const double weight = batch.weight(g);
    const std::int64_t begin = batch.begin(g), end = batch.begin(g + 1);
    int size = 0;
    for (std::int64_t i = begin; weight != 0 && i < end; ++i) {
      if (!batch.active(i)) continue;
      if (size < max_device_group_size) y[size] = batch.read(i);
      ++size;
    }
    const bool fits = size <= max_device_group_size;
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
