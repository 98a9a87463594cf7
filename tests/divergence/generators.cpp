// SPDX-License-Identifier: MIT
// What every f-divergence generator promises (divergence/generator.hpp), for all of the catalogue.
#include "support/catch.hpp"

#include <attune/catalog.hpp>

#include <cmath>

namespace {

template <class Test>
void for_each_generator(Test&& test) {
  int tested = 0;
  attune::for_each_unit([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::divergence::generator<unit>) {
      INFO(entry.name);
      test(unit{});
      ++tested;
    }
  });
  CHECK(tested >= 3);
}

}  // namespace

TEST_CASE("generators are normalised: f(1) = f'(1) = 0, f >= 0, f' increasing") {
  for_each_generator([](auto g) {
    CHECK(g.value(0.0) == 0);
    CHECK(g.slope(0.0) == 0);
    for (double u = -30; u < 30; u += 0.37) {
      INFO("u = " << u);
      CHECK(g.value(u) >= 0);
      CHECK(g.slope(u + 0.37) > g.slope(u));
      CHECK(g.curvature(u) >= 0);
    }
  });
}

TEST_CASE("curvature is the derivative of the slope, the slope that of the value in t") {
  for_each_generator([](auto g) {
    using D = attune::dual<double, 1>;
    for (double u : {-20.0, -1.5, -0.3, 0.0, 0.2, 0.99, 1.01, 7.0}) {
      INFO("u = " << u);
      CHECK(g.slope(D::variable(u, 0)).grad[0] == Approx(g.curvature(u)).epsilon(1e-13));
      CHECK(g.value(D::variable(u, 0)).grad[0] == Approx(std::exp(u) * g.slope(u)).epsilon(1e-12).margin(1e-15));
    }
  });
}

TEST_CASE("term and weight are p f(pi/p) and pi f'(pi/p), also where a factor overflows") {
  for_each_generator([](auto g) {
    for (double p : {1e-3, 0.2, 0.9}) {
      for (double u : {-5.0, -0.9, -1e-4, 0.0, 1e-9, 0.5, 1.1, 6.0}) {
        const double pi = p * std::exp(u);
        CHECK(g.term(p, pi, u) == Approx(p * g.value(u)).epsilon(1e-12).margin(1e-30));
        CHECK(g.weight(p, pi, u) == Approx(pi * g.slope(u)).epsilon(1e-12).margin(1e-30));
      }
    }
    CHECK(std::isfinite(g.term(1e-320, 0.5, std::log(0.5) + 736.8)));  // t = pi/p is beyond the largest double
    CHECK(std::isfinite(g.weight(0.5, 1e-320, -736.8 - std::log(0.5))));
  });
}

TEST_CASE("limits at t = 0 and t = infinity") {
  for_each_generator([](auto g) {
    if (std::isfinite(g.value_at_zero())) CHECK(g.value(-700.0) == Approx(g.value_at_zero()));
    else CHECK(g.value(-700.0) > 600);
    if (std::isfinite(g.slope_at_infinity())) CHECK(g.slope(700.0) == Approx(g.slope_at_infinity()));
    else CHECK(g.slope(700.0) > 600);
    CHECK(std::exp(-600.0) * g.slope(-600.0) == Approx(g.weight_at_zero()).margin(1e-200));
  });
}

TEST_CASE("a finite difference over distributions is the f-DPG theorem: grad D = E_pi[f'(pi/p) grad log pi]") {
  const double a[] = {.30, .25, .15, .12, .10, .05, .02, .01}, factor[] = {1, .2, 2, .5, 1, 4, 3, 0};
  double target[8], z = 0;
  for (int i = 0; i < 8; ++i) z += target[i] = a[i] * factor[i];
  CHECK(z == Approx(1.07));
  const double logits[] = {.1, -.4, .3, .2, -.7, .5, 0, -.2};
  for_each_generator([&](auto g) {
    if (!std::isfinite(g.slope_at_infinity())) return;  // the last class is excluded by the target: the divergence is infinite
    const auto divergence = [&](const double* x) {
      double total = 0, d = 0;
      for (int i = 0; i < 8; ++i) total += std::exp(x[i]);
      for (int i = 0; i < 8; ++i) {
        const double pi = std::exp(x[i]) / total, p = target[i] / z;
        d += p > 0 ? p * g.value(std::log(pi / p)) : pi * g.slope_at_infinity();
      }
      return d;
    };
    double total = 0;
    for (double x : logits) total += std::exp(x);
    for (int j = 0; j < 8; ++j) {
      double gradient = 0;
      for (int i = 0; i < 8; ++i) {
        const double pi = std::exp(logits[i]) / total, pj = std::exp(logits[j]) / total, p = target[i] / z;
        const double reward = attune::divergence::pseudo_reward(g, std::log(pi), p > 0 ? std::log(p) : -std::numeric_limits<double>::infinity());
        gradient += pi * -reward * ((i == j) - pj);
      }
      double x[8];
      for (int i = 0; i < 8; ++i) x[i] = logits[i];
      x[j] = logits[j] + 1e-5;
      const double upper = divergence(x);
      x[j] = logits[j] - 1e-5;
      CHECK(gradient == Approx((upper - divergence(x)) / 2e-5).epsilon(1e-6).margin(1e-9));
    }
  });
}

TEST_CASE("one definition, used as score: f-DPO scores are f' of the generators (P18)") {
  const auto gap = [](auto g) { return g.slope(1.0) - g.slope(-1.0); };
  CHECK(gap(attune::divergence::reverse_kl{}) == 2);
  CHECK(gap(attune::divergence::forward_kl{}) == Approx(2.350402387));
  CHECK(gap(attune::divergence::jensen_shannon{}) == Approx(1));
}
