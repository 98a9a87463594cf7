// SPDX-License-Identifier: MIT
// Baselines of least variance: the mean of a group's returns, weighted by the squared length of each sample's score.
//
//   Var[(R - b) g] is least at  b = E[|g|^2 R] / E[|g|^2],     g = grad log pi of what was sampled, here in the space of the logits:
//   |g_t|^2 = |onehot(y_t) - pi_t|^2 = w_t = 1 - 2 pi(y_t) + sum_v pi(v)^2 = (1 - pi(y_t))^2 + sum_(v not y_t) pi(v)^2   >= 0
//
// of a prefix or a completion the sum over its tokens (their scores have mean 0 given what is before, so squares add up).
// Source   Greensmith, Bartlett, Baxter 2004, "Variance reduction techniques for gradient estimates in reinforcement learning"; on tokens:
//          arXiv:2602.07078, verl (optimal_token_baseline).
#pragma once

#include <attune/policy/advantage/group.hpp>

namespace attune::advantage {

/// A sequence while the token baseline is computed; the caller gives memory for one each.
struct baseline_prefix {
  std::int64_t next = 0;  ///< where its next token is looked for
  double weight = 0;      ///< sum of w over the tokens so far
};

/// Log-probabilities of sampled tokens, and of a token and another draw being the same, log sum_v pi(v)^2, as collision_logps writes them;
/// both [B, T] or packed [1, N].
template <real T>
struct token_scores {
  view<const T, 2> logps{};
  view<const T, 2> collision_logps{};
};

namespace detail {

/// w, from logarithms: no difference of numbers near 1.
inline double squared_score(double logp, double collision_logp) {
  const double own = std::exp(logp), others = std::exp(collision_logp) - own * own, rest = std::expm1(logp);
  return rest * rest + (others > 0 ? others : others == others ? 0 : others);
}
template <class T>
double squared_score(const token_scores<T>& x, std::int64_t row, std::int64_t t) {
  return squared_score(static_cast<double>(x.logps(row, t)), static_cast<double>(x.collision_logps(row, t)));
}

/// A weighted mean of numbers, exact where all are equal; the plain one where all weights are 0. eps draws it to 0: sum w x / (sum w + eps).
struct weighted_mean {
  double eps = 0, origin = 0, weight = 0, above = 0, plain = 0, count = 0;
  void add(double x, double w) {
    if (count++ == 0) origin = x;
    weight += w;
    above += w * (x - origin);
    plain += x - origin;
  }
  double value() const {
    if (weight == 0) return eps > 0 ? 0 : origin + plain / count;
    return (origin + above / weight) * (weight / (weight + eps));
  }
};

template <class T>
void require_scores(const token_scores<T>& scores, const sequences& where, double eps) {
  require_tokens(scores.logps, where, "token_scores.logps");
  require_tokens(scores.collision_logps, where, "token_scores.collision_logps");
  if (!(eps >= 0 && std::isfinite(eps))) throw error("attune: eps of an optimal baseline is " + attune::detail::text(eps) + "; expected a finite number >= 0");
}
/// Moves to the sequence's next active token; false at its end.
inline bool at_token(const sequences& where, const sequences::tokens& own, baseline_prefix& x) {
  while (x.next < own.end && !where.active(own.row, x.next)) ++x.next;
  return x.next < own.end;
}

inline void require_partners(const sequences& groups, group_of_one single) {
  for (std::int64_t g = 0; g < groups.size() && single == group_of_one::refuse; ++g) {
    if (groups.active_tokens(g) == 1) {
      throw error("attune: group " + attune::detail::text((long long)g) + " has 1 active sequence; expected 2 or more, or group_of_one::zero or raw");
    }
  }
}

/// The optimal baseline of the tokens that stand at the same place, one of each member of a group; false where there is none.
template <class T>
bool baseline_of_place(const sequences& where, const sequences& groups, std::int64_t g, const view<const T, 2>& returns, const token_scores<T>& scores,
                       std::span<baseline_prefix> scratch, weighted_mean& mean) {
  groups.for_each_active(g, [&](std::int64_t row, std::int64_t column) {
    const std::int64_t s = completion(groups, row, column);
    const sequences::tokens own = where[s];
    baseline_prefix& x = scratch[std::size_t(s)];
    if (!at_token(where, own, x)) return;
    x.weight += squared_score(scores, own.row, x.next);
    mean.add(static_cast<double>(returns(own.row, x.next)), x.weight);
  });
  return mean.count > 0;
}

}  // namespace detail

/// Optimal token baseline: the k-th token of a sequence is compared with the k-th tokens of its group's other sequences,
///
///   A_i,k = R_i,k - b_k,     b_k = sum_j W_j,k R_j,k / (sum_j W_j,k + eps),     W_j,k = w_j,0 + ... + w_j,k          j over the group of i
///
/// R: returns of tokens, as discounted_returns writes them. k counts active tokens, so padding on either side gives the same; where there
/// are masked tokens within sequences, verl counts columns instead. Where one sequence alone is as long, R is its own baseline and A = 0.
/// It contains the sample's own return, as the group's mean does. returns, advantages (which may be their memory), scores [B, T] or packed
/// [1, N]; groups of the S sequences; scratch [S]. eps: verl 1e-8; 0: b is exact where returns are equal, and the plain mean where all W are
/// 0. Sequences in no group, and tokens that are not active, get exactly 0. A group of one: `single`, as in of_groups (raw: A = R).
/// Values that are not finite are counted, and reach all of the group from there on. No allocation; O(tokens).
/// Throws attune::error, before anything is written: sizes and groups that are wrong, eps < 0, a group of one that is to be refused.
template <tensor Returns>
token_report optimal_token_baseline(const sequences& where, Returns&& returns, const std::type_identity_t<token_scores<detail::element_of<Returns, 2>>>& scores,
                                    const grouping& grouped, std::span<baseline_prefix> scratch, view<detail::element_of<Returns, 2>, 2> advantages,
                                    double eps = 0, group_of_one single = group_of_one::refuse) {
  using T = detail::element_of<Returns, 2>;
  const auto r = detail::readable<2>(static_cast<Returns&&>(returns));
  const sequences groups = detail::groups_of(where.size(), grouped);
  detail::require_tokens(r, where, "returns");
  detail::require_scores(scores, where, eps);
  detail::require_token_results(advantages, where, "advantages");
  attune::detail::require_extent(std::int64_t(scratch.size()), where.size(), "scratch", "the number of sequences");
  detail::require_partners(groups, single);

  token_report report;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    const bool alone = groups.active_tokens(g) == 1;
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t column) {
      const std::int64_t s = detail::completion(groups, row, column);
      scratch[std::size_t(s)] = {.next = where[s].begin};
      detail::count_sequence(report, where.active_tokens(s));
    });
    for (detail::weighted_mean mean{.eps = eps}; detail::baseline_of_place(where, groups, g, r, scores, scratch, mean); mean = {.eps = eps}) {
      groups.for_each_active(g, [&](std::int64_t row, std::int64_t column) {
        const std::int64_t s = detail::completion(groups, row, column);
        const sequences::tokens own = where[s];
        baseline_prefix& x = scratch[std::size_t(s)];
        if (x.next == own.end) return;
        const auto reward = static_cast<double>(r(own.row, x.next)), advantage = alone ? detail::alone(reward, single) : reward - mean.value();
        advantages(own.row, x.next++) = static_cast<T>(advantage);
        report.non_finite += !std::isfinite(advantage);
      });
    }
  }
  detail::for_each_inactive(groups, [&](std::int64_t row, std::int64_t column) {
    where.for_each_active(detail::completion(groups, row, column), [&](std::int64_t r0, std::int64_t t) { advantages(r0, t) = T(0); });
  });
  detail::clear_inactive(where, advantages);
  return report;
}

/// The same with one baseline for whole completions:
///
///   A_i = r_i - b,     b = sum_j W_j r_j / (sum_j W_j + eps),     W_j = sum of w over the tokens of j          j over the group of i
///
/// rewards [S]; result [S], exactly 0 for sequences in no group; it may be the rewards' memory. A sequence without active tokens has W = 0. OPO is the
/// same with W = length. Errors as optimal_token_baseline, and an active reward that is NaN or infinite. No allocation.
template <tensor Rewards>
group_report optimal_baseline(const sequences& where, Rewards&& rewards, const std::type_identity_t<token_scores<detail::element_of<Rewards, 1>>>& scores,
                              const grouping& grouped, view<detail::element_of<Rewards, 1>> result, double eps = 0, group_of_one single = group_of_one::refuse) {
  using T = detail::element_of<Rewards, 1>;
  const auto r = detail::readable<1>(static_cast<Rewards&&>(rewards));
  attune::detail::require_extent(r.extent(0), where.size(), "rewards", "the number of sequences");
  const sequences groups = detail::groups_of(where.size(), grouped);
  detail::require_scores(scores, where, eps);
  detail::require_groups(groups, r, result, single);
  const auto out = detail::folded(result, groups);
  group_report report;
  for (std::int64_t g = 0; g < groups.size(); ++g) {
    const reward::statistics own = detail::statistics_of_group(groups, detail::folded(r, groups), g);
    detail::count_group(report, own);
    detail::weighted_mean mean{.eps = eps};
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t column) {
      const std::int64_t s = detail::completion(groups, row, column);
      double weight = 0;
      where.for_each_active(s, [&](std::int64_t r0, std::int64_t t) { weight += detail::squared_score(scores, r0, t); });
      mean.add(static_cast<double>(r(s)), weight);
    });
    groups.for_each_active(g, [&](std::int64_t row, std::int64_t column) {
      const auto x = static_cast<double>(r(detail::completion(groups, row, column)));
      out(row, column) = static_cast<T>(own.count == 1 ? detail::alone(x, single) : x - mean.value());
    });
  }
  detail::clear_inactive(groups, out);
  return report;
}

}  // namespace attune::advantage
