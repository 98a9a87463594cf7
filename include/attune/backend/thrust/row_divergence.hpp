// SPDX-License-Identifier: MIT
#pragma once

#include <attune/backend/thrust/row_arguments.hpp>
#include <attune/exec/device/row_divergence.hpp>
#include <attune/rows/row_divergence.hpp>

namespace attune {
namespace detail {

template <real A>
constexpr std::int64_t divergence_slot = sizeof(pair_lane<A>) > sizeof(divergence_sums) ? sizeof(pair_lane<A>) : sizeof(divergence_sums);
/// Bytes of the lanes' sums, which the sums of terms take the place of; the rows' states lie behind them.
template <real A> std::int64_t divergence_lane_bytes(std::int64_t threads) { return (threads * divergence_slot<A> + 15) / 16 * 16; }

}  // namespace detail

/// The bytes of device_divergence_options.workspace that row_divergence needs for [rows, columns] logits of type T; of two vocabularies, the larger one's columns.
template <storage T> std::int64_t row_divergence_workspace(std::int64_t rows, std::int64_t columns) {
  return detail::divergence_lane_bytes<arithmetic<T>>(rows << detail::lanes_log2(columns, sizeof(T))) + rows * std::int64_t(sizeof(detail::pair_state));
}

namespace detail {

/// What the launches of a row_divergence share.
template <class T, class U> struct divergence_task {
  strided_rows<const T> policy;
  strided_rows<const U> target;
  std::int64_t rows;
  int log2;
  pair_lane<arithmetic<T>>* parts;
  pair_state* states;
};

template <class T, class U>
divergence_task<T, U> divergence_task_of(const view<const T, 2, device>& policy, const view<const U, 2, device>& target, const device_divergence_options& o) {
  using A = arithmetic<T>;
  divergence_task<T, U> task{strided_of(policy), strided_of(target), policy.extent(0), 0, nullptr, nullptr};
  const int common = task.policy.columns < task.target.columns ? task.policy.columns : task.target.columns;
  if (o.classes == vocabulary::common) task.policy.columns = task.target.columns = common;
  const std::int64_t columns = policy.extent(1) > target.extent(1) ? policy.extent(1) : target.extent(1);
  std::byte* workspace = require_workspace(o.workspace, row_divergence_workspace<T>(task.rows, columns), "row_divergence");
  task.log2 = lanes_log2(columns, sizeof(T));
  task.parts = reinterpret_cast<pair_lane<A>*>(workspace);
  task.states = reinterpret_cast<pair_state*>(workspace + divergence_lane_bytes<A>(task.rows << task.log2));
  return task;
}

template <divergence::generator G, class T, class U>
void row_divergence_on_device(const auto& policy, const G& generator, const view<const T, 2, device>& policy_logits, const view<const U, 2, device>& target_logits,
                              const view<arithmetic<T>, 1, device>& values, const view<T, 2, device>& gradient,
                              const view<const arithmetic<T>, 1, device>& coefficients, const device_divergence_options& o) {
  using A = arithmetic<T>;
  static_assert(std::same_as<A, arithmetic<U>>, "attune: policy_logits and target are computed with in different types; expected both double, or neither");
  validate(generator);
  require_divergence(policy_logits, target_logits, values, gradient, coefficients, o);
  require_pair_columns(policy_logits, target_logits, gradient);
  const device_report report{require_report(o.report)};
  const divergence_task<T, U> task = divergence_task_of(policy_logits, target_logits, o);
  if (task.rows == 0) return launch(policy, 1, begin_report{report, 0});

  const std::int64_t threads = task.rows << task.log2;
  const device_cross kind = cross_of(generator);
  const A rate = device_unit<A> * static_cast<A>(1 / o.temperature);
  const auto mask = strided_of(o.mask);
  const auto weights = strided_of(coefficients);
  launch(policy, threads, divergence_lanes<T, U>{task.policy, task.target, mask, rate, kind, task.log2, task.parts, report, task.rows});
  launch(policy, task.rows, divergence_rows<A>{mask, o.temperature, generator.curvature(0.0), kind, task.log2, task.parts, task.states, strided_of(values),
                                               weights, report});
  if (kind == device_cross::none) {
    auto* sums = reinterpret_cast<divergence_sums*>(task.parts);
    launch(policy, threads, divergence_term_lanes<G, T, U>{divergence::class_generator<A, G>(generator), task.policy, task.target, mask, o.temperature, task.log2, task.states, sums});
    launch(policy, task.rows, divergence_term_rows<A>{mask, task.log2, sums, task.states, strided_of(values), weights, report});
  }
  if (gradient.absent()) return;
  const int log2 = lanes_log2(gradient.extent(1), sizeof(T));
  launch(policy, task.rows << log2,
         divergence_gradient_lanes<G, T, U>{divergence::class_generator<A, G>(generator), task.policy, task.target, strided_of(gradient), mask, weights, o.temperature, log2, task.states});
}

}  // namespace detail

/// f-divergences between the rows of two models on a device, and their gradients: see row_divergence of the host (rows/row_divergence.hpp), whose formulas,
/// shapes, generators and meanings these are. Both models are given by logits.
///
/// options  device_divergence_options: the workspace is needed, row_divergence_workspace<T>(N, max(V, V_target)) bytes.
/// Values   float or 16-bit logits: within 1e-5 (1 + |value|); a KL divergence of nearly equal rows has that absolute error only, and equal rows give 0.
/// Order    a row has the same bits for any batch, position in it, alignment and strides, in place or not, on the same device and compiler.
/// Cost     KL divergences: two launches for values, one more for the gradient. Other generators: four, and one. No allocation, copy or wait but the policy's own.
/// Throws   attune::error, before anything is launched: as on the host, and a workspace that is too small.
template <thrust_policy Policy, divergence::generator G, detail::any_logits Logits, detail::any_logits Target>
void row_divergence(const Policy& policy, const G& generator, Logits&& policy_logits, Target&& target_logits,
                    view<detail::logit_arithmetic<Logits>, 1, device> values, view<detail::logit<Logits>, 2, device> gradient,
                    view<const detail::logit_arithmetic<Logits>, 1, device> coefficients, const device_divergence_options& o) {
  detail::row_divergence_on_device(policy, generator, detail::readable_on_device<2>(static_cast<Logits&&>(policy_logits)),
                                   detail::readable_on_device<2>(static_cast<Target&&>(target_logits)), values, gradient, coefficients, o);
}
template <thrust_policy Policy, divergence::generator G, detail::any_logits Logits, detail::any_logits Target>
void row_divergence(const Policy& policy, const G& generator, Logits&& policy_logits, Target&& target_logits,
                    view<detail::logit_arithmetic<Logits>, 1, device> values, const device_divergence_options& o) {
  attune::row_divergence(policy, generator, static_cast<Logits&&>(policy_logits), static_cast<Target&&>(target_logits), values,
                         view<detail::logit<Logits>, 2, device>{}, {}, o);
}

}  // namespace attune
