// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/view.hpp>

#include <cmath>
#include <limits>

namespace attune::reward {

/// Statistics of rewards, mergeable: those of parts (micro-batches, ranks, batches of a run) add up to those of the whole.
///
///   mean = 1/n sum r_i,     squares = sum (r_i - mean)^2,     lowest = min r_i,     highest = max r_i
///   a + b:  mean = mean_a + d n_b/n,   squares = squares_a + squares_b + d^2 n_a n_b/n,     d = mean_b - mean_a,  n = n_a + n_b
///
/// `squares` is a sum of squared deviations and never E[r^2] - E[r]^2, which loses all digits for rewards of nearly one value; it is
/// exactly 0 where all rewards compare equal. A width (deviation or range) of 0 counts as 1, so that equal rewards standardise and
/// normalise to 0. They are constants of the step: no gradient.
/// Source   Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance": corrected two-pass algorithm, pairwise merging.
struct statistics {
  std::int64_t count = 0;
  double mean = 0;
  double squares = 0;
  double lowest = std::numeric_limits<double>::infinity();
  double highest = -std::numeric_limits<double>::infinity();

  statistics& operator+=(const statistics& other) {
    if (other.count == 0) return *this;
    const double a = static_cast<double>(count), b = static_cast<double>(other.count), d = other.mean - mean;
    count += other.count;
    mean = a > 0 ? mean + d * (b / (a + b)) : other.mean;
    squares += other.squares + d * d * (a * b / (a + b));
    lowest = lowest < other.lowest ? lowest : other.lowest;
    highest = highest > other.highest ? highest : other.highest;
    return *this;
  }
  friend statistics operator+(statistics a, const statistics& b) { return a += b; }

  /// squares / (count - ddof): ddof 0, or 1 for the unbiased one. Throws attune::error for as few rewards as ddof, or none.
  double variance(int ddof = 0) const {
    if (count <= ddof || ddof < 0) {
      throw error(std::string("attune: the variance of ") + attune::detail::text((long long)count) + " rewards with ddof " +
                  attune::detail::text((long long)ddof) + " is not defined; expected ddof >= 0 and more rewards than that");
    }
    return squares / static_cast<double>(count - ddof);
  }
  double deviation(int ddof = 0) const { return std::sqrt(variance(ddof)); }

  /// (r - mean) / deviation
  double standardised(double r, int ddof = 0) const { return (r - mean) / width(deviation(ddof)); }
  /// (r - lowest) / (highest - lowest): in [0, 1] for the rewards seen.
  double normalised(double r) const {
    if (count == 0) throw error("attune: statistics have seen 0 rewards; expected 1 or more before a reward is normalised");
    return (r - lowest) / width(highest - lowest);
  }

 private:
  static double width(double w) { return w > 0 ? w : 1; }
};

namespace detail {

/// Statistics of the numbers for which each(visit) calls visit(i, x), twice and alike, in two passes, see statistics_of. `name` is for the
/// message about number i. Throws attune::error for one that is NaN or infinite: it would stay in the statistics for ever.
template <class Each>
statistics two_passes(const Each& each, const char* name) {
  statistics s;
  double first = 0, differences = 0;
  each([&](std::int64_t i, double x) {
    if (!std::isfinite(x)) {
      throw error(std::string("attune: ") + name + " " + attune::detail::text((long long)i) + " is " + attune::detail::text(x) + "; expected a finite number");
    }
    if (s.count++ == 0) first = x;
    differences += x - first;
    s.lowest = x < s.lowest ? x : s.lowest;
    s.highest = x > s.highest ? x : s.highest;
  });
  if (s.count == 0) return s;
  const auto n = static_cast<double>(s.count);
  s.mean = first + differences / n;
  double deviations = 0, squares = 0;
  each([&](std::int64_t, double x) {
    deviations += x - s.mean;
    squares += (x - s.mean) * (x - s.mean);
  });
  const double correction = deviations * deviations / n;
  s.squares = squares > correction ? squares - correction : 0;
  return s;
}

}  // namespace detail

/// Statistics of a batch in two passes: the mean, from differences to the first reward, then squared deviations from it, corrected by the
/// square of their sum, which rounding leaves. rewards [B]: float or double, any stride; mask [B], optional: a reward under a 0 is not
/// read.
/// Throws attune::error for a reward that is NaN or infinite: it would stay in the statistics for ever.
template <tensor Rewards>
statistics statistics_of(Rewards&& rewards, view<const std::uint8_t> mask = {}) {
  const auto r = as_view<1>(static_cast<Rewards&&>(rewards));
  static_assert(real<std::remove_const_t<typename decltype(r)::element>>, "attune: rewards are float or double");
  if (!mask.absent()) attune::detail::require_extent(mask.extent(0), r.extent(0), "mask", "rewards");
  return detail::two_passes(
      [&](const auto& visit) {
        for (std::int64_t i = 0; i < r.extent(0); ++i) {
          if (mask.absent() || mask(i) != 0) visit(i, static_cast<double>(r(i)));
        }
      },
      "reward");
}

}  // namespace attune::reward
