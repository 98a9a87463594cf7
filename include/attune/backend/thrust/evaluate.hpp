// SPDX-License-Identifier: MIT
// Stage 2 on a device.
#pragma once

#include <attune/backend/thrust/row_arguments.hpp>  // workspaces
#include <attune/exec/device/samples.hpp>
#include <attune/exec/evaluate.hpp>
#include <attune/policy/value_loss.hpp>

namespace attune {

/// options of evaluate for tensors on a device. A call only launches: it neither allocates nor waits, and nothing is copied to the host.
struct device_options {
  /// As on the host. Left out: this batch's weight, which is another launch if the batch has weights or a mask.
  std::optional<double> normalizer{};
  view<std::byte, 1, device> workspace{};  ///< scratch memory, aligned to 16 bytes, of evaluate_workspace(B) bytes
  view<attune::report, 1, device> report{};  ///< [1], optional: written by the call, in two more launches
  /// Whether weights that are negative or not finite, and lengths <= 0, throw attune::error, as on the host: a reduction that allocates and waits.
  /// Else such a weight makes the sample's loss and gradients NaN, and is counted in the report.
  bool checked = false;
};

/// The bytes of device_options.workspace that evaluate needs for a batch of that many samples.
inline std::int64_t evaluate_workspace(std::int64_t samples) {
  return std::int64_t(sizeof(double)) * (detail::sample_lanes(samples) * (detail::lane_metrics + 1) + detail::folded_parts * detail::lane_metrics);
}

namespace detail {

template <class Kind, class T, class Batch, class Gradients> device_batch<Kind, T> device_batch_of(const Batch& batch, const Gradients& gradients) {
  device_batch<Kind, T> result{};
  result.size = std::get<0>(batch.columns()).extent(0);
  for_each_column(batch.columns(), [&](auto m, const auto& x) {
    if constexpr (m < member_count<Kind>) result.members[m] = column_of<T>(x);
  });
  for_each_column(gradients.columns(), [&](auto k, const auto& x) {
    if constexpr (k < policy_members<Kind>) result.gradients[k] = {x.data(), x.stride(0)};
  });
  result.weights = {batch.weight.data(), batch.weight.stride(0)};
  result.mask = {batch.mask.data(), batch.mask.stride(0)};
  return result;
}

/// A sample that the host would refuse: its weight (member -1), or a length.
struct bad_sample {
  std::int64_t sample;
  int member;
  double value;
};
template <class Kind, class T> struct find_bad_sample {
  device_batch<Kind, T> batch;
  bool reads_lengths;

  ATTUNE_FN bad_sample operator()(std::int64_t i) const {
    if (batch.mask.given() && batch.mask(i) == 0) return {batch.size, 0, 0};
    const arithmetic<T> weight = batch.weight(i);
    if (weight != weight) return {i, -1, static_cast<double>(static_cast<arithmetic<T>>(batch.weights(i)))};
    for (int m = 0; reads_lengths && weight > 0 && m < int(member_count<Kind>); ++m) {
      const device_column& column = batch.members[m];
      if (column.holds_lengths() && !(column.length(i) > 0)) return {i, m, column.length(i)};
    }
    return {batch.size, 0, 0};
  }
};
struct first_bad_sample {
  ATTUNE_FN bad_sample operator()(const bad_sample& a, const bad_sample& b) const { return b.sample < a.sample ? b : a; }
};
template <class Kind, class T, class Policy, class O>
void require_device_samples(const Policy& policy, const O& objective, const device_batch<Kind, T>& batch) {
  const thrust::counting_iterator<std::int64_t> first(0);
  const bad_sample found = thrust::transform_reduce(policy, first, first + batch.size, find_bad_sample<Kind, T>{batch, reads<Kind>(objective, role::length)},
                                                    bad_sample{batch.size, 0, 0}, first_bad_sample{});
  if (found.sample == batch.size) return;
  if (found.member < 0) throw_bad_weight(Kind::batch, found.sample, found.value);
  throw_bad_length(Kind::batch, members<Kind>()[std::size_t(found.member)].name, found.sample, found.value);
}

template <class Kind, class T, class Policy, class O, class Batch, class Gradients>
void evaluate_on_device(const Policy& policy, const O& objective, const Batch& batch, const Gradients& gradients, const device_options& o) {
  validate(objective);
  check_extents<Kind>(batch);
  check_gradients<Kind>(batch, gradients);
  const device_batch<Kind, T> samples = device_batch_of<Kind, T>(batch, gradients);
  if (samples.size > 0) check_members<Kind>(objective, batch);
  const bool weighs = samples.weights.given() || samples.mask.given(), own_weight = weighs && !o.normalizer;
  const double normalizer = o.normalizer || !own_weight ? checked_normalizer({.normalizer = o.normalizer}, static_cast<double>(weighs ? 1 : samples.size)) : 1;
  report* to = require_report(o.report);
  const std::int64_t lanes = sample_lanes(samples.size);
  const std::int64_t bytes = to != nullptr || own_weight ? evaluate_workspace(samples.size) : 0;
  double* sums = reinterpret_cast<double*>(require_workspace(o.workspace, bytes, "evaluate"));
  if (o.checked) require_device_samples<Kind, T>(policy, objective, samples);

  double *weights = own_weight ? sums + lane_metrics * lanes : nullptr, *folded = sums + (lane_metrics + 1) * lanes;
  if (own_weight) launch(policy, lanes, sum_weights<Kind, T>{samples, weights, lanes});
  const double scale = normalizer > 0 ? 1 / normalizer : 0;
  double* lane_sums = to != nullptr ? sums : nullptr;
  launch(policy, lanes, evaluate_lanes<Kind, T, O>{objective, samples, scale, weights, lane_sums, lanes});
  if (to == nullptr) return;
  launch(policy, lane_metrics * folded_parts, fold_lanes{sums, folded, lanes});
  launch(policy, 1, write_report{{folded}, to, is_paired<Kind>});
}

}  // namespace detail

/// Evaluates an objective over a batch of pairs in device memory: see evaluate of the host (exec/evaluate.hpp), whose formulas and meanings these are.
///
///   std::int64_t bytes = attune::evaluate_workspace(B);
///   attune::evaluate(thrust::cuda::par_nosync.on(stream), attune::dpo{.beta = 0.1},
///                    attune::pairs<float, attune::device>{.chosen = chosen, ...}, {.chosen = d_chosen, .rejected = d_rejected},
///                    {.workspace = workspace, .report = report});
///
/// policy      any Thrust execution policy; tensors are views of device memory, device_vectors, or as_view(device_ptr, ...).
/// Values      loss and derivatives in float (double for double tensors), sums in double: those of the host to rounding.
/// Order       gradients and report have the same bits on every run, on the same device and compiler.
/// Cost        one launch; two more for the report, one more to find the weight of a batch with weights or a mask if no normalizer is given.
///             No allocation, copy or wait but the policy's own, unless `checked`.
/// Throws      attune::error, before anything is launched: as on the host (of weights and lengths only if `checked`), and a workspace that is too small.
template <thrust_policy Policy, class O, storage T>
void evaluate(const Policy& policy, const O& objective, const pairs<T, device>& batch,
              const std::type_identity_t<pair_gradients<T, device>>& gradients = {}, const device_options& o = {}) {
  static_assert(pair_objective<O> || detailed_pair_objective<O>,
                "attune: an objective on pairs is called as objective(const attune::pair<S>&), or with a detailed_pair<S>, for any scalar S");
  using kind = std::conditional_t<pair_objective<O>, pair_kind, detailed_pair_kind>;
  detail::evaluate_on_device<kind, T>(policy, objective, batch, gradients, o);
}
/// The same over single completions.
template <thrust_policy Policy, class O, storage T>
void evaluate(const Policy& policy, const O& objective, const singles<T, device>& batch,
              const std::type_identity_t<single_gradients<T, device>>& gradients = {}, const device_options& o = {}) {
  static_assert(single_objective<O>, "attune: an objective on single completions is called as objective(const attune::single<S>&) for any scalar S");
  detail::evaluate_on_device<single_kind, T>(policy, objective, batch, gradients, o);
}
/// The same over a critic's values.
template <thrust_policy Policy, class O, storage T>
void evaluate(const Policy& policy, const O& objective, const values<T, device>& batch,
              const std::type_identity_t<value_gradients<T, device>>& gradients = {}, const device_options& o = {}) {
  static_assert(value_objective<O>, "attune: an objective on values is called as objective(const attune::value_estimate<S>&) for any scalar S");
  detail::evaluate_on_device<value_kind, T>(policy, objective, batch, gradients, o);
}

}  // namespace attune
