// SPDX-License-Identifier: MIT
// Advantages of completions in groups: against plain sums in long double, on the inputs that other systems get wrong, and refusing what has
// no meaning.
#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#include <attune/policy/advantage/baselines.hpp>
#include <attune/policy/advantage/gdpo.hpp>
#include <attune/policy/advantage/pass_at_k.hpp>

#include <algorithm>
#include <functional>
#include <random>

namespace adv = attune::advantage;
using adv::centre;
using adv::group_of_one;
using adv::spread;
using vector = std::vector<double>;
using bytes = std::vector<std::uint8_t>;
using real = long double;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

vector of_groups(const vector& rewards, std::int64_t size, const adv::group_options& o = {}) {
  vector result(rewards.size(), 99.0);
  adv::of_groups(rewards, {.group_size = size}, result, o);
  return result;
}

struct moments {
  real mean, deviation;
  bool scales;
};
moments moments_of(const vector& x, int ddof) {
  real mean = 0, squares = 0;
  for (double r : x) mean += real(r) / real(x.size());
  for (double r : x) squares += (real(r) - mean) * (real(r) - mean);
  const bool constant = std::all_of(x.begin(), x.end(), [&](double r) { return r == x[0]; });
  const bool scales = !constant && int(x.size()) > ddof;
  return {constant && !x.empty() ? real(x[0]) : mean, scales ? std::sqrt(squares / real(int(x.size()) - ddof)) : 0, scales};
}
/// The definition, with the deviation of the batch handed in.
real expected(const vector& group, std::size_t i, const adv::group_options& o, const moments& batch) {
  vector others = group;
  others.erase(others.begin() + std::ptrdiff_t(i));
  const moments own = moments_of(group, o.ddof), rest = moments_of(others, o.ddof);
  const moments& s = o.scale == spread::batch ? batch : o.scale == spread::group ? own : rest;
  const real above = real(group[i]) - (o.mean == centre::group ? own.mean : rest.mean);
  return o.scale == spread::none || !s.scales ? above : above / (s.deviation + real(o.eps));
}
void require_near(double given, real wanted) { CHECK(std::abs(given - double(wanted)) <= 1e-12 * (1 + std::abs(double(wanted)))); }

}  // namespace

TEST_CASE("advantage: constant, nearly constant and lopsided groups have the numbers of P14") {
  const vector seven{.35, .35, .35, .35, .35, .35, .35, .95};
  const vector normalised = of_groups(seven, 8, adv::leave_one_out_normalised);
  CHECK(normalised[7] == Approx(.6).epsilon(1e-14));  // not 4013: the others are equal, so there is nothing to scale by
  CHECK(normalised[0] == Approx(-.6 / 7 / (std::sqrt(.36 / 7) + 1e-6)));
  std::vector<float> single(seven.begin(), seven.end()), result(8);
  adv::of_groups(single, {.group_size = 8}, result, adv::leave_one_out_normalised);
  CHECK(result[7] == Approx(.6f).epsilon(1e-6));

  for (double r : {.1, 1e-30, 0.0, 1e12}) {
    for (const auto& o : {adv::grpo, adv::dr_grpo, adv::rloo, adv::lite_ppo, adv::leave_one_out_normalised, adv::group_options{.eps = 0},
                          adv::group_options{.ddof = 0, .eps = 1e-8}}) {
      CHECK(of_groups(vector(7, r), 7, o) == vector(7, 0.0));
      std::vector<float> equal(7, float(r)), zeros(7, 5.f);
      adv::of_groups(equal, {.group_size = 7}, zeros, o);
      CHECK(zeros == std::vector<float>(7, 0.f));
    }
  }
  CHECK(of_groups({0.0, -0.0, 0.0, -0.0}, 4)[1] == 0.0);

  const vector three{1, 1, 1, 0, 0, 0, 0, 0};
  const vector bessel = of_groups(three, 8, {.eps = 0}), population = of_groups(three, 8, {.ddof = 0, .eps = 0}), loo = of_groups(three, 8, adv::rloo);
  CHECK(bessel[0] == Approx(1.2076).epsilon(5e-5));
  CHECK(bessel[7] == Approx(-.7246).epsilon(1e-4));
  CHECK(population[0] == Approx(1.29099).epsilon(5e-6));
  CHECK(population[7] == Approx(-.774597).epsilon(1e-6));
  CHECK(loo[0] == Approx(.714286).epsilon(1e-6));
  CHECK(loo[7] == Approx(-.428571).margin(5e-7).epsilon(0));
  CHECK(of_groups({1, 0, 0, 0}, 4, {.eps = 0}) == vector{1.5, -.5, -.5, -.5});
  CHECK(of_groups({0, 2}, 2, adv::leave_one_out_normalised) == vector{-2, 2});  // one other: no deviation, no scaling
}

TEST_CASE("advantage: every choice of mean, scale, ddof and eps is its definition") {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  for (int trial = 0; trial < 20; ++trial) {
    const std::int64_t size = 2 + trial % 5, count = 1 + trial % 3;
    vector rewards(std::size_t(size * count));
    for (double& r : rewards) r = trial % 2 ? normal(random) * 3 + 1000 : double(random() % 2);
    for (centre mean : {centre::group, centre::leave_one_out}) {
      for (spread scale : {spread::none, spread::group, spread::leave_one_out, spread::batch}) {
        for (int ddof : {0, 1}) {
          for (double eps : {0.0, 1e-4, .5}) {
            const adv::group_options o{.mean = mean, .scale = scale, .ddof = ddof, .eps = eps};
            const vector given = of_groups(rewards, size, o);
            const moments batch = moments_of(rewards, ddof);
            for (std::size_t i = 0; i < rewards.size(); ++i) {
              const auto first = rewards.begin() + std::ptrdiff_t(i) / size * size;
              require_near(given[i], expected(vector(first, first + size), i % std::size_t(size), o, batch));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("advantage: groups of ragged size, masks and memory of any stride give the bits of plain groups") {
  const vector rewards{3, 1, 4, 1, 5, 9, 2, 6};
  const std::vector<std::int32_t> offsets{0, 3, 3, 8};
  vector result(8), first(3), second(5);
  const adv::group_report report = adv::of_groups(rewards, {.offsets = offsets}, result);
  CHECK(report.groups == 2);
  CHECK(report.empty == 1);
  CHECK(report.constant == 0);
  adv::of_groups(std::span(rewards).first(3), {.group_size = 3}, first);
  adv::of_groups(std::span(rewards).subspan(3), {.group_size = 5}, second);
  first.insert(first.end(), second.begin(), second.end());
  CHECK(result == first);

  for (const auto& o : {adv::grpo, adv::rloo, adv::lite_ppo, adv::leave_one_out_normalised}) {
    const bytes mask{1, 1, 1, 0, 1, 1, 1, 0};  // values={1,NaN,3} of P02, in groups
    const vector dirty{3, 1, 4, not_a_number, 5, 9, 2, not_a_number}, clean{3, 1, 4, 5, 9, 2};
    vector masked(8, 7.0), plain(6);
    adv::of_groups(dirty, {.group_size = 4, .mask = mask}, masked, o);
    adv::of_groups(clean, {.group_size = 3}, plain, o);
    CHECK(masked == vector{plain[0], plain[1], plain[2], 0, plain[3], plain[4], plain[5], 0});
    const std::vector<double> outer{1, 4, 7};  // what is outside of the offsets is in no group
    const vector shifted{not_a_number, 3, 1, 4, 5, 9, 2, not_a_number};
    adv::of_groups(shifted, {.offsets = outer}, masked, o);
    CHECK(masked == vector{0, plain[0], plain[1], plain[2], plain[3], plain[4], plain[5], 0});

    vector wide(12, not_a_number), out(18, not_a_number);
    for (std::size_t i = 0; i < 6; ++i) wide[2 * i] = clean[i];
    adv::of_groups(attune::view<const double>(wide.data(), {6}, {2}), {.group_size = 3}, attune::view<double>(out.data(), {6}, {3}), o);
    for (std::size_t i = 0; i < 6; ++i) CHECK(out[3 * i] == plain[i]);

    vector same = clean;
    if (o.scale == spread::leave_one_out) {
      CHECK_THROWS_AS(adv::of_groups(same, {.group_size = 3}, same, o), attune::error);
    } else {
      adv::of_groups(same, {.group_size = 3}, same, o);
      CHECK(same == plain);
    }
  }
}

TEST_CASE("advantage: a batch without completions, or with all of them masked, is zeros") {
  vector none;
  CHECK(adv::of_groups(none, {.group_size = 4}, none).groups == 0);
  adv::whiten(none, none);
  const bytes off(4, 0);
  const vector rewards{not_a_number, not_a_number, not_a_number, not_a_number}, lengths(4, not_a_number), greedy(2, not_a_number);
  const std::function<void(vector&)> calls[] = {
      [&](vector& x) { adv::of_groups(rewards, {.group_size = 2, .mask = off}, x); },
      [&](vector& x) { adv::of_groups(rewards, {.group_size = 2, .mask = off}, x, adv::lite_ppo); },
      [&](vector& x) { adv::pass_at_k(rewards, {.group_size = 2, .mask = off}, x); },
      [&](vector& x) { adv::opo(rewards, lengths, {.group_size = 2, .mask = off}, x); },
      [&](vector& x) { adv::remax(rewards, greedy, {.group_size = 2, .mask = off}, x); },
      [&](vector& x) { adv::gpg(rewards, {.group_size = 2, .mask = off}, x); },
      [&](vector& x) { adv::whiten(rewards, x, {}, off); },
      [&](vector& x) {
        std::vector<attune::reward::statistics> scratch(1);
        adv::gdpo(attune::as_view(rewards.data(), 4, 1), vector{1.0}, {.group_size = 2, .mask = off}, scratch, x);
      }};
  for (const auto& call : calls) {
    vector x(4, 3.0);
    call(x);
    CHECK(x == vector(4, 0.0));
  }
}

TEST_CASE("advantage: a group of one is refused, or gets what was asked for, whatever the estimator (P15)") {
  const vector reward{.7}, length{3};
  std::vector<attune::reward::statistics> scratch(1);
  const std::function<void(vector&, group_of_one)> estimators[] = {
      [&](vector& x, group_of_one s) { adv::of_groups(reward, {.group_size = 1}, x, {.single = s}); },
      [&](vector& x, group_of_one s) { adv::of_groups(reward, {.group_size = 1}, x, {.scale = spread::none, .single = s}); },
      [&](vector& x, group_of_one s) { adv::of_groups(reward, {.group_size = 1}, x, {.scale = spread::batch, .single = s}); },
      [&](vector& x, group_of_one s) { adv::of_groups(reward, {.group_size = 1}, x, {.mean = centre::leave_one_out, .scale = spread::none, .single = s}); },
      [&](vector& x, group_of_one s) {
        vector y(1);
        adv::of_groups(reward, {.group_size = 1}, y, {.mean = centre::leave_one_out, .scale = spread::leave_one_out, .single = s});
        x = y;
      },
      [&](vector& x, group_of_one s) { adv::pass_at_k(reward, {.group_size = 1}, x, {.single = s}); },
      [&](vector& x, group_of_one s) { adv::opo(reward, length, {.group_size = 1}, x, s); },
      [&](vector& x, group_of_one s) { adv::gpg(reward, {.group_size = 1}, x, {.single = s}); },
      [&](vector& x, group_of_one s) {
        adv::gdpo(attune::as_view(reward.data(), 1, 1), vector{1.0}, {.group_size = 1}, scratch, x, {.each = {.single = s}, .sum = std::nullopt});
      }};
  for (const auto& estimate : estimators) {
    vector x{42};
    CHECK_THROWS_AS(estimate(x, group_of_one::refuse), attune::error);
    CHECK(x[0] == 42);
    estimate(x, group_of_one::zero);
    CHECK(x[0] == 0);
    estimate(x, group_of_one::raw);
    CHECK(x[0] == .7);
  }
  vector x{42};
  CHECK_THROWS_WITH(adv::of_groups(reward, {.group_size = 1}, x),
                    "attune: group 0 has 1 active completion; expected 2 or more, or .single = group_of_one::zero or raw");
  const bytes mask{1, 0, 1, 1};  // one is left of two
  vector four{1, 2, 3, 5}, out(4);
  CHECK_THROWS_AS(adv::of_groups(four, {.group_size = 2, .mask = mask}, out), attune::error);
  CHECK(adv::of_groups(four, {.group_size = 2, .mask = mask}, out, {.scale = spread::none, .single = group_of_one::raw}).ones == 1);
  CHECK(out == vector{1, 0, -1, 1});
  CHECK_THROWS_AS(adv::whiten(reward, x), attune::error);  // and a batch of one
}

TEST_CASE("advantage: rows are normalised, not columns, also where there are as many of both (P32)") {
  for (std::int64_t size : {3, 5}) {
    vector rewards(std::size_t(3 * size));
    for (std::size_t i = 0; i < rewards.size(); ++i) rewards[i] = double(i * i % 7) + 100 * double(i / std::size_t(size));
    const vector a = of_groups(rewards, size, {.eps = 0});
    for (std::int64_t g = 0; g < 3; ++g) {
      const auto s = attune::reward::statistics_of(std::span(a).subspan(std::size_t(g * size), std::size_t(size)));
      CHECK(s.mean == Approx(0).margin(1e-13));  // rewards of 200 in a deviation of 2
      CHECK(s.deviation(1) == Approx(1));
    }
  }
}

TEST_CASE("advantage: the deviation of a batch is that of all ranks, merged from their statistics") {
  const vector all{1, 0, 0, 1, 5, 2, 2, 0};
  const std::span<const double> left(all.data(), 4), right(all.data() + 4, 4);
  vector whole(8), part(4);
  adv::of_groups(all, {.group_size = 2}, whole, adv::lite_ppo);
  adv::group_options o = adv::lite_ppo;
  o.batch = attune::reward::statistics_of(left) + attune::reward::statistics_of(right);
  adv::of_groups(right, {.group_size = 2}, part, o);
  for (std::size_t i = 0; i < 4; ++i) CHECK(part[i] == Approx(whole[4 + i]).epsilon(1e-15));

  vector centred(8), whitened(8), half(4);  // REINFORCE++ baseline: the group's mean, then the batch's deviation
  adv::of_groups(all, {.group_size = 2}, centred, adv::dr_grpo);
  adv::whiten(centred, whitened);
  const auto s = attune::reward::statistics_of(centred);
  CHECK(s.mean == 0);
  for (std::size_t i = 0; i < 8; ++i) CHECK(whitened[i] == Approx(centred[i] / std::sqrt(s.squares / 7 + 1e-8)).epsilon(1e-14));
  adv::whiten(std::span<const double>(centred).subspan(4), s, half);
  CHECK(half == vector(whitened.begin() + 4, whitened.end()));
}

TEST_CASE("advantage: whitening has the forms of its peers") {
  const vector x{1, 2, 4, 9};
  const double var = 38.0 / 3;
  vector y(4);
  adv::whiten(x, y);
  CHECK(y[3] == Approx(5 / std::sqrt(var + 1e-8)).epsilon(1e-15));
  adv::whiten(x, y, {.shift_mean = false});  // TRL's word: the mean stays
  CHECK(y[3] == Approx(4 + 5 / std::sqrt(var + 1e-8)).epsilon(1e-15));
  adv::whiten(x, y, {.ddof = 0, .variance_eps = 0});
  CHECK(y[3] == Approx(5 / std::sqrt(38.0 / 4)).epsilon(1e-15));
  adv::whiten(x, y, {.variance_eps = 0, .deviation_eps = .25});
  CHECK(y[3] == Approx(5 / (std::sqrt(var) + .25)).epsilon(1e-15));
  adv::whiten(x, y, {.variance_eps = 3});
  CHECK(y[0] == Approx(-3 / std::sqrt(var + 3)).epsilon(1e-15));
  vector equal{.1, .1, .1};
  adv::whiten(equal, equal, {.variance_eps = 0});
  CHECK(equal == vector(3, 0.0));
  const vector dirty{1, not_a_number, 3};
  const bytes mask{1, 0, 1}, all{1, 1, 1};
  vector out(3, 8.0);
  adv::whiten(dirty, out, {.variance_eps = 0}, mask);  // P02
  CHECK(out == vector{-1 / std::sqrt(2.0), 0, 1 / std::sqrt(2.0)});
  out.assign(3, 8.0);
  CHECK_THROWS_AS(adv::whiten(dirty, out, {}, all), attune::error);
  CHECK(out == vector(3, 8.0));
}

TEST_CASE("advantage: GDPO is the whitened sum of the advantages of each reward") {
  const vector rewards{1, 10, 0, 30, 0, 20, 1, 20, 1, 0, 1, 100}, weights{1, .5};  // 6 completions, 2 rewards
  vector columns[2], parts[2], sum(6), result(6, 9.0);
  std::vector<attune::reward::statistics> scratch(2);
  for (std::size_t k = 0; k < 2; ++k) {
    for (std::size_t i = 0; i < 6; ++i) columns[k].push_back(rewards[2 * i + k]);
    parts[k] = of_groups(columns[k], 3);
  }
  for (std::size_t i = 0; i < 6; ++i) sum[i] = parts[0][i] + .5 * parts[1][i];
  vector whitened(6);
  adv::whiten(sum, whitened, {.variance_eps = 0, .deviation_eps = 1e-4});
  adv::gdpo(attune::as_view(rewards.data(), 6, 2), weights, {.group_size = 3}, scratch, result);
  for (std::size_t i = 0; i < 6; ++i) CHECK(result[i] == Approx(whitened[i]).epsilon(1e-14));
  const auto report = adv::gdpo(attune::as_view(rewards.data(), 6, 2), weights, {.group_size = 3}, scratch, result, {.sum = std::nullopt});
  for (std::size_t i = 0; i < 6; ++i) CHECK(result[i] == Approx(sum[i]).epsilon(1e-14));
  CHECK(report.constant == 0);  // the first reward of group 1 is, the second is not
  CHECK(report.groups == 2);
  CHECK_THROWS_AS(adv::gdpo(attune::as_view(rewards.data(), 6, 2), vector{1}, {.group_size = 3}, scratch, result), attune::error);
  CHECK_THROWS_AS(adv::gdpo(attune::as_view(rewards.data(), 6, 2), vector{1, not_a_number}, {.group_size = 3}, scratch, result), attune::error);
  CHECK_THROWS_AS(adv::gdpo(attune::as_view(rewards.data(), 6, 2), weights, {.group_size = 3}, scratch, result, {.each = adv::lite_ppo}), attune::error);
  vector one(1, 42.0);  // the sums of a batch of one cannot be whitened
  CHECK_THROWS_AS(adv::gdpo(attune::as_view(rewards.data(), 1, 2), weights, {.group_size = 1}, scratch, one, {.each = {.single = group_of_one::raw}}), attune::error);
  CHECK(one[0] == 42);
}

TEST_CASE("advantage: pass@k, OPO, ReMax and GPG have the numbers of their formulas") {
  const vector rewards{.2, .9, .5, .5, 1, 1, 0, 0};
  vector x(8);
  const double std0 = std::sqrt((.325 * .325 + .375 * .375 + 2 * .025 * .025) / 3);
  CHECK(adv::pass_at_k(rewards, {.group_size = 4}, x).groups == 2);
  CHECK(x[1] == Approx(.4 / (std0 + 1e-6)));
  x[1] = 0;
  CHECK(x == vector(8, 0.0));  // of two best ones, neither leads
  adv::pass_at_k(rewards, {.group_size = 4}, x, {.scaled = false});
  CHECK(x[1] == Approx(.4));

  const std::vector<std::int64_t> lengths{10, 20, 30, 40, 1, 2, 3, 4};
  adv::opo(rewards, lengths, {.group_size = 4}, x);
  CHECK(x[0] == Approx(.2 - .55));
  CHECK(x[1] == Approx(.9 - .55));
  CHECK(x[6] == Approx(-.3));
  const vector same(4, .35), any{3, 5, 7, 11};
  vector zeros(4, 1.0);
  adv::opo(same, any, {.group_size = 4}, zeros);
  CHECK(zeros == vector(4, 0.0));
  const vector no_length{3, 0, 7, 11};
  CHECK_THROWS_AS(adv::opo(same, no_length, {.group_size = 4}, zeros), attune::error);

  const vector greedy{.5, 1};
  adv::remax(rewards, greedy, {.group_size = 4}, x);
  CHECK(x == vector{.2 - .5, .9 - .5, 0, 0, 0, 0, -1, -1});
  CHECK(adv::gpg_scale(rewards) == 8.0 / 6);
  CHECK(adv::gpg_scale(zeros) == 1);
  adv::gpg(rewards, {.group_size = 4}, x);
  CHECK(x[4] == Approx(8.0 / 6 * .5));
  adv::gpg(rewards, {.group_size = 4}, x, {.alpha = 3, .f_norm = 2});
  CHECK(x[4] == Approx(.75));
  CHECK_THROWS_AS(adv::gpg(rewards, {.group_size = 4}, x, {.f_norm = 0}), attune::error);
}

TEST_CASE("advantage: what has no meaning is refused before anything is written") {
  const vector rewards{1, 2, 3, 4};
  const std::vector<std::int32_t> falling{0, 3, 2, 4}, beyond{0, 5};
  const bytes short_mask(3, 1);
  vector x(4, 42.0), shorter(3);
  const attune::reward::statistics some = attune::reward::statistics_of(rewards);
  CHECK_THROWS_WITH(adv::of_groups(rewards, {.group_size = 3}, x),
                    "attune: grouping.group_size is 3 for 4 completions; expected 1 or more completions of each prompt, dividing them, or offsets");
  CHECK_THROWS_AS(adv::of_groups(rewards, {}, x), attune::error);
  CHECK_THROWS_AS(adv::of_groups(rewards, {.group_size = -2}, x), attune::error);
  CHECK_THROWS_AS(adv::of_groups(rewards, {.group_size = 2, .offsets = falling}, x), attune::error);
  CHECK_THROWS_AS(adv::of_groups(rewards, {.offsets = falling}, x), attune::error);
  CHECK_THROWS_AS(adv::of_groups(rewards, {.offsets = beyond}, x), attune::error);
  CHECK_THROWS_AS(adv::of_groups(rewards, {.group_size = 2, .mask = short_mask}, x), attune::error);
  CHECK_THROWS_AS(adv::of_groups(rewards, {.group_size = 2}, shorter), attune::error);
  CHECK_THROWS_AS(adv::of_groups(rewards, {.group_size = 2}, attune::view<double>(x.data(), {4}, {0})), attune::error);
  for (double eps : {-1e-9, not_a_number, std::numeric_limits<double>::infinity()}) CHECK_THROWS_AS(adv::of_groups(rewards, {.group_size = 2}, x, {.eps = eps}), attune::error);
  CHECK_THROWS_AS(adv::of_groups(rewards, {.group_size = 2}, x, {.ddof = 2}), attune::error);
  CHECK_THROWS_AS(adv::of_groups(rewards, {.group_size = 2}, x, {.batch = some}), attune::error);
  const vector dirty{1, 2, 3, not_a_number};
  CHECK_THROWS_WITH(adv::of_groups(dirty, {.group_size = 2}, x), "attune: reward 3 is nan; expected a finite number");
  CHECK(x == vector(4, 42.0));
}

TEST_CASE("advantage: no function of groups allocates") {
  const vector rewards{.2, .9, .5, .5, 1, 1, 0, 0}, lengths{1, 2, 3, 4, 5, 6, 7, 8}, greedy{0, 1}, weights{1, 2};
  vector x(8), y(4);
  std::vector<attune::reward::statistics> scratch(2);
  const auto before = attune_test::allocations();
  for (const auto& o : {adv::grpo, adv::rloo, adv::lite_ppo, adv::leave_one_out_normalised}) adv::of_groups(rewards, {.group_size = 4}, x, o);
  adv::pass_at_k(rewards, {.group_size = 4}, x);
  adv::opo(rewards, lengths, {.group_size = 4}, x);
  adv::remax(rewards, greedy, {.group_size = 4}, x);
  adv::gpg(rewards, {.group_size = 4}, x);
  adv::whiten(x, x);
  adv::gdpo(attune::as_view(rewards.data(), 4, 2), weights, {.group_size = 4}, scratch, y);
  CHECK(attune_test::allocations() == before);
}
