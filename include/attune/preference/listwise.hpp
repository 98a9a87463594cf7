// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/unit.hpp>
#include <attune/preference/group.hpp>
#include <attune/ranking/order.hpp>

namespace attune {

/// A group objective composed of a score and a list loss (ranking/):
///
///   loss = list( z, r ) + best_nll * nll(best),   z_i = beta score(y_i) [nat],   r_i = reward(y_i)
///   d loss / d log pi(y_i) = beta (d list / d z_i) (d score / d log pi)      - best_nll [i is best] (/ |y_i|)
///
/// best_nll: weight of the negative log-likelihood of the completion with the highest reward (RRHF, PRO); completions that share the
/// highest reward share the weight. per_token: that likelihood's mean per token instead of its sum.
/// A group in which a reward is not finite gives NaN.
/// The implicit reward of a completion is beta x score.
template <class Score, class List>
struct listwise {
  Score score{};
  List list{};
  double beta = 0.1;
  double best_nll = 0;
  bool per_token = false;

  ATTUNE_FN double operator()(const group<double>& g, double* d) const {
    if (g.size() < 1) return 0;
    double z[group_room], r[group_room], slope[group_room];
    for (int i = 0; i < g.size(); ++i) {
      using D = dual<double, 1>;
      const D s = score(completion<D>{D::variable(g[i].logp, 0), g[i].ref_logp, g[i].length, g[i].reward});
      z[i] = beta * s.value;
      slope[i] = beta * s.grad[0];
      r[i] = g[i].reward;
    }
    const ranking::values rewards{r, g.size()};
    if (!ranking::all_finite(rewards)) return not_a_number(d, g.size());
    const double loss = list({z, g.size()}, rewards, d);
    for (int i = 0; i < g.size(); ++i) d[i] *= slope[i];
    return best_nll > 0 ? loss + add_best_nll(g, d) : loss;
  }
  ATTUNE_FN double reward(const completion<double>& y) const { return beta * score(y); }

  static constexpr auto parameters() {
    return std::array{parameter<listwise>{"beta", &listwise::beta, positive, "inverse temperature [1/nat]"},
                      parameter<listwise>{"best_nll", &listwise::best_nll, nonnegative, "weight of the best completion's -log pi"}};
  }
  template <class Visit>
  constexpr void for_each_part(Visit&& visit) const {
    visit(score);
    visit(list);
  }

 private:
  ATTUNE_FN double add_best_nll(const group<double>& g, double* d) const {
    double best = g[0].reward, ties = 0, sum = 0;
    for (const auto& y : g) best = max(best, y.reward);
    for (const auto& y : g) ties += y.reward == best;
    for (int i = 0; i < g.size(); ++i) {
      if (g[i].reward != best) continue;
      const double weight = best_nll / ties / (per_token ? g[i].length : 1);
      sum -= weight * g[i].logp;
      d[i] -= weight;
    }
    return sum;
  }
  ATTUNE_FN static double not_a_number(double* d, int size) {
    for (int i = 0; i < size; ++i) d[i] = __builtin_nan("");
    return __builtin_nan("");
  }
};

template <class Score, class List>
listwise(Score, List, double) -> listwise<Score, List>;

}  // namespace attune
