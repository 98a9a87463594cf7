// SPDX-License-Identifier: MIT
// Rules over a batch that select tokens: the top of the entropies, Clip-Cov and KL-Cov (P02, P03, P54).
#include "policy/token_layouts.hpp"
#include "support/catch.hpp"

#include <attune/policy/covariance/clip_cov.hpp>
#include <attune/policy/covariance/kl_cov.hpp>
#include <attune/policy/top_entropy.hpp>

#include <cmath>
#include <set>

namespace covariance = attune::covariance;
using namespace attune_test;
using attune::infinity;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
using bytes = ragged<std::uint8_t>;

struct kept_tokens {
  double threshold;
  bytes mask;
  attune::top_entropy_report report;
};
kept_tokens keep(double share, const ragged<double>& entropy, layout l = layout::right_padded) {
  const token_shape shape(l, entropy);
  const auto h = shape.tensor(entropy);
  std::vector<std::uint8_t> mask(h.size(), 9);
  std::vector<double> scratch(h.size());
  const attune::token_entropies<double> x{.entropy = shape.see(h), .mask = shape.mask(), .offsets = shape.cu_seqlens()};
  const double threshold = attune::entropy_threshold(share, x, scratch);
  const auto report = attune::top_entropy_mask(threshold, x, shape.see(mask));
  for (std::size_t i = 0; i < mask.size(); ++i) CHECK(mask[i] <= shape.mask_bytes[i]);
  return {threshold, shape.back(mask), report};
}

// advantages 2, -2, 0 of whole sequences, log-probabilities with mean -3 over 8 tokens
const ragged<double> logp{{-1, -6, -3}, {-5.5, -1.5, -2}, {-1, -4}};
const std::vector<double> advantage{2, -2, 0};

struct selection {
  bytes tokens;
  covariance::report report;
};
template <class Rule>
selection choose(const Rule& rule, const ragged<double>& x, const std::vector<double>& a, layout l = layout::right_padded, const ragged<double>* old_logp = nullptr) {
  const token_shape shape(l, x);
  const auto now = shape.tensor(x);
  std::vector<double> before;
  covariance::samples<double> batch{.logp = shape.see(now), .advantage = a, .mask = shape.mask(), .offsets = shape.cu_seqlens()};
  if (old_logp) {
    before = shape.tensor(*old_logp);
    batch.old_logp = shape.see(before);
  }
  std::vector<std::uint8_t> chosen(now.size(), 9);
  std::vector<std::conditional_t<std::is_same_v<Rule, covariance::kl_cov>, double, std::uint64_t>> scratch(now.size());
  const auto report = covariance::select(rule, batch, shape.see(chosen), scratch);
  for (std::size_t i = 0; i < chosen.size(); ++i) CHECK(chosen[i] <= shape.mask_bytes[i]);
  return {shape.back(chosen), report};
}
int count(const bytes& x) {
  int n = 0;
  for (const auto& sequence : x) {
    for (std::uint8_t byte : sequence) n += byte;
  }
  return n;
}

}  // namespace

TEST_CASE("top entropy: the tokens at or above the quantile stay, in every layout") {
  const ragged<double> entropy{{0.1, 2.5, 0.3}, {1.5, 0.2}, {0.7, 0.9, 1.1, 0.05, 3.0}};
  for (layout l : layouts) {
    const auto top = keep(0.2, entropy, l);  // n = 10, k = 1 + floor(1.8) = 2
    CHECK(top.threshold == 2.5);
    CHECK(top.mask == bytes{{0, 1, 0}, {0, 0}, {0, 0, 0, 0, 1}});
    CHECK(top.report.tokens == 10);
    CHECK(top.report.kept == 2);
    CHECK(keep(0, entropy, l).threshold == 3.0);
    CHECK(keep(1, entropy, l).report.kept == 10);
    CHECK(keep(0.5, entropy, l).threshold == 0.9);  // k = 1 + floor(4.5)
  }
}

TEST_CASE("top entropy: the tokens above the interpolated quantile, as systems have it") {
  std::vector<double> h;
  for (int n = 1; n <= 40; ++n) {
    h.push_back(std::fmod(n * 0.61803398875, 1.0));
    for (double share : {0.2, 0.35, 0.5, 0.8}) {
      std::vector<double> sorted = h;
      std::sort(sorted.begin(), sorted.end());
      const double place = (1 - share) * double(n - 1);
      const auto below = std::size_t(std::floor(place + 1e-9));
      const double part = std::max(0.0, place - double(below)), quantile = part < 1e-9 ? sorted[below] : sorted[below] + part * (sorted[below + 1] - sorted[below]);
      const auto top = keep(share, {h});
      for (int i = 0; i < n; ++i) CHECK((top.mask[0][std::size_t(i)] == 1) == (h[std::size_t(i)] >= quantile));
    }
  }
}

TEST_CASE("top entropy: ties stay together, a NaN stays and is counted, empty batches keep nothing") {
  CHECK(keep(0.2, {{1, 1, 1}, {1, 1}}).report.kept == 5);
  CHECK(keep(0.2, {{0, 1, 0, 1, 1}}).mask == bytes{{0, 1, 0, 1, 1}});
  const auto broken = keep(0.2, {{0.5, not_a_number, 0.7}});
  CHECK(broken.mask == bytes{{0, 1, 1}});
  CHECK(broken.report.non_finite == 1);
  CHECK(keep(0.2, {{}, {}}).report.kept == 0);
  CHECK(keep(0.2, {}).threshold == -infinity<double>);
  CHECK(keep(0.2, {{}, {0.4}}).mask == bytes{{}, {1}});
}

TEST_CASE("top entropy: bad arguments are refused") {
  const std::vector<double> h{1, 2, 3};
  std::vector<double> scratch(2);
  std::vector<std::uint8_t> mask(3, 9);
  const attune::token_entropies<double> x{.entropy = attune::packed(h)};
  CHECK_THROWS_WITH(attune::entropy_threshold(0.2, x, scratch), "attune: scratch has 2 elements; expected 3 or more, one for every active token");
  CHECK_THROWS_WITH(attune::entropy_threshold(1.5, x, scratch), "attune: share of entropy_threshold is 1.5; expected a number in [0, 1]");
  CHECK_THROWS_AS(attune::entropy_threshold(not_a_number, x, scratch), attune::error);
  CHECK_THROWS_AS(attune::top_entropy_mask(not_a_number, x, attune::packed(mask)), attune::error);
  mask.resize(2);
  CHECK_THROWS_AS(attune::top_entropy_mask(1, x, attune::packed(mask)), attune::error);
  CHECK(mask[0] == 9);
}

// c = A (logp + 3) here, because the mean advantage is 0 (3 x 2 - 3 x 2): {4, -6, 0}, {5, -3, -2}, {0, 0}
TEST_CASE("covariance: KL-Cov selects the tokens of largest centred product") {
  for (layout l : layouts) {
    const auto one = choose(covariance::kl_cov{}, logp, advantage, l);
    CHECK(one.tokens == bytes{{0, 0, 0}, {1, 0, 0}, {0, 0}});
    CHECK(one.report.tokens == 8);
    CHECK(one.report.selected == 1);
    CHECK(one.report.mean() == Approx((4 - 6 + 0 + 5 - 3 - 2) / 8.0).margin(1e-15));
    CHECK(choose(covariance::kl_cov{0.25}, logp, advantage, l).tokens == bytes{{1, 0, 0}, {1, 0, 0}, {0, 0}});
    CHECK(choose(covariance::kl_cov{0.5}, logp, advantage, l).tokens == bytes{{1, 0, 1}, {1, 0, 0}, {1, 0}});  // of the zeros the first
    CHECK(choose(covariance::kl_cov{1}, logp, advantage, l).report.selected == 8);
  }
}

TEST_CASE("covariance: both factors are centred, so a constant on either changes nothing") {
  ragged<double> shifted = logp;
  for (auto& sequence : shifted) {
    for (double& x : sequence) x -= 64;
  }
  const std::vector<double> raised{34, 30, 32};
  for (double share : {0.1, 0.3, 0.5}) {
    CHECK(choose(covariance::kl_cov{share}, shifted, raised).tokens == choose(covariance::kl_cov{share}, logp, advantage).tokens);
  }
  CHECK(choose(covariance::kl_cov{}, shifted, raised).report.sum == Approx(choose(covariance::kl_cov{}, logp, advantage).report.sum));
}

TEST_CASE("covariance: Clip-Cov selects among the tokens between its bounds") {
  for (layout l : layouts) {
    const auto open = choose(covariance::clip_cov{.share = 1}, logp, advantage, l);
    CHECK(open.tokens == bytes{{1, 0, 0}, {0, 0, 0}, {0, 0}});  // 1 < 4 < 5; 5 is a bound, and outside
    CHECK(open.report.candidates == 1);
    CHECK(open.report.selected == 1);
    CHECK(choose(covariance::clip_cov{.share = 1, .lower = -2.5, .upper = 5.5}, logp, advantage, l).tokens == bytes{{1, 0, 1}, {1, 0, 1}, {1, 1}});
    CHECK(count(choose(covariance::clip_cov{.share = 0.3, .lower = -2.5, .upper = 5.5}, logp, advantage, l).tokens) == 2);  // floor(0.3 x 8)
    CHECK(choose(covariance::clip_cov{.lower = 6, .upper = 9}, logp, advantage, l).report.selected == 0);
  }
}

TEST_CASE("covariance: Clip-Cov leaves out the tokens that PPO clips already") {
  // ratios: the first token rose by e^0.5 with A > 0 (clipped), the fourth fell by e^-0.5 with A < 0 (clipped), the others did not move
  ragged<double> old_logp = logp;
  old_logp[0][0] -= 0.5;
  old_logp[1][0] += 0.5;
  const covariance::clip_cov all{.share = 1, .lower = -2.5, .upper = 5.5};
  CHECK(choose(all, logp, advantage, layout::packed, &old_logp).tokens == bytes{{0, 0, 1}, {0, 0, 1}, {1, 1}});
  old_logp[0][0] += 1;  // fell with A > 0: not clipped
  CHECK(choose(all, logp, advantage, layout::packed, &old_logp).tokens == bytes{{1, 0, 1}, {0, 0, 1}, {1, 1}});
  CHECK(choose(covariance::clip_cov{.share = 1, .lower = -2.5, .upper = 5.5, .clip_lower = 0.5}, logp, advantage, layout::packed, &old_logp).report.candidates == 6);
}

TEST_CASE("covariance: the choice of Clip-Cov is that of its seed, in every layout, and every candidate has its turn") {
  ragged<double> many;
  std::vector<double> a;
  for (int s = 0; s < 6; ++s) {
    many.emplace_back();
    for (int i = 0; i < 3 + 2 * s; ++i) many.back().push_back(-0.25 * ((7 * s + 5 * i) % 11));
    a.push_back(s % 2 ? 1.5 : -1);
  }
  std::vector<int> turns;
  std::set<std::vector<int>> choices;
  const int seeds = 400;
  int candidates = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    const covariance::clip_cov rule{.share = 0.06, .lower = 0.2, .upper = 2, .seed = std::uint64_t(seed)};
    const auto first = choose(rule, many, a);
    CHECK(first.report.selected == 2);  // floor(0.06 x 48)
    CHECK(count(first.tokens) == 2);
    if (seed < 10) {
      for (layout l : layouts) CHECK(choose(rule, many, a, l).tokens == first.tokens);
    }
    candidates = int(first.report.candidates);
    std::vector<int> flat;
    for (const auto& sequence : first.tokens) flat.insert(flat.end(), sequence.begin(), sequence.end());
    turns.resize(flat.size());
    for (std::size_t i = 0; i < flat.size(); ++i) turns[i] += flat[i];
    choices.insert(flat);
  }
  CHECK(candidates > 8);
  CHECK(choices.size() > std::size_t(candidates));
  const double expected = 2.0 * seeds / candidates, deviation = std::sqrt(expected);
  int reached = 0;
  for (int n : turns) {
    if (n == 0) continue;
    ++reached;
    CHECK(std::abs(n - expected) < 4 * deviation);
  }
  CHECK(reached == candidates);
}

TEST_CASE("covariance: empty sequences, empty batches and a NaN") {
  for (layout l : layouts) {
    CHECK(choose(covariance::kl_cov{}, {{}, {-1, -3}, {}}, {1, 2, 3}, l).report.selected == 1);
    CHECK(choose(covariance::kl_cov{}, {{}, {}}, {1, 2}, l).report.mean() == 0);
    CHECK(choose(covariance::clip_cov{}, {{}, {}}, {1, 2}, l).report.selected == 0);
  }
  const auto broken = choose(covariance::kl_cov{}, {{-1, not_a_number}, {-3}}, {1, -1});
  CHECK(broken.report.non_finite == 3);
  CHECK(broken.report.selected == 0);
  CHECK(choose(covariance::clip_cov{.lower = -9, .upper = 9}, {{-1, not_a_number}, {-3}}, {1, -1}).report.selected == 0);
}

TEST_CASE("covariance: advantages of tokens, and bad arguments") {
  const std::vector<double> x{-1, -6, -3}, a{2, -2, 0};
  std::vector<std::uint8_t> chosen(3, 9);
  std::vector<double> scratch(3);
  std::vector<std::uint64_t> numbers(3);
  covariance::samples<double> batch{.logp = attune::packed(x), .token_advantage = attune::packed(a)};
  CHECK_THROWS_AS(covariance::select(covariance::kl_cov{1.5}, batch, attune::packed(chosen), scratch), attune::error);
  CHECK_THROWS_AS(covariance::select(covariance::kl_cov{}, batch, attune::packed(chosen), std::span(scratch).first(2)), attune::error);
  CHECK_THROWS_WITH(covariance::select(covariance::clip_cov{.lower = 5, .upper = 1}, batch, attune::packed(chosen), numbers),
                    "attune: clip_cov's bounds are (5, 1); expected lower <= upper");
  CHECK_THROWS_AS(covariance::select(covariance::clip_cov{.share = not_a_number}, batch, attune::packed(chosen), numbers), attune::error);
  CHECK_THROWS_WITH(covariance::select<double>(covariance::kl_cov{}, {.logp = attune::packed(x)}, attune::packed(chosen), scratch),
                    "attune: advantage and token_advantage are missing; expected one of them");
  CHECK(chosen == std::vector<std::uint8_t>{9, 9, 9});
  covariance::select(covariance::kl_cov{}, batch, attune::packed(chosen), scratch);
  CHECK(chosen == std::vector<std::uint8_t>{0, 1, 0});  // means 0 and -10/3: 14/3, 16/3, 0
}
