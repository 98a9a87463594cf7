// SPDX-License-Identifier: MIT
// The whole matrix of score, link, smoothing and length: an option either changes the result or is refused (P16, P21).
#include "support/catch.hpp"
#include "support/combinations.hpp"

#include <attune/check/gradient.hpp>

#include <cmath>
#include <map>

namespace {

/// A combination of any type. (A pointer: hundreds of std::function take the compiler twice as long; and its value is that of its jet.)
struct combination {
  using jet = attune::dual<double, 2>;
  jet (*with_derivatives)(const attune::pair<jet>&);

  double operator()(const attune::pair<double>& x) const { return with_derivatives(attune::differentiable<attune::pair_kind, double>(x)).value; }
  jet operator()(const attune::pair<jet>& x) const { return with_derivatives(x); }
};

template <class Composition> Composition with_beta() {
  Composition c{};
  c.beta = 0.3;
  return c;
}

/// Every supported combination, with beta = 0.3.
const std::map<std::string, combination>& supported() {
  static const auto all = [] {
    std::map<std::string, combination> list;
    attune_test::for_each_combination(
        [&](auto composition, const std::string& score, const std::string& link) {
          using type = decltype(composition);
          list[score + " / " + link] = {[](const auto& x) { return combination::jet(with_beta<type>()(x)); }};
        },
        [](const char*, const std::string&, const std::string&) {});
    return list;
  }();
  return all;
}

}  // namespace

TEST_CASE("every supported combination is an objective of its own: no two give the same numbers") {
  const auto x = attune::differentiable<attune::pair_kind, double>({{-3.5, -4.1, 9}, {-2.7, -2.45, 4}, 0});  // no link is flat there
  std::map<std::string, combination::jet> results;
  for (const auto& [name, objective] : supported()) results[name] = objective(x);
  CHECK(results.size() > 400);
  for (const auto& [name, a] : results) {
    INFO(name);
    CHECK(std::isfinite(a.value));
    CHECK(std::abs(a.grad[0]) > 0);
    CHECK(std::abs(a.grad[1]) > 0);
    for (const auto& [other, b] : results) {
      if (other <= name) continue;
      INFO(other);
      CHECK(std::abs(a.value - b.value) + std::abs(a.grad[0] - b.grad[0]) + std::abs(a.grad[1] - b.grad[1]) > 1e-9);
    }
  }
}

TEST_CASE("every supported combination has a right gradient") {
  for (const auto& [name, objective] : supported()) {
    INFO(name);
    const auto verdict = attune::check_gradient(objective, {.points = 20});
    INFO(verdict.explanation);
    CHECK(verdict.passed);
  }
}

TEST_CASE("refusals give a reason, and are those of mathematics") {
  std::map<std::string, int> reasons;
  int cells = 0;
  attune_test::for_each_combination([&](auto, const std::string&, const std::string&) { ++cells; },
                                    [&](const char* reason, const std::string& score, const std::string& link) {
                                      ++cells;
                                      ++reasons[reason];
                                      INFO(score << " / " << link << ": " << reason);
                                      const bool twice = link == "smoothed exo" || link == "robust exo" || link == "smoothed exo_authors" || link == "robust exo_authors";
                                      const bool alone = link.find("one by one") != std::string::npos && score != "log-ratio" && score != "log-ratio per token";
                                      CHECK((twice || alone));
                                    });
  CHECK(cells == 28 * (7 * 3 + 4));
  CHECK(reasons.size() == 3);
  using namespace attune;
  static_assert(refusal<score::per_token<score::mean_logp>, link::logistic>() != nullptr);
  static_assert(refusal<score::per_token<score::log_odds>, link::logistic>() != nullptr);
  static_assert(refusal<score::log_ratio, link::smoothed<link::smoothed<link::logistic>>>() != nullptr);
}

TEST_CASE("cells with a name are the named objectives") {
  std::map<std::string, std::vector<std::string>> names;
  attune_test::for_each_combination(
      [&](auto composition, const std::string& score, const std::string& link) {
        const auto found = attune_test::names_of_composition<decltype(composition)>();
        if (!found.empty()) names[score + " / " + link] = found;
      },
      [](const char*, const std::string&, const std::string&) {});
  CHECK(names["log-ratio / logistic"].at(0) == "dpo");
  CHECK(names["log-ratio / smoothed logistic"].at(0) == "cdpo");
  CHECK(names["log-ratio / square"].at(0) == "ipo");
  CHECK(names["log-prob per token / logistic"].at(0) == "simpo");
  CHECK(names["f-score of forward_kl / logistic"].at(0) == "f_dpo_forward_kl");
  CHECK(names.size() >= 15);
}
