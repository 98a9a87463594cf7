// SPDX-License-Identifier: MIT
// What the oracle's finite samples leave open: the ends of the line, NaN, and the numbers that users reported as broken elsewhere.
#include "support/catch.hpp"

#include <attune/core/dual.hpp>
#include <attune/core/pack.hpp>

#include <cmath>
#include <vector>

namespace {

template <class T> constexpr T infinity = std::numeric_limits<T>::infinity();
template <class T> constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

/// f at x as a number and in every lane of a pack: both must agree to a few ulp, and on what is special.
template <class T, class F>
T both(F f, T x) {
  using P = attune::native_pack<T>;
  const T plain = f(x), lane = f(P(x))[0];
  INFO("x = " << x << ": number " << plain << ", lane " << lane);
  CHECK(std::isnan(plain) == std::isnan(lane));
  if (!std::isnan(plain) && plain != lane) CHECK(std::abs(plain - lane) <= 4 * std::numeric_limits<T>::epsilon() * std::abs(plain) + 2 * std::numeric_limits<T>::min());
  return plain;
}

const auto softplus = [](auto x) { return attune::softplus(x); };
const auto sigmoid = [](auto x) { return attune::sigmoid(x); };
const auto log_sigmoid = [](auto x) { return attune::log_sigmoid(x); };
const auto log1mexp = [](auto x) { return attune::log1mexp(x); };

}  // namespace

TEST_CASE("log_sigmoid over the whole range and its gradient (P06)") {
  const double x[] = {-1e4, -200, -100, -90, 0, 90, 1e4};
  const double value[] = {-1e4, -200, -100, -90, -0.69314718055994531, -8.194012623990515e-40, 0};
  for (int i = 0; i < 7; ++i) {
    CHECK(both<double>(log_sigmoid, x[i]) == Approx(value[i]).epsilon(1e-15));
    CHECK(std::abs(both<float>(log_sigmoid, float(x[i])) - value[i]) <= 1e-7 * std::abs(value[i]) + 1.5e-45);
    const attune::dual<double, 1> d = attune::log_sigmoid(attune::dual<double, 1>::variable(x[i], 0));
    CHECK(d.grad[0] == Approx(1 / (1 + std::exp(x[i]))).epsilon(1e-14));
  }
  CHECK(both<float>(log_sigmoid, 6e4f) == 0);
  CHECK(both<float>(log_sigmoid, -6e4f) == -6e4f);
}

TEMPLATE_TEST_CASE("limits at infinity, and NaN stays visible", "", float, double) {
  using T = TestType;
  CHECK(both<T>(softplus, infinity<T>) == infinity<T>);
  CHECK(both<T>(softplus, -infinity<T>) == 0);
  CHECK(both<T>(sigmoid, infinity<T>) == 1);
  CHECK(both<T>(sigmoid, -infinity<T>) == 0);
  CHECK(both<T>(log_sigmoid, -infinity<T>) == -infinity<T>);
  CHECK(both<T>(log1mexp, T(0)) == -infinity<T>);
  CHECK(both<T>(log1mexp, -infinity<T>) == 0);
  for (auto f : {+[](T x) { return both<T>(softplus, x); }, +[](T x) { return both<T>(sigmoid, x); }, +[](T x) { return both<T>(log1mexp, x); },
                 +[](T x) { return both<T>([](auto y) { return attune::exp_remainder(y); }, x); },
                 +[](T x) { return both<T>([](auto y) { return attune::log_mean_exp0(y); }, x); }}) {
    CHECK(std::isnan(f(not_a_number<T>)));
  }
  using P = attune::native_pack<T>;
  CHECK(std::isnan(attune::max(not_a_number<T>, T(0))));
  CHECK(std::isnan(attune::min(T(0), not_a_number<T>)));
  CHECK(std::isnan(attune::max(P(not_a_number<T>), P(T(0)))[0]));
  CHECK(std::isnan(attune::min(P(T(0)), P(not_a_number<T>))[0]));
}

TEST_CASE("log1mexp where log(1 - exp) cancels (P05)") {
  CHECK(both<double>(log1mexp, -1e-8) == Approx(-18.420680748952366).epsilon(1e-14));
  CHECK(both<float>(log1mexp, -1e-8f) == Approx(-18.4206807).epsilon(1e-6));
  CHECK(both<float>(log1mexp, -3e-8f) == Approx(-17.3220684).epsilon(1e-6));
  CHECK(both<float>(log1mexp, -1e-3f) == Approx(-6.908255).epsilon(1e-6));
}

TEMPLATE_TEST_CASE("log_add_exp: symmetric, shift-invariant, defined at both infinities", "", float, double) {
  using T = TestType;
  const auto add = [](T a, T b) {
    using P = attune::native_pack<T>;
    const T x = attune::log_add_exp(a, b), lane = attune::log_add_exp(P(a), P(b))[0];
    CHECK((x == lane || std::abs(x - lane) <= 4 * std::numeric_limits<T>::epsilon() * std::abs(x)));
    return x;
  };
  CHECK(add(-infinity<T>, -infinity<T>) == -infinity<T>);
  CHECK(add(infinity<T>, infinity<T>) == infinity<T>);
  CHECK(add(infinity<T>, -infinity<T>) == infinity<T>);
  CHECK(add(-infinity<T>, T(2)) == 2);
  CHECK(add(T(1000), T(1000)) == Approx(1000 + attune::ln2));
  for (T a : {T(-30), T(0.5), T(12)}) {
    for (T b : {T(-31), T(0.25), T(13)}) {
      CHECK(add(a, b) == add(b, a));
      CHECK(add(a, b) == Approx(std::log(std::exp(double(a)) + std::exp(double(b)))).epsilon(1e-6));
    }
  }
  using D = attune::dual<T, 2>;
  const D d = attune::log_add_exp(D::variable(T(1), 0), D::variable(T(3), 1));
  CHECK(d.grad[0] + d.grad[1] == Approx(1));
  CHECK(d.grad[0] == Approx(attune::sigmoid(T(-2))));
}

TEST_CASE("exp_remainder keeps its digits and its sign near zero (P27)") {
  const auto remainder = [](auto x) { return attune::exp_remainder(x); };
  CHECK(both<float>(remainder, 1e-4f) == Approx(5.000166671e-9).epsilon(3e-7));
  CHECK(both<float>(remainder, 1e-3f) == Approx(5.001667084e-7).epsilon(3e-7));
  for (float x : {1e-8f, -1e-8f, 1e-20f, -1e-20f}) CHECK(both<float>(remainder, x) >= 0);
}

TEST_CASE("lanes are independent of their neighbours") {
  using P = attune::native_pack<float>;
  constexpr int width = sizeof(P) / sizeof(float);
  const std::vector<float> others = {not_a_number<float>, infinity<float>, -infinity<float>, 1e38f, -1e4f, 0.0f};
  for (float x : {-3.7f, 0.1f, 88.0f}) {
    const float alone = attune::softplus(P(x))[0], alone_slope = attune::sigmoid(P(x))[0];
    for (int lane = 0; lane < width; ++lane) {
      P mixed(others[std::size_t(lane) % others.size()]);
      for (int k = 0; k < width; ++k) mixed.v[k] = others[std::size_t(k) % others.size()];
      mixed.v[lane] = x;
      CHECK(attune::softplus(mixed)[lane] == alone);
      CHECK(attune::sigmoid(mixed)[lane] == alone_slope);
    }
  }
}

TEST_CASE("elementary functions on float lanes: 2 ulp over the whole range, exact specials") {
  using P = attune::native_pack<float>;
  constexpr int width = sizeof(P) / sizeof(float);
  struct entry {
    const char* name;
    P (*lanes)(P);
    double (*exact)(double);
  };
  const entry entries[] = {{"exp", [](P x) { return attune::exp(x); }, [](double x) { return std::exp(x); }},
                           {"expm1", [](P x) { return attune::expm1(x); }, [](double x) { return std::expm1(x); }},
                           {"log", [](P x) { return attune::log(x); }, [](double x) { return std::log(x); }},
                           {"log1p", [](P x) { return attune::log1p(x); }, [](double x) { return std::log1p(x); }},
                           {"sqrt", [](P x) { return attune::sqrt(x); }, [](double x) { return std::sqrt(x); }}};
  for (const entry& e : entries) {
    double worst = 0;
    std::uint32_t bits = 12345;  // strides through all bit patterns: every exponent, sign, subnormals, infinities and NaN
    for (int n = 0; n < 2000000 / width; ++n) {
      P x;
      for (int k = 0; k < width; ++k, bits += 2654435u) x.v[k] = std::bit_cast<float>(bits);
      const P y = e.lanes(x);
      for (int k = 0; k < width; ++k) {
        const double exact = e.exact(double(x[k]));
        const float rounded = float(exact);
        if (std::isnan(rounded) || std::isinf(rounded)) {
          if (!(std::isnan(rounded) ? std::isnan(y[k]) : y[k] == rounded || std::abs(exact) < 3.41e38)) FAIL(e.name << "(" << x[k] << ") is " << y[k]);
        } else {
          const double ulp = std::max(std::ldexp(1.0, std::ilogb(exact == 0 ? 1e-300 : exact) - 23), std::ldexp(1.0, -149));
          worst = std::max(worst, std::abs(y[k] - exact) / ulp);
        }
      }
    }
    INFO(e.name << ": " << worst << " ulp");
    CHECK(worst <= 2);
  }
}
