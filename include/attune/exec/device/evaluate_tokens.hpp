// SPDX-License-Identifier: MIT
// Stage 2 of policy gradient on a device, whatever launches its bodies.
#pragma once

#include <attune/exec/device/policy.hpp>
#include <attune/exec/device/row_arguments.hpp>  // workspaces
#include <attune/exec/device/tokens.hpp>
#include <attune/exec/evaluate_tokens.hpp>

namespace attune {

/// token_options, and what a call on a device must be given, since it neither allocates nor waits for the device: nothing is copied to the host.
struct device_token_options {
  token_options how{};                         ///< as on the host
  view<std::byte, 1, device> workspace{};      ///< scratch memory, aligned to 16 bytes, of evaluate_tokens_workspace(S) bytes
  view<policy_report, 1, device> report{};     ///< [1], optional: written by the call, in two more launches
};

/// The bytes of device_token_options.workspace that evaluate needs for S sequences of tokens.
inline std::int64_t evaluate_tokens_workspace(std::int64_t sequences) {
  using detail::folded_parts, detail::sequence_lanes, detail::sequence_part, detail::token_totals;
  constexpr std::int64_t of_lane = sizeof(sequence_part) + sizeof(double) * (token_totals::metrics + 1);
  return sequences * (sequence_lanes * of_lane + std::int64_t(sizeof(sequence_part))) +
         std::int64_t(sizeof(double)) * folded_parts * (int(token_totals::counts) + int(token_totals::metrics));
}

namespace detail {

template <class X> token_tensor<X> token_tensor_of(const view<X, 2, device>& x) { return {x.data(), x.stride(0), x.stride(1)}; }

/// What can be said of a batch without reading it. Returns the number of sequences.
template <class T> std::int64_t require_device_layout(const tokens<T, device>& batch) {
  require_like_logp(batch.mask, batch.logp, "mask");
  if (batch.offsets.absent()) return batch.logp.extent(0);
  if (batch.logp.extent(0) != 1) {
    throw error("attune: offsets are given with tensors of " + text((long long)batch.logp.extent(0)) + " rows; expected packed tensors [1, N]");
  }
  if (batch.offsets.extent(0) < 1) throw error("attune: offsets has no elements; expected one more than there are sequences");
  return batch.offsets.extent(0) - 1;
}

template <class T, class O>
device_tokens<T> device_tokens_of(const O& objective, const tokens<T, device>& batch, const token_gradients<T, device>& gradients, const token_options& o,
                                  std::int64_t sequences) {
  using A = arithmetic<T>;
  const token_recipe recipe = recipe_of(objective, o);
  device_tokens<T> d{};
  d.size = sequences;
  d.columns = batch.logp.extent(1);
  d.logp = token_tensor_of(batch.logp), d.old_logp = token_tensor_of(batch.old_logp), d.ref_logp = token_tensor_of(batch.ref_logp);
  d.advantages = token_tensor_of(batch.token_advantage), d.correction = token_tensor_of(batch.correction), d.entropy = token_tensor_of(batch.entropy);
  d.token_weights = token_tensor_of(batch.token_weight), d.selected = token_tensor_of(batch.selected), d.mask = token_tensor_of(batch.mask);
  d.advantage = strided_of(batch.advantage), d.weights = strided_of(batch.weight), d.offsets = column_of<T>(batch.offsets);
  d.d_logp = token_tensor_of(gradients.logp), d.d_entropy = token_tensor_of(gradients.entropy);
  d.level = recipe.ratio.level, d.lower = static_cast<A>(recipe.ratio.lower), d.upper = static_cast<A>(recipe.ratio.upper);
  d.reduction = recipe.reduction, d.constant_length = o.constant_length, d.on_policy = o.on_policy;
  d.folds_correction = !batch.correction.absent() && !reads_token(objective, "correction");
  for (std::size_t m = 0; m < member_count<token_kind>; ++m) d.typical[m] = static_cast<A>(members<token_kind>()[m].typical);
  d.typical[2] = A(0);  // of the entropy, which is a metric too
  return d;
}

template <class T, class Policy, class O>
void evaluate_tokens_on_device(const Policy& policy, const O& objective, const tokens<T, device>& batch, const token_gradients<T, device>& gradients,
                               const device_token_options& given) {
  const token_options& o = given.how;
  validate(objective);
  const token_recipe recipe = recipe_of(objective, o);
  check_token_options(recipe, o);
  const std::int64_t sequences = require_device_layout(batch), lanes = sequences * sequence_lanes;
  check_token_shapes(batch, sequences, gradients);
  if (batch.logp.size() > 0) check_token_members(objective, batch, gradients, o);
  const bool own_denominator = !o.normalizer && recipe.reduction != token_reduction::token_sum;
  const double normalizer = own_denominator ? 1 : token_normalizer(o, recipe.reduction, 1);
  policy_report* to = require_report(given.report);
  std::byte* memory = require_workspace(given.workspace, evaluate_tokens_workspace(sequences), "evaluate");
  const device_tokens<T> d = device_tokens_of(objective, batch, gradients, o, sequences);

  auto* parts = reinterpret_cast<sequence_part*>(memory);
  sequence_part* whole = parts + lanes;
  double *sums = reinterpret_cast<double*>(whole + sequences), *slopes = sums + token_totals::metrics * lanes, *counts = slopes + lanes;
  double* folded = counts + token_totals::counts * folded_parts;
  const bool by_tokens = recipe.reduction == token_reduction::token_mean || recipe.reduction == token_reduction::token_sum;
  const bool shared = d.d_logp.given() && d.shares_derivative();
  if (sequences == 0 && d.d_logp.given()) launch(policy, d.columns, clear_packed<T>{d.d_logp, d.d_entropy});
  launch(policy, lanes, measure_lanes<T>{d, parts});
  launch(policy, sequences, measure_sequences<T>{d, parts, whole});
  if (own_denominator || to != nullptr) launch(policy, folded_parts, count_sequences{whole, sequences, by_tokens, counts});
  evaluate_tokens_lanes<T, O> body{objective, d, token_pass::whole, whole, 1 / normalizer, own_denominator ? counts : nullptr, to != nullptr ? sums : nullptr,
                                   shared ? slopes : nullptr};
  launch(policy, lanes, body);
  body.pass = token_pass::shared_gradients;
  if (shared) launch(policy, lanes, body);
  if (to == nullptr) return;
  launch(policy, token_totals::metrics * folded_parts, fold_lanes{sums, folded, lanes});
  launch(policy, 1, write_policy_report{counts, folded, to});
}

}  // namespace detail

/// Evaluates a policy-gradient objective over tokens in device memory: see evaluate of the host (exec/evaluate_tokens.hpp), whose formulas, layouts
/// and meanings these are.
///
/// policy      attune::cuda{stream}, or any Thrust execution policy; tensors are views of device memory.
/// Values      losses and derivatives in float (double for double tensors), sums in double: those of the host to rounding.
/// Invalid     what the host refuses by reading it stays visible here: weights that are negative or not finite make all that they touch NaN, and are
///             counted in the report; offsets that fall or lie outside of the tensors are never used as an index.
/// Order       the same bits on every run, on the same device and compiler.
/// Cost        three launches; one more where sequences share a ratio, one more without a normalizer (or for the report), two more for the report.
///             No allocation, copy or wait but the policy's own.
/// Throws      attune::error, before anything is launched: as on the host, as far as it shows in shapes, parameters and options; a workspace too small.
template <detail::device_policy Policy, class O, storage T>
void evaluate(const Policy& policy, const O& objective, const tokens<T, device>& batch, const std::type_identity_t<token_gradients<T, device>>& gradients = {},
              const device_token_options& o = {}) {
  static_assert(token_objective<O>, "attune: a policy-gradient objective is called as objective(const attune::token<S>&) for any scalar S");
  detail::evaluate_tokens_on_device<T>(policy, objective, batch, gradients, o);
}

}  // namespace attune
