// SPDX-License-Identifier: MIT
// Objectives on tokens as functions of a row of logits, for fused_logits_gradient on a device.
#pragma once

#include <attune/exec/check_tokens.hpp>
#include <attune/exec/device/row_arguments.hpp>
#include <attune/rows/fused_logits_gradient.hpp>

namespace attune {

/// What a row costs, and the derivatives of that.
struct row_loss {
  double loss = 0;
  row_coefficients slope{};
};

/// The data of the tokens whose log-probabilities rows of logits give, an element a row: what the objective reads is given, the rest left out.
template <real A> struct token_rows {
  view<const A, 1, device> old_logp{};                ///< [N] log pi_old(token)
  view<const A, 1, device> ref_logp{};                ///< [N] log pi_ref(token)
  view<const A, 1, device> advantage{};               ///< [N]; or
  sequence_coefficients<A> sequence_advantage{};      ///< those of the sequences that rows belong to
  view<const A, 1, device> correction{};              ///< [N] multiplies the surrogate; 1 if left out
  view<const std::uint8_t, 1, device> selected{};     ///< [N] by a rule over the batch
  view<const A, 1, device> weight{};                  ///< [N] >= 0, the row's share of the loss; 1 if left out. 0: loss and gradient are 0
  double normalizer = 1;                              ///< > 0; what the loss is divided by: for token_mean the tokens (or weights) of the whole batch
  bool on_policy = false;                             ///< the samples are the policy's own: every ratio is 1, with the derivative of log pi; no old_logp
};

namespace detail {

template <class O, real A> struct token_row_objective {
  O objective;
  std::int64_t rows;
  strided<const A> old_logp, ref_logp, correction, weight;
  coefficient_reader<A> advantage;
  strided<const std::uint8_t> selected;
  double scale;
  bool on_policy, corrects_all, entropy;

  bool reads_entropy() const { return entropy; }
  void require_rows(std::int64_t n) const { require_extent(rows, n, "token_rows", "the logits' rows"); }

  ATTUNE_FN row_loss operator()(const token_row& row) const {
    using S = dual<A, 2>;
    const std::int64_t n = row.n;
    double share = scale * at(weight, n, 1);
    if (share == 0) return {};
    if (corrects_all) share *= at(correction, n, 1);
    const double old = old_logp.given() ? static_cast<double>(old_logp(n)) : row.logp;
    token<S> x;
    x.logp = S::variable(static_cast<A>(row.logp), 0);
    x.log_ratio = S::variable(on_policy ? A(0) : static_cast<A>(row.logp - old), 0);
    x.entropy = entropy ? S::variable(static_cast<A>(row.entropy), 1) : S(A(0));
    x.old_logp = static_cast<A>(old);
    x.ref_logp = static_cast<A>(at(ref_logp, n, 0));
    x.advantage = advantage.values.given() ? static_cast<A>(advantage(n)) : A(0);
    x.correction = corrects_all ? A(1) : static_cast<A>(at(correction, n, 1));
    x.selected = selected.given() && selected(n) != 0 ? A(1) : A(0);
    const S loss = objective(x);
    return {share * static_cast<double>(loss.value), {share * static_cast<double>(loss.grad[0]), share * static_cast<double>(loss.grad[1]), 0}};
  }

 private:
  static ATTUNE_FN double at(const strided<const A>& x, std::int64_t n, double absent) { return x.given() ? static_cast<double>(x(n)) : absent; }
};

/// Throws unless what the objective reads is given, and no more.
template <class O, real A> void require_token_rows(const O& objective, const token_rows<A>& data) {
  const auto presence_of = [&](bool read, bool given, presence in, const char* member) { check_presence(read, given, in, "token_rows", member); };
  const bool ratio = reads_token(objective, "log_ratio"), old = reads_token(objective, "old_logp");
  const bool own = !data.advantage.absent(), of_sequences = !data.sequence_advantage.values.absent();
  if (ratio && attune::recipe_of(objective).ratio.level != ratio_level::token) {
    throw error("attune: the objective's ratio is that of a sequence; expected one of single tokens (others: token_logps, evaluate, logits_gradient)");
  }
  if (data.on_policy && !data.old_logp.absent()) throw error("attune: token_rows.old_logp is given with token_rows.on_policy; expected one of them");
  if (own && of_sequences) throw error("attune: token_rows.advantage and token_rows.sequence_advantage are both given; expected one of them");
  if (!data.on_policy) presence_of(ratio || old, !data.old_logp.absent(), presence::usual, "old_logp");
  presence_of(reads_token(objective, "ref_logp"), !data.ref_logp.absent(), presence::usual, "ref_logp");
  presence_of(reads_token(objective, "advantage"), own || of_sequences, presence::usual, "advantage (or sequence_advantage)");
  presence_of(reads_token(objective, "selected"), !data.selected.absent(), presence::exact, "selected");
  if (!(data.normalizer > 0 && data.normalizer <= largest<double>)) {
    throw error("attune: token_rows.normalizer is " + text(data.normalizer) + "; expected a finite number > 0, the denominator of the whole batch");
  }
}

}  // namespace detail

/// An objective on tokens (ppo, reinforce, cispo, penalised{...}, or any struct with a call operator on one token<S>) as what fused_logits_gradient on a
/// device takes for coefficients_of. With x[n] the objective's loss of the token of row n, its log-ratio log pi - old_logp[n]:
///
///   loss of row n = weight[n] / normalizer x[n],      its derivatives by logp and entropy exact (dual numbers), in the logits' arithmetic
///
/// rows          N, the rows of the logits
/// Means         the objective's reduction is not applied: weight and normalizer say the same (a mean of sequences' means: weight 1 / length, normalizer S).
/// Throws        attune::error: parameters outside their domain, data that the objective reads and that is missing, ratios of whole sequences.
template <token_objective O, real A> auto row_objective(const O& objective, std::int64_t rows, const token_rows<A>& data) {
  using namespace detail;
  if constexpr (parametrised<O>) validate(objective);
  require_token_rows(objective, data);
  for (const auto& [x, name] : {std::pair{&data.old_logp, "token_rows.old_logp"}, std::pair{&data.ref_logp, "token_rows.ref_logp"},
                                std::pair{&data.correction, "token_rows.correction"}, std::pair{&data.weight, "token_rows.weight"}}) {
    require_rows_if_given(*x, rows, name);
  }
  require_rows_if_given(data.selected, rows, "token_rows.selected");
  coefficient_reader<A> advantage{};
  if (!data.advantage.absent()) require_rows(data.advantage, rows, "token_rows.advantage");
  if (!data.advantage.absent()) advantage = coefficients_of(data.advantage, rows);
  else if (!data.sequence_advantage.values.absent()) advantage = coefficients_of(data.sequence_advantage, rows);
  const bool corrects_all = !data.correction.absent() && !reads_token(objective, "correction");
  return token_row_objective<O, A>{objective, rows, strided_of(data.old_logp), strided_of(data.ref_logp), strided_of(data.correction), strided_of(data.weight),
                                   advantage, strided_of(data.selected), 1 / data.normalizer, data.on_policy, corrects_all, reads_token(objective, "entropy")};
}

}  // namespace attune
