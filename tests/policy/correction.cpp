// SPDX-License-Identifier: MIT
// Corrections for a sampler that is not the trainer: truncated and masked importance weights, and the off-policy mask (P01, P02, P03, P37, P51, P54).
#include "policy/token_layouts.hpp"
#include "support/catch.hpp"

#include <attune/policy/correction/importance.hpp>
#include <attune/policy/correction/off_policy_mask.hpp>

#include <cmath>

namespace correction = attune::correction;
using namespace attune_test;
using attune::infinity;
using correction::level;
using correction::outside;

namespace {

const double e = std::exp(1.0);
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

struct corrected {
  ragged<double> weights;
  correction::report report;
};
corrected correct(const correction::options& o, const ragged<double>& old_logp, const ragged<double>& sampler, layout l = layout::right_padded) {
  const token_shape shape(l, old_logp);
  const auto a = shape.tensor(old_logp), b = shape.tensor(sampler);
  std::vector<double> w(a.size(), -7);
  const auto report = correction::weights<double>(o, {.old_logp = shape.see(a), .sampler_logp = shape.see(b), .mask = shape.mask(), .offsets = shape.cu_seqlens()}, shape.see(w));
  for (std::size_t i = 0; i < w.size(); ++i) {
    if (shape.mask_bytes[i] == 0) CHECK(w[i] == 0);
  }
  return {shape.back(w), report};
}

// log-ratios old - sampler: {1, -1, 0.25}, {-3, -3}, {2}
const ragged<double> old_logp{{-1, -2, -0.75}, {-5, -4}, {-1}}, sampler{{-2, -1, -1}, {-2, -1}, {-3}};

void check_near(const ragged<double>& found, const ragged<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t s = 0; s < found.size(); ++s) {
    for (std::size_t i = 0; i < found[s].size(); ++i) CHECK(found[s][i] == Approx(expected[s][i]).epsilon(1e-14));
  }
}

}  // namespace

TEST_CASE("correction: token ratios are truncated or masked, counted and averaged") {
  const auto tis = correct({.within = {0.1, 2}}, old_logp, sampler);
  check_near(tis.weights, {{2, 1 / e, std::exp(0.25)}, {0.1, 0.1}, {2}});
  CHECK(tis.report.tokens == 6);
  CHECK(tis.report.truncated == 4);
  CHECK(tis.report.masked == 0);
  CHECK(tis.report.mean() == Approx((2 + 1 / e + std::exp(0.25) + 0.2 + 2) / 6));
  CHECK(tis.report.largest == 2);

  const auto icepop = correct({.within = {0.1, 2}, .otherwise = outside::mask}, old_logp, sampler);
  check_near(icepop.weights, {{0, 1 / e, std::exp(0.25)}, {0, 0}, {0}});
  CHECK(icepop.report.masked == 4);
  CHECK(icepop.report.masked_sequences == 0);
  CHECK(icepop.report.largest == Approx(std::exp(0.25)));
}

TEST_CASE("correction: the ratio of a sequence is a product, its geometric mean is not") {
  check_near(correct({.ratio = level::sequence_sum, .within = {0, 100}}, old_logp, sampler).weights,
             {{std::exp(0.25), std::exp(0.25), std::exp(0.25)}, {std::exp(-6), std::exp(-6)}, {e * e}});
  const double mean = std::exp(0.25 / 3);
  check_near(correct({.ratio = level::sequence_mean, .within = {0, 100}}, old_logp, sampler).weights,
             {{mean, mean, mean}, {std::exp(-3), std::exp(-3)}, {e * e}});
  const auto masked = correct({.ratio = level::sequence_sum, .within = {0.01, 3}, .otherwise = outside::mask}, old_logp, sampler);
  check_near(masked.weights, {{std::exp(0.25), std::exp(0.25), std::exp(0.25)}, {0, 0}, {0}});
  CHECK(masked.report.masked == 3);
  CHECK(masked.report.masked_sequences == 2);
  CHECK(masked.report.sequences == 3);
}

TEST_CASE("correction: a range on the geometric mean takes whole sequences, and leaves the others' token ratios as they are") {
  const auto found = correct({.within = {0, infinity<double>}, .sequence_mean = {0.5, 5}}, old_logp, sampler);
  check_near(found.weights, {{e, 1 / e, std::exp(0.25)}, {0, 0}, {0}});  // e^2 > 5, e^-3 < 0.5
  CHECK(found.report.masked_sequences == 2);
  CHECK(found.report.truncated == 0);
  check_near(correct({.within = {0, 2}, .sequence_mean = {0.5, 5}}, old_logp, sampler).weights, {{2, 1 / e, std::exp(0.25)}, {0, 0}, {0}});
  // An asymmetric range on r itself: the sequence with ratio e^2 is within [0.9, 8], the one with e^-3 is not. On -log r they would change places.
  check_near(correct({.within = {0, infinity<double>}, .sequence_mean = {0.9, 8}}, old_logp, sampler).weights, {{e, 1 / e, std::exp(0.25)}, {0, 0}, {e * e}});
}

TEST_CASE("correction: the same bits padded, left-padded and packed, whatever lies in the padding (P02, P62)") {
  for (level of : {level::token, level::sequence_sum, level::sequence_mean}) {
    for (outside then : {outside::truncate, outside::mask}) {
      const correction::options o{.ratio = of, .within = {0.2, 3}, .otherwise = then, .sequence_mean = {0.01, 50}};
      const auto first = correct(o, old_logp, sampler, layout::right_padded);
      for (layout l : layouts) {
        const auto other = correct(o, old_logp, sampler, l);
        CHECK(other.weights == first.weights);
        CHECK(other.report.sum == first.report.sum);
        CHECK(other.report.masked == first.report.masked);
      }
    }
  }
}

TEST_CASE("correction: a sampler's log-probability of -inf is a value, and what is missing is a mask (P37)") {
  const ragged<double> policy{{-1, -2, -3}}, rare{{-1, -infinity<double>, -1e4}};
  const auto truncated = correct({}, policy, rare);
  CHECK(truncated.weights == ragged<double>{{1, 2, 2}});
  CHECK(truncated.report.truncated == 2);
  CHECK(truncated.report.non_finite == 0);
  const auto masked = correct({.otherwise = outside::mask}, policy, rare);
  CHECK(masked.weights == ragged<double>{{1, 0, 0}});
  CHECK(masked.report.masked == 2);
  for (level of : {level::sequence_sum, level::sequence_mean}) {
    CHECK(correct({.ratio = of}, policy, rare).weights == ragged<double>{{2, 2, 2}});
    CHECK(correct({.ratio = of, .otherwise = outside::mask}, policy, rare).weights == ragged<double>{{0, 0, 0}});
  }
  CHECK(correct({.sequence_mean = {0.5, 5}}, policy, rare).weights == ragged<double>{{0, 0, 0}});

  const std::vector<double> old_row{-1, -2, -3}, missing{-1, not_a_number, -1e4};
  const std::vector<std::uint8_t> mask{1, 0, 1};
  std::vector<double> w(3);
  const auto report = correction::weights<double>({}, {.old_logp = attune::packed(old_row), .sampler_logp = attune::packed(missing), .mask = attune::packed(mask)}, attune::packed(w));
  CHECK(w == std::vector<double>{1, 0, 2});
  CHECK(report.tokens == 2);
  CHECK(report.non_finite == 0);
}

TEST_CASE("correction: ratios beyond the largest number do not overflow on the way (P01)") {
  const ragged<double> near{{-1, -1, 0}}, far{{-1, -1, -800}};
  CHECK(correct({.within = {0, 3}}, near, far).weights == ragged<double>{{1, 1, 3}});
  CHECK(correct({.ratio = level::sequence_sum, .within = {0, 3}}, near, far).weights == ragged<double>{{3, 3, 3}});
  CHECK(correct({.ratio = level::sequence_sum, .within = {0.5, 3}}, far, near).weights == ragged<double>{{0.5, 0.5, 0.5}});
  CHECK(correct({.ratio = level::sequence_sum, .otherwise = outside::mask}, {{900, -900}}, {{0, 0}}).weights == ragged<double>{{1, 1}});  // e^900 e^-900
}

TEST_CASE("correction: an active NaN stays visible and is counted (P54)") {
  const auto found = correct({.otherwise = outside::mask}, {{-1, not_a_number}, {-1}}, {{-1, -1}, {-1}});
  CHECK(found.weights[0][0] == 1);
  CHECK(std::isnan(found.weights[0][1]));
  CHECK(found.report.non_finite == 1);
  CHECK(found.report.masked == 0);
  CHECK(std::isnan(found.report.mean()));
  CHECK(correct({.ratio = level::sequence_sum}, {{-infinity<double>}}, {{-infinity<double>}}).report.non_finite == 1);
}

TEST_CASE("correction: sequences without tokens and empty batches have nothing to correct (P03)") {
  for (layout l : layouts) {
    const auto found = correct({.ratio = level::sequence_mean}, {{}, {-1, -2}, {}}, {{}, {-1, -2}, {}}, l);
    CHECK(found.weights == ragged<double>{{}, {1, 1}, {}});
    CHECK(found.report.sequences == 1);
  }
  const auto none = correct({}, {{}, {}}, {{}, {}});
  CHECK(none.report.tokens == 0);
  CHECK(none.report.mean() == 0);
  CHECK(none.report.effective_tokens() == 0);
  CHECK(correct({}, {}, {}).report.tokens == 0);
}

TEST_CASE("correction: packed tokens that belong to no sequence are not read, and have multiplier 0") {
  const std::vector<double> a{not_a_number, -1, -2, not_a_number, -3}, b{not_a_number, -1.5, -2, not_a_number, -3};
  const std::vector<std::int32_t> offsets{1, 3, 3};
  std::vector<double> w(5, -7);
  std::vector<std::uint8_t> kept(5, 9);
  const correction::samples<double> x{.old_logp = attune::packed(a), .sampler_logp = attune::packed(b), .offsets = offsets};
  const auto report = correction::weights<double>({}, x, attune::packed(w));
  correction::accepted({}, x, attune::packed(kept));
  CHECK(w == std::vector<double>{0, std::exp(0.5), 1, 0, 0});
  CHECK(kept == std::vector<std::uint8_t>{0, 1, 1, 0, 0});
  CHECK(report.sequences == 1);
}

TEST_CASE("correction: reports of parts add up to that of the whole (P51)") {
  const correction::options o{.ratio = level::sequence_mean, .within = {0.1, 2}, .otherwise = outside::mask};
  const auto whole = correct(o, old_logp, sampler).report;
  auto sum = correct(o, {old_logp[0]}, {sampler[0]}).report;
  sum += correct(o, {old_logp[1], old_logp[2]}, {sampler[1], sampler[2]}).report;
  CHECK(sum.tokens == whole.tokens);
  CHECK(sum.masked == whole.masked);
  CHECK(sum.sequences == whole.sequences);
  CHECK(sum.masked_sequences == whole.masked_sequences);
  CHECK(sum.mean() == Approx(whole.mean()));
  CHECK(sum.effective_tokens() == Approx(whole.effective_tokens()));
  CHECK(sum.largest == whole.largest);
}

TEST_CASE("correction: rejection takes tokens out of the mask by the same decision") {
  const correction::options o{.within = {0.1, 2}, .otherwise = outside::mask};
  const token_shape shape(layout::right_padded, old_logp);
  const auto a = shape.tensor(old_logp), b = shape.tensor(sampler);
  std::vector<std::uint8_t> kept(a.size(), 9);
  const correction::samples<double> x{.old_logp = shape.see(a), .sampler_logp = shape.see(b), .mask = shape.mask()};
  const auto report = correction::accepted(o, x, shape.see(kept));
  const auto weights = correct(o, old_logp, sampler).weights;
  for (std::size_t s = 0; s < weights.size(); ++s) {
    for (std::size_t i = 0; i < weights[s].size(); ++i) CHECK((kept[shape.place(s, i)] == 1) == (weights[s][i] != 0));
  }
  for (std::size_t i = 0; i < kept.size(); ++i) CHECK(kept[i] <= shape.mask_bytes[i]);
  CHECK(report.masked == 4);
  CHECK(report.sum == 2);
}

TEST_CASE("correction: weights in float") {
  const std::vector<float> a{-1, -2}, b{-1.5f, -1e30f};
  std::vector<float> w(2);
  correction::weights<float>({.within = {0, 4}}, {.old_logp = attune::packed(a), .sampler_logp = attune::packed(b)}, attune::packed(w));
  CHECK(w[0] == std::exp(0.5f));
  CHECK(w[1] == 4);
}

TEST_CASE("correction: bad arguments are refused before anything is written") {
  const std::vector<double> a{-1, -2}, shorter{-1};
  std::vector<double> w(2, 5);
  const auto run = [&](const correction::options& o, const correction::samples<double>& x) { correction::weights(o, x, attune::packed(w)); };
  const correction::samples<double> good{.old_logp = attune::packed(a), .sampler_logp = attune::packed(a)};
  CHECK_THROWS_WITH(run({.within = {3, 2}}, good), "attune: options.within is [3, 2]; expected 0 <= lower <= upper and upper > 0");
  CHECK_THROWS_AS(run({.within = {0, not_a_number}}, good), attune::error);
  CHECK_THROWS_AS(run({.within = {-1, 2}}, good), attune::error);
  CHECK_THROWS_AS(run({.sequence_mean = {0, 0}}, good), attune::error);
  CHECK_THROWS_WITH(run({}, {.old_logp = attune::packed(a), .sampler_logp = attune::packed(shorter)}), "attune: sampler_logp has shape [1, 1]; expected [1, 2], like old_logp");
  const attune::view<double, 2> broadcast(w.data(), {1, 2}, {0, 0});
  CHECK_THROWS_WITH(correction::weights<double>({}, good, broadcast), "attune: multipliers has stride 0; expected an element for every token");
  CHECK(w == std::vector<double>{5, 5});
}

// Sequences: a bad completion that is old, a good one that is old, a bad one that is recent, one without tokens.
TEST_CASE("off-policy mask: bad completions that the policy would no longer write have multiplier 0") {
  const ragged<double> logp{{-3, -5}, {-3, -5}, {-3, -1}, {}}, by_sampler{{-1, -1}, {-1, -1}, {-1, -2}, {}};
  const std::vector<double> advantage{-1, 1, -1, -1};
  for (layout l : layouts) {
    const token_shape shape(l, logp);
    const auto a = shape.tensor(logp), b = shape.tensor(by_sampler);
    std::vector<double> m(a.size(), -7);
    correction::judged_samples<double> x{.logp = shape.see(a), .sampler_logp = shape.see(b), .advantage = advantage, .mask = shape.mask(), .offsets = shape.cu_seqlens()};
    const auto report = correction::off_policy_mask(2.5, x, shape.see(m));  // means 3, 3, 0.5
    CHECK(shape.back(m) == ragged<double>{{0, 0}, {1, 1}, {1, 1}, {}});
    CHECK(report.tokens == 6);
    CHECK(report.masked == 2);
    CHECK(report.masked_sequences == 1);
    CHECK(report.mean() == Approx(4.0 / 6));
    CHECK(correction::off_policy_mask(3, x, shape.see(m)).masked == 0);  // > threshold, not >=
    CHECK(correction::off_policy_mask(infinity<double>, x, shape.see(m)).masked == 0);

    const ragged<double> each{{-1, 1}, {-1, -1}, {-1, -1}, {}};
    const auto of_tokens = shape.tensor(each);
    x.advantage = {};
    x.token_advantage = shape.see(of_tokens);
    correction::off_policy_mask(2.5, x, shape.see(m));
    CHECK(shape.back(m) == ragged<double>{{0, 1}, {0, 0}, {1, 1}, {}});
    for (std::size_t i = 0; i < m.size(); ++i) {
      if (shape.mask_bytes[i] == 0) CHECK(m[i] == 0);
    }
  }
}

TEST_CASE("off-policy mask: a NaN masks nothing, and bad arguments are refused") {
  const std::vector<double> logp{-3, not_a_number}, by_sampler{-1, -1}, advantage{-1};
  std::vector<double> m(2, 5);
  correction::judged_samples<double> x{.logp = attune::packed(logp), .sampler_logp = attune::packed(by_sampler), .advantage = advantage};
  CHECK_THROWS_AS(correction::off_policy_mask(-1, x, attune::packed(m)), attune::error);
  CHECK_THROWS_AS(correction::off_policy_mask(not_a_number, x, attune::packed(m)), attune::error);
  x.token_advantage = attune::packed(logp);
  CHECK_THROWS_WITH(correction::off_policy_mask(1, x, attune::packed(m)), "attune: advantage and token_advantage are both given; expected one of them");
  x.token_advantage = {};
  x.advantage = logp;
  CHECK_THROWS_AS(correction::off_policy_mask(1, x, attune::packed(m)), attune::error);
  CHECK(m == std::vector<double>{5, 5});
  x.advantage = advantage;
  CHECK(correction::off_policy_mask(1, x, attune::packed(m)).masked == 0);
  CHECK(m == std::vector<double>{1, 1});
}
