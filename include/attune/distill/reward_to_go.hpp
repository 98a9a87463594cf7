// SPDX-License-Identifier: MIT
#pragma once

#include <attune/distill/tokens.hpp>

namespace attune::distill {

struct reward_to_go_options {
  double gamma = 1;                ///< in [0, 1]: what a token is worth to the one before it. 0: every token has its own reward alone
  bool length_normalised = false;  ///< whether the sum is divided by that of its weights, so that early tokens are not paid for the length
};

namespace detail {

template <real A>
row_report reward_to_go(const view<const A, 2>& rewards, const view<A, 2>& results, const token_layout& layout, const reward_to_go_options& o) {
  const sequences all = sequences_of(rewards, layout);
  require_same_tokens(results, "results (in rows)", "results (in columns)", rewards);
  attune::detail::require_distinct(results, "results");
  if (!(o.gamma >= 0 && o.gamma <= 1)) {
    throw error("attune: reward_to_go_options.gamma is " + attune::detail::text(o.gamma) + "; expected a value in [0, 1]");
  }
  for (std::int64_t s = 0; s < all.size(); ++s) {
    const sequences::tokens own = all[s];
    double sum = 0, weight = 0;
    for (std::int64_t t = own.end - 1; t >= own.begin; --t) {
      if (!all.active(own.row, t)) continue;
      sum = double(rewards(own.row, t)) + (o.gamma == 0 ? 0 : o.gamma * sum);
      weight = 1 + o.gamma * weight;
      results(own.row, t) = static_cast<A>(o.length_normalised ? sum / weight : sum);
    }
  }
  return finish_tokens(all, results);
}

}  // namespace detail

/// What is still to come after a token is sampled, its own reward included, over the active tokens of its sequence:
///
///   results[b, t] = sum_{i >= t} gamma^(i - t) r_i [/ sum_{i >= t} gamma^(i - t), with length_normalised],        r = rewards[b, :]
///
/// Of r = on_policy_advantages it is the advantage of MiniLLM: with gamma = 1, -results grad log pi, summed over the tokens, has the gradient of the
/// KL(student || teacher) of whole sequences as its mean. i - t counts active tokens. gamma = 0 is r itself.
/// TRL's MiniLLM without length_normalization weighs by gamma^i instead (later tokens less, by their place in the batch); with it, the power of t
/// cancels, and it is the formula above.
/// rewards [B, T], or packed [1, N]: float or double; results of the same shape, maybe the same memory.
/// Values  0 where no active token is. A NaN or infinite reward is seen in all results before it (gamma 0: in its own). Sums in double, from the
///         last token to the first: padded and packed give the same bits. The report is that of on_policy_advantages.
/// Throws  attune::error, before anything is written: shapes that differ, offsets that are none, gamma outside [0, 1]. No allocation.
/// Source  MiniLLM, Gu et al. 2023, arXiv:2306.08543; the normalisation, and that the token's own reward is in it, as in TRL.
template <attune::detail::real_tensor<2> Rewards>
row_report reward_to_go(Rewards&& rewards, view<attune::detail::element_of<Rewards, 2>, 2> results, const token_layout& layout = {},
                        const reward_to_go_options& o = {}) {
  using A = attune::detail::element_of<Rewards, 2>;
  return detail::reward_to_go<A>(attune::detail::readable<2>(static_cast<Rewards&&>(rewards)), results, layout, o);
}

}  // namespace attune::distill
