// SPDX-License-Identifier: MIT
// Stage 2: an objective over a batch. It reads and writes [B]-sized tensors only.
#pragma once

#include <attune/exec/check_samples.hpp>
#include <attune/exec/evaluate_tokens.hpp>
#include <attune/exec/group_loop.hpp>
#include <attune/exec/objective_ref.hpp>
#include <attune/preference/pairs.hpp>
#include <attune/preference/singles.hpp>

#include <optional>

namespace attune {

struct options {
  /// What the loss is divided by in the gradients. Left out: this batch's weight, which makes them those of report::loss(). A trainer that
  /// splits a batch into micro-batches (or over ranks) gives the weight of the whole, and the gradients add up to the whole's.
  std::optional<double> normalizer{};
};

namespace detail {
inline double checked_normalizer(const options& o, double weight) {
  const double normalizer = o.normalizer.value_or(weight);
  if (!(normalizer >= 0 && normalizer <= std::numeric_limits<double>::max()) || (normalizer == 0 && weight > 0)) {
    throw error("attune: options.normalizer is " + text(normalizer) + "; expected a finite number > 0, the weight of the whole batch");
  }
  return normalizer;
}
}  // namespace detail

namespace detail {

/// What a sample costs, in bytes that memory would move in the same time (run_chunks): a pair in float some 2 ns; in double, where functions
/// are the standard library's, and in groups, far more.
template <class T> inline constexpr std::int64_t sample_bytes = std::same_as<arithmetic<T>, double> ? 512 : 32;
inline constexpr std::int64_t completion_bytes = 512;

/// The reports of the chunks, added in chunk order whatever the policy.
template <execution_policy Policy, class Run>
report sum_over_chunks(const Policy& policy, const partition& cut, std::int64_t bytes, Run&& run) {
  std::array<report, max_chunks> parts;
  run_chunks(policy, cut.chunks(), [&](int c) { parts[static_cast<std::size_t>(c)] = run(cut[c]); }, bytes);
  report total;
  for (int c = 0; c < cut.chunks(); ++c) total += parts[static_cast<std::size_t>(c)];
  return total;
}

template <class Kind, class Pack, class T, execution_policy Policy, class Batch, class Gradients>
report evaluate_referred(const Policy& policy, const objective_ref<Kind, lane_of<Pack>>& objective, const Batch& batch, const Gradients& gradients, const options& o) {
  const double weight = check_samples<Kind>(objective, batch, gradients);
  const double normalizer = checked_normalizer(o, weight);
  const double scale = normalizer > 0 ? 1 / normalizer : 0;
  const std::int64_t size = std::get<0>(batch.columns()).extent(0);
  const auto run = [&](chunk_range range) { return evaluate_chunk<Kind, Pack, T>(objective, batch, gradients, scale, range); };
  return sum_over_chunks(policy, partition(size, 4096), size * sample_bytes<T>, run);
}
template <class Kind, class Pack, class T, execution_policy Policy, class O, class Batch, class Gradients>
report evaluate_samples(const Policy& policy, const O& objective, const Batch& batch, const Gradients& gradients, const options& o) {
  validate(objective);
  return evaluate_referred<Kind, Pack, T>(policy, refer_to<Kind, Pack>(objective), batch, gradients, o);
}

}  // namespace detail

/// Evaluates an objective over a batch of pairs, or of single completions.
///
///   report.loss_sum = sum_i w_i loss_i            over active samples, added in double
///   gradients[i]    = w_i (d loss_i / d log pi) / normalizer, exactly 0 for samples that are not active
///
/// objective: any value struct with a call operator on one pair (dpo{.beta = 0.1}, preference{...}, your own), on one detailed_pair, or
/// on one single. Gradients are exact (dual numbers). The report does not depend on the execution policy, bit for bit. No allocation.
/// Pack is left to its default: as a template argument it keeps translation units apart that are compiled for different machines.
/// Throws attune::error, before anything is written, for parameters outside their domain, tensors of different lengths, members that the
/// objective reads but the batch lacks, a margin or reward that it does not read, weights that are negative or not finite, lengths <= 0.
template <execution_policy Policy, class O, storage T, class Pack = native_pack<arithmetic<T>>>
report evaluate(Policy policy, const O& objective, const pairs<T>& batch, const std::type_identity_t<pair_gradients<T>>& gradients = {},
                const options& o = {}) {
  static_assert(pair_objective<O> || detailed_pair_objective<O>,
                "attune: an objective on pairs is called as objective(const attune::pair<S>&), or with a detailed_pair<S>, for any scalar S");
  using kind = std::conditional_t<pair_objective<O>, pair_kind, detailed_pair_kind>;
  return detail::evaluate_samples<kind, Pack, T>(policy, objective, batch, gradients, o);
}
template <class O, storage T, class Pack = native_pack<arithmetic<T>>>
report evaluate(const O& objective, const pairs<T>& batch, const std::type_identity_t<pair_gradients<T>>& gradients = {}, const options& o = {}) {
  return evaluate<serial, O, T, Pack>(serial{}, objective, batch, gradients, o);
}

template <execution_policy Policy, class O, storage T, class Pack = native_pack<arithmetic<T>>>
report evaluate(Policy policy, const O& objective, const singles<T>& batch, const std::type_identity_t<single_gradients<T>>& gradients = {},
                const options& o = {}) {
  static_assert(single_objective<O>, "attune: an objective on single completions is called as objective(const attune::single<S>&) for any scalar S");
  return detail::evaluate_samples<single_kind, Pack, T>(policy, objective, batch, gradients, o);
}
template <class O, storage T, class Pack = native_pack<arithmetic<T>>>
report evaluate(const O& objective, const singles<T>& batch, const std::type_identity_t<single_gradients<T>>& gradients = {},
                const options& o = {}) {
  return evaluate<serial, O, T, Pack>(serial{}, objective, batch, gradients, o);
}

/// Evaluates an objective on values: the critic's loss. The report has loss, weight and counts.
template <execution_policy Policy, class O, storage T, class Pack = native_pack<arithmetic<T>>>
report evaluate(Policy policy, const O& objective, const values<T>& batch, const std::type_identity_t<value_gradients<T>>& gradients = {},
                const options& o = {}) {
  static_assert(value_objective<O>, "attune: an objective on values is called as objective(const attune::value_estimate<S>&) for any scalar S");
  return detail::evaluate_samples<value_kind, Pack, T>(policy, objective, batch, gradients, o);
}
template <class O, storage T, class Pack = native_pack<arithmetic<T>>>
report evaluate(const O& objective, const values<T>& batch, const std::type_identity_t<value_gradients<T>>& gradients = {}, const options& o = {}) {
  return evaluate<serial, O, T, Pack>(serial{}, objective, batch, gradients, o);
}

/// Evaluates an objective over a batch of groups. The loss of a group counts once, whatever its size: report.loss() is the mean over groups.
/// A group without active completions has weight 0; completions that are masked have gradient exactly 0. Computed in double; no allocation.
/// Throws attune::error, before anything is written, also for groups that do not cover the completions exactly once or have more than
/// max_group_size of them.
template <execution_policy Policy, class O, storage T>
report evaluate(Policy policy, const O& objective, const groups<T>& batch, const std::type_identity_t<group_gradients<T>>& gradients = {},
                const options& o = {}) {
  static_assert(group_objective<O>, "attune: an objective on groups is called as objective(const attune::group<S>&) for any scalar S, or as "
                                    "objective(const attune::group<double>&, double* gradient)");
  validate(objective);
  const detail::group_ref referred(objective);
  const double weight = detail::check_groups(referred, batch, gradients);
  const double normalizer = detail::checked_normalizer(o, weight);
  const detail::group_loop<T> loop(referred, batch, gradients, normalizer > 0 ? 1 / normalizer : 0);
  const partition cut(detail::group_extents<T>(batch).count(), 1);
  const std::int64_t bytes = batch.logp.extent(0) * detail::completion_bytes;
  return detail::sum_over_chunks(policy, cut, bytes, [&](chunk_range range) { return loop.run(range); });
}
template <class O, storage T>
report evaluate(const O& objective, const groups<T>& batch, const std::type_identity_t<group_gradients<T>>& gradients = {}, const options& o = {}) {
  return evaluate(serial{}, objective, batch, gradients, o);
}

}  // namespace attune
