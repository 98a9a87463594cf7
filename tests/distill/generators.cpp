// SPDX-License-Identifier: MIT
// The divergences that trainers distil with: mixed KL, the generalised JSD with its ends, and the one without jumps.
#include <attune/distill/generalized_jsd.hpp>
#include <attune/divergence/jeffreys.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/mixed_kl.hpp>
#include <attune/divergence/scaled_jensen_shannon.hpp>
#include <attune/rows/row_divergence.hpp>
#include <attune/rows/top_k_divergence.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

#include <numeric>

using namespace attune_test;
using namespace attune::divergence;
using attune::distill::with_generalized_jsd;
using real = long double;

namespace {

struct formula {
  real f, slope;
};
formula exact(mixed_kl g, real u) {
  const real t = std::exp(u), a = real(g.forward), b = 1 - a;
  return {a * (std::expm1(u) - u) + b * (t * u - std::expm1(u)), a * -std::expm1(-u) + b * u};
}
formula exact(scaled_jensen_shannon g, real u) {
  const real t = std::exp(u), b = real(g.beta), w = 1 - b;
  const real over_b = b == 0 ? std::expm1(-u) : std::log1p(b * std::expm1(-u)) / b;  // log(m/t) / b
  const real over_w = w == 0 ? std::expm1(u) : (w * std::expm1(u) < -0.5L ? std::log(b + w * t) : std::log1p(w * std::expm1(u))) / w;  // log(m) / w
  if (b == 0) return {std::expm1(u) - u, -over_b};
  if (w == 0) return {t * u - std::expm1(u), u};
  return {-t * over_b - over_w, -over_b};
}
template <class Test> void for_generators(const Test& test) {
  for (double x : {0.0, 1e-40, 1e-9, 0.02, 0.5, 0.7, 1 - 1e-9, 1.0}) {
    INFO("parameter " << x);
    test(mixed_kl{x});
    test(scaled_jensen_shannon{x});
  }
}

struct one_row {
  double value = 7;
  std::vector<double> gradient;
};
template <class G> one_row run(const G& g, const std::vector<double>& policy, const std::vector<double>& target) {
  one_row r{7, std::vector<double>(policy.size(), 7)};
  const auto size = std::int64_t(policy.size());
  attune::row_divergence(g, as_view(policy.data(), 1, size), as_view(target.data(), 1, size), as_view(&r.value, 1),
                         as_view(r.gradient.data(), 1, size));
  return r;
}
const double none = -std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("mixed KL and scaled JSD are their formulas, in double and float, at any parameter") {
  for_generators([](auto g) {
    for (double u : {-30.0, -4.0, -0.9, -1e-3, 0.0, 1e-5, 0.4, 1.5, 6.0, 25.0}) {
      const formula e = exact(g, real(u));
      INFO("u " << u);
      CHECK(g.value(u) == Approx(double(e.f)).epsilon(1e-12));
      CHECK(g.slope(u) == Approx(double(e.slope)).epsilon(1e-12));
      CHECK(g.value(float(u)) == Approx(double(exact(g, real(float(u))).f)).epsilon(3e-5));
      CHECK(g.slope(float(u)) == Approx(double(exact(g, real(float(u))).slope)).epsilon(3e-5));
      const double p = 0.03, pi = p * std::exp(u);
      CHECK(g.term(p, pi, u) == Approx(p * double(e.f)).epsilon(1e-12));
      CHECK(g.weight(p, pi, u) == Approx(pi * double(e.slope)).epsilon(1e-12));
      using D = attune::dual<double, 1>;
      CHECK(g.slope(D::variable(u, 0)).grad[0] == Approx(g.curvature(u)).epsilon(1e-12));
      CHECK(g.value(D::variable(u, 0)).grad[0] == Approx(std::exp(u) * g.slope(u)).epsilon(1e-11).margin(1e-15));
      CHECK(g.slope_difference(u, u - 0.5) == Approx(g.slope(u) - g.slope(u - 0.5)).epsilon(1e-11).margin(1e-15));
    }
    CHECK(g.value(0.0) == 0);
    CHECK(g.slope(0.0) == 0);
    for (double u : {-2000.0, 2000.0}) CHECK((g.term(0.0, 0.0, u) == 0 && g.weight(0.0, 0.0, u) == 0));
  });
}

TEST_CASE("mixed KL and scaled JSD: limits, and the divergences that they are at certain parameters") {
  for (double x : {0.02, 0.5, 0.98}) {
    const scaled_jensen_shannon g{x};
    CHECK(g.value(-7e4) == Approx(g.value_at_zero()));
    CHECK(g.slope(7e4) == Approx(g.slope_at_infinity()));
    CHECK(g.weight(1.0, std::exp(-700.0), -700.0) == Approx(g.weight_at_zero()).margin(1e-5));
    CHECK((mixed_kl{x}.value_at_zero() == -none && mixed_kl{x}.slope_at_infinity() == -none && mixed_kl{x}.weight_at_zero() == -x));
  }
  const auto same_limits = [](auto a, auto b) {
    CHECK(a.value_at_zero() == b.value_at_zero());
    CHECK(a.slope_at_infinity() == b.slope_at_infinity());
    CHECK(a.weight_at_zero() == b.weight_at_zero());
  };
  same_limits(mixed_kl{1}, forward_kl{});
  same_limits(mixed_kl{0}, reverse_kl{});
  same_limits(scaled_jensen_shannon{0}, forward_kl{});
  same_limits(scaled_jensen_shannon{1}, reverse_kl{});
  for (double u : {-3.0, -0.2, 0.7, 5.0}) {
    CHECK(mixed_kl{1}.value(u) == forward_kl{}.value(u));
    CHECK(mixed_kl{0}.value(u) == reverse_kl{}.value(u));
    CHECK(mixed_kl{0.5}.value(u) == Approx(jeffreys{}.value(u) / 2).epsilon(1e-13));
    CHECK(scaled_jensen_shannon{0}.value(u) == forward_kl{}.value(u));
    CHECK(scaled_jensen_shannon{1}.value(u) == reverse_kl{}.value(u));
    CHECK(scaled_jensen_shannon{0.5}.value(u) == Approx(2 * jensen_shannon{}.value(u)).epsilon(1e-13));
    CHECK(scaled_jensen_shannon{0.3}.value(u) == Approx(generalized_jensen_shannon{0.3}.value(u) / 0.21).epsilon(1e-13));
    CHECK(scaled_jensen_shannon{1e-7}.slope(u) == Approx(forward_kl{}.slope(u)).epsilon(1e-5));
    CHECK(scaled_jensen_shannon{1 - 1e-7}.slope(u) == Approx(u).epsilon(1e-5));
  }
  CHECK(mixed_kl{1}.slope(1000.0) == 1);  // the absent part overflows, and is not there
  CHECK(mixed_kl{0}.slope(-1000.0) == -1000);
  CHECK(mixed_kl{1}.value(1000.0) == -none);
  CHECK(mixed_kl{0}.value(-1000.0) == 1);
}

TEST_CASE("P08: the generalised JSD at every beta, its jump at the ends, and the scaled one without") {
  const std::vector<double> student{std::log(0.5), std::log(0.5)}, teacher{std::log(0.9), std::log(0.1)};
  const auto jsd = [&](double beta) { return with_generalized_jsd(beta, [&](const auto& f) { return run(f, student, teacher); }); };
  const auto scaled = [&](double beta) { return run(scaled_jensen_shannon{beta}, student, teacher); };
  const double beta[] = {0, 0.1, 0.5, 0.9, 1}, value[] = {0.368064, 0.033603, 0.101749, 0.043074, 0.510826};
  for (int i = 0; i < 5; ++i) CHECK(jsd(beta[i]).value == Approx(value[i]).epsilon(1e-4));
  CHECK(jsd(1e-6).value == Approx(3.68e-7).epsilon(1e-3));
  CHECK(scaled(1e-6).value == Approx(0.368064).epsilon(1e-5));
  for (int i = 1; i < 4; ++i) CHECK(scaled(beta[i]).value == Approx(jsd(beta[i]).value / (beta[i] * (1 - beta[i]))).epsilon(1e-12));
  for (double end : {0.0, 1.0}) {
    CHECK(scaled(end).value == Approx(jsd(end).value).epsilon(1e-14));
    for (std::size_t i = 0; i < 2; ++i) CHECK(scaled(end).gradient[i] == Approx(jsd(end).gradient[i]).epsilon(1e-14));
  }
  CHECK(run(mixed_kl{0.3}, student, teacher).value == Approx(0.3 * 0.368064 + 0.7 * 0.510826).epsilon(1e-5));
  for (double bad : {-0.1, 1.1, std::nan("")}) {
    CHECK(contains(error_text([&] { jsd(bad); }), "expected a value in [0, 1]"));
    CHECK(contains(error_text([&] { scaled(bad); }), "beta"));
    CHECK(contains(error_text([&] { run(mixed_kl{bad}, student, teacher); }), "forward"));
  }
}

TEST_CASE("gradients of distillation divergences with respect to the logits, by finite differences") {
  const auto policy = normals<double>(9, 1, 1), target = normals<double>(9, 1, 2);
  const auto check = [&](const auto& g) {
    const auto gradient = run(g, policy, target).gradient;
    const auto loss = [&](const std::vector<double>& x) { return run(g, x, target).value; };
    CHECK(gradient_error(loss, policy, gradient) < 1e-10);
    auto planted = gradient;
    planted[3] += 1e-6;
    CHECK(gradient_error(loss, policy, planted) > 1e-8);
  };
  for (double x : {0.0, 0.1, 0.5, 1.0}) {
    check(mixed_kl{x});
    check(scaled_jensen_shannon{x});
    with_generalized_jsd(x, check);
  }
}

TEST_CASE("P04: classes with -inf on both sides or on one") {
  const std::vector<double> student{1, 0, none}, teacher{0, 1, none}, sure{0, none, none};
  for (double beta : {0.0, 0.1, 0.5, 0.9, 1.0}) {
    with_generalized_jsd(beta, [&](const auto& f) {
      const auto both = run(f, student, teacher), two = run(f, {1, 0}, {0, 1});
      CHECK(both.value == Approx(two.value).epsilon(1e-14));
      CHECK(both.gradient[0] == Approx(two.gradient[0]).epsilon(1e-13));
      CHECK((std::isfinite(both.gradient[1]) && both.gradient[2] == 0));
    });
    const auto one = run(scaled_jensen_shannon{beta}, student, sure);  // the teacher excludes what the student uses
    CHECK(one.value == one.value);
    CHECK(std::isinf(one.value) == (beta == 1));
    for (double g : one.gradient) CHECK(g == g);
    CHECK(one.gradient[2] == 0);
  }
  CHECK(run(reverse_kl{}, student, teacher).value == Approx(0.462117).epsilon(1e-6));
  CHECK(run(mixed_kl{0.5}, student, sure).value == -none);
  CHECK(run(mixed_kl{1}, student, sure).value == Approx(run(forward_kl{}, student, sure).value));  // no 0 times infinity
  CHECK(run(mixed_kl{0}, sure, student).value == Approx(run(reverse_kl{}, sure, student).value));
}

TEST_CASE("P60, P61: distillation divergences from a top-K list and between vocabularies of 5 and 7") {
  const auto logits = normals<double>(10, 1, 3), target = normals<double>(10, 1, 4);
  const auto p = softmax(target.data(), 10), pi = softmax(logits.data(), 10);
  std::vector<std::int32_t> classes(10);
  std::iota(classes.begin(), classes.end(), 0);
  std::vector<double> logps, value(1), g(10);
  for (real x : p) logps.push_back(double(std::log(x)));
  const auto top = [&](std::int64_t k) {
    attune::top_k_divergence(mixed_kl{0.4}, as_view(logits.data(), 1, 10), as_view(classes.data(), 1, k), as_view(logps.data(), 1, k), value,
                             as_view(g.data(), 1, 10));
    return value[0];
  };
  const auto whole = run(mixed_kl{0.4}, logits, target);
  CHECK(top(10) == Approx(whole.value).epsilon(1e-12));
  for (std::size_t i = 0; i < 10; ++i) CHECK(g[i] == Approx(whole.gradient[i]).epsilon(1e-10));
  const auto kl = [](const std::vector<real>& a, const std::vector<real>& b) {
    real sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] > 0 ? a[i] * std::log(a[i] / b[i]) : 0;
    return double(sum);
  };
  const auto lumped = [](const std::vector<real>& x) { return std::vector<real>{x[0], x[1], x[2], std::accumulate(x.begin() + 3, x.end(), real(0))}; };
  CHECK(top(3) == Approx(0.4 * kl(lumped(p), lumped(pi)) + 0.6 * kl(lumped(pi), lumped(p))).epsilon(1e-12));

  const auto student = softmax(logits.data(), 5), teacher = softmax(target.data(), 7), truncated = softmax(target.data(), 5);
  const auto between = [&](const auto& f, attune::vocabulary rule) {
    attune::row_divergence(f, as_view(logits.data(), 1, 5), as_view(target.data(), 1, 7), value, {.classes = rule});
    return value[0];
  };
  CHECK_THROWS_AS(between(mixed_kl{}, attune::vocabulary::equal), attune::error);
  CHECK(between(mixed_kl{}, attune::vocabulary::common) == Approx((kl(truncated, student) + kl(student, truncated)) / 2).epsilon(1e-12));
  CHECK(between(mixed_kl{}, attune::vocabulary::zero) == -none);  // KL(T || S) with classes that the student lacks
  CHECK(between(mixed_kl{0}, attune::vocabulary::zero) == Approx(kl(student, {teacher.begin(), teacher.begin() + 5})).epsilon(1e-12));
  std::vector<real> widened = student, m;
  widened.resize(7, 0);
  for (std::size_t i = 0; i < 7; ++i) m.push_back((widened[i] + teacher[i]) / 2);
  CHECK(between(generalized_jensen_shannon{0.5}, attune::vocabulary::zero) == Approx((kl(widened, m) + kl(teacher, m)) / 2).epsilon(1e-12));
}
