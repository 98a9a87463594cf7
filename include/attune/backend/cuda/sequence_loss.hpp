// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/check_tokens.hpp>  // require_token_shape
#include <attune/exec/cuda/sequence_loss.hpp>
#include <attune/exec/device/evaluate.hpp>
#include <attune/exec/device/sequence.hpp>  // any_real_tensor

namespace attune {

/// The bytes of device_options.workspace that sequence_loss needs for that many pairs: for a report, or a weight that the host does not know.
inline std::int64_t sequence_loss_workspace(std::int64_t pairs) { return detail::workspace_of_lanes(pairs); }

namespace detail {

template <class Kind, class A, class O>
void sequence_loss_in_blocks(const auto& policy, const O& objective, const view<const A, 2, device>& token_logps, const view<const std::uint8_t, 2, device>& mask,
                             pairs<A, device> batch, const pair_gradients<A, device>& gradients, const device_options& o, const view<A, 1, device>& logps) {
  const std::int64_t count = token_logps.extent(0) / 2;
  if (token_logps.extent(0) % 2 != 0) throw error("attune: token_logps has " + quoted(token_logps.extent(0)) + " rows; expected the chosen completions and as many rejected ones");
  if (!batch.chosen.absent() || !batch.rejected.absent()) throw error("attune: pairs.chosen and pairs.rejected are what sequence_loss adds up; leave them out");
  if (!mask.absent()) require_token_shape(mask, "mask", token_logps, "token_logps");
  if (!logps.absent()) require_extent(logps.extent(0), 2 * count, "logps", "the rows of token_logps");
  // Their first tokens stand for the sums, which no tensor holds.
  batch.chosen = {token_logps.data(), {count}, {token_logps.stride(0)}};
  batch.rejected = {token_logps.data() + count * token_logps.stride(0), {count}, {token_logps.stride(0)}};
  validate(objective);
  check_extents<Kind>(batch);
  check_gradients<Kind>(batch, gradients);
  if (count > 0) check_members<Kind>(objective, batch);
  const device_batch<Kind, A> samples = device_batch_of<Kind, A>(batch, gradients);
  if (o.checked) {
    require_memory(policy, {{token_logps.data(), "token_logps"}, {mask.data(), "mask"}, {logps.data(), "logps"}});
    require_batch_memory<Kind>(policy, batch, gradients);
    require_device_samples<Kind, A>(policy, objective, samples);
  }
  const double weight = samples.weights.given() || samples.mask.given() ? -1 : static_cast<double>(count);
  with_report(policy, count, weight, true, o, "sequence_loss", [&](double* sums, std::int64_t n) { return sum_weights<Kind, A>{samples, sums, n}; }, [&](const loss_scale& scale, double* sums) {
    const sequence_loss_block<Kind, A, O> work{objective, samples, {token_logps.data(), token_logps.stride(0), token_logps.stride(1)},
                                               {mask.data(), mask.stride(0), mask.stride(1)}, token_logps.extent(1), strided_of(logps), scale, sums};
    launch_blocks(policy, {"sequence_loss", count, 1, threads_of(policy, work, work.max_threads), 1}, work);
  });
}

}  // namespace detail

/// An objective on pairs from the log-probabilities of tokens, in one launch: the sums of sequence_logps, then evaluate.
///
///   chosen[i] = sum_t mask[i, t] token_logps[i, t],     rejected[i] = sum_t mask[P + i, t] token_logps[P + i, t]
///
/// token_logps [2 P, T]: the chosen completions of P pairs, then the rejected ones; mask the same shape, or absent; batch: the pairs without chosen and rejected;
/// gradients [P] by these sums, which logits_gradient takes as sequence_coefficients; logps [2 P], optional: the sums, 0 for pairs that are left out.
/// With token_logps and logits_gradient a step of DPO is three launches.
/// options  as of evaluate on a device, with a workspace of sequence_loss_workspace(P) bytes for a report or a weight that has to be found.
/// Values   sums in double, rounded once to the arithmetic type; the rest as evaluate. Masked tokens are not read, nor those of pairs that are left out.
/// Order    the same bits on every run, and for a pair in any batch, on the same device and compiler.
/// Cost     one launch; two more for the report, one more to find the weight of pairs with weights or a mask if no normalizer is given.
/// Throws   attune::error, before anything is launched: as evaluate on a device; chosen or rejected given; an odd number of rows.
template <detail::block_policy Policy, class O, detail::any_real_tensor<2> Tokens, class A = detail::element_of<Tokens, 2>>
void sequence_loss(const Policy& policy, const O& objective, Tokens&& token_logps, view<const std::uint8_t, 2, device> mask, const std::type_identity_t<pairs<A, device>>& batch,
                   const std::type_identity_t<pair_gradients<A, device>>& gradients, const device_options& o = {}, std::type_identity_t<view<A, 1, device>> logps = {}) {
  static_assert(pair_objective<O> || detailed_pair_objective<O>, "attune: sequence_loss takes an objective on pairs");
  using kind = std::conditional_t<pair_objective<O>, pair_kind, detailed_pair_kind>;
  detail::sequence_loss_in_blocks<kind, A>(policy, objective, detail::readable_on_device<2>(static_cast<Tokens&&>(token_logps)), mask, batch, gradients, o, logps);
}

}  // namespace attune
