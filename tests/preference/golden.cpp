// SPDX-License-Identifier: MIT
// Hand-computed and published numbers for the pair objectives. None of them comes from this code.
#include "support/catch.hpp"

#include <attune/check/derivative.hpp>
#include <attune/exec/evaluate.hpp>
#include <attune/preference/cdpo.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/exo_pref.hpp>
#include <attune/preference/f_dpo.hpp>
#include <attune/preference/ipo.hpp>
#include <attune/preference/simpo.hpp>

#include <cmath>

namespace {

struct outcome {
  double loss, d_chosen, d_rejected;
};

/// One pair through evaluate, as a trainer runs it.
template <class T, class Objective>
outcome run(const Objective& objective, const attune::pair<double>& x) {
  const T chosen[] = {T(x.chosen.logp)}, rejected[] = {T(x.rejected.logp)}, ref_chosen[] = {T(x.chosen.ref_logp)},
          ref_rejected[] = {T(x.rejected.ref_logp)}, chosen_length[] = {T(x.chosen.length)}, rejected_length[] = {T(x.rejected.length)};
  T d_chosen[1], d_rejected[1];
  const attune::report r = attune::evaluate(objective,
                                            attune::pairs<T>{.chosen = chosen, .rejected = rejected, .ref_chosen = ref_chosen, .ref_rejected = ref_rejected,
                                                             .chosen_length = chosen_length, .rejected_length = rejected_length},
                                            {.chosen = d_chosen, .rejected = d_rejected});
  return {r.loss_sum, double(d_chosen[0]), double(d_rejected[0])};
}

/// A pair whose summed log-ratios are `chosen` and `rejected`.
attune::pair<double> ratios(double chosen, double rejected, double chosen_length = 1, double rejected_length = 1) {
  return {{chosen, 0, chosen_length}, {rejected, 0, rejected_length}, 0};
}

template <class Objective>
void expect(const Objective& objective, double delta, double loss, double slope) {
  INFO("delta = " << delta);
  const outcome d = run<double>(objective, ratios(delta, 0)), f = run<float>(objective, ratios(delta, 0));
  CHECK(d.loss == Approx(loss).epsilon(1e-11));
  CHECK(d.d_chosen == Approx(slope).epsilon(1e-9).margin(1e-13));
  CHECK(d.d_rejected == Approx(-slope).epsilon(1e-9).margin(1e-13));
  CHECK(f.loss == Approx(loss).epsilon(3e-6));
  CHECK(f.d_chosen == Approx(slope).epsilon(3e-5).margin(1e-7));
}

}  // namespace

TEST_CASE("DPO, IPO and cDPO at beta = 0.1: published table of scalar values") {
  using namespace attune;
  const double delta[] = {-30, -5, 0, 5, 30};
  const double dpo_loss[] = {3.048587351574, .974076984180, .693147180560, .474076984180, .048587351574};
  const double dpo_slope[] = {-.095257412682, -.062245933120, -.05, -.037754066880, -.004742587318};
  const double ipo_loss[] = {1225, 100, 25, 0, 625}, ipo_slope[] = {-70, -20, -10, 0, 50};
  const double cdpo_loss[] = {2.748587351574, .924076984180, .693147180560, .524076984180, .348587351574};
  const double cdpo_slope[] = {-.085257412682, -.052245933120, -.04, -.027754066880, .005257412682};
  for (int i = 0; i < 5; ++i) {
    const outcome d = run<double>(dpo{.beta = 0.1}, ratios(delta[i], 0)), c = run<double>(cdpo{.beta = 0.1, .label_smoothing = 0.1}, ratios(delta[i], 0));
    CHECK(d.loss == Approx(dpo_loss[i]).margin(1e-12));
    CHECK(d.d_chosen == Approx(dpo_slope[i]).margin(1e-12));
    CHECK(c.loss == Approx(cdpo_loss[i]).margin(1e-12));
    CHECK(c.d_chosen == Approx(cdpo_slope[i]).margin(1e-12));
    const outcome p = run<double>(ipo{.beta = 0.1}, ratios(delta[i], 0));
    CHECK(p.loss == Approx(ipo_loss[i]).margin(1e-12));
    CHECK(p.d_chosen == Approx(ipo_slope[i]).margin(1e-12));
  }
  // cDPO's fixed point: log(9)/beta
  CHECK(std::abs(run<double>(cdpo{.beta = 0.1, .label_smoothing = 0.1}, ratios(21.972245773362196, 0)).d_chosen) < 1e-15);
  CHECK(run<double>(cdpo{.beta = 0.1, .label_smoothing = 0}, ratios(3, 1)).loss == run<double>(dpo{.beta = 0.1}, ratios(3, 1)).loss);
}

TEST_CASE("SimPO: lengths normalise, gamma is the margin itself") {
  using attune::simpo;
  const auto check = [](attune::pair<double> x, double loss, double d_chosen, double d_rejected) {
    const outcome d = run<double>(simpo{.beta = 2, .gamma = 0.5}, x), f = run<float>(simpo{.beta = 2, .gamma = 0.5}, x);
    CHECK(d.loss == Approx(loss).margin(5e-10));
    CHECK(d.d_chosen == Approx(d_chosen).margin(5e-10));
    CHECK(d.d_rejected == Approx(d_rejected).margin(5e-10));
    CHECK(f.loss == Approx(loss).epsilon(1e-6));
  };
  check(ratios(-20, -24, 10, 8), .201413278, -.036485105, .045606381);
  check(ratios(-40, -24, 20, 8), .201413278, -.018242552, .045606381);
  check(ratios(-10, -30, 4, 15), 1.701413278, -.408787238, .109009930);
  CHECK(run<double>(simpo{.beta = 2, .gamma = 0.5}, ratios(-1, -1.2)).loss == Approx(.744397).margin(1e-6));  // P65
}

TEST_CASE("EXO on pairs: table at e = 1e-3, fixed point, authors' variant") {
  const attune::exo_pref exo{.beta = 1, .label_smoothing = 1e-3};
  const double h[] = {0, 1, -1, -5, 5}, loss[] = {2.761230709, 1.276309839, 4.468039723, 6.821349796, .007046777},
               slope[] = {-1.726688695, -1.161338476, -1.554562343, -.079156781, -.012676214};
  for (int i = 0; i < 5; ++i) {
    CHECK(run<double>(exo, ratios(h[i], 0)).loss == Approx(loss[i]).margin(1e-9));
    CHECK(run<double>(exo, ratios(h[i], 0)).d_chosen == Approx(slope[i]).margin(1e-9));
    CHECK(run<float>(exo, ratios(h[i], 0)).loss == Approx(loss[i]).epsilon(2e-5));
  }
  CHECK(std::abs(run<double>(exo, ratios(6.906754778648554, 0)).d_chosen) < 1e-15);
  CHECK(std::abs(run<double>(exo, ratios(6.906754778648554, 0)).loss) < 1e-15);
  CHECK(run<double>(exo, ratios(2, 0)).loss == Approx(.458972).margin(1e-6));      // P34
  CHECK(run<double>(exo, ratios(-200, 0)).loss == Approx(6.907755).margin(1e-6));  // P34: NaN if computed as q log q
  CHECK(run<float>(exo, ratios(-200, 0)).loss == Approx(6.907755).epsilon(1e-6));
  double steepest = 0, at = 0;
  for (double x = -1; x < 1; x += 1e-4) {
    const double s = std::abs(run<double>(exo, ratios(x, 0)).d_chosen);
    if (s > steepest) steepest = s, at = x;
  }
  CHECK(steepest == Approx(1.761929).margin(1e-6));
  CHECK(at == Approx(-.2801).margin(1e-3));

  const attune::exo_pref_authors authors{.beta = 1};
  CHECK(run<double>(authors, ratios(0, 0)).loss == Approx(4.306852819).margin(1e-9));
  CHECK(std::abs(run<double>(authors, ratios(10, 0)).d_chosen) < 1e-15);
  CHECK_THROWS_AS(run<double>(attune::exo_pref{.label_smoothing = 0}, ratios(1, 0)), attune::error);
  CHECK_NOTHROW(run<double>(attune::exo_pref{.label_smoothing = 1e-12}, ratios(1, 0)));
}

TEST_CASE("EXO at an infinite margin has its limits, not 0 x inf") {
  const double inf = std::numeric_limits<double>::infinity();
  for (double far : {inf, 1e31, 3e38}) {
    const outcome wrong = run<double>(attune::exo_pref{.label_smoothing = 1e-3}, ratios(-far, 0)), right = run<float>(attune::exo_pref{}, ratios(far, 0));
    CHECK(wrong.loss == Approx(-std::log(1e-3)));
    CHECK(wrong.d_chosen == 0);
    CHECK(right.loss == Approx(-std::log1p(-1e-3)).epsilon(1e-4));
    CHECK(run<float>(attune::exo_pref_authors{}, ratios(-far, 0)).loss == Approx(10));
  }
  CHECK(std::isnan(run<float>(attune::exo_pref{}, ratios(std::nan(""), 0)).loss));
}

TEST_CASE("EXO and cDPO have the same minimiser") {
  for (double e : {1e-3, 0.05, 0.3}) {
    const double h = std::log((1 - e) / e);
    CHECK(std::abs(run<double>(attune::exo_pref{.beta = 1, .label_smoothing = e}, ratios(h, 0)).d_chosen) < 1e-14);
    CHECK(std::abs(run<double>(attune::cdpo{.beta = 1, .label_smoothing = e}, ratios(h, 0)).d_chosen) < 1e-14);
  }
}

TEST_CASE("IPO: summed and averaged conventions are different objectives (P30)") {
  const auto x = ratios(-2, -5, 10, 20);
  CHECK(run<double>(attune::ipo_mean{.beta = 0.1}, x).loss == Approx(24.5025));
  CHECK(run<double>(attune::ipo{.beta = 0.1}, x).loss == Approx(4));
  CHECK(run<double>(attune::ipo_mean{.beta = 0.1}, x).d_chosen == Approx(2 * (0.05 - 5) / 10));
  CHECK(run<double>(attune::ipo_mean{.beta = 0.1}, x).d_rejected == Approx(-2 * (0.05 - 5) / 20));
}

TEST_CASE("f-DPO scores are normalised to f'(1) = 0, so length-normalised links may use them (P17)") {
  // mean of the Jensen-Shannon score per token under IPO's link: the constant log 2 matters when lengths differ
  const double c = attune::divergence::jensen_shannon{}.slope(1.0) / 10, r = attune::divergence::jensen_shannon{}.slope(-1.0) / 20;
  CHECK((c - r - 5) * (c - r - 5) == Approx(24.31482).margin(1e-5));
}

TEST_CASE("f-DPO: values of TRL's score table, and no overflow in the tails (P18, P19)") {
  using namespace attune;
  const auto margin = [](auto objective, double c, double r) { return objective.form().margin(ratios(c, r)); };
  CHECK(margin(f_dpo_reverse_kl{.beta = 1}, 1, -1) == 2);
  CHECK(margin(f_dpo_forward_kl{.beta = 1}, 1, -1) == Approx(2.350402387));
  CHECK(margin(f_dpo_jensen_shannon{.beta = 1}, 1, -1) == Approx(1));
  CHECK(margin(f_dpo_jensen_shannon{.beta = 1}, 100, -100) == Approx(100).epsilon(1e-12));
  const outcome js = run<float>(f_dpo_jensen_shannon{.beta = 1}, ratios(-100, 100));
  CHECK(js.loss == Approx(100).epsilon(1e-6));
  CHECK(js.d_chosen == Approx(-1).epsilon(1e-6));

  // exp(-r) of both completions overflows float: inf - inf in a naive score
  for (double c : {-100.0, -120.0, -1000.0}) {
    for (double r : {-110.0, -100.0, -900.0}) {
      const outcome f = run<float>(f_dpo_forward_kl{.beta = 0.1}, ratios(c, r));
      INFO("c = " << c << ", r = " << r << ": " << f.loss << " " << f.d_chosen << " " << f.d_rejected);
      CHECK(std::isfinite(f.loss));
      CHECK(std::isfinite(f.d_chosen));
      CHECK(std::isfinite(f.d_rejected));
      CHECK(f.d_chosen <= 0);
      CHECK(f.d_rejected >= 0);
      if (c < r) CHECK(f.d_chosen < 0);  // wrong order: the gradient is there, and points the right way
    }
  }
  const outcome right = run<float>(f_dpo_forward_kl{.beta = 0.1}, ratios(-100, -120));
  CHECK(right.loss == 0);
  CHECK(right.d_chosen == 0);
  const outcome equal = run<float>(f_dpo_forward_kl{.beta = 0.1}, ratios(-3, -3));
  CHECK(equal.loss == Approx(ln2));
}

TEST_CASE("the first step of training: policy equals reference, the loss is log 2 exactly (P44)") {
  for (double logp : {-1.0, -17.25, -1234.5}) {
    const attune::pair<double> x{{logp, logp, 12}, {2 * logp, 2 * logp, 9}, 0};
    CHECK(run<double>(attune::dpo{}, x).loss == std::log(2.0));
    CHECK(float(run<float>(attune::dpo{}, x).loss) == std::log(2.0f));
    CHECK(run<float>(attune::dpo{}, x).d_chosen == -0.5f * 0.1f);
  }
}

TEST_CASE("DPO far out: saturates to a line or to zero, never to NaN (P06)") {
  for (double delta : {1e4, 1e6, 3e37}) {
    const outcome wrong = run<float>(attune::dpo{.beta = 0.1}, ratios(-delta, 0)), right = run<float>(attune::dpo{.beta = 0.1}, ratios(delta, 0));
    CHECK(wrong.loss == Approx(0.1 * delta));
    CHECK(wrong.d_chosen == -0.1f);
    CHECK(right.loss == 0);
    CHECK(right.d_chosen == 0);
  }
  expect(attune::dpo{.beta = 0.5}, -40, 20.0000000020611536, -0.4999999989694232);
}

TEST_CASE("a per-pair margin is subtracted from beta x score, for every link") {
  const auto with_margin = [](auto objective, double delta, double margin) {
    auto x = ratios(delta, 0);
    x.margin = margin;
    return objective(x);
  };
  using namespace attune;
  CHECK(with_margin(dpo{.beta = 0.5}, 3, 1) == Approx(std::log1p(std::exp(-0.5))));
  CHECK(with_margin(ipo{.beta = 0.5}, 3, 1) == Approx((3 - 2 - 1) * (3 - 2 - 1)).margin(1e-15));
  CHECK(with_margin(exo_pref{.beta = 0.5}, 3, 1) == Approx(exo_pref{.beta = 0.5}(ratios(1, 0))));
  CHECK(with_margin(f_dpo_jensen_shannon{.beta = 1}, 0, 2) == Approx(std::log1p(std::exp(2.0))));
}

TEST_CASE("composition by value: the named objectives are preference{score, link, beta}") {
  using namespace attune;
  const auto x = ratios(-3.5, -4.25, 7, 3);
  CHECK(preference{score::log_ratio{}, link::logistic{}, 0.3}(x) == dpo{.beta = 0.3}(x));
  CHECK(preference{score::mean_log_ratio{}, link::square{0.3}, 0.3}(x) == ipo_mean{.beta = 0.3}(x));
  const preference averaged_exo{score::mean_log_ratio{}, link::exo{0.01}, 2.0};  // named by nobody
  const double h = 2 * (-0.5 + 4.25 / 3);
  CHECK(averaged_exo(x) == Approx(link::exo{0.01}.value(h)));
  CHECK_THROWS_AS(run<double>(preference{score::log_ratio{}, link::exo{0.7}, 0.1}, x), error);
  CHECK_THROWS_AS(run<double>(preference{score::log_ratio{}, link::logistic{}, -0.1}, x), error);
}

TEST_CASE("no gradient reaches the reference (4.E)") {
  // The reference is a constant by type; moving it changes the loss, while the gradients are those of the policy's log-probs only.
  const attune::pair<double> x{{-5, -6, 1}, {-7, -7.5, 1}, 0};
  const outcome here = run<double>(attune::dpo{.beta = 0.5}, x);
  const auto moved = attune::differentiate([&](double ref) { auto y = x; y.chosen.ref_logp = ref; return attune::dpo{.beta = 0.5}(y); }, -6, 0.1);
  CHECK(moved.value == Approx(-here.d_chosen));
  static_assert(std::is_same_v<decltype(attune::completion<attune::dual<double, 2>>::ref_logp), double>);
}
