// SPDX-License-Identifier: MIT
// What the LM head's functions on tokens do to a chunk between its products. token_logps, logits_gradient, fused_logits_gradient and launch are those of the
// policy, found by its type.
#pragma once

#include <attune/exec/device/lm_head_walk.hpp>
#include <attune/rows/logits_gradient.hpp>
#include <attune/rows/token_logps.hpp>

namespace attune::detail {

/// Adds the report of a chunk to that of the call.
struct add_row_report {
  const row_report* chunk;
  row_report* total;

  ATTUNE_FN void operator()(std::int64_t) const {
    total->rows += chunk->rows;
    total->masked += chunk->masked;
    total->non_finite += chunk->non_finite;
  }
};

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
    if (!o.workspace.absent()) throw error("attune: row_options.workspace is given; expected none, since an LM head has all in device_lm_head_workspace");
    require_lm_head(policy, head, gemm);
    if (o.checked) {
      require_memory(policy, {{head.hidden.data(), "hidden"}, {head.weight.data(), "weight"}, {targets.data(), "targets"},
                              {head.gradients.hidden.data(), "device_lm_head_gradients.hidden"}, {head.gradients.weight.data(), "device_lm_head_gradients.weight"}});
      require_device_labels(policy, selection(targets, o.mask), head.rows());
    }
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

}  // namespace attune::detail
