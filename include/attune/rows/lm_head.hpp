// SPDX-License-Identifier: MIT
// The chunked LM head: the logits hidden weight^T of some rows at a time, in memory of the caller, used where they lie and multiplied back.
// The logits of a whole batch never exist. What multiplies matrices is the caller's: attune::eigen_gemm (backend/eigen.hpp),
// attune::cblas_gemm (backend/cblas.hpp), or any functor with the same call.
#pragma once

#include <attune/rows/fused_logits_gradient.hpp>
#include <attune/rows/lm_head_chunks.hpp>

namespace attune {
namespace detail {

/// The options for rows all of which are read.
inline row_options without_mask(const row_options& o) { return {.temperature = o.temperature, .softcap = o.softcap, .ignore_index = o.ignore_index}; }

template <class P, execution_policy Policy, class T, class Gemm, class Index>
row_report lm_head_logps(Policy policy, Gemm& gemm, const lm_head<T>& head, const view<const Index>& targets,
                         const view<arithmetic<T>>& logps, const view<row_state>& states, const row_options& o) {
  using A = arithmetic<T>;
  const std::int64_t rows = head.hidden.extent(0), classes = head.weight.extent(0);
  require_lm_head(head, gemm);
  require_tokens<A>(rows, classes, targets, o);
  require_extent(logps.extent(0), rows, "logps", "hidden's rows");
  if (!states.absent()) require_extent(states.extent(0), rows, "states", "hidden's rows");
  require_distinct(logps, "logps");
  require_distinct(states, "states");

  row_report report;
  const auto read = [&](std::int64_t n) { return is_read(o, targets, n); };
  visit_rows(head, gemm, read, [&](std::int64_t first, const view<A, 2>& logits) {
    const std::int64_t count = logits.extent(0);
    report += token_logps<P>(policy, view<const A, 2>(logits), rows_of(targets, first, count), rows_of(logps, first, count),
                             states.absent() ? states : rows_of(states, first, count), without_mask(o), {});
  });
  for (std::int64_t n = 0; n < rows; ++n) {
    if (read(n)) continue;
    ++report.rows, ++report.masked;
    logps(n) = 0;
    if (!states.absent()) states(n) = {};
  }
  return report;
}

template <class P, execution_policy Policy, class T, class Gemm, class Index>
row_report lm_head_gradient(Policy policy, Gemm& gemm, const lm_head<T>& head, const view<const Index>& targets,
                            const view<const row_state>& states, const view<const arithmetic<T>>& coefficients, const row_options& o) {
  using A = arithmetic<T>;
  const std::int64_t rows = head.hidden.extent(0), classes = head.weight.extent(0);
  require_lm_head(head, gemm);
  require_some_gradient(head.gradients);
  require_tokens<A>(rows, classes, targets, o);
  require_extent(states.extent(0), rows, "states", "hidden's rows");
  require_extent(coefficients.extent(0), rows, "coefficients", "hidden's rows");

  row_report report;
  const auto active = [&](std::int64_t n) { return is_read(o, targets, n) && coefficients(n) != 0; };
  visit_rows(head, gemm, active, [&](std::int64_t first, const view<A, 2>& logits) {
    const std::int64_t count = logits.extent(0);
    report += logits_gradient<P>(policy, view<const A, 2>(logits), rows_of(targets, first, count), rows_of(states, first, count),
                                 rows_of(coefficients, first, count), logits, without_mask(o), {});
  });
  for (std::int64_t n = 0; n < rows; ++n) report.masked += !is_read(o, targets, n);
  report.rows = rows;
  return report;
}

template <class P, execution_policy Policy, class T, class Gemm, class Index, class Coefficient>
row_report lm_head_fused(Policy policy, Gemm& gemm, const lm_head<T>& head, const view<const Index>& targets, Coefficient& coefficient_of,
                         const view<arithmetic<T>>& logps, const row_options& o) {
  using A = arithmetic<T>;
  const std::int64_t rows = head.hidden.extent(0), classes = head.weight.extent(0);
  require_lm_head(head, gemm);
  require_some_gradient(head.gradients);
  require_tokens<A>(rows, classes, targets, o);
  require_extent(logps.extent(0), rows, "logps", "hidden's rows");
  require_distinct(logps, "logps");

  row_report report;
  const auto read = [&](std::int64_t n) { return is_read(o, targets, n); };
  visit_rows(head, gemm, read, [&](std::int64_t first, const view<A, 2>& logits) {
    const std::int64_t count = logits.extent(0);
    const auto coefficient = [&](std::int64_t i, double logp) { return static_cast<double>(coefficient_of(first + i, static_cast<A>(logp))); };
    report += fused_logits_gradient<P>(policy, view<const A, 2>(logits), rows_of(targets, first, count), coefficient,
                                       rows_of(logps, first, count), logits, without_mask(o));
  });
  for (std::int64_t n = 0; n < rows; ++n) {
    if (read(n)) continue;
    ++report.rows, ++report.masked;
    logps(n) = 0;
  }
  return report;
}

template <class T, class Gemm, class Visitor>
void lm_head_visit(Gemm& gemm, const lm_head<T>& head, Visitor& visitor, const view<const std::uint8_t>& mask) {
  require_lm_head(head, gemm);
  if (!mask.absent()) require_extent(mask.extent(0), head.hidden.extent(0), "mask", "hidden's rows");
  visit_rows(head, gemm, [&](std::int64_t n) { return mask.absent() || mask(n) != 0; },
             [&](std::int64_t first, const view<arithmetic<T>, 2>& logits) { visitor(first, logits); });
}

template <class F, class A>
concept coefficient_function = requires(F& f, std::int64_t n, A logp) {
  static_cast<A>(f(n, logp));
};
template <class F, class A>
concept logits_visitor = requires(F& f, std::int64_t first, const view<A, 2>& logits) {
  f(first, logits);
};

}  // namespace detail

/// Stage 1 behind the LM head: log-probabilities of the target tokens from hidden states.
///
///   logps[n] = z_y - log sum_v e^{z_v},     z = weight hidden[n, :] / temperature [nat],  y = targets[n]
///
/// gemm: a matrix_product; hidden [N, H] and weight [V, H]: of one storage type T, any strides that gemm takes; targets [N]: int32 or int64,
/// already aligned with the rows; logps [N]: in the arithmetic type of T; states [N], optional: kept for lm_head_gradient; workspace: the
/// number of rows of its logits is the chunk. A padded vocabulary: give the V rows of weight that are real. A bias [V] is one more column of
/// weight, and of hidden a 1 in every row.
/// Values  of a row as token_logps has them for its logits. A row that is masked or whose target is ignore_index gives 0; its hidden state is
///         not read and takes part in no product: it costs nothing.
/// Order   the execution policy is for the rows; the product runs as gemm does. The same bits for any policy, position in the batch and (see
///         matrix_product) chunk. No allocation beside gemm's own.
/// Throws  attune::error, before anything is written: sizes that differ, matrices that share memory with one that is written, temperature or
///         softcap outside (0, inf), a target outside [0, V), operands that gemm.validate refuses.
template <execution_policy Policy, class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels,
          class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_logps(Policy policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                         view<detail::logit_arithmetic<Hidden>> logps, view<row_state> states,
                         const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  const detail::lm_head<detail::logit<Hidden>> head{detail::readable<2>(static_cast<Hidden&&>(hidden)), weight, {}, workspace};
  return detail::lm_head_logps<Pack>(policy, gemm, head, detail::readable<1>(static_cast<Labels&&>(targets)), logps, states, o);
}
template <class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels, class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_logps(Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                         view<detail::logit_arithmetic<Hidden>> logps, view<row_state> states,
                         const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  return attune::lm_head_logps(serial{}, gemm, static_cast<Hidden&&>(hidden), weight, static_cast<Labels&&>(targets), logps, states,
                               workspace, o);
}

/// Stage 3 behind the LM head: from d loss / d log-probability of every token to the gradients of hidden states and weight.
///
///   g[n, v]              = coefficients[n] / temperature (1[v = y] - softmax(z)_v)      as logits_gradient has it; z, y as above
///   gradients.hidden[n]  = sum_v g[n, v] weight[v]                                      written
///   gradients.weight[v] += sum_n g[n, v] hidden[n]                                      added, in the arithmetic type: calls add up
///
/// gemm, hidden, weight, targets, workspace, options as given to lm_head_logps; states [N] as it wrote them; coefficients [N] = d loss /
/// d logps[n], for every token its own. Every chunk's logits are made again: three products, against one of lm_head_logps. Where the
/// coefficient follows from the row's log-probability, lm_head_fused needs one less.
/// Values  rows that are masked or ignored, or have coefficient 0, take no part: gradients.hidden is exactly 0 there, their hidden states are
///         not read (NaN in them reaches nothing), and they cost nothing. A row whose state or coefficient is NaN or infinite makes NaN of
///         its gradients, and of all of gradients.weight, and is counted in the report.
/// Order   as lm_head_logps; gradients.weight is added chunk by chunk, so its last bits depend on the chunk.
/// Throws  attune::error, before anything is written: as lm_head_logps; neither of the gradients given.
template <execution_policy Policy, class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels,
          class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_gradient(Policy policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                            view<const row_state> states, view<const detail::logit_arithmetic<Hidden>> coefficients,
                            const lm_head_gradients<detail::logit<Hidden>>& gradients,
                            const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  const detail::lm_head<detail::logit<Hidden>> head{detail::readable<2>(static_cast<Hidden&&>(hidden)), weight, gradients, workspace};
  return detail::lm_head_gradient<Pack>(policy, gemm, head, detail::readable<1>(static_cast<Labels&&>(targets)), states, coefficients, o);
}
template <class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels, class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_gradient(Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                            view<const row_state> states, view<const detail::logit_arithmetic<Hidden>> coefficients,
                            const lm_head_gradients<detail::logit<Hidden>>& gradients,
                            const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  return attune::lm_head_gradient(serial{}, gemm, static_cast<Hidden&&>(hidden), weight, static_cast<Labels&&>(targets), states,
                                  coefficients, gradients, workspace, o);
}

/// Both in one visit, with one product of logits instead of two, where a token's coefficient follows from its own log-probability:
/// maximum likelihood, policy gradients with known advantages, distillation on sampled tokens.
///
///   logps[n] as lm_head_logps;     gradients as lm_head_gradient with coefficients[n] = coefficient_of(n, logps[n])
///
/// coefficient_of(n, logp) -> d loss / d logps[n]: called once for every row that is read, in no particular order and under `threads` from
/// several threads at once; it must not throw. (-1 / tokens: the mean negative log-likelihood.) The row is then still in the cache.
/// Values  as of the two. A row whose coefficient turns out to be 0 adds 0 times its hidden state to gradients.weight, so NaN there stays
///         visible; rows whose coefficient is 0 beforehand are better masked.
/// Order, Throws  as lm_head_gradient.
template <execution_policy Policy, class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels,
          detail::coefficient_function<detail::logit_arithmetic<Hidden>> Coefficient, class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_fused(Policy policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                         Coefficient&& coefficient_of, view<detail::logit_arithmetic<Hidden>> logps,
                         const lm_head_gradients<detail::logit<Hidden>>& gradients,
                         const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  const detail::lm_head<detail::logit<Hidden>> head{detail::readable<2>(static_cast<Hidden&&>(hidden)), weight, gradients, workspace};
  return detail::lm_head_fused<Pack>(policy, gemm, head, detail::readable<1>(static_cast<Labels&&>(targets)), coefficient_of, logps, o);
}
template <class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels,
          detail::coefficient_function<detail::logit_arithmetic<Hidden>> Coefficient, class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_fused(Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                         Coefficient&& coefficient_of, view<detail::logit_arithmetic<Hidden>> logps,
                         const lm_head_gradients<detail::logit<Hidden>>& gradients,
                         const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  return attune::lm_head_fused(serial{}, gemm, static_cast<Hidden&&>(hidden), weight, static_cast<Labels&&>(targets), coefficient_of,
                               logps, gradients, workspace, o);
}

/// The general visit, for whatever else is made of rows of logits: distillation over the whole vocabulary (row_divergence), collision_logps,
/// several terms together.
///
///   visitor(first, logits): logits [count, V], view<A, 2> with A the arithmetic type of T, are those of rows first .. first + count - 1
///
/// It is called on this thread, in ascending order, for runs of at most R rows that together are the rows with mask[n] != 0 (absent: all). If
/// a gradient is given, it has to leave d loss / d logits in the place of the logits, every element of it; gradients as lm_head_gradient.
/// Throws  attune::error, before anything is written: sizes that differ, matrices that share memory with one that is written, operands that
///         gemm.validate refuses.
template <class Gemm, detail::logits_matrix Hidden, detail::logits_visitor<detail::logit_arithmetic<Hidden>> Visitor>
  requires matrix_product<Gemm, detail::logit<Hidden>>
void lm_head_visit(Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Visitor&& visitor,
                   const lm_head_gradients<detail::logit<Hidden>>& gradients,
                   const lm_head_workspace<detail::logit<Hidden>>& workspace, view<const std::uint8_t> mask = {}) {
  const detail::lm_head<detail::logit<Hidden>> head{detail::readable<2>(static_cast<Hidden&&>(hidden)), weight, gradients, workspace};
  detail::lm_head_visit(gemm, head, visitor, mask);
}

}  // namespace attune
