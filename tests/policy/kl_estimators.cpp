// SPDX-License-Identifier: MIT
// KL estimators: what each estimates, and what the gradient that it gives is the gradient of, by enumeration over 5 classes (P26, P27, P63).
#include "support/catch.hpp"

#include <attune/check/toy/softmax_policy.hpp>
#include <attune/core/pack.hpp>
#include <attune/divergence/alpha_t.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jeffreys.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/pearson_chi_squared.hpp>
#include <attune/divergence/reverse_kl.hpp>
#include <attune/divergence/skewed_reverse_kl.hpp>
#include <attune/divergence/total_variation.hpp>
#include <attune/policy/kl/combinations.hpp>
#include <attune/policy/kl/of_divergence.hpp>

#include <cmath>

namespace toy = attune::toy;
namespace kl = attune::kl;
namespace divergence = attune::divergence;
using attune::infinity;
using toy::vector;

namespace {

const toy::softmax_policy policy{{0.3, -1.1, 0.9, 0, -0.4}}, reference{{-0.2, 0.5, 0.1, -1.5, 0.8}};
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

vector log_ratios() {
  vector u = policy.log_probabilities();
  const vector log_ref = reference.log_probabilities();
  for (std::size_t i = 0; i < u.size(); ++i) u[i] -= log_ref[i];
  return u;
}
template <class K>
vector values(const K& k) {
  vector result;
  for (double u : log_ratios()) result.push_back(k.value(u));
  return result;
}
template <class K>
double expected_value(const K& k) { return toy::expectation(policy, values(k)); }
/// E_pi[slope grad log pi]
template <class K>
vector expected_gradient(const K& k) {
  vector slope;
  for (double u : log_ratios()) slope.push_back(k.slope(u));
  return policy.gradient(toy::expectation_coefficients(policy, slope));
}
template <class G>
vector divergence_gradient(const G& f) { return policy.gradient(toy::divergence_coefficients(f, policy, reference)); }

double distance(const vector& a, const vector& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}
const vector zero(5, 0.0);
const double exact_kl = toy::kl(policy, reference);
const vector kl_gradient = divergence_gradient(divergence::reverse_kl{});

/// slope is the derivative of value, at u.
template <class K>
void check_derivative(const K& k, double u) {
  const double h = 1e-6 * (1 + std::abs(u));
  CHECK(k.slope(u) == Approx((k.value(u + h) - k.value(u - h)) / (2 * h)).epsilon(1e-7).margin(1e-8));
}

}  // namespace

TEST_CASE("kl: the slopes of k1, k2, k3, absolute and their clipped forms are the derivatives of their values") {
  for (double u : {-3.0, -0.7, 0.2, 1.9, 8.0}) {
    check_derivative(kl::k1{}, u);
    check_derivative(kl::k2{}, u);
    check_derivative(kl::k3{}, u);
    check_derivative(kl::absolute{}, u);
    check_derivative(kl::clipped<kl::k2>{1.5}, u);
    check_derivative(kl::clipped<kl::k3>{}, u);
    check_derivative(kl::clipped<kl::k1>{2}, u);
  }
  CHECK(kl::absolute{}.slope(0.0) == 0);
}

TEST_CASE("kl: k1 and k3 are unbiased, k2 and absolute are not (P63)") {
  CHECK(expected_value(kl::k1{}) == Approx(exact_kl).epsilon(1e-14));
  CHECK(expected_value(kl::k3{}) == Approx(exact_kl).epsilon(1e-14));
  CHECK(expected_value(kl::straight_through<kl::k3, kl::k2>{}) == Approx(exact_kl).epsilon(1e-14));
  CHECK(std::abs(expected_value(kl::k2{}) - exact_kl) > 0.01 * exact_kl);
  CHECK(std::abs(expected_value(kl::absolute{}) - exact_kl) > 0.1 * exact_kl);
  CHECK(expected_value(kl::clipped<kl::k3>{0.5}) < exact_kl - 0.01);
}

TEST_CASE("kl: the expected gradient of k1 is 0, of k2 that of the reverse KL, of k3 that of the forward KL (P26)") {
  CHECK(distance(expected_gradient(kl::k1{}), zero) < 1e-16);
  CHECK(distance(expected_gradient(kl::k2{}), kl_gradient) < 1e-15);
  CHECK(distance(expected_gradient(kl::k3{}), divergence_gradient(divergence::forward_kl{})) < 1e-15);
  vector total_variation = divergence_gradient(divergence::total_variation{});
  for (double& x : total_variation) x *= 2;
  CHECK(distance(expected_gradient(kl::absolute{}), total_variation) < 1e-15);

  const double size = distance(kl_gradient, zero);  // the biases are not small
  CHECK(size > 0.1);
  CHECK(distance(expected_gradient(kl::k1{}), kl_gradient) > 0.9 * size);
  CHECK(distance(expected_gradient(kl::k3{}), kl_gradient) > 0.3 * size);
  CHECK(distance(expected_gradient(kl::absolute{}), kl_gradient) > 0.1 * size);
  CHECK(distance(expected_gradient(kl::clipped<kl::k2>{0.5}), kl_gradient) > 0.3 * size);
}

TEST_CASE("kl: straight-through and scored estimators have the exact gradient of the reverse KL (P26)") {
  CHECK(distance(expected_gradient(kl::straight_through<kl::k3, kl::k2>{}), kl_gradient) < 1e-15);
  CHECK(distance(expected_gradient(kl::straight_through<kl::clipped<kl::k3>, kl::k2>{{.limit = 0.1}, {}}), kl_gradient) < 1e-15);
  CHECK(distance(expected_gradient(kl::scored<kl::k1>{}), kl_gradient) < 1e-15);
  CHECK(distance(expected_gradient(kl::scored<kl::k3>{}), kl_gradient) < 1e-15);
  for (double u : {-200.0, -3.0, 0.5, 4.0}) CHECK(kl::scored<kl::k3>{}.slope(u) == u);  // also where e^-u overflows, in float
  CHECK(kl::scored<kl::k3>{}.slope(-200.0f) == -200.0f);
}

TEST_CASE("kl: off policy the importance weight carries value and gradient over, the bias-corrected k3 among them (P26, P63)") {
  const toy::softmax_policy sampler{{-0.5, 0.2, 0.1, 0.7, -0.9}};
  const vector q = toy::probabilities(sampler), p = toy::probabilities(policy), u = log_ratios();
  double value = 0;
  vector by_slope, by_product;
  for (std::size_t i = 0; i < 5; ++i) {
    const double w = p[i] / q[i], h = 1e-6;
    const auto weighted_k3 = [&](double moved) { return std::exp(moved) * w * kl::k3{}.value(u[i] + moved); };  // pi/q k3, log pi moved
    value += q[i] * w * kl::k3{}.value(u[i]);
    by_slope.push_back(q[i] * w * kl::scored<kl::k3>{}.slope(u[i]));
    by_product.push_back(q[i] * (weighted_k3(h) - weighted_k3(-h)) / (2 * h));
  }
  CHECK(value == Approx(exact_kl).epsilon(1e-14));
  CHECK(distance(policy.gradient(by_slope), kl_gradient) < 1e-15);
  CHECK(distance(policy.gradient(by_product), kl_gradient) < 1e-9);
}

TEST_CASE("kl: scored adds the score-function term: its gradient is that of the mean of the value, whatever that is") {
  const auto check = [](const auto& k) {  // grad E_pi[k(log pi - log ref)] by central differences in the logits
    vector difference;
    for (std::size_t j = 0; j < policy.size(); ++j) {
      const auto mean = [&](double h) {
        toy::softmax_policy moved = policy;
        moved.logits[j] += h;
        vector x = moved.log_probabilities();
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = k.value(x[i] - reference.log_probabilities()[i]);
        return toy::expectation(moved, x);
      };
      difference.push_back((mean(1e-5) - mean(-1e-5)) / 2e-5);
    }
    CHECK(distance(expected_gradient(kl::scored{k}), difference) < 1e-9);
  };
  check(kl::k1{});
  check(kl::k2{});
  check(kl::k3{});
  check(kl::absolute{});
  check(kl::clipped<kl::k2>{0.5});
}

TEST_CASE("kl: any divergence makes an estimator, unbiased in value and gradient") {
  const auto check = [](const auto& f) {
    const kl::of_divergence k{f};
    CHECK(expected_value(k) == Approx(toy::divergence(f, policy, reference)).epsilon(1e-13));
    CHECK(distance(expected_gradient(k), divergence_gradient(f)) < 1e-14);
    for (double u = -9; u < 9; u += 0.37) {
      CHECK(k.value(u) >= 0);
      CHECK(k.value(u) == Approx(f.value(u) * std::exp(-u)).epsilon(1e-12).margin(1e-14));
    }
  };
  check(divergence::reverse_kl{});
  check(divergence::forward_kl{});
  check(divergence::pearson_chi_squared{});
  check(divergence::jensen_shannon{});
  check(divergence::total_variation{});
  check(divergence::jeffreys{});
  check(divergence::alpha_t{0.5});
  check(divergence::alpha_t{-1.5});
  check(divergence::skewed_reverse_kl{0.3});
}

TEST_CASE("kl: the estimator of the reverse KL has the value of k3 and the slope of k2") {
  const kl::of_divergence<divergence::reverse_kl> k;
  for (double u : {-600.0, -90.0, -3.0, -1e-5, 0.0, 1e-9, 0.4, 2.0, 50.0, 1e4}) {
    CHECK(k.value(u) == Approx(kl::k3{}.value(u)).epsilon(4e-15));
    CHECK(k.slope(u) == kl::k2{}.slope(u));
  }
}

TEST_CASE("kl: estimators of divergences do not overflow before their value does, and have the divergence's limits") {
  const auto at = [](auto f, auto u) { return kl::of_divergence{f}.value(u); };
  CHECK(at(divergence::pearson_chi_squared{}, 80.0f) == Approx(std::exp(80.0f)).epsilon(1e-4));   // f(t) = t^2 overflows
  CHECK(at(divergence::alpha_t{0.5}, 200.0f) == Approx(2));
  CHECK(at(divergence::jensen_shannon{}, -80.0f) == Approx(std::log(2) * std::exp(80.0)).epsilon(1e-4));
  CHECK(at(divergence::reverse_kl{}, -1000.0) == infinity<double>);
  CHECK(at(divergence::alpha_t{0.5}, -2000.0) == infinity<double>);
  CHECK(at(divergence::total_variation{}, infinity<double>) == 0.5);
  CHECK(at(divergence::jensen_shannon{}, infinity<double>) == Approx(std::log(2)));
  CHECK(at(divergence::forward_kl{}, infinity<double>) == 1);
  CHECK(at(divergence::reverse_kl{}, infinity<double>) == infinity<double>);
  CHECK(kl::of_divergence<divergence::skewed_reverse_kl>{}.slope(infinity<double>) == divergence::skewed_reverse_kl{}.slope_at_infinity());
}

TEST_CASE("kl: k3 keeps its digits for tiny log-ratios and is never negative (P27)") {
  const kl::k3 k3;
  CHECK(k3.value(-1e-4f) == Approx(5.00017e-9).epsilon(1e-5));
  CHECK(k3.value(-1e-3f) == Approx(5.00167e-7).epsilon(1e-5));
  for (float u : {1e-8f, -1e-8f, 1e-20f, 0.0f}) CHECK(k3.value(u) >= 0);
  CHECK(k3.value(-1e-8) == Approx(5e-17));
  CHECK(std::exp(1e-4f) - 1.0f - 1e-4f != Approx(5.00017e-9).epsilon(0.1));  // as it is written elsewhere
}

TEST_CASE("kl: a clamp on the value takes the gradient away, and only if it is asked for (P26)") {
  CHECK(kl::k3{}.slope(-3.0) == Approx(-19.0855).epsilon(1e-5));
  CHECK(kl::clipped<kl::k3>{}.slope(-2.6) == kl::k3{}.slope(-2.6));  // k3 reaches 10 at 2.6107
  CHECK(kl::clipped<kl::k3>{}.slope(-2.62) == 0);
  CHECK(kl::clipped<kl::k3>{}.slope(-3.0) == 0);
  CHECK(kl::clipped<kl::k3>{}.value(-3.0) == 10);
  CHECK(kl::clipped<kl::k1>{}.value(-30.0) == -10);
  CHECK(kl::straight_through<kl::clipped<kl::k3>, kl::k2>{}.slope(-3.0) == -3);
  CHECK(kl::k3{}.value(-100.0) == Approx(std::exp(100.0)));
  CHECK(std::isfinite(kl::k3{}.slope(-100.0)));
  CHECK(kl::k3{}.value(-100.0f) == Approx(std::exp(88.0)));  // saturated: finite, with a slope of the right sign
  CHECK(kl::k3{}.slope(-100.0f) == Approx(-std::exp(88.0)));
  CHECK(std::isfinite(kl::k3{}.value(-1e300)));
  CHECK(std::isnan(kl::k3{}.value(std::numeric_limits<float>::quiet_NaN())));
  CHECK(kl::clipped<kl::k3>{}.value(-1000.0) == 10);  // where e^-u has overflowed
  CHECK(kl::clipped<kl::k3>{}.slope(-1000.0) == 0);
  CHECK(kl::clipped<kl::scored<kl::k3>>{}.slope(-3.0) == 0);
  CHECK(kl::clipped<kl::scored<kl::k3>>{}.slope(-2.0) == -2);
  CHECK(kl::clipped<kl::k3>{infinity<double>}.slope(-3.0) == kl::k3{}.slope(-3.0));
  CHECK_THROWS_WITH(attune::validate(kl::clipped<kl::k3>{0}), "attune: parameter limit is 0; expected a value in (0, inf] (largest size of the value [nat])");
  CHECK_THROWS_AS(attune::validate(kl::straight_through{kl::clipped<kl::k3>{not_a_number}, kl::k2{}}), attune::error);
}

TEST_CASE("kl: a broken log-ratio stays visible in value and slope (P54)") {
  const auto check = [](const auto& k) {
    CHECK(std::isnan(k.value(not_a_number)));
    CHECK(std::isnan(k.slope(not_a_number)));
  };
  check(kl::k1{});
  check(kl::k2{});
  check(kl::k3{});
  check(kl::absolute{});
  check(kl::clipped<kl::k3>{});
  check(kl::scored<kl::k3>{});
  check(kl::straight_through<kl::k3, kl::k2>{});
  check(kl::of_divergence<divergence::reverse_kl>{});
  check(kl::of_divergence<divergence::total_variation>{});
}

TEST_CASE("kl: estimators run on lanes, and duals pass through them by the slope") {
  const auto check = [](const auto& k) {
    using pack = attune::pack<float, 8>;
    const pack u(-1.75f);
    CHECK(k.value(u)[3] == Approx(double(k.value(-1.75))).epsilon(1e-5));
    CHECK(k.slope(u)[3] == Approx(double(k.slope(-1.75))).epsilon(1e-5).margin(1e-6));
    const auto x = attune::apply(k, attune::dual<double, 1>::variable(-1.75, 0));
    CHECK(x.value == k.value(-1.75));
    CHECK(x.grad[0] == k.slope(-1.75));
  };
  check(kl::k1{});
  check(kl::k2{});
  check(kl::k3{});
  check(kl::absolute{});
  check(kl::clipped<kl::k3>{});
  check(kl::scored<kl::k2>{});
  check(kl::straight_through<kl::clipped<kl::k3>, kl::k2>{});
  check(kl::of_divergence<divergence::jensen_shannon>{});
}
