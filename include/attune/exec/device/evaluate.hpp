// SPDX-License-Identifier: MIT
// Stage 2 on a device, whatever launches its bodies.
#pragma once

#include <attune/exec/device/groups.hpp>
#include <attune/exec/device/policy.hpp>
#include <attune/exec/device/row_arguments.hpp>  // workspaces, first_bad
#include <attune/exec/device/samples.hpp>
#include <attune/exec/evaluate.hpp>

#include <cstring>

namespace attune {

/// options of evaluate for tensors on a device. A call only launches: it neither allocates nor waits, and nothing is copied to the host.
struct device_options {
  /// As on the host. Left out: this batch's weight, which is another launch if the batch has weights or a mask.
  std::optional<double> normalizer{};
  view<std::byte, 1, device> workspace{};  ///< scratch memory, aligned to 16 bytes, of evaluate_workspace(B) bytes
  view<attune::report, 1, device> report{};  ///< [1], optional: written by the call, in two more launches
  /// Whether weights that are negative or not finite, lengths <= 0, and begins of groups that are none, throw attune::error, as on the host, and tensors that
  /// lie on another device: a reduction that allocates and waits. Else such a weight makes the sample's loss and gradients NaN, and is counted in the report.
  bool checked = false;
};

namespace detail {
inline std::int64_t workspace_of_lanes(std::int64_t lanes) { return std::int64_t(sizeof(double)) * (lanes * (lane_metrics + 1) + folded_parts * lane_metrics); }
}  // namespace detail

/// The bytes of device_options.workspace that evaluate needs for a batch of that many samples.
inline std::int64_t evaluate_workspace(std::int64_t samples) { return detail::workspace_of_lanes(detail::sample_lanes(samples)); }

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

/// A sample that the host would refuse, as first_bad reports it: which member is wrong (-1: the weight), and then what it is, the bits of a double.
template <class Kind, class T> struct find_bad_sample {
  device_batch<Kind, T> batch;
  bool reads_lengths, value;

  ATTUNE_FN bad_label operator()(std::int64_t i) const {
    if (batch.mask.given() && batch.mask(i) == 0) return {batch.size, 0};
    const arithmetic<T> weight = batch.weight(i);
    if (weight != weight) return found(i, -1, static_cast<double>(static_cast<arithmetic<T>>(batch.weights(i))));
    for (int m = 0; reads_lengths && weight > 0 && m < int(member_count<Kind>); ++m) {
      const device_column& column = batch.members[m];
      if (column.holds_lengths() && !(column.length(i) > 0)) return found(i, m, column.length(i));
    }
    return {batch.size, 0};
  }

 private:
  ATTUNE_FN bad_label found(std::int64_t i, int member, double x) const {
    std::int64_t bits = member;
    if (value) __builtin_memcpy(&bits, &x, sizeof bits);
    return {i, bits};
  }
};
template <class Kind, class T, class Policy, class O>
void require_device_samples(const Policy& policy, const O& objective, const device_batch<Kind, T>& batch) {
  const bool lengths = reads<Kind>(objective, role::length);
  const bad_label found = first_bad(policy, batch.size, find_bad_sample<Kind, T>{batch, lengths, false});
  if (found.row == batch.size) return;
  const bad_label bits = first_bad(policy, batch.size, find_bad_sample<Kind, T>{batch, lengths, true});
  double value = 0;
  std::memcpy(&value, &bits.label, sizeof value);
  if (found.label < 0) throw_bad_weight(Kind::batch, found.row, value);
  throw_bad_length(Kind::batch, members<Kind>()[std::size_t(found.label)].name, found.row, value);
}

/// Of the tensors of a batch and its gradients.
template <class Kind, class Policy, class Batch, class Gradients> void require_batch_memory(const Policy& policy, const Batch& batch, const Gradients& gradients) {
  for_each_column(batch.columns(), [&](auto i, const auto& x) {
    if constexpr (i < member_count<Kind>) require_memory(policy, {{x.data(), in_batch(Kind::batch, members<Kind>()[i].name)}});
  });
  for_each_column(gradients.columns(), [&](auto, const auto& x) { require_memory(policy, {{x.data(), Kind::gradients}}); });
  require_memory(policy, {{batch.weight.data(), in_batch(Kind::batch, "weight")}, {batch.mask.data(), in_batch(Kind::batch, "mask")}});
}

/// Runs `lanes` lanes over samples, and what comes before and after: sum_weights finds their weight where it is needed and not known (known < 0).
/// run(scale, sums) launches what fills sums [lane_metrics, lanes], null if no report is wanted; sum_weights(sums, n) makes a body for n of them.
template <class Policy, class SumWeights, class Run>
void with_report(const Policy& policy, std::int64_t lanes, double known_weight, bool paired, const device_options& o, const char* call, const SumWeights& sum_weights, const Run& run) {
  const bool own_weight = known_weight < 0 && !o.normalizer;
  const double normalizer = own_weight ? 1 : checked_normalizer({.normalizer = o.normalizer}, known_weight < 0 ? 1 : known_weight);
  report* to = require_report(o.report);
  double* sums = reinterpret_cast<double*>(require_workspace(o.workspace, to != nullptr || own_weight ? workspace_of_lanes(lanes) : 0, call));

  double *weights = sums + lane_metrics * lanes, *folded = weights + lanes;
  const std::int64_t weighing = weight_lanes(lanes);
  if (own_weight) launch(policy, weighing, sum_weights(weights, weighing));
  const loss_scale scale{normalizer > 0 ? 1 / normalizer : 0, own_weight ? weights : nullptr, weighing};
  run(scale, to != nullptr ? sums : nullptr);
  if (to == nullptr) return;
  launch(policy, lane_metrics * folded_parts, fold_lanes{sums, folded, lanes});
  launch(policy, 1, write_report{folded, to, paired});
}

template <class Kind, class T, class Policy, class O, class Batch, class Gradients>
void evaluate_on_device(const Policy& policy, const O& objective, const Batch& batch, const Gradients& gradients, const device_options& o) {
  validate(objective);
  check_extents<Kind>(batch);
  check_gradients<Kind>(batch, gradients);
  const device_batch<Kind, T> samples = device_batch_of<Kind, T>(batch, gradients);
  if (samples.size > 0) check_members<Kind>(objective, batch);
  if (o.checked) {
    require_batch_memory<Kind>(policy, batch, gradients);
    require_device_samples<Kind, T>(policy, objective, samples);
  }
  const double weight = samples.weights.given() || samples.mask.given() ? -1 : static_cast<double>(samples.size);
  const std::int64_t lanes = sample_lanes(samples.size);
  with_report(policy, lanes, weight, is_paired<Kind>, o, "evaluate", [&](double* sums, std::int64_t n) { return sum_weights<Kind, T>{samples, sums, n}; },
              [&](const loss_scale& scale, double* sums) { launch(policy, lanes, evaluate_lanes<Kind, T, O>{objective, samples, scale, sums, lanes}); });
}

template <class T, class Policy, class O>
void evaluate_groups_on_device(const Policy& policy, const O& objective, const groups<T, device>& batch, const group_gradients<T, device>& gradients,
                               const device_options& o) {
  const std::int64_t total = batch.logp.extent(0);
  check_group_members(objective, batch, gradients);
  const std::int64_t count = batch.begin.absent() ? (batch.size > 0 ? total / batch.size : 0) : batch.begin.extent(0) - 1;
  if (count < 0 || (count == 0 && total > 0)) throw_bad_group_ends(total);
  if (!batch.weight.absent()) require_extent(batch.weight.extent(0), count, "groups.weight", "the number of groups");
  if (batch.begin.absent() && (batch.size > max_device_group_size)) {
    throw error("attune: groups.size is " + quoted(batch.size) + "; expected " + quoted(max_device_group_size) + " or fewer completions a group on a device");
  }
  const device_groups<T> d{count, total, batch.size, strided_of(batch.logp), strided_of(batch.ref_logp), strided_of(batch.reward), strided_of(batch.weight),
                           strided_of(batch.begin), column_of<T>(batch.length), strided_of(batch.mask), strided_of(gradients.logp)};
  if (o.checked) {
    require_batch_memory<group_kind>(policy, batch, gradients);
    require_memory(policy, {{batch.begin.data(), "groups.begin"}});
    require_device_groups(policy, d, !batch.length.absent() && group_reads(objective, role::length));
  }
  const bool known = batch.weight.absent() && batch.mask.absent() && batch.begin.absent();  // else a group may have nothing in it
  const std::int64_t lanes = sample_lanes(count);
  with_report(policy, lanes, known ? static_cast<double>(count) : -1, true, o, "evaluate", [&](double* sums, std::int64_t n) { return sum_group_weights<T>{d, sums, n}; },
              [&](const loss_scale& scale, double* sums) { launch(policy, lanes, evaluate_group_lanes<T, O>{objective, d, scale, sums, lanes}); });
}

}  // namespace detail

/// Evaluates an objective over a batch of pairs in device memory: see evaluate of the host (exec/evaluate.hpp), whose formulas and meanings these are.
///
///   std::int64_t bytes = attune::evaluate_workspace(B);
///   attune::evaluate(thrust::cuda::par_nosync.on(stream), attune::dpo{.beta = 0.1},
///                    attune::pairs<float, attune::device>{.chosen = chosen, ...}, {.chosen = d_chosen, .rejected = d_rejected},
///                    {.workspace = workspace, .report = report});
///
/// policy      attune::cuda{stream}, or any Thrust execution policy; tensors are views of device memory, device_vectors, or as_view(device_ptr, ...).
/// Values      loss and derivatives in float (double for double tensors), sums in double: those of the host to rounding.
/// Order       gradients and report have the same bits on every run, on the same device and compiler.
/// Cost        one launch; two more for the report, one more to find the weight of a batch with weights or a mask if no normalizer is given.
///             No allocation, copy or wait but the policy's own, unless `checked`.
/// Throws      attune::error, before anything is launched: as on the host (of weights and lengths only if `checked`), and a workspace that is too small.
template <detail::device_policy Policy, class O, storage T>
void evaluate(const Policy& policy, const O& objective, const pairs<T, device>& batch,
              const std::type_identity_t<pair_gradients<T, device>>& gradients = {}, const device_options& o = {}) {
  static_assert(pair_objective<O> || detailed_pair_objective<O>,
                "attune: an objective on pairs is called as objective(const attune::pair<S>&), or with a detailed_pair<S>, for any scalar S");
  using kind = std::conditional_t<pair_objective<O>, pair_kind, detailed_pair_kind>;
  detail::evaluate_on_device<kind, T>(policy, objective, batch, gradients, o);
}
/// The same over single completions.
template <detail::device_policy Policy, class O, storage T>
void evaluate(const Policy& policy, const O& objective, const singles<T, device>& batch,
              const std::type_identity_t<single_gradients<T, device>>& gradients = {}, const device_options& o = {}) {
  static_assert(single_objective<O>, "attune: an objective on single completions is called as objective(const attune::single<S>&) for any scalar S");
  detail::evaluate_on_device<single_kind, T>(policy, objective, batch, gradients, o);
}
/// The same over a critic's values.
template <detail::device_policy Policy, class O, storage T>
void evaluate(const Policy& policy, const O& objective, const values<T, device>& batch,
              const std::type_identity_t<value_gradients<T, device>>& gradients = {}, const device_options& o = {}) {
  static_assert(value_objective<O>, "attune: an objective on values is called as objective(const attune::value_estimate<S>&) for any scalar S");
  detail::evaluate_on_device<value_kind, T>(policy, objective, batch, gradients, o);
}

/// The same over groups of up to max_device_group_size = 64 completions, a thread a group, in double. Unless `checked`, what the host refuses by reading it
/// shows: a larger group, of which `begin` says, has a loss and gradients of NaN and is counted; begins out of range are never used as an index.
template <detail::device_policy Policy, class O, storage T>
void evaluate(const Policy& policy, const O& objective, const groups<T, device>& batch,
              const std::type_identity_t<group_gradients<T, device>>& gradients = {}, const device_options& o = {}) {
  static_assert(group_objective<O>, "attune: an objective on groups is called as objective(const attune::group<S>&) for any scalar S, or as "
                                    "objective(const attune::group<double>&, double* gradient)");
  detail::evaluate_groups_on_device(policy, objective, batch, gradients, o);
}

}  // namespace attune
