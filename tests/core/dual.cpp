// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <attune/check/derivative.hpp>
#include <attune/core/dual.hpp>
#include <attune/core/unit.hpp>
#include <attune/link/logistic.hpp>

#include <cmath>

using attune::dual;

namespace {

struct function {
  const char* name;
  double (*plain)(double);
  dual<double, 1> (*with_derivative)(const dual<double, 1>&);
  dual<dual<double, 1>, 1> (*twice)(const dual<dual<double, 1>, 1>&);
};

#define ATTUNE_TEST_FUNCTION(expression)                                                                     \
  function{#expression, [](double x) { using namespace attune; return double(expression); },                 \
           [](const dual<double, 1>& x) { using namespace attune; return dual<double, 1>(expression); },     \
           [](const dual<dual<double, 1>, 1>& x) { using namespace attune; return dual<dual<double, 1>, 1>(expression); }}

const function functions[] = {
    ATTUNE_TEST_FUNCTION(x + 2.0 * x - 3.0), ATTUNE_TEST_FUNCTION(1.5 - x * x), ATTUNE_TEST_FUNCTION(1.0 / (2.0 + x * x)),
    ATTUNE_TEST_FUNCTION(x / (3.0 + x)), ATTUNE_TEST_FUNCTION((x * x - x) / 7.0), ATTUNE_TEST_FUNCTION(exp(x)), ATTUNE_TEST_FUNCTION(expm1(-x)),
    ATTUNE_TEST_FUNCTION(log(3.0 + x)), ATTUNE_TEST_FUNCTION(log1p(x * x)), ATTUNE_TEST_FUNCTION(sqrt(4.0 + x)), ATTUNE_TEST_FUNCTION(softplus(-2.0 * x)),
    ATTUNE_TEST_FUNCTION(sigmoid(x)), ATTUNE_TEST_FUNCTION(log_sigmoid(3.0 * x)), ATTUNE_TEST_FUNCTION(log1mexp(-3.0 - x)),
    ATTUNE_TEST_FUNCTION(log_add_exp(x, 1.0 - x)), ATTUNE_TEST_FUNCTION(exp_remainder(x)), ATTUNE_TEST_FUNCTION(log_mean_exp0(x)),
    ATTUNE_TEST_FUNCTION(abs(x - 0.3)), ATTUNE_TEST_FUNCTION(max(x, 0.2)), ATTUNE_TEST_FUNCTION(min(0.4, x * x)),
    ATTUNE_TEST_FUNCTION(select(x > 0.1, x * x, 2.0 - x)),
};

}  // namespace

TEST_CASE("dual numbers agree with finite differences, once and nested") {
  for (const function& f : functions) {
    for (double x : {-1.7, -0.6, 0.05, 0.55, 1.9}) {
      INFO(f.name << " at " << x);
      const auto first = f.with_derivative(dual<double, 1>::variable(x, 0));
      CHECK(first.value == f.plain(x));
      CHECK(first.grad[0] == Approx(attune::differentiate(f.plain, x, 0.01).value).epsilon(1e-8).margin(1e-10));

      dual<dual<double, 1>, 1> nested(dual<double, 1>::variable(x, 0));
      nested.grad[0] = 1.0;
      const auto second = f.twice(nested);
      const auto slope = [&](double y) { return f.with_derivative(dual<double, 1>::variable(y, 0)).grad[0]; };
      CHECK(second.grad[0].value == first.grad[0]);
      CHECK(second.grad[0].grad[0] == Approx(attune::differentiate(slope, x, 0.01).value).epsilon(1e-8).margin(1e-10));
    }
  }
}

TEST_CASE("a derivative passes through a unit by its slope, also twice") {
  const attune::link::logistic unit;
  const auto d = attune::apply(unit, dual<double, 2>::variable(0.7, 1));
  CHECK(d.value == unit.value(0.7));
  CHECK(d.grad[0] == 0);
  CHECK(d.grad[1] == unit.slope(0.7));
  dual<dual<double, 1>, 1> nested(dual<double, 1>::variable(0.7, 0));
  nested.grad[0] = 1.0;
  const double s = attune::sigmoid(0.7);
  CHECK(attune::apply(unit, nested).grad[0].grad[0] == Approx(s * (1 - s)).epsilon(1e-14));
}

TEST_CASE("the branch that select does not take leaves no trace, even when its derivative is infinite (P01)") {
  using D = dual<double, 1>;
  const D x = D::variable(0.0, 0);
  const D chosen = attune::select(x.value > 1.0, attune::log(x), 2.0 * x);  // log' is infinite at 0
  CHECK(chosen.value == 0);
  CHECK(chosen.grad[0] == 2);
}
