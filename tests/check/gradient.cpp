// SPDX-License-Identifier: MIT
// The public checker: accepts every unit, rejects every planted error in every unit, and says what is wrong.
#include "support/catch.hpp"

#include <attune/catalog.hpp>
#include <attune/check/gradient.hpp>

#include <algorithm>

namespace {

enum class mistake { sign, factor, term };

/// An objective whose value is right and whose derivative is not.
template <class Objective, mistake Kind>
struct broken {
  Objective objective{};
  template <class X>
    requires requires(const Objective& o, const X& x) { o(x); }
  auto operator()(const X& x) const {
    auto loss = objective(x);
    if constexpr (attune::is_dual<decltype(loss)>) {
      int last = int(std::extent_v<decltype(loss.grad)>) - 1;  // the last derivative that is not 0
      while (last > 0 && loss.grad[last] == 0) --last;
      if (Kind == mistake::sign) loss.grad[last] = -loss.grad[last];
      if (Kind == mistake::factor) loss.grad[last] = loss.grad[last] * 1.00001;
      if (Kind == mistake::term) loss.grad[last] = 0.0 * loss.grad[last];
    }
    return loss;
  }
};
/// The same for a closed gradient.
template <class Objective, mistake Kind>
struct broken_group {
  Objective objective{};
  double operator()(const attune::group<double>& g, double* d) const {
    const double loss = objective(g, d);
    d[0] = Kind == mistake::sign ? -d[0] : Kind == mistake::factor ? 1.00001 * d[0] : 0;
    return loss;
  }
};

template <class Unit, mistake Kind>
struct broken_scalar {
  Unit unit{};
  template <class S> S value(S x) const { return unit.value(x); }
  template <class S> S slope(S x) const {
    if (Kind == mistake::sign) return -unit.slope(x);
    return Kind == mistake::factor ? unit.slope(x) * 1.00001 : S(0);
  }
};

struct user_objective {
  double beta = 0.1;
  template <class S> ATTUNE_FN S operator()(const attune::pair<S>& x) const {
    return attune::softplus(-beta * (x.chosen.log_ratio() - x.rejected.log_ratio()));
  }
};

struct hinge {
  template <class S> S operator()(const attune::pair<S>& x) const { return attune::max(0.0, 1.0 - 0.1 * (x.chosen.log_ratio() - x.rejected.log_ratio())); }
};

struct never_finite {
  template <class S> S operator()(const attune::pair<S>& x) const { return attune::log(-attune::exp(x.chosen.logp - x.rejected.logp)); }
};

/// The usual accident: an `if` on the value that returns a constant on duals.
struct forgets_derivative {
  template <class S> S operator()(const attune::pair<S>& x) const {
    if constexpr (attune::is_dual<S>) return S(attune::softplus(x.rejected.logp.value - x.chosen.logp.value));
    else return attune::softplus(x.rejected.logp - x.chosen.logp);
  }
};

}  // namespace

/// With the parameters for which something happens in [-8, 8].
template <class Unit> Unit example() { return {}; }
template <> attune::reward::soft_overlong example() { return {.max_length = 6, .buffer = 10}; }

TEST_CASE("check_gradient accepts every unit of the catalogue and rejects planted errors in each") {
  attune::for_each_unit([](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    INFO(entry.name);
    if constexpr (attune::group_objective<unit>) {
      const auto good = attune::check_gradient(unit{});
      INFO(good.explanation);
      CHECK(good.passed);
      CHECK(good.compared > 500);
      CHECK(good.worst < 1e-7);
      CHECK_FALSE(attune::check_gradient(broken_group<unit, mistake::sign>{}));
      CHECK_FALSE(attune::check_gradient(broken_group<unit, mistake::factor>{}));
      CHECK_FALSE(attune::check_gradient(broken_group<unit, mistake::term>{}));
    } else if constexpr (attune::is_objective<unit> && attune::stops_gradient<unit>) {
      CHECK_FALSE(attune::check_gradient(unit{}));  // the derivative is meant not to be the value's: the oracle checks it
    } else if constexpr (attune::is_objective<unit>) {
      const auto good = attune::check_gradient(unit{});
      INFO(good.explanation);
      CHECK(good.passed);
      CHECK(good.compared > (attune::policy_members<attune::kind_of<unit>> == 1 ? 250 : 300));  // a single has one derivative, a pair two
      CHECK(good.worst < 1e-7);
      CHECK_FALSE(attune::check_gradient(broken<unit, mistake::sign>{}));
      CHECK_FALSE(attune::check_gradient(broken<unit, mistake::factor>{}));
      CHECK_FALSE(attune::check_gradient(broken<unit, mistake::term>{}));
    } else {
      const double lower = std::max(-8.0, entry.domain.lower), upper = std::min(8.0, entry.domain.upper);
      const unit some = example<unit>();
      const auto good = attune::check_gradient(some, lower, upper);
      INFO(good.explanation);
      CHECK(good.passed);
      CHECK(good.compared > 250);
      CHECK_FALSE(attune::check_gradient(broken_scalar<unit, mistake::sign>{some}, lower, upper));
      CHECK_FALSE(attune::check_gradient(broken_scalar<unit, mistake::factor>{some}, lower, upper));
      CHECK_FALSE(attune::check_gradient(broken_scalar<unit, mistake::term>{some}, lower, upper));
    }
  });
}

TEST_CASE("check_gradient verifies a user's objective and explains what fails") {
  CHECK(attune::check_gradient(user_objective{}));
  CHECK(attune::check_gradient(hinge{}).passed);  // a kink is skipped, not mistaken for an error
  const auto sign = attune::check_gradient(broken<user_objective, mistake::sign>{});
  CHECK(sign.explanation.find("d loss/d rejected at chosen = ") == 0);
  CHECK(sign.explanation.find("the sign is wrong") != std::string::npos);
  CHECK(attune::check_gradient(broken<user_objective, mistake::factor>{}).explanation.find("factor of 1.0000") != std::string::npos);
  CHECK(attune::check_gradient(broken<user_objective, mistake::term>{}).explanation.find("a term is missing") != std::string::npos);
  CHECK(attune::check_gradient(forgets_derivative{}).explanation.find("a term is missing") != std::string::npos);
}

TEST_CASE("check_gradient does not pass what it could not compare") {
  const auto verdict = attune::check_gradient(never_finite{});
  CHECK_FALSE(verdict.passed);
  CHECK(verdict.explanation.find("nothing could be compared") != std::string::npos);
}

TEST_CASE("two kinks around a point do not fool the finite differences") {
  const auto dented = [](double x) { return std::abs(x) < 0.03 ? 0.5 * 0.03 * 0.03 : 0.5 * x * x; };  // flat about 0, a parabola beyond
  const auto found = attune::differentiate(dented, 0.01, 0.25);
  CHECK((std::abs(found.value) < 1e-10 || found.error > 1e-3));
  const auto smooth = attune::differentiate([](double x) { return std::exp(x); }, 0.5, 0.25);
  CHECK(smooth.error < 1e-9);
}

TEST_CASE("check_gradient validates parameters") { CHECK_THROWS_AS(attune::check_gradient(attune::dpo{.beta = -1}), attune::error); }

TEST_CASE("the same seed gives the same verdict, another seed other samples") {
  const auto a = attune::check_gradient(attune::simpo{}), b = attune::check_gradient(attune::simpo{});
  const auto c = attune::check_gradient(attune::simpo{}, {.seed = 2});
  CHECK(a.worst == b.worst);
  CHECK(a.compared == b.compared);
  CHECK(c.passed);
}
