// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/cuda/fused_logits_gradient.hpp>
#include <attune/exec/device/row_arguments.hpp>

namespace attune {

/// What fused_logits_gradient on a device may write of rows, beside log-probabilities and gradient; each [N].
template <real A> struct fused_outputs {
  view<A, 1, device> losses{};
  view<row_state, 1, device> states{};
  view<A, 1, device> entropies{};
};

namespace detail {

template <class T, class Index, class F>
void fused_in_blocks(const auto& policy, const view<const T, 2, device>& logits, const view<const Index, 1, device>& targets, const F& coefficients_of,
                     const view<arithmetic<T>, 1, device>& logps, const view<T, 2, device>& gradient, const device_row_options& o,
                     const fused_outputs<arithmetic<T>>& outputs) {
  using A = arithmetic<T>;
  const std::int64_t rows = logits.extent(0);
  const row_selection selection = checked_token_logps(policy, logits, targets, logps, outputs.states, o, {.entropies = outputs.entropies});
  require_rows_if_given(outputs.losses, rows, "fused_outputs.losses");
  require_distinct(outputs.losses, "fused_outputs.losses");
  require_columns(gradient, "gradient");
  require_gradient(gradient, logits);
  if constexpr (requires { coefficients_of.require_rows(rows); }) coefficients_of.require_rows(rows);
  if (!outputs.losses.absent() && !row_loss_function<F>) {
    throw error("attune: fused_outputs.losses is given, but coefficients_of returns no loss; expected it to return a row_loss");
  }
  const device_report report{require_report(o.report)};
  if (o.checked) require_memory(policy, {{gradient.data(), "gradient"}});

  if (report.to != nullptr) launch(policy, 1, begin_report{report, rows});
  const token_logps_rows<T, true> results{strided_of(logits), selection, o.softcap, o.temperature, 0, nullptr, nullptr, strided_of(logps),
                                          strided_of(outputs.states), strided_of(outputs.entropies), {}, report};
  const auto run = [&]<bool WithStatistics, bool Capped>(std::bool_constant<WithStatistics>, std::bool_constant<Capped>) {
    using kernel = fused_gradient_block<T, WithStatistics, Capped, F>;
    const kernel work{results, strided_of(gradient), static_cast<A>(o.softcap), device_unit<A> * static_cast<A>(1 / o.temperature), strided_of(outputs.losses),
                      coefficients_of};
    const int threads = threads_of(policy, work, block_threads(logits.extent(1), sizeof(T), kernel::vectors, kernel::max_threads));
    launch_blocks(policy, {"fused_logits_gradient", rows, 1, threads, ranks_for(policy, work, logits.extent(1), threads)}, work);
  };
  const bool with_statistics = reads_entropy(coefficients_of) || !outputs.entropies.absent();
  if (!std::isinf(o.softcap)) run(std::true_type{}, std::true_type{});
  else if (with_statistics) run(std::true_type{}, std::false_type{});
  else run(std::false_type{}, std::false_type{});
}

}  // namespace detail

/// Stages 1 and 3 on attune::cuda in one launch, with one read and one write of the logits: see fused_logits_gradient of the host
/// (rows/fused_logits_gradient.hpp), whose formula, shapes and meanings these are.
///
/// coefficients_of  what row_objective(ppo{}, N, token_rows<float>{...}) returns, or a struct of your own with raw pointers and one of
///                    ATTUNE_FN row_loss operator()(const attune::token_row& row) const          {loss, {d loss / d logp, / d entropy, / d log_sum_exp}}
///                    ATTUNE_FN row_coefficients operator()(const attune::token_row& row) const
///                    ATTUNE_FN double operator()(std::int64_t n, double logp) const
///                  It is a function of its arguments and of memory that the call does not write, since several threads ask it the same. A member
///                  bool reads_entropy() const that returns false spares the entropy (row.entropy is then NaN).
/// outputs          optional: losses (of a row_loss), states, entropies. A row that is not read has loss 0, log-probability 0.
/// options          device_row_options without workspace.
/// How              a row is kept in the registers of 1, 2, 4 or 8 blocks: up to 163840 classes of 16 bits, 131072 floats, on devices with clusters
///                  (compute capability 9.0). Elsewhere, and where rows of logits or gradient do not all begin at multiples of 16 bytes, it is read twice.
/// Values           as of token_logps and logits_gradient on a device. Order: a row's bits depend on the row, its length and type, and whether there are clusters.
/// Cost             one launch, and one more for a report; unless `checked`, no allocation, copy or wait.
/// Throws           attune::error, before anything is launched: as on the host; losses without a row_loss; and a launch that CUDA refuses.
template <detail::block_policy Policy, detail::any_logits Logits, detail::any_labels Labels, class F>
void fused_logits_gradient(const Policy& policy, Logits&& logits, Labels&& targets, const F& coefficients_of,
                           view<detail::logit_arithmetic<Logits>, 1, device> logps, view<detail::logit<Logits>, 2, device> gradient,
                           const device_row_options& o = {}, const fused_outputs<detail::logit_arithmetic<Logits>>& outputs = {}) {
  static_assert(detail::row_loss_function<F> || detail::token_coefficient<F> || detail::logp_coefficient<F>,
                "attune: coefficients_of is called as row_loss or row_coefficients (const attune::token_row&), or as double(std::int64_t n, double logp)");
  detail::fused_in_blocks(policy, detail::readable_on_device<2>(static_cast<Logits&&>(logits)), detail::readable_on_device<1>(static_cast<Labels&&>(targets)),
                          coefficients_of, logps, gradient, o, outputs);
}

}  // namespace attune
