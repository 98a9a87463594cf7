// SPDX-License-Identifier: MIT
// What is trained on, chosen by reward: best-of-n, expert iteration, Quark, the pairs of Temporal Self-Rewarding.
#include "support/catch.hpp"

#include <attune/check/toy.hpp>
#include <attune/preference/sft.hpp>
#include <attune/reward/best_of_n.hpp>
#include <attune/reward/expert_iteration.hpp>
#include <attune/reward/quark.hpp>
#include <attune/reward/temporal_pair.hpp>

#include <random>

using namespace attune::reward;
namespace toy = attune::toy;
using vector = std::vector<double>;

namespace {

const double not_a_number = std::numeric_limits<double>::quiet_NaN();

vector best_of_n_of(const vector& p, const vector& reward, std::int64_t n) {
  vector result(p.size());
  best_of_n(p, reward, n, result);
  return result;
}

}  // namespace

TEST_CASE("best_of_n: by enumeration of all draws, ties included") {
  const vector p{.1, .4, 0, .3, .2}, reward{2, -1, 5, 2, 0.5};
  for (int n : {1, 2, 3, 6}) {
    vector won(5, 0.0);
    toy::for_each_multiset(p, n, [&](const std::vector<int>& counts, double probability) {
      double best = -attune::infinity<double>, ties = 0;
      for (std::size_t i = 0; i < 5; ++i) best = counts[i] > 0 ? std::max(best, reward[i]) : best;
      for (std::size_t i = 0; i < 5; ++i) ties += reward[i] == best ? counts[i] : 0;
      for (std::size_t i = 0; i < 5; ++i) won[i] += reward[i] == best ? probability * counts[i] / ties : 0;
    });
    const vector found = best_of_n_of(p, reward, n);
    for (std::size_t i = 0; i < 5; ++i) CHECK(found[i] == Approx(won[i]).epsilon(1e-13).margin(1e-300));
  }
}

TEST_CASE("best_of_n: one draw is the policy, many are the best outcome, tiny probabilities keep their digits") {
  const vector p{.5, .3, .2}, reward{1, 3, 2};
  CHECK(best_of_n_of(p, reward, 1)[1] == Approx(.3).epsilon(1e-15));
  CHECK(best_of_n_of(p, reward, 10000)[1] == 1);
  CHECK(best_of_n_of(p, {4, 4, 4}, 7)[0] == Approx(.5).epsilon(1e-15));  // nothing to choose
  // The rare best outcome: 1 - (1 - p)^n; the rare worst one: p^n; between the others: n p F^(n-1), to first order.
  const vector found = best_of_n_of({1e-20, .5, 1e-20, .5, 1e-30}, {0, 1, 2, 3, 4}, 8);
  CHECK(found[4] == Approx(8e-30).epsilon(1e-14));
  CHECK(found[2] == Approx(8e-20 * std::pow(.5, 7)).epsilon(1e-14));
  CHECK(found[0] == Approx(1e-160).epsilon(1e-13));
  CHECK(found[1] == Approx(std::pow(.5, 8)).epsilon(1e-14));
  // As many draws as the best outcome is rare: it stays away from all of them with probability (1 - 1/n)^n.
  CHECK(best_of_n_of({1, 1e-18}, {0, 1}, 1000000000000000000)[0] == Approx(std::exp(-1.0)).epsilon(1e-14));
}

TEST_CASE("best_of_n: the KL to the policy stays below log n - (n - 1)/n, and reaches it on a fine scale of rewards") {
  std::mt19937 bits(7);
  for (int k = 0; k < 50; ++k) {
    vector p, reward;
    for (int i = 0; i < 2 + k % 7; ++i) p.push_back(1 + double(bits() % 100)), reward.push_back(double(bits() % 10));
    const toy::softmax_policy base = toy::categorical(p);
    for (std::int64_t n : {1, 2, 5, 40}) {
      CHECK(toy::kl(toy::categorical(best_of_n_of(base.probabilities(), reward, n)), base) <= best_of_n_kl_bound(n) + 1e-12);
    }
  }
  vector fine(2000, 1 / 2000.0), order;
  for (int i = 0; i < 2000; ++i) order.push_back(i);
  CHECK(toy::kl(toy::categorical(best_of_n_of(fine, order, 4)), toy::categorical(fine)) == Approx(best_of_n_kl_bound(4)).epsilon(1e-5));
  CHECK(best_of_n_kl_bound(1) == 0);
  CHECK(best_of_n_kl_bound(4) == Approx(std::log(4.0) - 0.75).epsilon(1e-15));
}

TEST_CASE("best_of: the first of the highest, of floats and any stride") {
  const std::vector<float> r{-3, 2, 7, 2, 7};
  CHECK(best_of(r) == 2);
  CHECK(best_of(attune::as_view(r.data(), {3}, {2})) == 1);
}

TEST_CASE("expert iteration: each group's best, ties shared, masked completions unread") {
  const vector r{1, 3, 2, 5, 5, 0, -1, not_a_number, -2};
  const std::vector<std::uint8_t> mask{1, 1, 1, 1, 1, 1, 1, 0, 1}, none(9, 0);
  vector w(9, 99.0);
  expert_iteration_weights(r, 3, w, mask);
  CHECK(w == vector{0, 1, 0, .5, .5, 0, 1, 0, 0});
  expert_iteration_weights(r, 3, w, none);
  CHECK(w == vector(9, 0.0));

  const std::vector<std::int64_t> begin{0, 1, 1, 4, 9};  // groups of 1, 0, 3 and 5
  expert_iteration_weights(r, begin, w, mask);
  CHECK(w == vector{1, 0, 0, 1, 1, 0, 0, 0, 0});
  std::vector<float> in_place{1, 1, 0, 2};
  expert_iteration_weights(in_place, 2, in_place);
  CHECK(in_place == std::vector<float>{.5F, .5F, 0, 1});
}

TEST_CASE("expert iteration: its gradient, over all groups of n draws, is fine-tuning on the best-of-n policy") {
  const toy::softmax_policy policy{{.3, -.2, .5, .1}};
  const vector p = policy.probabilities(), reward{0, 2, 1, 2};
  const vector log_pi = policy.log_probabilities(), target = best_of_n_of(p, reward, 3);
  vector coefficients(4, 0.0);
  double loss = 0;
  toy::for_each_multiset(p, 3, [&](const std::vector<int>& counts, double probability) {
    std::vector<std::size_t> outcome;
    for (std::size_t i = 0; i < 4; ++i) outcome.insert(outcome.end(), std::size_t(counts[i]), i);
    vector logp, r, w(3), d(3);
    for (std::size_t i : outcome) logp.push_back(log_pi[i]), r.push_back(reward[i]);
    expert_iteration_weights(r, 3, w);
    loss += probability * attune::evaluate(attune::sft{}, attune::singles<double>{.logp = logp, .weight = w}, {.logp = d}).loss();
    for (std::size_t k = 0; k < 3; ++k) coefficients[outcome[k]] += probability * d[k];
  });
  CHECK(loss == Approx(toy::cross_entropy(toy::categorical(target), policy)).epsilon(1e-13));
  for (std::size_t i = 0; i < 4; ++i) CHECK(coefficients[i] == Approx(-target[i]).epsilon(1e-13));
}

TEST_CASE("Quark: quantiles by reward, the remainder to the worst, equal rewards in order, and weights for the best quantile") {
  const vector r{.1, .9, .5, .5, .7, -1, .2, .5, .3};  // by place: .9 .7 | .5 .5 | .5 .3 | .2 .1 -1
  std::vector<std::int32_t> quantile(9);
  quark_quantiles(r, 4, quantile);
  CHECK(quantile == std::vector<std::int32_t>{3, 0, 1, 1, 0, 3, 3, 2, 2});
  vector w(9);
  quark_weights(r, 4, w);
  CHECK(w == vector{0, 1, 0, 0, 1, 0, 0, 0, 0});
  quark_weights(r, 1, w);
  CHECK(w == vector(9, 1.0));
  std::vector<float> one{2}, weight(1);
  quark_weights(one, 1, weight);
  CHECK(weight[0] == 1);
}

TEST_CASE("Temporal Self-Rewarding: the initial model's worst if worse, a future model's best if better") {
  const vector present{6, 8, 7, 8}, past{5, 2, 9}, weak{6.5, 7}, future{8, 9.5};
  temporal_pair pair = temporal_self_rewarding_pair(present);
  CHECK((pair.chosen == 1 && pair.chosen_score == 8 && pair.rejected == 0 && pair.rejected_score == 6));
  CHECK((pair.chosen_from == generation::present && pair.rejected_from == generation::present));

  pair = temporal_self_rewarding_pair(present, past, future);
  CHECK((pair.rejected_from == generation::past && pair.rejected == 1 && pair.rejected_score == 2));
  CHECK((pair.chosen_from == generation::future && pair.chosen == 1 && pair.chosen_score == 9.5));

  pair = temporal_self_rewarding_pair(present, weak, weak);  // neither is beyond the present model's
  CHECK((pair.rejected_from == generation::present && pair.chosen_from == generation::present));
  const vector flat{3, 3}, lower{1};
  CHECK_FALSE(temporal_self_rewarding_pair(flat).usable());
  CHECK(temporal_self_rewarding_pair(flat, lower).usable());
}

TEST_CASE("Temporal Self-Rewarding: the gap that the present model loses as it improves is kept by the anchor") {
  std::mt19937 bits(3);
  double vanilla = 0, anchored = 0;
  for (int prompt = 0; prompt < 200; ++prompt) {
    vector past, present;
    for (int k = 0; k < 7; ++k) past.push_back(double(bits() % 1000) / 100), present.push_back(9 + double(bits() % 100) / 100);  // 0..10, then 9..10
    const temporal_pair alone = temporal_self_rewarding_pair(present), pair = temporal_self_rewarding_pair(present, past);
    vanilla += alone.chosen_score - alone.rejected_score;
    anchored += pair.chosen_score - pair.rejected_score;
    CHECK(pair.chosen_score - pair.rejected_score >= alone.chosen_score - alone.rejected_score);
  }
  CHECK(anchored > 9 * vanilla);
}

TEST_CASE("choice by reward: what is no reward, or does not fit, is refused before anything is written") {
  const vector p{.5, .5}, good{1, 2}, bad{1, not_a_number}, none, wrong{.5, 1.5};
  vector out{7, 7}, three(3);
  std::vector<std::int32_t> quantile(2);
  CHECK_THROWS_WITH(best_of(bad), "attune: reward 1 is nan; expected a finite number");
  CHECK_THROWS_WITH(best_of(none), "attune: rewards has 0 elements; expected the reward of 1 completion or more");
  CHECK_THROWS_WITH(best_of_n(p, good, 0, out), "attune: n of best-of-n is 0; expected 1 or more");
  CHECK_THROWS_WITH(best_of_n(wrong, good, 2, out), "attune: a probability is 1.5; expected a number in [0, 1]");
  CHECK_THROWS_AS(best_of_n(p, bad, 2, out), attune::error);
  CHECK_THROWS_AS(best_of_n(p, good, 2, three), attune::error);
  CHECK_THROWS_AS(best_of_n_kl_bound(0), attune::error);
  CHECK_THROWS_WITH(expert_iteration_weights(good, 3, out),
                    "attune: size is 3 for 2 rewards; expected the number of completions of a group, 1 or more, that divides them");
  CHECK_THROWS_AS(expert_iteration_weights(bad, 2, out), attune::error);
  CHECK_THROWS_AS(expert_iteration_weights(good, 2, three), attune::error);
  for (const std::vector<std::int64_t>& begin : {std::vector<std::int64_t>{0, 1}, {1, 2}, {0, 2, 1, 2}, {}}) {
    CHECK_THROWS_AS(expert_iteration_weights(good, begin, out), attune::error);
  }
  CHECK_THROWS_WITH(quark_quantiles(good, 3, quantile), "attune: the number of quantiles is 3 for 2 rewards; expected 1 or more, and no more than rewards");
  CHECK_THROWS_AS(quark_weights(bad, 2, out), attune::error);
  CHECK_THROWS_AS(temporal_self_rewarding_pair(none), attune::error);
  CHECK_THROWS_WITH(temporal_self_rewarding_pair(good, bad), "attune: score of the past model 1 is nan; expected a finite number");
  CHECK(out == vector{7, 7});
}
