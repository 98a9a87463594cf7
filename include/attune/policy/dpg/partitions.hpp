// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/dpg/samples.hpp>

#include <vector>

namespace attune::dpg {

/// log Z of every context's target, Z_c = E_q[P(x)/q(x) | c], each a running mean over all samples so far, in log space.
///
/// On policy the mean over q = pi stays unbiased while pi moves; it converges to Z if q covers the target. log_largest [nat]: what log Z is
/// at most, for targets whose largest possible Z is known (1 for P = a b with b <= 1), or to bound what one rare sample of enormous weight
/// does; +inf: no limit.
///
/// Order within a step: an estimate that is updated first has seen the batch that it normalises (the authors' order), which biases the step
/// by O(1/n); updated afterwards, it is independent of the batch.
/// Throws attune::error, before anything is changed, for a context that does not exist. Memory: allocated by the constructor only. Parts
/// of several ranks are merged by +=.
/// Source   f-DPG, arXiv:2302.08215, algorithm 1; one Z a context from CDPG, arXiv:2112.00791.
class partitions {
 public:
  explicit partitions(std::int64_t contexts = 1, double log_largest = infinity<double>) : log_largest_(log_largest) {
    if (contexts < 1) {
      throw error("attune: a partition function is estimated for " + attune::detail::text((long long)contexts) + " contexts; expected 1 or more");
    }
    if (!(log_largest > -infinity<double>)) {
      throw error("attune: log_largest of a partition function is " + attune::detail::text(log_largest) +
                  "; expected a number, or infinity for no limit");
    }
    estimates_.resize(static_cast<std::size_t>(contexts));
  }

  std::int64_t contexts() const { return static_cast<std::int64_t>(estimates_.size()); }

  /// Takes in a batch. Throws attune::error, with nothing changed, for sizes and contexts that are wrong and for a log-weight
  /// log P - log q that is NaN or +inf: it would stay in the mean for ever.
  template <real T>
  void update(const samples<T>& batch) {
    detail::require_samples(batch, contexts());
    for (const bool writing : {false, true}) {  // first every weight is looked at
      for (std::int64_t i = 0; i < batch.size(); ++i) {
        if (!batch.is_active(i)) continue;
        divergence::log_partition trial;
        (writing ? at(batch.context_of(i)) : trial).add(batch[i]);
      }
    }
  }

  /// Sets a context's estimate to a Z that is known, or to a first guess that counts as `weight` samples when others follow.
  void set(std::int64_t context, double log_z, std::int64_t weight = 1) {
    if (weight < 1 || !std::isfinite(log_z)) {
      throw error("attune: log Z is set to " + attune::detail::text(log_z) + " with the weight of " + attune::detail::text((long long)weight) +
                  " samples; expected a finite number, and 1 sample or more");
    }
    at(context) = {log_z, static_cast<double>(weight), weight};
  }

  /// log Z [nat] of a context; -inf if the target excluded all samples so far. Throws attune::error before the first one.
  double log_z(std::int64_t context = 0) const { return min(estimate(context).value(), log_largest_); }
  const divergence::log_partition& estimate(std::int64_t context) const {
    require_context(context);
    return estimates_[static_cast<std::size_t>(context)];
  }

  /// Throws attune::error for another number of contexts.
  partitions& operator+=(const partitions& other) {
    attune::detail::require_extent(other.contexts(), contexts(), "a partition function to merge", "the one it is merged into");
    for (std::size_t c = 0; c < estimates_.size(); ++c) estimates_[c] += other.estimates_[c];
    return *this;
  }

 private:
  void require_context(std::int64_t context) const {
    if (context < 0 || context >= contexts()) {
      throw error("attune: context " + attune::detail::text((long long)context) + " does not exist; expected one in [0, " +
                  attune::detail::text((long long)contexts()) + ")");
    }
  }
  divergence::log_partition& at(std::int64_t context) {
    require_context(context);
    return estimates_[static_cast<std::size_t>(context)];
  }

  std::vector<divergence::log_partition> estimates_;
  double log_largest_;
};

namespace detail {

/// Throws unless the batch can be normalised: its contexts exist and have an estimate.
template <real T>
void require_normalisable(const samples<T>& batch, const partitions& z) {
  require_samples(batch, z.contexts());
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    if (batch.is_active(i) && z.estimate(batch.context_of(i)).count == 0) z.log_z(batch.context_of(i));  // which throws
  }
}

/// Sample i with log p = log P - log Z as its target. An excluded sample is one for every Z, the estimate Z = 0 included.
template <real T>
divergence::importance_sample normalised(const samples<T>& batch, const partitions& z, std::int64_t i) {
  divergence::importance_sample x = batch[i];
  if (x.log_target != -infinity<double>) x.log_target -= z.log_z(batch.context_of(i));
  return x;
}

}  // namespace detail
}  // namespace attune::dpg
