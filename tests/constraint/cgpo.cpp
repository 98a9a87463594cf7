// SPDX-License-Identifier: MIT
#include <attune/constraint/cgpo/crpg.hpp>
#include <attune/constraint/cgpo/crraft.hpp>

#include "support/catch.hpp"

#include <attune/exec/evaluate.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace cgpo = attune::cgpo;
using attune::view;
using bytes = std::vector<std::uint8_t>;
using indices = std::vector<std::int64_t>;

namespace {
const double not_a_number = std::nan(""), infinity = std::numeric_limits<double>::infinity();
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Four completions, the last of which violates a constraint.
template <class T>
struct batch {
  std::vector<T> logp{-3, -5, -4, -6}, ref_logp{-4, -5, -3, -9}, reward{1, 0, 2, 5}, base{0, 0, 1, 1};
  bytes satisfied{1, 1, 1, 0}, mask{1, 1, 1, 1};
  cgpo::judged_completions<T> view() const {
    return {.logp = logp, .ref_logp = ref_logp, .reward = reward, .baseline_reward = base, .satisfied = satisfied, .weights = {.mask = mask}};
  }
};
}  // namespace

TEST_CASE("cgpo: the regularised reward is the calibrated one, and 0 where a judge is not satisfied") {
  CHECK(cgpo::calibrated_reward(3, 1) == Approx(sigmoid(2)).epsilon(1e-15));
  CHECK(cgpo::regularised_reward(3, 1, true) == cgpo::calibrated_reward(3, 1));
  CHECK(cgpo::regularised_reward(3, 1, false) == 0);
}

TEMPLATE_TEST_CASE("crpg: coefficients and report by hand", "", float, double) {
  const batch<TestType> y;
  std::vector<TestType> d(4, 99);
  const cgpo::judged_report found = cgpo::crpg_coefficients(cgpo::crpg{.max_kl = 2}, y.view(), d);
  const double rt[] = {.5 * sigmoid(1), .5, 1.5 * sigmoid(1), 0}, mean = (rt[0] + rt[1] + rt[2] + rt[3]) / 4;
  for (std::size_t b = 0; b < 4; ++b) CHECK(double(d[b]) == Approx(-(rt[b] - mean) / 4).epsilon(1e-6));
  CHECK(found.violations.mean() == .25);
  CHECK(found.kl.mean() == .75);
  CHECK(found.reward.mean() == Approx((2 * sigmoid(1) + .5 + sigmoid(4)) / 4).epsilon(1e-6));
  cgpo::crpg_coefficients(cgpo::crpg{.max_kl = 2}, y.view(), d, attune::baseline::leave_one_out);
  for (std::size_t b = 0; b < 4; ++b) CHECK(double(d[b]) == Approx(-(rt[b] - mean) / 3).epsilon(1e-6));
}

TEST_CASE("crpg: the KL factor ends at 0 beyond KL_max, and is 1 for an infinite one") {
  const cgpo::crpg bounded{.max_kl = .5};
  CHECK(bounded.reward(.25, .8) == .4);
  CHECK(bounded.reward(.5, .8) == 0);
  CHECK(bounded.reward(7, .8) == 0);
  CHECK(bounded.reward(-.5, .8) == 1.6);
  CHECK(cgpo::crpg{.max_kl = infinity}.reward(1e6, .8) == .8);
}

TEST_CASE("crpg: parts of a batch with the whole average give the whole gradient, masked completions get exactly 0") {
  batch<double> y;
  y.mask[1] = 0, y.reward[1] = not_a_number;
  std::vector<double> d(4, 99), parts(4, 99);
  const cgpo::crpg crpg{.max_kl = 2};
  const auto all = cgpo::crpg_coefficients(crpg, y.view(), d);
  CHECK(all.kl.count == 3);
  CHECK(d[1] == 0);
  const auto part = [&](std::int64_t from) {
    const auto of = [&](const auto& x) { return view<const std::remove_cvref_t<decltype(x[0])>>(x.data() + from, {2}); };
    return cgpo::judged_completions<double>{.logp = of(y.logp), .ref_logp = of(y.ref_logp), .reward = of(y.reward),
                                            .baseline_reward = of(y.base), .satisfied = of(y.satisfied), .weights = {.mask = of(y.mask)}};
  };
  const attune::batch_average whole = cgpo::crpg_average(crpg, part(0)) + cgpo::crpg_average(crpg, part(2));
  for (std::int64_t from : {0, 2}) cgpo::crpg_coefficients(crpg, part(from), whole, view<double>(parts.data() + from, {2}));
  for (std::size_t b = 0; b < 4; ++b) CHECK(parts[b] == Approx(d[b]).margin(1e-16));
}

TEST_CASE("crpg: bad input is refused before anything is written") {
  const batch<double> good;
  std::vector<double> d(4, 99), few(3);
  const auto refuses = [&](const batch<double>& y, double max_kl = 1) {
    CHECK_THROWS_AS(cgpo::crpg_coefficients(cgpo::crpg{.max_kl = max_kl}, y.view(), d), attune::error);
    CHECK(d == std::vector<double>(4, 99));
  };
  refuses(good, 0);
  refuses(good, not_a_number);
  batch<double> y = good;
  y.reward[2] = not_a_number;
  refuses(y);
  CHECK_THROWS_WITH(cgpo::crpg_average(cgpo::crpg{}, y.view()),
                    "attune: reward has 1 values that are not finite, the first reward[2] = nan; expected finite numbers, or a mask that "
                    "leaves these completions out");
  (y = good).logp[0] = -infinity;
  refuses(y);
  (y = good).satisfied.pop_back();
  refuses(y);
  (y = good).base.clear();
  refuses(y);
  (y = good).mask.assign(4, 0);
  refuses(y);
  CHECK_THROWS_AS(cgpo::crpg_coefficients(cgpo::crpg{}, good.view(), few), attune::error);
}

TEST_CASE("codpo: the pair of each group") {
  // groups of three: best of the good over worst of the bad; none bad: lowest; none good: skipped; all alike: skipped
  const std::vector<float> reward{1, 5, 2, /**/ 1, 3, 2, /**/ 1, 2, 3, /**/ 2, 2, 2, /**/ 4, 9, 4};
  const bytes satisfied{1, 0, 1, /**/ 1, 1, 1, /**/ 0, 0, 0, /**/ 1, 1, 1, /**/ 1, 0, 1};
  indices chosen(5, 99), rejected(5, 99);
  auto found = cgpo::codpo_pairs(cgpo::judged_groups<float>{.reward = reward, .satisfied = satisfied, .size = 3}, chosen, rejected);
  CHECK(chosen == indices{2, 4, -1, -1, 12});
  CHECK(rejected == indices{1, 3, -1, -1, 13});
  CHECK(found.selected == 3);
  CHECK(found.skipped == 2);
  CHECK(found.satisfied == 10);
  CHECK(found.violated == 5);
  const bytes mask{1, 0, 1, /**/ 1, 0, 1, /**/ 1, 1, 1, /**/ 0, 0, 0, /**/ 0, 1, 0};
  cgpo::codpo_pairs(cgpo::judged_groups<float>{.reward = reward, .satisfied = satisfied, .size = 3, .mask = mask}, chosen, rejected);
  CHECK(chosen == indices{2, 5, -1, -1, -1});
  CHECK(rejected == indices{0, 3, -1, -1, -1});
}

TEST_CASE("codpo: of two that violate, the one with the lower reward is rejected") {
  const std::vector<double> reward{0, 3, 1};
  const bytes satisfied{1, 0, 0};
  indices chosen(1), rejected(1);
  cgpo::codpo_pairs(cgpo::judged_groups<double>{.reward = reward, .satisfied = satisfied, .size = 3}, chosen, rejected);
  CHECK(chosen[0] == 0);
  CHECK(rejected[0] == 2);
}

TEST_CASE("codpo: the loss is the paper's") {
  const std::vector<double> chosen{-20}, rejected{-24}, ref_chosen{-21}, ref_rejected{-22}, length{8}, d{0};
  const attune::pairs<double> pair{.chosen = chosen, .rejected = rejected, .ref_chosen = ref_chosen, .ref_rejected = ref_rejected,
                                   .chosen_length = length, .rejected_length = length};
  const double loss = attune::evaluate(cgpo::codpo{.beta = .1, .nll_weight = .5}, pair).loss();
  CHECK(loss == Approx(-std::log(sigmoid(.1 * 3)) + .5 / 8 * 20).epsilon(1e-14));
}

TEST_CASE("crraft: the best that satisfies the judges and the KL bound, else the baseline answer") {
  const std::vector<double> logp{-1, -2, -3, /**/ -1, -2, -3, /**/ -1, -1, -1}, ref_logp{-1, -2, -5, /**/ -1, -2, -5, /**/ -1, -1, -1},
      reward{1, 2, 3, /**/ 1, 9, 3, /**/ 1, 2, 3}, base{0, 0, 4};
  const bytes satisfied{1, 1, 1, /**/ 1, 0, 1, /**/ 0, 0, 0};
  const cgpo::ranked_groups<double> y{.logp = logp, .ref_logp = ref_logp, .reward = reward, .satisfied = satisfied, .baseline_reward = base, .size = 3};
  indices chosen(3, 99);
  std::vector<double> weight(3, 99);
  const auto found = cgpo::crraft_select(cgpo::crraft{.max_kl = 1}, y, chosen, weight);
  CHECK(chosen == indices{1, 3, -1});
  CHECK(weight[0] == Approx(sigmoid(2)).epsilon(1e-15));
  CHECK(weight[1] == Approx(sigmoid(1)).epsilon(1e-15));
  CHECK(weight[2] == .5);
  CHECK(found.selected == 2);
  CHECK(found.skipped == 1);
  cgpo::crraft_select(cgpo::crraft{.max_kl = infinity}, y, chosen, weight);
  CHECK(chosen == indices{2, 5, -1});
  cgpo::crraft_select(cgpo::crraft{.max_kl = 2}, y, chosen, weight);  // the bound itself is allowed
  CHECK(chosen == indices{2, 5, -1});
}

TEST_CASE("codpo and crraft: bad input is refused before anything is written") {
  const std::vector<double> x{1, 2, 3, 4}, bad{1, not_a_number, 3, 4}, base{0, 0};
  const bytes satisfied{1, 1, 0, 0}, few{1, 1, 0};
  indices a(2, 99), b(2, 99), wrong(3);
  std::vector<double> weight(2, 99);
  const auto untouched = [&] { return a == indices{99, 99} && b == indices{99, 99} && weight == std::vector<double>{99, 99}; };
  using groups = cgpo::judged_groups<double>;
  for (const groups& y : {groups{.reward = bad, .satisfied = satisfied, .size = 2}, {.reward = x, .satisfied = satisfied, .size = 0},
                          {.reward = x, .satisfied = satisfied, .size = 3}, {.reward = x, .satisfied = few, .size = 2}}) {
    CHECK_THROWS_AS(cgpo::codpo_pairs(y, a, b), attune::error);
    CHECK(untouched());
  }
  CHECK_THROWS_AS(cgpo::codpo_pairs(groups{.reward = x, .satisfied = satisfied, .size = 2}, a, wrong), attune::error);
  using ranked = cgpo::ranked_groups<double>;
  const ranked good{.logp = x, .ref_logp = x, .reward = x, .satisfied = satisfied, .baseline_reward = base, .size = 2};
  for (int i = 0; i < 5; ++i) {
    ranked y = good;
    (i == 0 ? y.logp : i == 1 ? y.ref_logp : i == 2 ? y.reward : y.baseline_reward) = i < 3 ? view<const double>(bad) : view<const double>(x);
    if (i == 4) y = good, y.size = 4;
    CHECK_THROWS_AS(cgpo::crraft_select(cgpo::crraft{}, y, a, weight), attune::error);
    CHECK(untouched());
  }
  CHECK_THROWS_AS(cgpo::crraft_select(cgpo::crraft{.max_kl = 0}, good, a, weight), attune::error);
  CHECK(untouched());
}
