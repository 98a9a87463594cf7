// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/cuda/update.hpp>
#include <attune/exec/device/row_selection.hpp>
#include <attune/exec/device/update_arguments.hpp>
#include <attune/reference/hard_update.hpp>

namespace attune {
namespace detail {

template <bool Averages, class T, class P, class Companion>
void update_in_blocks(const auto& policy, std::span<const device_model_tensor<T, P, Companion>> model, double policy_weight, const view<update_report, 1, device>& report) {
  using tensor = device_model_tensor<T, P, Companion>;
  require_device_types<Averages, T, P, Companion>();
  check_weight(policy_weight);
  if (model.empty()) throw error("attune: the model has no tensors; expected one or more");
  check_model<tensor>(model);
  if (!report.absent()) require_extent(report.extent(0), 1, "report", "the one report of a call");

  std::int64_t elements = 0;
  for (const tensor& x : model) elements += x.reference.extent(0);
  if (!report.absent()) launch(policy, 1, begin_update_report{report.data(), elements});
  using table = update_table<update_elements<T, P, Companion>>;
  for (std::size_t i = 0; i < model.size();) {
    table part;
    while (i < model.size() && part.add(update_of(model[i], policy_weight, report.data()))) ++i;
    launch_blocks(policy, {"update", part.runs(), 1, threads_of(policy, part, table::max_threads), 1}, part);
  }
}

template <class X> inline constexpr bool is_device_model_tensor = false;
template <class T, class P, class Companion> inline constexpr bool is_device_model_tensor<device_model_tensor<T, P, Companion>> = true;
template <class Model>
concept device_model = requires(const std::remove_cvref_t<Model>& x) { std::span(x); } && is_device_model_tensor<tensor_of<std::remove_cvref_t<Model>>>;

template <bool Averages, class T, class P, class Companion>
void update_in_blocks(const auto& policy, const device_model_tensor<T, P, Companion>& one, double policy_weight, const view<update_report, 1, device>& report) {
  update_in_blocks<Averages, T, P, Companion>(policy, std::span<const device_model_tensor<T, P, Companion>>(&one, 1), policy_weight, report);
}

}  // namespace detail

/// Soft update of a reference on attune::cuda: see soft_update of the host (reference/soft_update.hpp) and of Thrust (backend/thrust/update.hpp), whose
/// arguments, values and bits these are. Of one tensor, or of a model: a list (std::vector, std::array, std::span) of device_model_tensor of one type.
/// Cost    one launch for each 30 to 40 tensors, whatever their sizes, and one for a report; no allocation, copy or wait. All tensors are checked before any
///         is written, in a time that grows with the square of the list.
/// Throws  attune::error, before anything is launched: as on the host; and a launch that CUDA refuses.
template <detail::block_policy Execution, tensor Reference, tensor Policy, class Companion = detail::no_companion>
  requires(!detail::device_model<Reference>)
void soft_update(const Execution& execution, Reference&& reference, Policy&& policy, double policy_weight, Companion companion = {},
                 view<update_report, 1, device> report = {}) {
  const auto x = detail::device_tensor_of<true>(static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), companion);
  detail::update_in_blocks<true>(execution, x, policy_weight, report);
}
template <detail::block_policy Execution, detail::device_model Model>
void soft_update(const Execution& execution, const Model& model, double policy_weight, view<update_report, 1, device> report = {}) {
  detail::update_in_blocks<true>(execution, detail::tensors(model), policy_weight, report);
}
/// Hard update of a reference on attune::cuda: see hard_update of the host, and soft_update.
template <detail::block_policy Execution, tensor Reference, tensor Policy, class Companion = detail::no_companion>
  requires(!detail::device_model<Reference>)
void hard_update(const Execution& execution, Reference&& reference, Policy&& policy, Companion companion = {}, view<update_report, 1, device> report = {}) {
  const auto x = detail::device_tensor_of<false>(static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), companion);
  detail::update_in_blocks<false>(execution, x, 1, report);
}
template <detail::block_policy Execution, detail::device_model Model>
void hard_update(const Execution& execution, const Model& model, view<update_report, 1, device> report = {}) {
  detail::update_in_blocks<false>(execution, detail::tensors(model), 1, report);
}

}  // namespace attune
