// SPDX-License-Identifier: MIT
// f-DPO scores and objectives where f' leaves the range of numbers, and their parameters. On objectives as the examples hold them.
#include "held/objectives.hpp"
#include "support/catch.hpp"

#include <attune/catalog/pair.hpp>
#include <attune/exec/evaluate.hpp>

#include <cmath>
#include <string>

namespace {

using objective = held::in_both<attune::pair_kind>;

objective make(const std::string& name, const held::settings& parameters = {}) {
  const held::entry* entry = held::find(name);
  REQUIRE(entry != nullptr);
  return std::get<objective>(entry->make(parameters));
}

template <class Form>
inline constexpr bool is_f_dpo = false;
template <class Generator>
inline constexpr bool is_f_dpo<attune::preference<attune::score::f_slope<Generator>, attune::link::logistic>> = true;

/// Calls test(objective) for every f-DPO objective of the catalogue, with default and with strong parameters.
template <class Test>
void for_each_f_dpo(Test&& test) {
  int tested = 0;
  attune::catalog::for_each_pair_objective([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (requires { requires is_f_dpo<decltype(unit{}.form())>; }) {
      INFO(entry.name);
      test(make(entry.name));
      for (const auto& p : unit::parameters()) {
        for (double x : {-2.0, 0.0, 0.05, 0.9, 1.0, 3.0}) {
          if (!p.domain.contains(x)) continue;
          INFO(p.name << " = " << x);
          test(make(entry.name, {{p.name, x}}));
        }
      }
      ++tested;
    }
  });
  CHECK(tested == 13);
}

template <class T>
struct outcome {
  T loss, d_chosen, d_rejected;
};
template <class T>
outcome<T> run(const objective& o, T chosen, T rejected) {
  const T zero[] = {0};
  T d_chosen[1], d_rejected[1];
  const T c[] = {chosen}, r[] = {rejected};
  const attune::report report = attune::evaluate(o.in<T>(), attune::pairs<T>{.chosen = c, .rejected = r, .ref_chosen = zero, .ref_rejected = zero},
                                                 {.chosen = d_chosen, .rejected = d_rejected});
  return {T(report.loss_sum), d_chosen[0], d_rejected[0]};
}

}  // namespace

TEST_CASE("f-DPO is finite and points the right way wherever the log-ratios are (P18)") {
  const auto check = [](const objective& o, auto chosen, auto rejected) {
    const auto x = run(o, chosen, rejected);
    INFO("chosen " << chosen << ", rejected " << rejected << ": " << x.loss << " " << x.d_chosen << " " << x.d_rejected);
    CHECK((std::isfinite(x.loss) || x.loss > 0));
    CHECK(!std::isnan(x.loss));
    CHECK(std::isfinite(x.d_chosen));
    CHECK(std::isfinite(x.d_rejected));
    CHECK(x.d_chosen <= 0);
    CHECK(x.d_rejected >= 0);
    if (chosen < rejected) CHECK(x.loss >= attune::ln2);
    if (chosen > rejected) CHECK(x.loss <= decltype(x.loss)(attune::ln2) * 1.0000002);
  };
  for_each_f_dpo([&](const objective& o) {
    const double sizes[] = {0, 1e-3, 1, 30, 90, 100, 120, 300, 1000, 1e5};
    for (double a : sizes) {
      for (double b : sizes) {
        for (int signs = 0; signs < 4; ++signs) {
          const double c = signs & 1 ? -a : a, r = signs & 2 ? -b : b;
          check(o, c, r);
          check(o, float(c), float(r));
        }
      }
    }
  });
}

TEST_CASE("f-DPO: where both scores overflow, a wrong order still has its gradient (P18)") {
  const auto wrong = [](const objective& o, float chosen, float rejected) {
    const auto x = run(o, chosen, rejected);
    CHECK(x.loss > 1e30f);
    CHECK(x.d_chosen < 0);
    CHECK(x.d_rejected >= 0);
  };
  const auto right = [](const objective& o, float chosen, float rejected) {
    const auto x = run(o, chosen, rejected);
    CHECK(x.loss == 0);
    CHECK(x.d_chosen == 0);
  };
  wrong(make("f_dpo_forward_kl"), -120, -100);
  right(make("f_dpo_forward_kl"), -100, -120);
  wrong(make("f_dpo_jeffreys"), -120, -100);
  wrong(make("f_dpo_neyman_chi_squared"), -120, -100);
  wrong(make("f_dpo_squared_hellinger"), -300, -250);
  wrong(make("f_dpo_alpha_t"), -300, -250);
  wrong(make("f_dpo_alpha_u", {{"alpha", 0.5}}), -300, -250);
  wrong(make("f_dpo_skewed_forward_kl", {{"skew", 0}}), -120, -100);
  for (float top : {100.0f, 1000.0f}) {
    right(make("f_dpo_pearson_chi_squared"), top + 20, top);
    right(make("f_dpo_chi_squared_kl"), top + 20, top);
    const auto x = run(make("f_dpo_pearson_chi_squared"), top, top + 20);
    CHECK(x.loss > 1e30f);
    CHECK(x.d_chosen < 0);
    CHECK(x.d_rejected > 0);
  }
  // P18's own case: alpha = 1/2 at a log-ratio of -300, where a clamp at 80 has no gradient left
  const auto half = run(make("f_dpo_alpha_t", {{"alpha", 0.5}, {"beta", 1}}), -300.0, 0.0);
  CHECK(half.loss == Approx(2 * (std::exp(150.0) - 1)));
  CHECK(half.d_chosen == Approx(-std::exp(150.0)));
}

TEST_CASE("f-DPO: margins in the conventions of P18 and P19") {
  using namespace attune;
  const pair<double> x{{1, 0, 1}, {-1, 0, 1}, 0};
  const auto margin = [&](auto objective) {
    objective.beta = 1;
    return objective.form().margin(x);
  };
  CHECK(margin(f_dpo_reverse_kl{}) == 2);
  CHECK(margin(f_dpo_forward_kl{}) == Approx(2.350402387));
  CHECK(margin(f_dpo_jensen_shannon{}) == Approx(1));
  CHECK(margin(f_dpo_generalized_jensen_shannon{}) == Approx(0.5));
  CHECK(margin(f_dpo_alpha_t{.alpha = 0.5}) == Approx(2.084381).epsilon(1e-6));
  CHECK(margin(f_dpo_alpha_u{.alpha = 1}) == Approx(2.350402387));  // "a = 1" of one convention
  CHECK(margin(f_dpo_alpha_t{.alpha = 1}) == 2);                    // and of the other
  for (double e : {1e-7, -1e-7}) {
    CHECK(margin(f_dpo_alpha_t{.alpha = 1 + e}) == Approx(2).epsilon(1e-12));
    CHECK(margin(f_dpo_alpha_u{.alpha = 1 + e}) == Approx(2.350402387287603).epsilon(1e-6));
  }
  CHECK(margin(f_dpo_skewed_forward_kl{.skew = 0}) == Approx(2.350402387));
  CHECK(margin(f_dpo_skewed_reverse_kl{.skew = 0}) == 2);
  CHECK(margin(f_dpo_chi_squared_kl{}) == Approx(2.350402387 + 2));
  CHECK(margin(f_dpo_jeffreys{}) == Approx(2.350402387 + 2));
  CHECK(margin(f_dpo_pearson_chi_squared{}) == Approx(2 * 2.350402387));
}

TEST_CASE("f-DPO: a generator's parameter is set, listed and validated by name") {
  attune::f_dpo_alpha_u alpha;
  attune::set_parameter(alpha, "alpha", 0.25);
  CHECK(alpha.form().score.generator.alpha == 0.25);
  attune::f_dpo_generalized_jensen_shannon js;
  attune::set_parameter(js, "target_weight", 0.9);
  CHECK(js.form().score.generator.beta == 0.9);
  CHECK_THROWS_AS(attune::validate(attune::f_dpo_skewed_forward_kl{.skew = 1}), attune::error);
  // and where the generator is a member
  CHECK_THROWS_AS(attune::validate(attune::f_dpo<attune::divergence::skewed_forward_kl>{{.skew = -0.1}, 0.1}), attune::error);
  CHECK_NOTHROW(attune::validate(attune::f_dpo<attune::divergence::skewed_forward_kl>{{.skew = 0.2}, 0.1}));
}
