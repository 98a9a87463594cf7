// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/scalar.hpp>  // real
#include <attune/core/view.hpp>

#include <cmath>

namespace attune {

/// Weighted mean of a quantity over the completions of a batch, mergeable: those of micro-batches and ranks add up to the whole's.
///
///   mean = sum_b w_b x_b / sum_b w_b
///
/// Sums in double.
struct batch_average {
  double sum = 0;          ///< sum_b w_b x_b
  double weight = 0;       ///< sum_b w_b
  std::int64_t count = 0;  ///< active completions: not masked, weight > 0

  /// Throws attune::error for a batch without active completions: 0 would be read as an estimate.
  double mean() const {
    if (!(weight > 0)) throw error("attune: the average of a batch has 0 active completions; expected 1 or more");
    return sum / weight;
  }
  batch_average& operator+=(const batch_average& other) {
    sum += other.sum, weight += other.weight, count += other.count;
    return *this;
  }
  friend batch_average operator+(batch_average a, const batch_average& b) { return a += b; }
};

/// Which completions of a batch count, and how much; both optional, [B].
template <real T>
struct completion_weights {
  view<const std::uint8_t> mask{};  ///< 0 leaves the completion out: its numbers are never read
  view<const T> weight{};           ///< >= 0; 0 leaves it out. Probabilities here make an average exact where all outcomes are listed

  bool active(std::int64_t b) const { return (mask.absent() || mask(b) != 0) && (weight.absent() || weight(b) != 0); }
  double operator()(std::int64_t b) const { return !active(b) ? 0.0 : weight.absent() ? 1.0 : static_cast<double>(weight(b)); }
};

namespace detail {

/// Element type of a vector, without const.
template <class X>
using value_in = std::remove_const_t<typename decltype(as_view<1>(std::declval<std::remove_reference_t<X>&>()))::element>;

/// Throws unless mask and weights fit `count` completions, and active weights are finite and not negative.
template <real T>
void require_weights(const completion_weights<T>& weights, std::int64_t count) {
  if (!weights.mask.absent()) require_extent(weights.mask.extent(0), count, "mask", "the completions");
  if (weights.weight.absent()) return;
  require_extent(weights.weight.extent(0), count, "weight", "the completions");
  for (std::int64_t b = 0; b < count; ++b) {
    const double w = weights(b);
    if (!(w >= 0) || !std::isfinite(w)) {
      throw error("attune: weight[" + text((long long)b) + "] is " + text(w) + "; expected a finite number >= 0");
    }
  }
}

/// Throws, with their number and the first of them, if active values are NaN or infinite.
template <real T>
void require_finite(const view<const T>& values, const completion_weights<T>& weights, const std::string& name) {
  long long bad = 0, first = 0;
  for (std::int64_t b = 0; b < values.extent(0); ++b) {
    if (weights.active(b) && !std::isfinite(values(b)) && bad++ == 0) first = b;
  }
  if (bad > 0) {
    throw error("attune: " + name + " has " + text(bad) + " values that are not finite, the first " + name + "[" + text(first) + "] = " +
                text(static_cast<double>(values(first))) + "; expected finite numbers, or a mask that leaves these completions out");
  }
}

}  // namespace detail

/// The average of values [B], float or double, any stride. `name` is for the message.
/// Throws attune::error: sizes that differ, a weight that is negative or not finite, active values that are NaN or infinite (counted, the
/// first named): one of them would stay in every moving estimate of the average. No allocation.
template <tensor Values>
batch_average average_of(Values&& values, const completion_weights<detail::value_in<Values>>& weights = {},
                         const std::string& name = "values") {
  using T = detail::value_in<Values>;
  static_assert(real<T>, "attune: values of completions are float or double");
  const view<const T> x(as_view<1>(static_cast<Values&&>(values)));
  detail::require_weights(weights, x.extent(0));
  detail::require_finite(x, weights, name);
  batch_average result;
  for (std::int64_t b = 0; b < x.extent(0); ++b) {
    if (!weights.active(b)) continue;
    result.sum += weights(b) * static_cast<double>(x(b));
    result.weight += weights(b);
    ++result.count;
  }
  return result;
}

}  // namespace attune
