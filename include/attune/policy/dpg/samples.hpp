// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/view.hpp>
#include <attune/divergence/estimate.hpp>

#include <cstdint>

namespace attune::dpg {

/// A batch of N sampled sequences x ~ q, by their log-probabilities, summed over tokens [nat]. T: float or double.
///
///   log_policy     [N]   log pi(x)
///   log_target     [N]   log P(x) of the target p = P / Z, not normalised; -inf: the target excludes x
///   log_proposal   [N]   log q(x), finite; absent: on policy, q = pi as it was when x was drawn and is now
///   context        [N]   the prompt of each sample, in [0, number of contexts); absent: all have context 0
///   mask           [N]   bytes; a sample whose byte is 0 is not read
template <real T>
struct samples {
  view<const T> log_policy;
  view<const T> log_target;
  view<const T> log_proposal{};
  view<const std::int64_t> context{};
  view<const std::uint8_t> mask{};

  std::int64_t size() const { return log_policy.extent(0); }
  bool is_active(std::int64_t i) const { return mask.absent() || mask(i) != 0; }
  std::int64_t context_of(std::int64_t i) const { return context.absent() ? 0 : context(i); }
  divergence::importance_sample operator[](std::int64_t i) const {
    const double log_pi = double(log_policy(i));
    return {log_pi, double(log_target(i)), log_proposal.absent() ? log_pi : double(log_proposal(i))};
  }
};

/// What was found in a batch of samples. Reports of parts add up to that of the whole.
struct sample_report {
  std::int64_t samples = 0;     ///< given
  std::int64_t masked = 0;      ///< of these not read
  std::int64_t excluded = 0;    ///< of those read: the target excludes them, P = 0
  std::int64_t non_finite = 0;  ///< of those read: an input is NaN, or a result NaN or infinite
  double weight = 0;            ///< sum of pi/q: about the number of samples, if q covers pi
  double squares = 0;           ///< sum of (pi/q)^2

  /// (sum pi/q)^2 / sum (pi/q)^2: how many samples from the policy these are worth; 0 for none. On policy all of them.
  double effective_samples() const { return squares > 0 ? weight * weight / squares : 0; }

  sample_report& operator+=(const sample_report& other) {
    samples += other.samples;
    masked += other.masked;
    excluded += other.excluded;
    non_finite += other.non_finite;
    weight += other.weight;
    squares += other.squares;
    return *this;
  }
};

namespace detail {

/// Throws unless all tensors have the batch's length and every active sample a context below `contexts`.
template <real T>
void require_samples(const samples<T>& x, std::int64_t contexts) {
  const auto same = [&](const auto& tensor, const char* name) {
    if (!tensor.absent()) attune::detail::require_extent(tensor.extent(0), x.size(), name, "samples.log_policy");
  };
  attune::detail::require_extent(x.log_target.extent(0), x.size(), "samples.log_target", "samples.log_policy");
  same(x.log_proposal, "samples.log_proposal");
  same(x.context, "samples.context");
  same(x.mask, "samples.mask");
  for (std::int64_t i = 0; i < x.size(); ++i) {
    if (!x.is_active(i) || (x.context_of(i) >= 0 && x.context_of(i) < contexts)) continue;
    throw error("attune: samples.context of sample " + attune::detail::text((long long)i) + " is " +
                attune::detail::text((long long)x.context_of(i)) + "; expected one in [0, " + attune::detail::text((long long)contexts) + ")");
  }
}

/// Throws unless `out` has an element of its own for each of the batch's samples.
template <class T>
void require_results(const view<T>& out, std::int64_t size, const char* name, const char* like = "samples.log_policy") {
  attune::detail::require_extent(out.extent(0), size, name, like);
  if (size > 1 && out.stride(0) == 0) throw error(std::string("attune: ") + name + " has stride 0; expected an element for every sample");
}

/// Counts an active sample in the report, with the result that was found for it.
inline void count(sample_report& report, const divergence::importance_sample& x, double result) {
  const double weight = std::exp(x.log_policy - x.log_proposal);
  const bool number = x.log_policy == x.log_policy && x.log_target == x.log_target && std::isfinite(weight) && std::isfinite(result);
  report.excluded += x.log_target == -infinity<double>;
  report.non_finite += !number;
  report.weight += weight;
  report.squares += weight * weight;
}

}  // namespace detail
}  // namespace attune::dpg
