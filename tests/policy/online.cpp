// SPDX-License-Identifier: MIT
// Online preference: the pairs that samples make, XPO, Nash-MD (its gradient by enumeration), and SPPO's regression on rewards.
#include "policy/token_layouts.hpp"
#include "support/catch.hpp"

#include <attune/check/toy/tree_policy.hpp>
#include <attune/exec/evaluate.hpp>
#include <attune/policy/online/nash_md.hpp>
#include <attune/preference/a_star_po.hpp>
#include <attune/preference/online_pairs.hpp>
#include <attune/preference/pairs.hpp>
#include <attune/preference/singles.hpp>
#include <attune/preference/xpo.hpp>

#include <cmath>

namespace toy = attune::toy;
using namespace attune_test;
using attune::infinity;
using toy::vector;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Strings of up to 2 tokens over an alphabet of 2, with an end: the policy and the reference differ in every logit.
toy::tree_policy strings(double a) {
  toy::tree_policy result = toy::tree_policy::strings(2, 2);
  for (std::size_t n = 1; n < result.nodes(); ++n) result.logits[n] = std::sin(a * double(n) + a);
  return result;
}
std::vector<std::vector<std::size_t>> paths(const toy::tree_policy& pi) {
  std::vector<std::vector<std::size_t>> result;
  for (std::size_t leaf : pi.leaves()) {
    result.emplace_back();
    for (std::size_t n = leaf; n != toy::tree_policy::root; n = pi.parent[n]) result.back().insert(result.back().begin(), n);
  }
  return result;
}

/// E_pi[sum_t c[y][t] grad log pi(y[t])] for coefficients c of the tokens of each outcome.
vector expected_gradient(const toy::tree_policy& pi, const ragged<double>& c) {
  const vector probability = toy::probabilities(pi), step = pi.step_log_probabilities();
  const auto path = paths(pi);
  vector result(pi.nodes(), 0.0);
  for (std::size_t y = 0; y < path.size(); ++y) {
    for (std::size_t t = 0; t < path[y].size(); ++t) {
      const std::size_t node = path[y][t];
      for (std::size_t n = 1; n < pi.nodes(); ++n) {
        if (pi.parent[n] == pi.parent[node]) result[n] += probability[y] * c[y][t] * ((n == node) - std::exp(step[n]));
      }
    }
  }
  return result;
}
/// sum over the inner nodes of P(node) grad KL(pi(.|node) || ref(.|node)), P held constant.
vector gradient_of_next_token_kl(const toy::tree_policy& pi, const toy::tree_policy& ref) {
  const vector step = pi.step_log_probabilities(), ref_step = ref.step_log_probabilities();
  vector reached(pi.nodes(), 1.0), kl(pi.nodes(), 0.0), result(pi.nodes(), 0.0);
  for (std::size_t n = 1; n < pi.nodes(); ++n) reached[n] = reached[pi.parent[n]] * std::exp(step[n]);
  for (std::size_t n = 1; n < pi.nodes(); ++n) kl[pi.parent[n]] += std::exp(step[n]) * (step[n] - ref_step[n]);
  for (std::size_t n = 1; n < pi.nodes(); ++n) result[n] = reached[n] * (step[n] - ref_step[n] - kl[pi.parent[n]]);
  return result;
}
double distance(const vector& a, const vector& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

struct enumerated {
  ragged<double> coefficients;
  attune::nash_report report;
};
/// Nash-MD's coefficients of every outcome, as a batch in which each occurs once.
enumerated coefficients(const attune::nash_md& objective, const toy::tree_policy& pi, const toy::tree_policy& ref, const vector& score, layout l) {
  const vector step = pi.step_log_probabilities(), ref_step = ref.step_log_probabilities();
  ragged<double> logp, ref_logp;
  for (const auto& path : paths(pi)) {
    logp.emplace_back();
    ref_logp.emplace_back();
    for (std::size_t n : path) logp.back().push_back(step[n]), ref_logp.back().push_back(ref_step[n]);
  }
  const token_shape shape(l, logp);
  const auto a = shape.tensor(logp), b = shape.tensor(ref_logp);
  const vector mixture(score.size(), 0.0);
  vector d(a.size(), -7);
  const auto report = attune::nash_md_coefficients<double>(
      objective, {.logp = shape.see(a), .ref_logp = shape.see(b), .score = score, .mixture_score = mixture, .mask = shape.mask(), .offsets = shape.cu_seqlens()},
      shape.see(d), 1.0);
  for (std::size_t i = 0; i < d.size(); ++i) {
    if (shape.mask_bytes[i] == 0) CHECK(d[i] == 0);
  }
  return {shape.back(d), report};
}

struct chosen_pairs {
  std::vector<std::int64_t> chosen, rejected;
  attune::online_pair_report report;
};
chosen_pairs pairs_of(const attune::scored_groups<double>& y, double penalty = 0) {
  chosen_pairs p;
  p.chosen.assign(std::size_t(y.reward.extent(0) / y.size), -7);
  p.rejected = p.chosen;
  p.report = attune::online_pairs(y, p.chosen, p.rejected, penalty);
  return p;
}
using indices = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("online pairs: the higher reward is chosen, of equal ones the first") {
  const vector reward{1, 2, 0.5, 0.5, 3, -1};
  const auto p = pairs_of({.reward = reward});
  CHECK(p.chosen == indices{1, 2, 4});
  CHECK(p.rejected == indices{0, 3, 5});
  CHECK(p.report.selected == 3);
  CHECK(p.report.ties == 1);
  const vector four{1, 3, 3, 1, 2, 2, 2, 2};
  const auto q = pairs_of({.reward = four, .size = 4});
  CHECK(q.chosen == indices{1, 4});
  CHECK(q.rejected == indices{3, 7});
}

TEST_CASE("online pairs: a completion without an end is penalised, a masked one is not read") {
  const vector reward{1, 2, not_a_number, 4, 5, 6};
  const std::vector<std::uint8_t> ended{1, 0, 1, 1, 1, 0}, mask{1, 1, 0, 1, 1, 1};
  const auto p = pairs_of({.reward = reward, .size = 2, .ended = ended, .mask = mask}, 1.5);
  CHECK(p.chosen == indices{0, -1, 4});
  CHECK(p.rejected == indices{1, -1, 5});
  CHECK(p.report.penalised == 2);
  CHECK(p.report.skipped == 1);
  CHECK(pairs_of({.reward = reward, .size = 2, .ended = ended, .mask = mask}, 0.5).chosen == indices{1, -1, 5});
  CHECK(pairs_of({.reward = reward, .size = 3, .mask = mask}).rejected == indices{0, 3});
  CHECK(pairs_of({}).report.selected == 0);
}

TEST_CASE("online pairs: bad arguments are refused before anything is written") {
  const vector reward{1, 2, not_a_number, 4}, good{1, 2, 3, 4};
  CHECK_THROWS_WITH(pairs_of({.reward = reward}), "attune: reward 2 is nan; expected a finite number");
  CHECK_THROWS_WITH(pairs_of({.reward = good, .size = 3}), "attune: reward has 4 elements; expected a multiple of size, 3");
  CHECK_THROWS_AS(pairs_of({.reward = good, .size = 1}), attune::error);
  CHECK_THROWS_WITH(pairs_of({.reward = good}, 1), "attune: ended is missing; missing_eos_penalty needs to know which completions have an end");
  indices chosen(2, 9), rejected(1, 9);
  CHECK_THROWS_AS(attune::online_pairs<double>({.reward = good}, chosen, rejected), attune::error);
  CHECK(chosen[0] == 9);
}

TEST_CASE("xpo: DPO and a bonus, whose gradient belongs to the reference model's completion") {
  const vector chosen{-10, -12}, rejected{-11, -9}, ref_chosen{-10.5, -12}, ref_rejected{-10, -10}, reference_sample{-10, -9};  // y_w, y_l
  const attune::pairs<double> plain{.chosen = chosen, .rejected = rejected, .ref_chosen = ref_chosen, .ref_rejected = ref_rejected};
  attune::pairs<double> batch = plain;
  batch.target = reference_sample;
  vector d_chosen(2), d_rejected(2), d_target(2), dpo_chosen(2), dpo_rejected(2);
  const auto check = [&](const auto& objective, const auto& base) {
    const auto found = attune::evaluate(objective, batch, {.chosen = d_chosen, .rejected = d_rejected, .target = d_target});
    const auto expected = attune::evaluate(base, plain, {.chosen = dpo_chosen, .rejected = dpo_rejected});
    CHECK(found.loss() == Approx(expected.loss() + 0.25 * (-10 - 9) / 2));
    CHECK(d_chosen == dpo_chosen);
    CHECK(d_rejected == dpo_rejected);
    CHECK(d_target == vector{0.125, 0.125});
  };
  check(attune::xpo{.beta = 0.3, .alpha = 0.25}, attune::dpo{0.3});
  check(attune::xpo_ipo{.beta = 0.3, .alpha = 0.25}, attune::ipo{0.3});
  CHECK_THROWS_AS(attune::evaluate(attune::xpo{}, plain), attune::error);  // it does not guess which completion is the reference model's
}

TEST_CASE("nash-md: the coefficients of one completion by hand, and their sum over a batch") {
  const vector logp{-1, -2}, ref_logp{-1.5, -1}, score{2}, mixture{0.5};
  const double p = 1 / (1 + std::exp(-1.5));
  const attune::nash_samples<double> x{.logp = attune::packed(logp), .ref_logp = attune::packed(ref_logp), .score = score, .mixture_score = mixture};
  vector d(2);
  const auto report = attune::nash_md_coefficients({.beta = 0.2}, x, attune::packed(d));
  CHECK(d[0] == Approx(0.2 * 0.5 - (p - 0.5)));
  CHECK(d[1] == Approx(0.2 * -1 - (p - 0.5)));
  CHECK(report.loss() == Approx(0.2 * (0.5 * -1 + -1 * -2) - (p - 0.5) * -3));
  CHECK(report.kl() == Approx(-0.5));
  CHECK(report.win_rate() == Approx(p));
  attune::nash_md_coefficients({.beta = 0.2, .kl = attune::kl_scope::sequence}, x, attune::packed(d), 4);
  CHECK(d[0] == Approx((0.2 * -0.5 - (p - 0.5)) / 4).epsilon(1e-14));
  CHECK(d[1] == Approx((0.2 * -1 - (p - 0.5)) / 4).epsilon(1e-14));  // any weight on what came before would have the same expectation
}

TEST_CASE("nash-md: the penalty on sequences has the gradient of the KL of sequences, the one on tokens does not") {
  const toy::tree_policy pi = strings(1.3), ref = strings(0.7);
  const vector even(pi.leaves().size(), 0.0);  // p = 1/2: only the penalty
  const vector exact = pi.gradient(toy::divergence_coefficients(attune::divergence::reverse_kl{}, pi, ref));
  const double size = distance(exact, vector(exact.size(), 0.0));
  CHECK(size > 0.05);
  for (layout l : layouts) {
    const auto sequence = coefficients({.beta = 1, .kl = attune::kl_scope::sequence}, pi, ref, even, l);
    CHECK(distance(expected_gradient(pi, sequence.coefficients), exact) < 1e-15);
    const auto token = coefficients({.beta = 1}, pi, ref, even, l);
    CHECK(distance(expected_gradient(pi, token.coefficients), exact) > 0.1 * size);
    CHECK(distance(expected_gradient(pi, token.coefficients), gradient_of_next_token_kl(pi, ref)) < 1e-15);
    CHECK(token.coefficients == coefficients({.beta = 1}, pi, ref, even, layout::packed).coefficients);
    CHECK(sequence.coefficients == coefficients({.beta = 1, .kl = attune::kl_scope::sequence}, pi, ref, even, layout::packed).coefficients);
  }
}

TEST_CASE("nash-md: the whole gradient is that of beta KL - E[p]") {
  const toy::tree_policy pi = strings(1.3), ref = strings(0.7);
  vector score, win;
  for (std::size_t y = 0; y < pi.leaves().size(); ++y) {
    score.push_back(std::cos(2.0 * double(y)));
    win.push_back(1 / (1 + std::exp(-score.back())));
  }
  vector exact = pi.gradient(toy::divergence_coefficients(attune::divergence::reverse_kl{}, pi, ref));
  const vector gain = pi.gradient(toy::expectation_coefficients(pi, win));
  for (std::size_t i = 0; i < exact.size(); ++i) exact[i] = 0.4 * exact[i] - gain[i];
  const auto found = coefficients({.beta = 0.4, .kl = attune::kl_scope::sequence}, pi, ref, score, layout::right_padded);
  CHECK(distance(expected_gradient(pi, found.coefficients), exact) < 1e-15);
}

TEST_CASE("nash-md: empty sequences, broken numbers, bad arguments") {
  const ragged<double> logp{{}, {-1, -2}, {not_a_number}};
  const token_shape shape(layout::right_padded, logp);
  const auto a = shape.tensor(logp), b = shape.tensor(ragged<double>{{}, {-1, -2}, {-1}});
  const vector score{not_a_number, 0, 0}, mixture(3, 0.0);
  vector d(a.size(), 5);
  attune::nash_samples<double> x{.logp = shape.see(a), .ref_logp = shape.see(b), .score = score, .mixture_score = mixture, .mask = shape.mask()};
  const auto report = attune::nash_md_coefficients({}, x, shape.see(d));
  CHECK(report.sequences == 2);
  CHECK(report.non_finite == 1);
  CHECK(shape.back(d)[1] == std::vector<double>{0, 0});
  CHECK(std::isnan(shape.back(d)[2][0]));

  d.assign(d.size(), 5);
  CHECK_THROWS_WITH(attune::nash_md_coefficients({.beta = -1}, x, shape.see(d)), "attune: parameter beta is -1; expected a value in [0, inf) (weight of the KL penalty [1/nat])");
  CHECK_THROWS_WITH(attune::nash_md_coefficients({}, x, shape.see(d), 0.0), "attune: normalizer is 0; expected a finite number > 0, the sequences of the whole batch");
  const vector two(2);
  x.score = two;
  CHECK_THROWS_AS(attune::nash_md_coefficients({}, x, shape.see(d)), attune::error);
  CHECK(d[0] == 5);
  CHECK(attune::nash_md_coefficients<double>({}, {}, attune::view<double, 2>{}).loss() == 0);
}

TEST_CASE("SPPO's regression on rewards is a_star_po on scaled advantages over the soft mean") {
  const vector logp{-5, -7.5, -4}, old_logp{-5.5, -7, -4}, reward{1, 0, 0.25};
  const double eta = 2;
  double soft = 0, expected = 0;
  for (double r : reward) soft += std::exp(eta * r) / 3;
  soft = std::log(soft) / eta;
  vector scaled, gradient, d(3);
  for (std::size_t i = 0; i < 3; ++i) {
    const double residual = logp[i] - old_logp[i] - eta * (reward[i] - soft);
    expected += residual * residual / 3;
    gradient.push_back(2 * residual / 3);
    scaled.push_back(eta * (reward[i] - attune::optimal_value(reward, 1 / eta)));
  }
  const auto found = attune::evaluate(attune::a_star_po{.beta = 1}, attune::singles<double>{.logp = logp, .ref_logp = old_logp, .reward = scaled}, {.logp = d});
  CHECK(found.loss() == Approx(expected));
  for (std::size_t i = 0; i < 3; ++i) CHECK(d[i] == Approx(gradient[i]));
}
