// SPDX-License-Identifier: MIT
// Where attune meets this trainer: the three stages between the model's logits and their gradient. Everything else in this folder is what
// any trainer has anyway.
//
//   network.forward        tokens [B,T] -> logits [B,T,Vp]
//     stage 1              attune::token_logps, attune::sequence_logps         logits -> log pi(completion) [B]
//     stage 2              attune::evaluate                                    -> report, d loss / d log pi [B]
//     stage 3              attune::token_coefficients, attune::logits_gradient -> d loss / d logits, in place of the logits
//   network.backward       -> d loss / d parameters
#pragma once

#include "network.hpp"
#include "objective.hpp"
#include "state.hpp"

#include <attune/link/logistic.hpp>
#include <attune/preference/preference.hpp>
#include <attune/rows/logits_gradient.hpp>
#include <attune/rows/sequence.hpp>
#include <attune/rows/token_logps.hpp>
#include <attune/score/mean_logp.hpp>

#include <span>

namespace align {

/// What stage 1 finds in B rows, and stage 3 needs of it.
template <class Real> struct scores {
  std::vector<Real> token_logps;          ///< [B, T] log pi(token) [nat], 0 outside the completion
  std::vector<attune::row_state> states;  ///< [B, T] normalisers of the softmax rows
  std::vector<Real> logps, lengths;       ///< [B] log pi(completion) [nat], completion tokens

  /// The first half of the rows are chosen, the second half rejected completions.
  std::span<const Real> chosen(const std::vector<Real>& x) const { return std::span(x).first(x.size() / 2); }
  std::span<const Real> rejected(const std::vector<Real>& x) const { return std::span(x).last(x.size() / 2); }
};

/// The logits as attune sees them: B*T rows of V columns, Vp apart. No copy; the padded columns are never read.
template <class Real> attune::view<Real, 2> logits_view(network<Real>& net, const batch& b) {
  const auto rows = std::int64_t(b.rows * b.length), V = std::int64_t(net.dimensions().vocabulary),
             Vp = std::int64_t(net.dimensions().padded);
  return {net.logits(), {rows, V}, {Vp, 1}};
}
/// The same memory with its padded columns, which a gradient has to set to zero.
template <class Real> attune::view<Real, 2> gradient_view(network<Real>& net, const batch& b) {
  return attune::as_view(net.logits(), b.rows * b.length, net.dimensions().padded);
}

/// Forward pass and stage 1.
template <class Real> scores<Real> score(network<Real>& net, const std::vector<Real>& parameters, const batch& b) {
  net.forward(parameters, b);
  const std::size_t positions = b.rows * b.length;
  scores<Real> s{std::vector<Real>(positions), std::vector<attune::row_state>(positions), std::vector<Real>(b.rows),
                 std::vector<Real>(b.rows)};
  attune::token_logps(net.threads(), logits_view(net, b), b.targets, s.token_logps, s.states, {.mask = b.mask});
  attune::sequence_logps(attune::as_view(s.token_logps.data(), b.rows, b.length), attune::as_view(b.mask.data(), b.rows, b.length), s.logps,
                         s.lengths);
  return s;
}

/// Stage 3 and backward pass, after score() of the same batch. d_logps[B] = d loss / d log pi(completion): every token of a completion has
/// its completion's coefficient, since the log-probabilities of tokens add up. The gradient of the parameters is added inside `net`.
template <class Real>
void backpropagate(network<Real>& net, const std::vector<Real>& parameters, const batch& b, const scores<Real>& s,
                   const std::vector<Real>& d_logps) {
  std::vector<Real> coefficients(b.rows * b.length);
  attune::token_coefficients(d_logps, attune::as_view(b.mask.data(), b.rows, b.length),
                             attune::as_view(coefficients.data(), b.rows, b.length));
  attune::logits_gradient(net.threads(), logits_view(net, b), b.targets, s.states, coefficients, gradient_view(net, b), {.mask = b.mask});
  net.backward(parameters, b);
}

/// A batch of pairs as an objective reads it. An objective that needs no reference gets none.
template <class Real> attune::pairs<Real> pairs_of(const scores<Real>& policy, const std::vector<Real>& reference_logps) {
  attune::pairs<Real> p{.chosen = policy.chosen(policy.logps), .rejected = policy.rejected(policy.logps)};
  p.chosen_length = policy.chosen(policy.lengths);
  p.rejected_length = policy.rejected(policy.lengths);
  if (!reference_logps.empty()) {
    p.ref_chosen = policy.chosen(reference_logps);
    p.ref_rejected = policy.rejected(reference_logps);
  }
  return p;
}

/// Ranks by the mean log-probability of a token.
inline constexpr attune::preference ranking{attune::score::mean_logp{}, attune::link::logistic{}, 1.0};

/// One micro-batch of an alignment step. `whole` is the number of pairs in the step: with that denominator the gradients of its
/// micro-batches add up to the gradient of the whole, however it is split.
template <class Real>
evaluation align_micro_batch(network<Real>& net, const std::vector<Real>& parameters, const batch& b,
                             const std::vector<Real>& reference_logps, const objective& loss, std::size_t whole) {
  const scores<Real> s = score(net, parameters, b);
  const attune::pairs<Real> pairs = pairs_of(s, reference_logps);
  std::vector<Real> d_logps(b.rows);
  const std::span<Real> d_chosen = std::span(d_logps).first(b.rows / 2), d_rejected = std::span(d_logps).last(b.rows / 2);
  const evaluation found{loss(pairs, {.chosen = d_chosen, .rejected = d_rejected}, {.normalizer = double(whole)}),
                         attune::evaluate(ranking, pairs)};
  backpropagate(net, parameters, b, s, d_logps);
  return found;
}

/// The same without gradients.
template <class Real>
evaluation evaluate_micro_batch(network<Real>& net, const std::vector<Real>& parameters, const batch& b,
                                const std::vector<Real>& reference_logps, const objective& loss) {
  const scores<Real> s = score(net, parameters, b);
  const attune::pairs<Real> pairs = pairs_of(s, reference_logps);
  return {loss(pairs), attune::evaluate(ranking, pairs)};
}

/// One micro-batch of supervised fine-tuning: loss = -(sum of log pi over completion tokens) / tokens, with the token count of the whole
/// step, so that every token weighs the same. The same stages, with the constant coefficient -1/tokens. Returns the micro-batch's share of
/// the loss.
template <class Real> double fit_micro_batch(network<Real>& net, const std::vector<Real>& parameters, const batch& b, std::size_t tokens) {
  const scores<Real> s = score(net, parameters, b);
  backpropagate(net, parameters, b, s, std::vector<Real>(b.rows, Real(-1) / Real(tokens)));
  double sum = 0;
  for (Real logp : s.logps) sum -= double(logp);
  return sum / double(tokens);
}

}  // namespace align
