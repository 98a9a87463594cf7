// SPDX-License-Identifier: MIT
// The chunked LM head in device memory: the logits hidden weight^T of some thousand rows at a time, used where they lie and multiplied back. The logits of a
// whole batch never exist. For every policy that has token_logps and logits_gradient of device memory, and any product: attune::cublas_gemm
// (backend/cublas.hpp), or a functor with the same call.
#pragma once

#include <attune/exec/device/lm_head_walk.hpp>
#include <attune/rows/logits_gradient.hpp>
#include <attune/rows/token_logps.hpp>

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

/// As fused_logits_gradient asks for coefficients, of a chunk's rows.
template <class A, class F> struct chunk_coefficient {
  F coefficient_of;
  std::int64_t first;

  ATTUNE_FN double operator()(std::int64_t i, double logp) const {
    return static_cast<double>(static_cast<A>(coefficient_of(first + i, static_cast<A>(logp))));
  }
};
/// Whether a policy does both stages in one visit of a row, as attune::cuda does.
template <class P, class L, class F>
concept fusing_policy = requires(const P& policy, const view<L, 2, device>& logits, const view<const std::int32_t, 1, device>& targets,
                                 const chunk_coefficient<arithmetic<L>, F>& coefficients, const view<arithmetic<L>, 1, device>& logps,
                                 const device_row_options& o) {
  fused_logits_gradient(policy, logits, targets, coefficients, logps, logits, o);
};

/// Body: the coefficients of a chunk's rows. What makes their gradient no number, but did not make their log-probability none, is counted here.
template <class A, class F> struct chunk_coefficients {
  F coefficient_of;
  std::int64_t first;
  row_selection selection;  ///< of the chunk's rows
  strided<const A> logps;
  strided<A> coefficients;
  device_report report;

  ATTUNE_FN void operator()(std::int64_t i) const {
    if (selection.label(i) == row_selection::unread) {
      coefficients(i) = A(0);
      return;
    }
    const A logp = logps(i), coefficient = static_cast<A>(coefficient_of(first + i, logp));
    coefficients(i) = coefficient;
    if (logp == logp && !is_finite(coefficient)) report.non_finite();
  }
};

/// What is the same in all three calls on tokens: options and report, and of both what a chunk has of them.
template <class T, class L, class Index> struct token_call {
  using A = arithmetic<T>;
  const device_lm_head<T, L>& head;
  view<const Index, 1, device> targets;
  const device_row_options& o;

  template <class Policy, class Gemm> void begin(const Policy& policy, Gemm& gemm) const {
    require_row_options<A>(o);
    require_extent(targets.extent(0), head.rows(), "targets", "hidden's rows");
    if (!o.mask.absent()) require_extent(o.mask.extent(0), head.rows(), "row_options.mask", "hidden's rows");
    if (!o.report.absent()) require_extent(o.report.extent(0), 1, "report", "the one report of a call");
    require_lm_head(policy, head, gemm);
    if (o.checked) require_device_labels(policy, selection(targets, o.mask), head.rows());
    if (!o.report.absent()) launch(policy, 1, begin_report{{o.report.data()}, 0});
  }
  template <class Policy> void add_report(const Policy& policy) const {
    if (!o.report.absent()) launch(policy, 1, add_row_report{head.report().data(), o.report.data()});
  }
  device_row_options options(const lm_head_chunk<L>& chunk) const {
    return {.temperature = o.temperature, .softcap = o.softcap, .mask = o.mask.absent() ? o.mask : chunk.of(o.mask), .ignore_index = o.ignore_index,
            .workspace = chunk.workspace, .report = o.report.absent() ? o.report : head.report()};
  }
  row_selection selection(const lm_head_chunk<L>& chunk) const { return selection(chunk.of(targets), options(chunk).mask); }

 private:
  row_selection selection(const view<const Index, 1, device>& labels, const view<const std::uint8_t, 1, device>& mask) const {
    return {{mask.data(), mask.stride(0)}, {labels.data(), labels.stride(0), sizeof(Index) == 8}, o.ignore_index, static_cast<int>(head.classes())};
  }
};

template <class Policy, class Gemm, class T, class L, class Index>
void lm_head_logps_on_device(const Policy& policy, Gemm& gemm, const device_lm_head<T, L>& head, const view<const Index, 1, device>& targets,
                             const view<arithmetic<T>, 1, device>& logps, const view<row_state, 1, device>& states, const device_row_options& o) {
  require_extent(logps.extent(0), head.rows(), "logps", "hidden's rows");
  if (!states.absent()) require_extent(states.extent(0), head.rows(), "states", "hidden's rows");
  require_distinct(logps, "logps");
  require_distinct(states, "states");
  const token_call<T, L, Index> call{head, targets, o};
  call.begin(policy, gemm);
  visit_chunks(policy, gemm, head, [&](const lm_head_chunk<L>& chunk) {
    token_logps(policy, chunk.logits, chunk.of(targets), chunk.of(logps), states.absent() ? states : chunk.of(states), call.options(chunk));
    call.add_report(policy);
  });
}

template <class T, class L> void require_some_gradient(const device_lm_head<T, L>& head) {
  if (!head.with_gradient()) throw error("attune: device_lm_head_gradients has neither hidden nor weight; expected one or both");
}

template <class Policy, class Gemm, class T, class L, class Index>
void lm_head_gradient_on_device(const Policy& policy, Gemm& gemm, const device_lm_head<T, L>& head, const view<const Index, 1, device>& targets,
                                const view<const row_state, 1, device>& states, const view<const arithmetic<T>, 1, device>& coefficients,
                                const device_row_options& o) {
  require_some_gradient(head);
  require_extent(states.extent(0), head.rows(), "states", "hidden's rows");
  require_extent(coefficients.extent(0), head.rows(), "coefficients", "hidden's rows");
  const token_call<T, L, Index> call{head, targets, o};
  call.begin(policy, gemm);
  visit_chunks(policy, gemm, head, [&](const lm_head_chunk<L>& chunk) {
    logits_gradient(policy, chunk.logits, chunk.of(targets), chunk.of(states), chunk.of(coefficients), chunk.logits, call.options(chunk));
    call.add_report(policy);
  });
}

template <class Policy, class Gemm, class T, class L, class Index, class F>
void lm_head_fused_on_device(const Policy& policy, Gemm& gemm, const device_lm_head<T, L>& head, const view<const Index, 1, device>& targets,
                             const F& coefficient_of, const view<arithmetic<T>, 1, device>& logps, const device_row_options& o) {
  using A = arithmetic<T>;
  require_some_gradient(head);
  require_extent(logps.extent(0), head.rows(), "logps", "hidden's rows");
  require_distinct(logps, "logps");
  const token_call<T, L, Index> call{head, targets, o};
  call.begin(policy, gemm);
  visit_chunks(policy, gemm, head, [&](const lm_head_chunk<L>& chunk) {
    device_row_options how = call.options(chunk);
    const view<A, 1, device> found = chunk.of(logps);
    if constexpr (fusing_policy<Policy, L, F>) {
      how.workspace = {};
      fused_logits_gradient(policy, chunk.logits, chunk.of(targets), chunk_coefficient<A, F>{coefficient_of, chunk.first}, found, chunk.logits, how);
    } else {
      const view<A, 1, device> coefficients = head.coefficients(chunk.count);
      token_logps(policy, chunk.logits, chunk.of(targets), found, chunk.states, how);
      launch(policy, chunk.count, chunk_coefficients<A, F>{coefficient_of, chunk.first, call.selection(chunk), {found.data(), found.stride(0)},
                                                           {coefficients.data(), 1}, {how.report.data()}});
      how.report = {};
      logits_gradient(policy, chunk.logits, chunk.of(targets), chunk.states, coefficients, chunk.logits, how);
    }
    call.add_report(policy);
  });
}

}  // namespace detail

/// Stage 1 behind the LM head in device memory: see lm_head_logps of the host (rows/lm_head.hpp), whose formula, shapes and meanings these are.
///
/// policy     any for which token_logps and logits_gradient of device memory are there (include its header first): Thrust's, attune::cuda.
/// gemm       a device_matrix_product, on the same stream.
/// workspace  rows of a chunk, and memory: device_lm_head_workspace<L>{.rows = R, .memory = memory}, which says what logits are stored in (L).
/// options    device_row_options without workspace; visited: which rows (lm_head_rows). Others are neither read nor written.
/// Values     of a row as token_logps has them for its logits, which are rounded to L. A row that is masked or whose target is ignore_index gives 0. The host
///            cannot read a mask on the device, so such rows take part in the products, and cost what others cost; in lm_head_logps NaN in their hidden
///            states reaches nothing. Prompts that are known to the host are better left out by `visited`, or packed away before.
/// Order      as the policy and gemm have it: the same bits on every run if gemm's are. A row's depend on the chunk only if gemm's do.
/// Cost       a product and what token_logps costs for every chunk of R rows, with a report one launch more, and one at the begin. No allocation,
///            copy or wait but the policy's, gemm's and that of `checked`. Extra memory: the workspace, device_lm_head_bytes<T, L>(R, V).
/// Throws     attune::error, before anything is launched: as on the host (labels if `checked`); a workspace that is too small; runs, sequences or offsets
///            that do not fit; a stream that is another than gemm's, where both are known.
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
/// Values  gradients.hidden rounded once to T; gradients.weight added in float (double for double). Rows that are masked or ignored, or have coefficient 0, have
///         a gradient of exactly 0 in gradients.hidden, but take part: 0 times their hidden state is added to gradients.weight. So where that is wanted their
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
