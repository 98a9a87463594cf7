// SPDX-License-Identifier: MIT
// Groups of completions through an objective, one group at a time, in double.
#pragma once

#include <attune/core/error.hpp>
#include <attune/exec/check_samples.hpp>
#include <attune/exec/implicit_reward.hpp>
#include <attune/exec/policy.hpp>  // chunk_range
#include <attune/exec/report.hpp>
#include <attune/preference/groups.hpp>

namespace attune::detail {

/// Throws unless the size of groups, or where they begin, is given, and the size divides the number of completions.
inline void require_group_size(bool without_begin, std::int64_t size, std::int64_t total) {
  const auto number = [](std::int64_t n) { return text((long long)n); };
  if (without_begin == (size == 0) && total > 0) {
    throw error("attune: groups.size is " + number(size) + " and groups.begin is " + (without_begin ? "missing" : "given") + "; expected exactly one of them");
  }
  if (without_begin && (size < 0 || (size > 0 && total % size != 0))) {
    throw error("attune: groups.size is " + number(size) + "; expected a divisor of " + number(total) + ", the number of completions in groups.logp");
  }
}

[[noreturn]] inline void throw_bad_group_ends(std::int64_t total) {
  throw error("attune: groups.begin does not run from 0 to " + text((long long)total) + ", the number of completions in groups.logp");
}
[[noreturn]] inline void throw_bad_group_size(std::int64_t g, std::int64_t size, int most) {
  throw error("attune: group " + text((long long)g) + " has " + text((long long)size) + " completions; expected 0 to " + text((long long)most));
}
[[noreturn]] inline void throw_bad_completion_length(std::int64_t i, double length) {
  throw error("attune: groups.length of completion " + text((long long)i) + " is " + text(length) + "; expected > 0 tokens");
}

/// Which completions belong to which group.
template <class T>
class group_extents {
 public:
  explicit group_extents(const groups<T>& batch) : begin_(batch.begin), size_(batch.size), total_(batch.logp.extent(0)) {}
  std::int64_t count() const { return begin_.absent() ? (size_ > 0 ? total_ / size_ : 0) : begin_.extent(0) - 1; }
  std::int64_t begin(std::int64_t g) const { return begin_.absent() ? g * size_ : begin_(g); }
  std::int64_t end(std::int64_t g) const { return begin(g + 1); }

  /// Throws attune::error unless every completion belongs to exactly one group, and no group is too large.
  void require_valid() const {
    if (!begin_.absent() && (begin_.extent(0) < 1 || begin_(0) != 0 || begin_(begin_.extent(0) - 1) != total_)) throw_bad_group_ends(total_);
    for (std::int64_t g = 0; g < count(); ++g) {
      const std::int64_t size = end(g) - begin(g);
      if (size < 0 || size > max_group_size) throw_bad_group_size(g, size, max_group_size);
    }
  }

 private:
  view<const std::int64_t> begin_;
  std::int64_t size_, total_;
};

/// What needs no look at the completions: parameters, lengths of the tensors, members that are missing or not read.
template <class O, class T, class Space>
void check_group_members(const O& objective, const groups<T, Space>& batch, const group_gradients<T, Space>& gradients) {
  validate(objective);
  const std::int64_t total = batch.logp.extent(0);
  const auto same = [&](const auto& x, const char* name) {
    if (!x.absent()) require_same_extent(x.extent(0), total, "groups", name, "groups", "logp");
  };
  for_each_column(batch.columns(), [&](auto i, const auto& x) { same(x, members<group_kind>()[i].name); });
  same(batch.mask, "mask");
  check_gradients<group_kind>(batch, gradients);
  require_group_size(batch.begin.absent(), batch.size, total);
  if (total == 0) return;
  for_each_column(batch.columns(), [&](auto i, const auto& tensor) {
    const member_of<group_kind> m = members<group_kind>()[i];
    check_presence(group_reads(objective, m), !tensor.absent(), m.in_batch, group_kind::batch, m.name);
  });
}

template <class O, class T>
double check_groups(const O& objective, const groups<T>& batch, const group_gradients<T>& gradients) {
  check_group_members(objective, batch, gradients);
  const group_extents<T> extents(batch);
  extents.require_valid();
  if (!batch.weight.absent()) require_extent(batch.weight.extent(0), extents.count(), "groups.weight", "the number of groups");
  if (batch.logp.extent(0) == 0) return 0;
  const bool reads_length = group_reads(objective, role::length);
  double weight = 0;
  for (std::int64_t g = 0; g < extents.count(); ++g) {
    bool any = false;
    for (std::int64_t i = extents.begin(g); i < extents.end(g); ++i) {
      if (!batch.mask.absent() && batch.mask(i) == 0) continue;
      any = true;
      if (reads_length && !(batch.length(i) > 0)) throw_bad_completion_length(i, batch.length(i));
    }
    if (any) weight += checked_sample_weight(batch, g, "groups");
  }
  return weight;
}

/// Refers to an objective on groups, behind function pointers: checks and loop are compiled once for all of them (exec/objective_ref.hpp).
class group_ref {
 public:
  template <group_objective O>
  explicit group_ref(const O& objective) : objective_(&objective), loss_(&loss_of<O>), reward_(&reward_of<O>) {}

  /// group_loss: d may be null.
  double operator()(const group<double>& g, double* d) const { return loss_(objective_, g, d); }
  double reward(const completion<double>& y) const { return reward_(objective_, y); }

 private:
  template <class O> static double loss_of(const void* o, const group<double>& g, double* d) { return group_loss(*static_cast<const O*>(o), g, d); }
  template <class O> static double reward_of(const void* o, const completion<double>& y) { return implicit_reward(*static_cast<const O*>(o), y); }

  const void* objective_;
  double (*loss_)(const void*, const group<double>&, double*);
  double (*reward_)(const void*, const completion<double>&);
};

/// The loop over the groups of a chunk.
template <class T>
class group_loop {
 public:
  group_loop(const group_ref& objective, const groups<T>& batch, const group_gradients<T>& gradients, double gradient_scale)
      : objective_(objective), batch_(batch), gradients_(gradients), extents_(batch), scale_(gradient_scale) {}

  report run(chunk_range range) const {
    report sum;
    buffers memory;  // once a chunk: clearing it costs more than a small group
    for (std::int64_t g = range.begin; g < range.end; ++g) sum += one(g, memory);
    return sum;
  }

 private:
  /// The active completions of a group, d loss / d logp, and where each is from.
  struct buffers {
    completion<double> y[max_group_size];
    double d[max_group_size];
    std::int64_t from[max_group_size];
  };

  /// Everything is read before anything is written: the gradient may be the memory of the log-probabilities.
  report one(std::int64_t g, buffers& memory) const {
    auto& [y, d, from] = memory;
    int size = 0;
    const double weight = batch_.weight.absent() ? 1 : static_cast<double>(batch_.weight(g));
    for (std::int64_t i = extents_.begin(g); i < extents_.end(g); ++i) {
      if (!(weight > 0) || (!batch_.mask.absent() && batch_.mask(i) == 0)) {
        if (!gradients_.logp.absent()) gradients_.logp(i) = static_cast<T>(arithmetic<T>(0));
        continue;
      }
      const auto number = [&](const view<const T>& x) { return x.absent() ? 0 : static_cast<double>(x(i)); };
      y[size] = {number(batch_.logp), number(batch_.ref_logp), batch_.length.absent() ? 1 : batch_.length(i), number(batch_.reward)};
      from[size++] = i;
    }
    report r;
    if (size == 0) return r;
    r.loss_sum = weight * objective_(group<double>(y, size), gradients_.logp.absent() ? nullptr : d);
    bool finite = std::isfinite(r.loss_sum);
    for (int i = 0; i < size && !gradients_.logp.absent(); ++i) {
      const double gradient = weight * scale_ * d[i];
      gradients_.logp(from[i]) = static_cast<T>(static_cast<arithmetic<T>>(gradient));
      finite = finite && std::isfinite(gradient);
    }
    r.weight = r.weight_chosen = r.weight_rejected = weight;
    r.count = 1;
    r.non_finite = !finite;
    add_metrics(r, y, size);
    return r;
  }

  /// Of the completions with the highest and the lowest reward.
  void add_metrics(report& r, const completion<double>* y, int size) const {
    int best = 0, worst = 0;
    for (int i = 1; i < size; ++i) {
      if (y[i].reward > y[best].reward) best = i;
      if (y[i].reward < y[worst].reward) worst = i;
    }
    r.logp_chosen = y[best].logp;
    r.logp_rejected = y[worst].logp;
    r.reward_chosen = objective_.reward(y[best]);
    r.reward_rejected = objective_.reward(y[worst]);
    r.margin = r.reward_chosen - r.reward_rejected;
    r.accuracy = r.margin > 0;
  }

  group_ref objective_;
  groups<T> batch_;
  group_gradients<T> gradients_;
  group_extents<T> extents_;
  double scale_;
};

}  // namespace attune::detail
