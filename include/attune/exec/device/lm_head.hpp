// SPDX-License-Identifier: MIT
// The chunked LM head in device memory: the logits hidden weight^T of some thousand rows at a time, used where they lie and multiplied back. The logits of a
// whole batch never exist. For every policy that has token_logps and logits_gradient of device memory, and any product: attune::cublas_gemm
// (backend/cublas.hpp), or a functor with the same call.
#pragma once

#include <attune/exec/device/lm_head_tokens.hpp>

namespace attune {
namespace detail {

/// Whether a policy runs stage 1 in device memory. Its header has been included where this is asked.
template <class P>
concept device_row_policy = requires(const P& policy, const view<const float, 2, device>& logits, const view<const std::int32_t, 1, device>& targets,
                                     const view<float, 1, device>& logps, const view<row_state, 1, device>& states, const device_row_options& o) {
  token_logps(policy, logits, targets, logps, states, o);
};
template <class X>
concept device_matrix = tensor<X> && requires { typename seen_as<X, 2>::type; } && storage<element_of<X, 2>>;
template <class X>
concept device_labels = tensor<X> && requires { typename seen_as<X, 1>::type; } && std::signed_integral<element_of<X, 1>> &&
                        (sizeof(element_of<X, 1>) == 4 || sizeof(element_of<X, 1>) == 8);
template <class F, class A>
concept device_coefficient = requires(const F& f, std::int64_t n, A logp) { static_cast<A>(f(n, logp)); };

}  // namespace detail

/// Stage 1 behind the LM head in device memory: see lm_head_logps of the host (rows/lm_head.hpp), whose formula, shapes and meanings these are.
///
/// policy     any for which token_logps and logits_gradient of device memory are there (include its header first): Thrust's, attune::cuda.
/// gemm       a device_matrix_product, on the same stream.
/// workspace  rows of a chunk, and memory: device_lm_head_workspace<L>{.rows = R, .memory = memory}, which says what logits are stored in (L).
/// options    device_row_options without workspace; visited: which rows (lm_head_rows). Nothing of others is read or written.
/// Values     of a row as token_logps has them for its logits, which are rounded to L. A row that is masked or whose target is ignore_index gives 0. The host
///            cannot read a mask on the device, so such rows take part in the products, and cost what others cost; in lm_head_logps NaN in their hidden
///            states reaches nothing. Prompts that are known to the host are better left out by `visited`, or packed away before.
/// Order      as the policy and gemm have it: the same bits on every run if gemm's are. A row's depend on the chunk only if gemm's do.
/// Cost       a product and what token_logps costs for every chunk of R rows, with a report one launch more, and one at the begin. No allocation,
///            copy or wait but the policy's, gemm's and that of `checked`. Extra memory: the workspace, device_lm_head_bytes<T, L>(R, V).
/// Throws     attune::error, before anything is launched: as on the host (labels of all rows if `checked`); a workspace that is too small; runs, sequences
///            or offsets that do not fit; a stream that is another than gemm's, where both are known.
template <detail::device_row_policy Policy, class Gemm, detail::device_matrix Hidden, detail::device_labels Labels, storage L>
  requires device_matrix_product<Gemm, detail::logit<Hidden>, L>
void lm_head_logps(const Policy& policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2, device> weight, Labels&& targets,
                   view<detail::logit_arithmetic<Hidden>, 1, device> logps, view<row_state, 1, device> states, const device_lm_head_workspace<L>& workspace,
                   const device_row_options& o = {}, const lm_head_rows& visited = {}) {
  using T = detail::logit<Hidden>;
  const detail::device_lm_head<T, L> head{view<const T, 2, device>(static_cast<Hidden&&>(hidden)), weight, {}, workspace, visited};
  detail::lm_head_logps_on_device(policy, gemm, head, view<const detail::element_of<Labels, 1>, 1, device>(static_cast<Labels&&>(targets)), logps, states, o);
}

/// Stage 3 behind the LM head in device memory: see lm_head_gradient of the host, and lm_head_logps above for what is not said here. Three products.
///
/// coefficients [N] = d loss / d logps[n] (of sequences: token_coefficients spreads them).
/// Values  gradients.hidden rounded once to T; gradients.weight added in float (double for double). Rows that are masked or ignored, or have coefficient 0,
///         have a gradient of exactly 0 in gradients.hidden, but take part: 0 times their hidden state is added to gradients.weight. So where that is wanted their
///         hidden states must be finite (0 times NaN is NaN), as those of a forward pass over padding are; or leave such rows out by `visited`. A row whose
///         state, coefficient or label is none makes NaN of its gradients, and of all of gradients.weight, and is counted.
template <detail::device_row_policy Policy, class Gemm, detail::device_matrix Hidden, detail::device_labels Labels, storage L>
  requires device_matrix_product<Gemm, detail::logit<Hidden>, L>
void lm_head_gradient(const Policy& policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2, device> weight, Labels&& targets,
                      view<const row_state, 1, device> states, view<const detail::logit_arithmetic<Hidden>, 1, device> coefficients,
                      const device_lm_head_gradients<detail::logit<Hidden>>& gradients, const device_lm_head_workspace<L>& workspace,
                      const device_row_options& o = {}, const lm_head_rows& visited = {}) {
  using T = detail::logit<Hidden>;
  const detail::device_lm_head<T, L> head{view<const T, 2, device>(static_cast<Hidden&&>(hidden)), weight, gradients, workspace, visited};
  detail::lm_head_gradient_on_device(policy, gemm, head, view<const detail::element_of<Labels, 1>, 1, device>(static_cast<Labels&&>(targets)), states,
                                     coefficients, o);
}

/// Both in one visit where a token's coefficient follows from its own log-probability: see lm_head_fused of the host, and the two above. Three products
/// instead of four; beside them fused_logits_gradient where the policy has it (attune::cuda), else token_logps, logits_gradient and a launch between them.
///
/// coefficient_of  a functor that the device runs: ATTUNE_FN float operator()(std::int64_t n, float logp) const (double for double) -> d loss / d logps[n],
///                 with n counted in the batch, and raw pointers for what else it reads of row n. It is asked about rows that are read, maybe by several
///                 threads: it answers from its arguments and memory that the call does not write.
template <detail::device_row_policy Policy, class Gemm, detail::device_matrix Hidden, detail::device_labels Labels, class F, storage L>
  requires device_matrix_product<Gemm, detail::logit<Hidden>, L> && detail::device_coefficient<F, detail::logit_arithmetic<Hidden>>
void lm_head_fused(const Policy& policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2, device> weight, Labels&& targets,
                   const F& coefficient_of, view<detail::logit_arithmetic<Hidden>, 1, device> logps,
                   const device_lm_head_gradients<detail::logit<Hidden>>& gradients, const device_lm_head_workspace<L>& workspace,
                   const device_row_options& o = {}, const lm_head_rows& visited = {}) {
  using T = detail::logit<Hidden>;
  const detail::device_lm_head<T, L> head{view<const T, 2, device>(static_cast<Hidden&&>(hidden)), weight, gradients, workspace, visited};
  detail::lm_head_fused_on_device(policy, gemm, head, view<const detail::element_of<Labels, 1>, 1, device>(static_cast<Labels&&>(targets)), coefficient_of,
                                  logps, o);
}

/// The general visit: see lm_head_visit of the host, and lm_head_logps above. It is how losses of pairs and sequences need three products instead of four: with
/// visited.rows_per_sequence or offsets every chunk is whole pairs, so that token_logps, sequence_logps, evaluate and logits_gradient of them fit between
/// its products.
///
///   visitor(const lm_head_chunk<L>& chunk)     on this thread, in ascending order, once for every chunk; it queues work on the policy's stream
template <detail::device_row_policy Policy, class Gemm, detail::device_matrix Hidden, class Visitor, storage L>
  requires device_matrix_product<Gemm, detail::logit<Hidden>, L> && std::invocable<Visitor&, const lm_head_chunk<L>&>
void lm_head_visit(const Policy& policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2, device> weight, Visitor&& visitor,
                   const device_lm_head_gradients<detail::logit<Hidden>>& gradients, const device_lm_head_workspace<L>& workspace,
                   const lm_head_rows& visited = {}) {
  using T = detail::logit<Hidden>;
  const detail::device_lm_head<T, L> head{view<const T, 2, device>(static_cast<Hidden&&>(hidden)), weight, gradients, workspace, visited};
  detail::require_lm_head(policy, head, gemm);
  detail::visit_chunks(policy, gemm, head, visitor);
}

}  // namespace attune
