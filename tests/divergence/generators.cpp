// SPDX-License-Identifier: MIT
// What every f-divergence generator promises (divergence/generator.hpp), for all of the catalogue, with default and other parameters.
#include "support/catch.hpp"

#include <attune/catalog.hpp>

#include <cmath>
#include <vector>

namespace {

template <class Test>
void for_each_generator(Test&& test, const std::vector<double>& others = {-1.7, 0, 1e-9, 0.02, 0.7, 0.999, 1, 1 + 1e-7, 2.5}) {
  int tested = 0;
  attune::for_each_unit([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::divergence::generator<unit>) {
      INFO(entry.name);
      test(unit{});
      ++tested;
      if constexpr (attune::parametrised<unit>) {
        for (double x : others) {
          const auto parameter = unit::parameters()[0];
          INFO(parameter.name << " = " << x);
          unit other{};
          other.*parameter.member = x;
          if (parameter.domain.contains(x)) test(other);
        }
      }
    }
  });
  CHECK(tested >= 14);
}

/// Growth beyond t (and 1/t): there p f and pi f' may overflow for masses that do not.
template <class G> bool grows_up(const G& g) { return g.slope(300.0) > 1e3; }
template <class G> bool grows_down(const G& g) { return std::isinf(g.weight_at_zero()); }

}  // namespace

TEST_CASE("generators are normalised: f(1) = f'(1) = 0, f >= 0, f' increasing") {
  for_each_generator([](auto g) {
    CHECK(g.value(0.0) == 0);
    CHECK(g.slope(0.0) == 0);
    for (double u = -30; u < 30; u += 0.37) {
      INFO("u = " << u);
      CHECK(g.value(u) >= 0);
      CHECK(g.slope(u + 0.37) >= g.slope(u));
      if (attune::divergence::strictly_convex<decltype(g)> && std::abs(u) < 8) CHECK(g.slope(u + 0.37) > g.slope(u));
      CHECK(g.curvature(u) >= 0);
    }
  });
}

TEST_CASE("curvature is the derivative of the slope, the slope that of the value in t") {
  for_each_generator([](auto g) {
    using D = attune::dual<double, 1>;
    for (double u : {-20.0, -1.5, -0.3, 0.0, 0.2, 0.99, 1.01, 7.0}) {
      INFO("u = " << u);
      if (u == 0 && !attune::divergence::strictly_convex<decltype(g)>) continue;  // a kink
      CHECK(g.slope(D::variable(u, 0)).grad[0] == Approx(g.curvature(u)).epsilon(1e-12));
      CHECK(g.value(D::variable(u, 0)).grad[0] == Approx(std::exp(u) * g.slope(u)).epsilon(1e-12).margin(1e-15));
    }
  });
}

TEST_CASE("term and weight are p f(pi/p) and pi f'(pi/p), also where a factor overflows") {
  for_each_generator([](auto g) {
    for (double p : {1e-3, 0.2, 0.9}) {
      for (double u : {-5.0, -0.9, -1e-4, 0.0, 1e-9, 0.5, 1.1, 6.0}) {
        const double pi = p * std::exp(u);
        INFO("p = " << p << ", u = " << u);
        CHECK(g.term(p, pi, u) == Approx(p * g.value(u)).epsilon(1e-12).margin(1e-30));
        CHECK(g.weight(p, pi, u) == Approx(pi * g.slope(u)).epsilon(1e-12).margin(1e-30));
      }
    }
    // t = pi/p or its inverse is beyond the largest double
    CHECK(g.term(1e-320, 0.5, std::log(0.5) + 736.8) > 0);
    CHECK(g.weight(0.5, 1e-320, -736.8 - std::log(0.5)) <= 0);
    if (!grows_up(g)) CHECK(std::isfinite(g.term(1e-320, 0.5, std::log(0.5) + 736.8)));
    if (!grows_down(g)) CHECK(std::isfinite(g.weight(0.5, 1e-320, -736.8 - std::log(0.5))));
    // both masses underflow to 0, whatever their ratio
    for (double u : {-2000.0, -100.0, 100.0, 2000.0}) {
      CHECK(g.term(0.0, 0.0, u) == 0);
      CHECK(g.weight(0.0, 0.0, u) == 0);
      CHECK(g.term(0.0f, 0.0f, float(u)) == 0);
      CHECK(g.weight(0.0f, 0.0f, float(u)) == 0);
    }
    // masses that float has just so
    CHECK(g.term(1e-38f, 1e-20f, float(std::log(1e18))) == Approx(g.term(1e-38, 1e-20, std::log(1e18))).epsilon(1e-4).margin(1e-37));
    CHECK(g.weight(1e-20f, 1e-38f, float(-std::log(1e18))) == Approx(g.weight(1e-20, 1e-38, -std::log(1e18))).epsilon(1e-4).margin(1e-37));
  });
}

template <class G> double share_of_forward_kl(const G&) { return 1; }
template <class G> double share_of_reverse_kl(const G&) { return 1; }
double share_of_forward_kl(const attune::divergence::mixed_kl& g) { return g.forward; }
double share_of_reverse_kl(const attune::divergence::mixed_kl& g) { return 1 - g.forward; }

TEST_CASE("limits at t = 0 and t = infinity") {
  for_each_generator([](auto g) {
    // At u = -+7e4 also t^0.02 is there. What grows without limit has grown like the logarithm at least; of mixed_kl, like its share of that.
    const double down = share_of_forward_kl(g), up = share_of_reverse_kl(g);
    if (std::isfinite(g.value_at_zero())) CHECK(g.value(-7e4) == Approx(g.value_at_zero()));
    else CHECK(g.value(-7e4) > 6e4 * down);
    if (std::isfinite(g.slope_at_infinity())) CHECK(g.slope(7e4) == Approx(g.slope_at_infinity()));
    else CHECK(g.slope(7e4) > 6e4 * up);
    const double weight = g.weight(1.0, std::exp(-700.0), -700.0);
    if (std::isfinite(g.weight_at_zero())) CHECK(weight == Approx(g.weight_at_zero()).margin(1e-5));
    else CHECK(weight < -1e6);
  }, {-1.7, 0, 0.02, 0.7, 1, 2.5});
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
  CHECK(gap(attune::divergence::generalized_jensen_shannon{}) == Approx(0.5));
  CHECK(gap(attune::divergence::alpha_t{0.5}) == Approx(2.084381).epsilon(1e-6));
  CHECK(gap(attune::divergence::alpha_u{0.5}) == Approx(2.084381).epsilon(1e-6));
}

TEST_CASE("alpha: its two conventions name their ends differently (P19)") {
  using namespace attune::divergence;
  const auto gap = [](auto g) { return g.slope(1.0) - g.slope(-1.0); };
  CHECK(gap(alpha_t{1}) == 2);
  CHECK(gap(alpha_u{1}) == Approx(2.350402387));
  CHECK(gap(alpha_t{0}) == Approx(2.350402387));
  CHECK(gap(alpha_u{0}) == 2);
}

TEST_CASE("alpha: the members of the family that have names") {
  using namespace attune::divergence;
  const auto same = [](auto a, auto b, double factor) {
    for (double u : {-30.0, -2.0, -0.6, -1e-3, 0.0, 1e-9, 0.3, 0.999, 4.0, 25.0}) {
      INFO("u = " << u);
      CHECK(a.value(u) == Approx(factor * b.value(u)).epsilon(1e-13).margin(1e-300));
      CHECK(a.slope(u) == Approx(factor * b.slope(u)).epsilon(1e-13));
      CHECK(a.curvature(u) == Approx(factor * b.curvature(u)).epsilon(1e-13));
      const double p = 0.3 / (1 + std::exp(u)), pi = p * std::exp(u);
      CHECK(a.term(p, pi, u) == Approx(factor * b.term(p, pi, u)).epsilon(1e-13).margin(1e-300));
      CHECK(a.weight(p, pi, u) == Approx(factor * b.weight(p, pi, u)).epsilon(1e-13).margin(1e-300));
    }
    CHECK(a.value_at_zero() == factor * b.value_at_zero());
    CHECK(a.slope_at_infinity() == factor * b.slope_at_infinity());
    CHECK(a.weight_at_zero() == factor * b.weight_at_zero());
  };
  same(alpha_t{-1}, neyman_chi_squared{}, 0.5);
  same(alpha_t{0}, forward_kl{}, 1);
  same(alpha_t{0.5}, squared_hellinger{}, 2);
  same(alpha_t{1}, reverse_kl{}, 1);
  same(alpha_t{2}, pearson_chi_squared{}, 0.5);
  for (double a : {-3.0, 0.125, 0.75, 1.5}) same(alpha_t{a}, alpha_u{1 - a}, 1);
}

TEST_CASE("alpha: 1e-7, 1e-12 and 0 beside its limits differ by that much (P19)") {
  using namespace attune::divergence;
  // d/d alpha of the formula at its limits: (u^2/2 for the slope at alpha = 1, ...) times the distance; two orders are compared.
  for (double u : {-5.0, -0.5, 1e-3, 0.7, 6.0}) {
    INFO("u = " << u);
    for (double e : {1e-7, -1e-7, 1e-12}) {
      CHECK(alpha_t{1 + e}.slope(u) - u == Approx(((1 + e) - 1) * u * u / 2).epsilon(1e-5).margin(4e-16 * std::abs(u)));
      CHECK(alpha_u{e}.slope(u) - u == Approx(-e * u * u / 2).epsilon(1e-5).margin(4e-16 * std::abs(u)));
      const double reverse = reverse_kl{}.value(u), forward = forward_kl{}.value(u);
      CHECK(std::abs(alpha_t{1 + e}.value(u) - reverse) <= 1e2 * std::abs(e) * reverse + 1e-15 * reverse);
      CHECK(std::abs(alpha_t{e}.value(u) - forward) <= 1e2 * std::abs(e) * forward + 1e-15 * forward);
      CHECK(std::abs(alpha_t{1 + e}.value(u) - alpha_t{1 + 2 * e}.value(u)) <= 1e2 * std::abs(e) * reverse + 1e-15 * reverse);
    }
  }
}

TEST_CASE("skewed KLs: bounded, plain at skew 0, each the other with the roles exchanged") {
  using namespace attune::divergence;
  for (double u : {-40.0, -3.0, -0.2, 0.0, 1e-6, 0.9, 8.0, 60.0}) {
    INFO("u = " << u);
    CHECK(skewed_forward_kl{0}.value(u) == Approx(forward_kl{}.value(u)).epsilon(1e-14));
    CHECK(skewed_forward_kl{0}.slope(u) == Approx(forward_kl{}.slope(u)).epsilon(1e-14));
    CHECK(skewed_reverse_kl{0}.value(u) == Approx(reverse_kl{}.value(u)).epsilon(1e-14));
    CHECK(skewed_reverse_kl{0}.slope(u) == u);
    CHECK(skewed_reverse_kl{0.3}.term(0.2, 0.4, u) == skewed_forward_kl{0.3}.term(0.4, 0.2, -u));
    CHECK(skewed_forward_kl{0.1}.slope(u) >= -0.9 * 0.9 / 0.1);
  }
  CHECK(skewed_forward_kl{0.1}.value_at_zero() == Approx(std::log(10.0) - 0.9));
  CHECK(skewed_reverse_kl{0.1}.slope_at_infinity() == Approx(std::log(10.0) - 0.9));
}

TEST_CASE("generalised Jensen-Shannon: half of jensen_shannon at 1/2, and over beta and over 1 - beta it tends to the KLs") {
  using namespace attune::divergence;
  for (double u : {-20.0, -1.0, -1e-4, 0.0, 0.4, 3.0, 30.0}) {
    INFO("u = " << u);
    CHECK(generalized_jensen_shannon{0.5}.value(u) == Approx(jensen_shannon{}.value(u) / 2).epsilon(1e-13));
    CHECK(generalized_jensen_shannon{0.5}.slope(u) == Approx(jensen_shannon{}.slope(u) / 2).epsilon(1e-13));
    if (std::abs(u) > 10) continue;
    CHECK(generalized_jensen_shannon{1e-9}.value(u) / 1e-9 == Approx(forward_kl{}.value(u)).epsilon(1e-6));
    const double almost = 1 - 1e-9;
    CHECK(generalized_jensen_shannon{almost}.value(u) / (1 - almost) == Approx(reverse_kl{}.value(u)).epsilon(1e-6));
  }
}

TEST_CASE("total variation has the middle slope at its kink, and NaN stays NaN") {
  const attune::divergence::total_variation tv;
  CHECK(tv.slope(0.0) == 0);
  CHECK(tv.slope(-1e-300) == -0.5);
  CHECK(tv.slope(1e-300) == 0.5);
  CHECK(std::isnan(tv.slope(std::nan(""))));
  CHECK(std::isnan(tv.value(std::nan(""))));
}
