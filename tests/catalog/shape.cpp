// SPDX-License-Identifier: MIT
// The shapes that the catalogue states, tested on grids: an unstated sign error cannot pass (P07).
#include "support/catch.hpp"

#include <attune/catalog.hpp>
#include <attune/check/gradient.hpp>

#include <cmath>
#include <set>
#include <string>

TEST_CASE("scalar units have the stated shape") {
  attune::for_each_unit([](const auto& entry) {
    using unit_type = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (!attune::pair_objective<unit_type>) {
      const unit_type unit{};
      INFO(entry.name);
      CHECK(entry.domain.contains(-1e-3));
      for (double x = -40; x < 40; x += 0.173) {
        if (!entry.domain.contains(x) || !entry.domain.contains(x + 0.173)) continue;
        INFO("x = " << x);
        const double value = unit.value(x), slope = unit.slope(x), next = unit.slope(x + 0.173);
        if (entry.is.nonnegative) CHECK(value >= 0);
        if (entry.is.increasing) CHECK(slope >= 0);
        if (entry.is.decreasing) CHECK(slope <= 0);
        if (entry.is.convex) CHECK(next >= slope - 1e-15 * std::abs(slope));
      }
    }
  });
}

TEST_CASE("objectives have the stated shape: a more probable chosen answer lowers the loss, a more probable rejected one raises it (P07)") {
  int monotone = 0;
  attune::for_each_unit([&](const auto& entry) {
    using unit_type = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::pair_objective<unit_type>) {
      INFO(entry.name);
      attune::detail::sampler random(7);
      monotone += entry.is.monotone;
      for (int n = 0; n < 100; ++n) {
        const attune::pair<double> x = attune::detail::sample_pair(random);
        using D = attune::dual<double, 2>;
        const D loss = unit_type{}(attune::pair<D>{{D::variable(x.chosen.logp, 0), x.chosen.ref_logp, x.chosen.length},
                                                   {D::variable(x.rejected.logp, 1), x.rejected.ref_logp, x.rejected.length},
                                                   x.margin});
        if (entry.is.nonnegative) CHECK(loss.value >= 0);
        if (entry.is.monotone) {
          CHECK(loss.grad[0] <= 0);
          CHECK(loss.grad[1] >= 0);
        }
      }
    }
  });
  CHECK(monotone >= 5);
}

TEST_CASE("no two objectives give the same number on a generic sample, except those that are equal by theorem (P33)") {
  const attune::pair<double> x{{-21.5, -20.25, 9}, {-18.0, -19.75, 6}, 0.125};
  std::set<double> losses;
  int objectives = 0;
  attune::for_each_unit([&](const auto& entry) {
    using unit_type = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::pair_objective<unit_type>) {
      ++objectives;
      losses.insert(unit_type{}(x));
    }
  });
  CHECK(losses.size() == std::size_t(objectives) - 1);  // f_dpo_reverse_kl is dpo
  CHECK(attune::f_dpo_reverse_kl{}(x) == attune::dpo{}(x));
}

TEST_CASE("catalogue rows are complete and their names distinct") {
  std::set<std::string> names;
  int rows = 0;
  attune::for_each_unit([&](const auto& entry) {
    using unit_type = typename std::remove_cvref_t<decltype(entry)>::unit;
    ++rows;
    names.insert(entry.name);
    INFO(entry.name);
    CHECK(std::string(entry.formula).size() > 3);
    CHECK(std::string(entry.source).size() > 3);
    CHECK(attune::pair_objective<unit_type> == std::string(entry.argument).empty());
    CHECK(std::is_trivially_copyable_v<unit_type>);
    if constexpr (attune::parametrised<unit_type>) CHECK_NOTHROW(attune::validate(unit_type{}));
  });
  CHECK(names.size() == std::size_t(rows));
}

TEST_CASE("every parameter outside its domain is refused, by name") {
  attune::for_each_unit([](const auto& entry) {
    using unit_type = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::parametrised<unit_type>) {
      for (const auto& p : unit_type::parameters()) {
        for (double bad : {std::numeric_limits<double>::quiet_NaN(), p.domain.lower - 1, p.domain.upper + 1}) {
          unit_type unit{};
          unit.*p.member = bad;
          if (p.domain.contains(bad)) continue;
          try {
            attune::validate(unit);
            FAIL(entry.name << "." << p.name << " = " << bad << " was accepted");
          } catch (const attune::error& e) {
            CHECK(std::string(e.what()).find(p.name) != std::string::npos);
          }
        }
      }
    }
  });
}
