// SPDX-License-Identifier: MIT
// Advantages of tokens: recursions against sums that are written out, padded copies against packed ones, garbage where nothing may be read.
#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#include <attune/policy/advantage/gae.hpp>
#include <attune/policy/advantage/optimal_baseline.hpp>
#include <attune/policy/advantage/token_rewards.hpp>
#include <attune/policy/advantage/v_trace.hpp>
#include <attune/policy/advantage/whiten.hpp>

#include <functional>
#include <random>

namespace adv = attune::advantage;
using adv::group_of_one;
using vector = std::vector<double>;
using bytes = std::vector<std::uint8_t>;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();

double number(std::mt19937& random) { return double(random()) * 0x1p-31 - 1; }

/// Completions of some lengths, twice: in rows of T tokens with prompts, padding and holes, and one after another. What is not active is
/// garbage in both.
struct batch {
  std::vector<std::size_t> lengths;
  std::size_t columns;
  bytes mask;                         // [S, columns]
  std::vector<std::int32_t> offsets;  // of the packed tokens, which begin at 2
  std::size_t packed_tokens;

  explicit batch(std::vector<std::size_t> n, std::size_t t, unsigned seed = 1) : lengths(std::move(n)), columns(t), mask(lengths.size() * t, 0), offsets{2} {
    std::mt19937 random(seed);
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      for (std::size_t left = lengths[s]; left > 0;) {
        std::uint8_t& m = mask[s * t + random() % t];
        if (m == 0) m = 1, --left;
      }
      offsets.push_back(offsets.back() + std::int32_t(lengths[s]));
    }
    packed_tokens = std::size_t(offsets.back()) + 3;
  }
  attune::sequences padded() const {
    return {std::int64_t(lengths.size()), std::int64_t(columns), attune::as_view(mask.data(), std::int64_t(lengths.size()), std::int64_t(columns))};
  }
  attune::sequences packed() const { return {1, std::int64_t(packed_tokens), {}, offsets}; }

  vector values(unsigned seed, double scale = 1) const {  // packed
    std::mt19937 random(seed);
    vector x(packed_tokens, not_a_number);
    for (std::size_t i = 2; i < std::size_t(offsets.back()); ++i) x[i] = scale * number(random);
    return x;
  }
  vector unpacked(const vector& x, double elsewhere = not_a_number) const {
    vector y(mask.size(), elsewhere);
    std::size_t next = 2;
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (mask[i]) y[i] = x[next++];
    }
    return y;
  }
  attune::view<double, 2> rows(vector& x) const { return {x.data(), {std::int64_t(lengths.size()), std::int64_t(columns)}}; }
  attune::view<const double, 2> rows(const vector& x) const { return {x.data(), {std::int64_t(lengths.size()), std::int64_t(columns)}}; }
  std::size_t first(std::size_t s) const { return std::size_t(offsets[s]); }
};
attune::view<double, 2> flat(vector& x) { return attune::packed(x); }
attune::view<const double, 2> flat(const vector& x) { return attune::packed(x); }

const batch mixed({4, 0, 1, 7, 3}, 9);

/// Runs f(where, seen, inputs..., result) on the padded and on the packed copy; the results must have the same bits.
using on_tokens = std::function<void(const attune::sequences&, const std::vector<attune::view<const double, 2>>&, attune::view<double, 2>)>;
vector same_bits(const batch& b, const std::vector<vector>& inputs, const on_tokens& f) {
  std::vector<vector> padded;
  std::vector<attune::view<const double, 2>> in_rows, in_line;
  for (const vector& x : inputs) padded.push_back(b.unpacked(x));
  for (std::size_t i = 0; i < inputs.size(); ++i) in_rows.push_back(b.rows(std::as_const(padded[i]))), in_line.push_back(flat(inputs[i]));
  vector rows(b.mask.size(), 77.0), line(b.packed_tokens, 77.0);
  f(b.padded(), in_rows, b.rows(rows));
  f(b.packed(), in_line, flat(line));
  CHECK(rows == b.unpacked(line, 0));
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (i < 2 || i >= std::size_t(b.offsets.back())) CHECK(line[i] == 0);
  }
  return line;
}

}  // namespace

TEST_CASE("tokens: GAE is the sum over all later temporal differences, padded and packed the same bits") {
  const vector r = mixed.values(3), v = mixed.values(4), bootstrap{.5, not_a_number, -.25, 2, 0};
  for (double gamma : {0.0, .9, 1.0}) {
    for (double lambda : {0.0, .95, 1.0}) {
      for (bool cut : {false, true}) {
        for (bool returns : {false, true}) {
          const auto line = same_bits(mixed, {r, v}, [&](const auto& where, const auto& x, auto out) {
            vector other(std::size_t(out.size()));
            const attune::view<double, 2> spare(other.data(), out.extents());
            const auto report = adv::gae(where, x[0], x[1], returns ? spare : out, returns ? out : spare, {.gamma = gamma, .lambda = lambda},
                                         cut ? attune::view<const double>(bootstrap) : attune::view<const double>());
            CHECK(report.sequences == 5);
            CHECK(report.empty == 1);
            CHECK(report.tokens == 15);
            CHECK(report.non_finite == 0);
          });
          for (std::size_t s = 0; s < 5; ++s) {
            const std::size_t n = mixed.lengths[s], at = mixed.first(s);
            for (std::size_t t = 0; t < n; ++t) {
              double sum = returns ? v[at + t] : 0;
              for (std::size_t k = t; k < n; ++k) {
                const double next = k + 1 < n ? v[at + k + 1] : cut ? bootstrap[s] : 0;
                sum += std::pow(gamma * lambda, double(k - t)) * (r[at + k] + gamma * next - v[at + k]);
              }
              CHECK(line[at + t] == Approx(sum).margin(1e-14));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("tokens: GAE with lambda 1 and gamma 1 is returns minus value, with lambda 0 the temporal difference") {
  const vector r = mixed.values(5), v = mixed.values(6);
  const vector monte_carlo = same_bits(mixed, {r, v}, [](const auto& where, const auto& x, auto out) { adv::gae(where, x[0], x[1], out, {}, {.lambda = 1}); });
  const vector to_go = same_bits(mixed, {r}, [](const auto& where, const auto& x, auto out) { adv::discounted_returns(where, x[0], out); });
  const vector discounted = same_bits(mixed, {r}, [](const auto& where, const auto& x, auto out) { adv::discounted_returns(where, x[0], out, .5); });
  for (std::size_t s = 0; s < 5; ++s) {
    for (std::size_t t = 0; t < mixed.lengths[s]; ++t) {
      double sum = 0, half = 0;
      for (std::size_t k = t; k < mixed.lengths[s]; ++k) sum += r[mixed.first(s) + k], half += std::pow(.5, double(k - t)) * r[mixed.first(s) + k];
      const std::size_t i = mixed.first(s) + t;
      CHECK(to_go[i] == Approx(sum).margin(1e-15));
      CHECK(discounted[i] == Approx(half).margin(1e-15));
      CHECK(monte_carlo[i] == Approx(sum - v[i]).margin(1e-14));
    }
  }
}

TEST_CASE("tokens: decoupled GAE has one lambda for the policy and one for the value, or one by length") {
  const vector r = mixed.values(7), v = mixed.values(8);
  const auto run = [&](const adv::gae_options& o, bool returns) {
    return same_bits(mixed, {r, v}, [&](const auto& where, const auto& x, auto out) {
      vector other(std::size_t(out.size()));
      const attune::view<double, 2> spare(other.data(), out.extents());
      adv::gae(where, x[0], x[1], returns ? spare : out, returns ? out : spare, o);
    });
  };
  const adv::gae_options vapo{.lambda = 1, .policy_lambda = .9};
  CHECK(run(vapo, false) == run({.lambda = .9}, false));
  CHECK(run(vapo, true) == run({.lambda = 1}, true));
  CHECK(run(vapo, true) != run({.lambda = .9}, true));

  const vector adaptive = run({.lambda = 1, .length_alpha = .5}, false);
  for (std::size_t s : {0u, 2u, 3u, 4u}) {  // 4, 1, 7, 3 tokens
    const double lambda = std::max(0.0, 1 - 1 / (.5 * double(mixed.lengths[s])));
    const vector fixed = run({.lambda = lambda}, false);
    for (std::size_t t = 0; t < mixed.lengths[s]; ++t) CHECK(adaptive[mixed.first(s) + t] == fixed[mixed.first(s) + t]);
  }
  CHECK(adv::length_adaptive_lambda(.05, 10) == 0);
  CHECK(adv::length_adaptive_lambda(.05, 20) == 0);
  CHECK(adv::length_adaptive_lambda(.05, 100) == .8);
  CHECK(1 / (1 - adv::length_adaptive_lambda(.05, 4000)) == Approx(200));
}

TEST_CASE("tokens: V-trace on policy is the n-step Bellman target, off policy the sum of equation 1") {
  const vector r = mixed.values(9), v = mixed.values(10), ratio = mixed.values(11, 2), on_policy(mixed.packed_tokens, 0.0), bootstrap{.5, 1, -.25, 2, 3};
  const auto run = [&](const vector& l, const adv::v_trace_options& o, bool targets) {
    return same_bits(mixed, {l, r, v}, [&](const auto& where, const auto& x, auto out) {
      vector other(std::size_t(out.size()));
      const attune::view<double, 2> spare(other.data(), out.extents());
      adv::v_trace(where, x[0], x[1], x[2], targets ? spare : out, targets ? out : spare, o, bootstrap);
    });
  };
  for (const adv::v_trace_options& o : {adv::v_trace_options{.gamma = .9}, adv::v_trace_options{.gamma = .8, .lambda = .7, .rho_bar = 1.5, .c_bar = .5},
                                        adv::v_trace_options{.rho_bar = infinity, .c_bar = infinity}}) {
    const vector bellman = run(on_policy, {.gamma = o.gamma}, true), advantage = run(on_policy, {.gamma = o.gamma}, false);
    const vector targets = run(ratio, o, true), policy = run(ratio, o, false);
    for (std::size_t s = 0; s < 5; ++s) {
      const std::size_t n = mixed.lengths[s], at = mixed.first(s);
      const auto value = [&](std::size_t t) { return t < n ? v[at + t] : bootstrap[s]; };
      const auto target = [&](std::size_t t) {  // equation 1
        double sum = value(t), trace = 1;
        for (std::size_t k = t; k < n; ++k) {
          sum += std::pow(o.gamma, double(k - t)) * trace * std::min(o.rho_bar, std::exp(ratio[at + k])) * (r[at + k] + o.gamma * value(k + 1) - value(k));
          trace *= o.lambda * std::min(o.c_bar, std::exp(ratio[at + k]));
        }
        return sum;
      };
      for (std::size_t t = 0; t < n; ++t) {
        double sum = std::pow(o.gamma, double(n - t)) * bootstrap[s];
        for (std::size_t k = t; k < n; ++k) sum += std::pow(o.gamma, double(k - t)) * r[at + k];
        CHECK(bellman[at + t] == Approx(sum).margin(1e-13));
        CHECK(advantage[at + t] == Approx(sum - value(t)).margin(1e-13));
        CHECK(targets[at + t] == Approx(target(t)).epsilon(1e-12).margin(1e-12));
        CHECK(policy[at + t] == Approx(std::min(o.rho_bar, std::exp(ratio[at + t])) * (r[at + t] + o.gamma * target(t + 1) - value(t))).epsilon(1e-12).margin(1e-12));
      }
    }
  }
}

TEST_CASE("tokens: V-trace clips ratios as logarithms, so that none overflows, and a NaN stays visible") {
  const vector l{1e5, -1e5, 800}, r{1, 1, 1}, v{0, 0, 0};
  vector a(3), t(3);
  const attune::sequences where(1, 3);
  CHECK(adv::v_trace(where, attune::packed(l), attune::packed(r), attune::packed(v), attune::packed(a), attune::packed(t)).non_finite == 0);
  CHECK(t == vector{1, 0, 1});  // the second token is impossible under pi: the trace ends there
  CHECK(a == vector{1, 0, 1});
  const vector unknown{0, not_a_number, 0};
  CHECK(adv::v_trace(where, attune::packed(unknown), attune::packed(r), attune::packed(v), attune::packed(a)).non_finite == 2);
  CHECK(std::isnan(a[0]));
  CHECK(a[2] == 1);
}

TEST_CASE("tokens: what is active and not finite stays visible and is counted (P02)") {
  const vector r{1, not_a_number, 3}, v{0, 0, 0};
  const bytes some{1, 0, 1};
  vector a(3), g(3);
  const attune::sequences all(1, 3), masked(1, 3, attune::packed(some));
  CHECK(adv::gae(masked, attune::packed(r), attune::packed(v), attune::packed(a), attune::packed(g), {.lambda = 1}).non_finite == 0);
  CHECK(a == vector{4, 0, 3});  // sum 4: the recursion carries across the hole
  CHECK(g == vector{4, 0, 3});
  CHECK(adv::gae(all, attune::packed(r), attune::packed(v), attune::packed(a), {}, {.lambda = 1}).non_finite == 2);
  CHECK(std::isnan(a[0]));
  CHECK(a[2] == 3);
  CHECK(adv::discounted_returns(masked, attune::packed(r), attune::packed(a)).non_finite == 0);
  CHECK(a[0] == 4);
  CHECK(adv::discounted_returns(all, attune::packed(r), attune::packed(a)).non_finite == 2);
  CHECK(adv::statistics_of_tokens(masked, attune::packed(r)).mean == 2);
  CHECK_THROWS_WITH(adv::statistics_of_tokens(all, attune::packed(r)), "attune: value 1 is nan; expected a finite number");
}

TEST_CASE("tokens: rewards go to the last active token, minus KL at each, advantages to all (P56)") {
  const vector rewards{1, not_a_number, 3, 4, 5}, kl = mixed.values(12);
  const vector placed = same_bits(mixed, {kl}, [&](const auto& where, const auto& x, auto out) {
    const auto report = adv::token_rewards(where, rewards, out, {.kl = x[0], .coefficient = .5});
    CHECK(report.empty == 1);
    CHECK(report.non_finite == 0);
  });
  const vector bare = same_bits(mixed, {kl}, [&](const auto& where, const auto& x, auto out) { adv::token_rewards(where, rewards, out, {.kl = x[0], .coefficient = 0}); });
  const vector spread = same_bits(mixed, {}, [&](const auto& where, const auto&, auto out) { CHECK(adv::on_every_token(where, rewards, out).tokens == 15); });
  for (std::size_t s : {0u, 2u, 3u, 4u}) {
    for (std::size_t t = 0; t < mixed.lengths[s]; ++t) {
      const std::size_t i = mixed.first(s) + t;
      const double last = t + 1 == mixed.lengths[s] ? rewards[s] : 0;
      CHECK(placed[i] == last - .5 * kl[i]);
      CHECK(bare[i] == last);
      CHECK(spread[i] == rewards[s]);
    }
  }
  vector same = kl;  // in place
  adv::token_rewards(mixed.packed(), rewards, flat(same), {.kl = flat(std::as_const(same)), .coefficient = .5});
  CHECK(same == placed);

  // A reward at the end and no discount: the return of every token is the completion's, as if it were given to all of them.
  const vector to_go = same_bits(mixed, {bare}, [](const auto& where, const auto& x, auto out) { adv::discounted_returns(where, x[0], out); });
  CHECK(to_go == spread);
}

TEST_CASE("tokens: REINFORCE++ whitens over the tokens of the batch, not over sequences, and ranks merge") {
  const vector x = mixed.values(13, 5);
  const auto whitened = same_bits(mixed, {x}, [](const auto& where, const auto& in, auto out) { adv::whiten_tokens(where, in[0], out, {.ddof = 0, .variance_eps = 0}); });
  const auto s = adv::statistics_of_tokens(mixed.packed(), flat(whitened));
  CHECK(s.count == 15);
  CHECK(s.mean == Approx(0).margin(1e-15));
  CHECK(s.deviation(0) == Approx(1));

  const std::vector<std::int32_t> front{2, 6, 6, 7}, back{7, 14, 17};
  const std::int64_t n = std::int64_t(x.size());
  const attune::sequences first(1, n, {}, front), second(1, n, {}, back);
  const auto all = adv::statistics_of_tokens(first, flat(x)) + adv::statistics_of_tokens(second, flat(x));
  vector part(x.size());
  adv::whiten_tokens(second, flat(x), all, flat(part), {.ddof = 0, .variance_eps = 0});
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(part[i] == (i >= 7 && i < 17 ? Approx(whitened[i]).epsilon(1e-13) : Approx(0)));
  vector in_place = x;
  adv::whiten_tokens(mixed.packed(), flat(in_place), flat(in_place), {.ddof = 0, .variance_eps = 0});
  CHECK(in_place == whitened);
  for (std::int64_t columns : {3, 5}) {  // P32: B = 3, T = 3 and T = 5
    vector rows(std::size_t(3 * columns));
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = double(i);
    const attune::sequences where(3, columns);
    const attune::view<double, 2> v(rows.data(), {3, columns});
    adv::whiten_tokens(where, v, v);
    const auto w = attune::reward::statistics_of(rows);
    CHECK(w.deviation(1) == Approx(1));
    CHECK(rows[0] == -rows.back());
    CHECK(v(1, 0) != v(0, 0));
  }
}

TEST_CASE("tokens: batches that are empty or masked everywhere are zeros (P03)") {
  const bytes off(8, 0);
  const vector x(8, not_a_number), two(2, not_a_number);
  const attune::view<const double, 2> in(x.data(), {2, 4});
  for (std::int64_t rows : {2, 0}) {
    const attune::sequences where(rows, 4, attune::view<const std::uint8_t, 2>(off.data(), {rows, 4}));
    const attune::view<const double, 2> seen(x.data(), {rows, 4});
    const attune::view<const double> each(two.data(), {rows});
    std::vector<adv::baseline_prefix> scratch(static_cast<std::size_t>(rows));
    const std::function<void(attune::view<double, 2>, attune::view<double, 2>)> calls[] = {
        [&](auto a, auto b) { adv::gae(where, seen, seen, a, b, {}, each); },
        [&](auto a, auto b) { adv::v_trace(where, seen, seen, seen, a, b, {}, each); },
        [&](auto a, auto b) { adv::discounted_returns(where, seen, a), adv::token_rewards(where, each, b, {.kl = seen, .coefficient = 1}); },
        [&](auto a, auto b) { adv::whiten_tokens(where, seen, a), adv::on_every_token(where, each, b); },
        [&](auto a, auto b) {
          adv::optimal_token_baseline(where, seen, {.logps = seen, .collision_logps = seen}, {.group_size = 2}, scratch, a);
          adv::on_every_token(where, each, b);
        }};
    for (const auto& call : calls) {
      vector a(8, 5.0), b(8, 5.0);
      call({a.data(), {rows, 4}}, {b.data(), {rows, 4}});
      CHECK(a == vector(8, rows > 0 ? 0.0 : 5.0));
      CHECK(b == a);
    }
  }
}

TEST_CASE("tokens: the optimal token baseline is the mean weighted by cumulated squared scores, place by place") {
  const batch b({3, 5, 2, 4, 4, 1}, 7, 5);
  const vector returns = b.values(14), p = b.values(15, .5);
  vector logps = p, collision = p;
  for (std::size_t i = 0; i < p.size(); ++i) {  // of three tokens with probabilities q, .7 (1 - q), .3 (1 - q)
    const double q = p[i] + .5;
    logps[i] = std::log(q);
    collision[i] = std::log(q * q + (1 - q) * (1 - q) * (.49 + .09));
  }
  std::vector<adv::baseline_prefix> scratch(6);
  for (double eps : {0.0, 1e-8, .25}) {
    const vector a = same_bits(b, {returns, logps, collision}, [&](const auto& where, const auto& x, auto out) {
      adv::optimal_token_baseline(where, x[0], {.logps = x[1], .collision_logps = x[2]}, {.group_size = 3}, scratch, out, eps);
    });
    for (std::size_t g = 0; g < 2; ++g) {
      for (std::size_t k = 0; k < 5; ++k) {
        double sum = 0, total = 0;
        for (std::size_t s = 3 * g; s < 3 * g + 3; ++s) {
          if (k >= b.lengths[s]) continue;
          double w = 0;
          for (std::size_t t = 0; t <= k; ++t) {
            const std::size_t i = b.first(s) + t;
            w += 1 - 2 * std::exp(logps[i]) + std::exp(collision[i]);
          }
          sum += w * returns[b.first(s) + k], total += w;
        }
        for (std::size_t s = 3 * g; s < 3 * g + 3; ++s) {
          if (k < b.lengths[s]) CHECK(a[b.first(s) + k] == Approx(returns[b.first(s) + k] - sum / (total + eps)).margin(1e-13));
        }
      }
    }
  }

  // Equal returns leave exactly 0; a masked sequence is no partner, and gets 0; nothing to learn anywhere is the plain mean.
  vector same(b.packed_tokens, .35), a(b.packed_tokens, 9.0);
  const adv::token_scores<double> scores{.logps = flat(std::as_const(logps)), .collision_logps = flat(std::as_const(collision))};
  adv::optimal_token_baseline(b.packed(), flat(std::as_const(same)), scores, {.group_size = 3}, scratch, flat(a));
  CHECK(a == vector(b.packed_tokens, 0.0));
  const bytes members{1, 0, 1, 1, 1, 0};
  vector dirty = returns, zero(b.packed_tokens, 0.0);
  for (std::size_t i = b.first(1); i < b.first(2); ++i) dirty[i] = not_a_number;
  CHECK(adv::optimal_token_baseline(b.packed(), flat(std::as_const(dirty)), scores, {.group_size = 3, .mask = members}, scratch, flat(a)).sequences == 4);
  for (std::size_t i = b.first(1); i < b.first(2); ++i) CHECK(a[i] == 0);
  for (std::size_t i = b.first(0); i < b.first(1); ++i) CHECK(std::isfinite(a[i]));
  adv::optimal_token_baseline(b.packed(), flat(returns), {.logps = flat(std::as_const(zero)), .collision_logps = flat(std::as_const(zero))}, {.group_size = 3}, scratch, flat(a));
  const double mean = (returns[b.first(0)] + returns[b.first(1)] + returns[b.first(2)]) / 3;
  CHECK(a[b.first(0)] == Approx(returns[b.first(0)] - mean));

  // The same weights for whole completions.
  const vector rewards{1, 0, 2, 3, 3, 3};
  vector result(6, 9.0), w(6, 0.0);
  adv::optimal_baseline(b.packed(), rewards, scores, {.group_size = 3}, result);
  for (std::size_t s = 0; s < 6; ++s) {
    for (std::size_t i = b.first(s); i < b.first(s + 1); ++i) w[s] += 1 - 2 * std::exp(logps[i]) + std::exp(collision[i]);
  }
  CHECK(result[0] == Approx(1 - (w[0] + 2 * w[2]) / (w[0] + w[1] + w[2])));
  CHECK(result[3] == 0);

  const bytes lonely{1, 0, 0, 1, 1, 1};
  a.assign(a.size(), 9.0);
  CHECK_THROWS_AS(adv::optimal_token_baseline(b.packed(), flat(returns), scores, {.group_size = 3, .mask = lonely}, scratch, flat(a)), attune::error);
  CHECK_THROWS_AS(adv::optimal_baseline(b.packed(), rewards, scores, {.group_size = 3, .mask = lonely}, result), attune::error);
  CHECK(a == vector(a.size(), 9.0));
  adv::optimal_token_baseline(b.packed(), flat(returns), scores, {.group_size = 3, .mask = lonely}, scratch, flat(a), 0, group_of_one::raw);
  CHECK(a[b.first(0)] == returns[b.first(0)]);
}

TEST_CASE("tokens: what does not fit is refused before anything is written") {
  const vector x(6, 1.0), two(2, 1.0), three(3, 1.0);
  vector a(6, 42.0), b(6, 42.0);
  const attune::sequences where(2, 3), other(3, 2);
  const attune::view<const double, 2> in(x.data(), {2, 3}), wrong(x.data(), {3, 2});
  const attune::view<double, 2> out(a.data(), {2, 3}), more(b.data(), {2, 3}), flat_out(a.data(), {2, 3}, {0, 1}), wrong_out(a.data(), {3, 2});
  CHECK_THROWS_WITH(adv::gae(where, wrong, in, out), "attune: rewards (in rows) has 3 elements; expected 2, like the sequences");
  CHECK_THROWS_AS(adv::gae(where, in, wrong, out), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, wrong_out), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, flat_out), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, out, out), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, out, wrong_out), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, out, more, {}, three), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, out, more, {.gamma = 1.1}), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, out, more, {.lambda = -.1}), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, out, more, {.policy_lambda = 2}), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, out, more, {.length_alpha = 0}), attune::error);
  CHECK_THROWS_AS(adv::gae(where, in, in, out, more, {.policy_lambda = 1, .length_alpha = 1}), attune::error);
  CHECK_THROWS_AS(adv::discounted_returns(where, in, out, 2), attune::error);
  CHECK_THROWS_AS(adv::v_trace(where, in, in, in, out, more, {.rho_bar = 0}), attune::error);
  CHECK_THROWS_AS(adv::v_trace(where, in, in, in, out, out), attune::error);
  CHECK_THROWS_AS(adv::v_trace(where, wrong, in, in, out), attune::error);
  CHECK_THROWS_AS(adv::token_rewards(where, three, out), attune::error);
  CHECK_THROWS_AS(adv::token_rewards(where, two, out, {.coefficient = 1}), attune::error);
  CHECK_THROWS_AS(adv::token_rewards(where, two, out, {.kl = in, .coefficient = infinity}), attune::error);
  CHECK_THROWS_AS(adv::token_rewards(where, two, out, {.kl = wrong, .coefficient = 1}), attune::error);
  CHECK_THROWS_AS(adv::on_every_token(where, three, out), attune::error);
  CHECK_THROWS_AS(adv::whiten_tokens(where, wrong, out), attune::error);
  CHECK_THROWS_AS(adv::whiten_tokens(where, in, out, {.variance_eps = -1}), attune::error);
  CHECK_THROWS_AS(adv::whiten_tokens(where, in, attune::reward::statistics{}, out), attune::error);
  CHECK(a == vector(6, 42.0));
  CHECK(b == a);
}

TEST_CASE("tokens: floats are computed in double, results may take the memory of what they are made of, nothing is allocated") {
  const std::vector<float> r{1e8f, 1, -1e8f, 1}, v{0, 0, 0, 0};
  std::vector<float> a = r, g = v;
  const attune::sequences where(1, 4);
  adv::gae(where, attune::packed(a), attune::packed(g), attune::packed(a), attune::packed(g), {.lambda = 1});
  CHECK(a == std::vector<float>{2, -1e8f, -1e8f, 1});  // in float the first would be 0
  CHECK(g == a);

  const vector x{.1, -.2, .3, -.4}, one{1, 2};
  vector y(4), z(4);
  std::vector<adv::baseline_prefix> scratch(2);
  const attune::sequences two(2, 2);
  const attune::view<const double, 2> in(x.data(), {2, 2});
  const attune::view<double, 2> out(y.data(), {2, 2}), more(z.data(), {2, 2});
  const auto before = attune_test::allocations();
  adv::gae(two, in, in, out, more, {}, one);
  adv::v_trace(two, in, in, in, out, more, {}, one);
  adv::discounted_returns(two, in, out);
  adv::token_rewards(two, one, out, {.kl = in, .coefficient = .1});
  adv::on_every_token(two, one, out);
  adv::whiten_tokens(two, in, out);
  adv::optimal_token_baseline(two, in, {.logps = in, .collision_logps = in}, {.group_size = 2}, scratch, out);
  CHECK(attune_test::allocations() == before);
}
