// SPDX-License-Identifier: MIT
// How far the policy is from the target, from the samples that train it; and whether it has become the better proposal.
#pragma once

#include <attune/divergence/forward_kl.hpp>
#include <attune/policy/dpg/partitions.hpp>

namespace attune::dpg {

/// A mean over samples, with what is needed for its standard error; those of parts add up to that of the whole.
struct sampled_mean {
  std::int64_t count = 0;       ///< samples in the mean
  std::int64_t non_finite = 0;  ///< of these with a value that is NaN or infinite: the mean shows it too
  double mean = 0;
  double squares = 0;  ///< sum of squared deviations from the mean

  void add(double x) { *this += sampled_mean{1, !std::isfinite(x), x, 0}; }

  /// Pairwise merging of moments: Chan, Golub, LeVeque 1983.
  sampled_mean& operator+=(const sampled_mean& other) {
    if (other.count == 0) return *this;
    const double a = double(count), b = double(other.count), d = other.mean - mean;
    mean = count == 0 ? other.mean : mean + d * (b / (a + b));
    squares += other.squares + (count == 0 ? 0 : d * d * (a * b / (a + b)));
    count += other.count;
    non_finite += other.non_finite;
    return *this;
  }

  /// Throws attune::error before the first sample.
  double value() const {
    if (count == 0) throw error("attune: a mean has seen 0 samples; expected 1 or more before its value is read");
    return mean;
  }
  /// sqrt(variance / n), n >= 2; infinite for a single sample. Of heavy-tailed weights it is an underestimate until the tail has been seen.
  double standard_error() const {
    return count > 1 ? std::sqrt(squares / (double(count) - 1) / double(count)) : infinity<double>;
  }
};

/// D_f(pi || p) from samples of q, on or off policy:  mean of (p/q) f(pi/p), with (pi/q) f'(inf) for samples that the target excludes.
///
/// Unbiased for the right Z and a q that covers both. Because f is normalised every term is >= 0: with respect to the estimators in
/// logs of the authors' code a control variate of mean 0 is added, for instance for KL(p || pi), per sample
///
///   here    (p/q) log(p/pi) - p/q + pi/q                 there   (p/q) (log P - log pi) - log Z   =   (p/q) log(p/pi) + (p/q - 1) log Z
///
/// total_variation is theirs, 1/2 |pi/q - p/q|; jensen_shannon is twice theirs, generalized_jensen_shannon (beta 1/2) is theirs, each half
/// against the mixture.
/// Throws attune::error: sizes and contexts that are wrong, a context without an estimate of Z. No allocation.
/// Source   f-DPG, arXiv:2302.08215; naver/disco, metrics.
template <divergence::generator G, real T>
sampled_mean estimated_divergence(const G& f, const samples<T>& batch, const partitions& z) {
  detail::require_normalisable(batch, z);
  sampled_mean result;
  for (std::int64_t i = 0; i < batch.size(); ++i) {
    if (batch.is_active(i)) result.add(divergence::divergence_estimate(f, detail::normalised(batch, z, i), 0));
  }
  return result;
}

/// The choice of the proposal, of KL-adaptive DPG: q is replaced by the policy only if the policy is nearer to the target,
///
///   D(p, pi) < D(p, q),     both estimated from the samples of q since the last choice
///
/// so that sampling never gets worse while the policy wanders. D is D_f(. || p), by default KL(p || .), as the authors choose it.
/// The difference of the two estimates is what is judged; its standard error says whether there have been enough samples.
/// Source   Khalifa et al. 2021, arXiv:2012.11635 (GDC, KL-adaptive DPG); interval of 16 steps in naver/disco.
template <divergence::generator G = divergence::forward_kl>
struct proposal_choice {
  G f{};
  sampled_mean policy;      ///< D(p, pi)
  sampled_mean proposal;    ///< D(p, q)
  sampled_mean difference;  ///< D(p, pi) - D(p, q), sample by sample

  /// Takes in a batch, which must have log_proposal. Throws attune::error, with nothing changed, as estimated_divergence does, and without it.
  template <real T>
  void update(const samples<T>& batch, const partitions& z) {
    if (batch.log_proposal.absent()) {
      throw error("attune: samples.log_proposal is missing; a policy is compared with the proposal that the samples are from");
    }
    detail::require_normalisable(batch, z);
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      if (!batch.is_active(i)) continue;
      const divergence::importance_sample x = detail::normalised(batch, z, i);
      const double of_policy = divergence::divergence_estimate(f, x, 0);
      const double of_proposal = divergence::divergence_estimate(f, {x.log_proposal, x.log_target, x.log_proposal}, 0);
      policy.add(of_policy);
      proposal.add(of_proposal);
      difference.add(of_policy - of_proposal);
    }
  }

  /// Whether the policy is to become the proposal; not where an estimate is NaN. Throws attune::error before the first sample.
  bool replaces() const { return policy.value() < proposal.value(); }
  /// Forgets the samples: after each choice, for the next interval.
  void reset() { policy = proposal = difference = {}; }
};

}  // namespace attune::dpg
