// SPDX-License-Identifier: MIT
#pragma once

#include <attune/distill/tokens.hpp>

namespace attune::distill {
namespace detail {

template <real A>
row_report position_weights(const view<const A, 2>& advantages, const view<A, 2>& weights, double gamma, const token_layout& layout) {
  const sequences all = sequences_of(advantages, layout);
  require_same_tokens(weights, "weights (in rows)", "weights (in columns)", advantages);
  attune::detail::require_distinct(weights, "weights");
  if (!(gamma >= 0 && gamma < infinity<double>)) {
    throw error("attune: gamma of position_weights is " + attune::detail::text(gamma) + "; expected a finite value >= 0");
  }
  for (std::int64_t s = 0; s < all.size(); ++s) {
    double total = 0, before = 0;
    all.for_each_active(s, [&](std::int64_t b, std::int64_t t) { total += std::abs(double(advantages(b, t))); });
    all.for_each_active(s, [&](std::int64_t b, std::int64_t t) {
      const double size = std::abs(double(advantages(b, t)));
      weights(b, t) = static_cast<A>(1 + gamma * (total == 0 ? 1 : 1 - before / total));
      before += size;
    });
  }
  return finish_tokens(all, weights);
}

}  // namespace detail

/// Importance weights of positions (IW-OPD): the more a student has left its teacher on the way to a token, the less the teacher knows about it.
///
///   weights[b, t] = 1 + gamma (1 - sum_{i < t} |a_i| / sum_i |a_i|),      a = advantages[b, :], sums over the active tokens of the sequence
///
/// from 1 + gamma at the first token to nearly 1 at the last; all 1 + gamma where every a is 0. They multiply the advantages, d loss / d log pi(y_t) =
/// -weights advantages / tokens, or are the coefficients of row_divergence on the same positions. Constants of the step: no gradient.
/// advantages [B, T], or packed [1, N]: float or double, as on_policy_advantages makes them from the teacher's and the sampler's log-probabilities;
/// weights of the same shape, maybe the same memory. gamma >= 0, 0.5 in the paper.
/// Values  0 where no active token is. An a that is NaN or infinite is seen in the weights of its sequence. Sums in double, in token order: padded and
///         packed give the same bits. The report is that of on_policy_advantages.
/// Throws  attune::error, before anything is written: shapes that differ, offsets that are none, gamma that is not finite or < 0. No allocation.
/// Source  Xie et al. 2026, arXiv:2606.22600, algorithm 1. The token itself is not in its own prefix, as in TRL.
template <attune::detail::real_tensor<2> Advantages>
row_report position_weights(Advantages&& advantages, view<attune::detail::element_of<Advantages, 2>, 2> weights, double gamma = 0.5,
                            const token_layout& layout = {}) {
  using A = attune::detail::element_of<Advantages, 2>;
  return detail::position_weights<A>(attune::detail::readable<2>(static_cast<Advantages&&>(advantages)), weights, gamma, layout);
}

}  // namespace attune::distill
