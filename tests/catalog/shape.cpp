// SPDX-License-Identifier: MIT
// The shapes that the catalogue states, tested on grids: an unstated sign error cannot pass (P07).
#include "support/catch.hpp"

#include <attune/catalog.hpp>
#include <attune/check/gradient.hpp>

#include <cmath>
#include <map>
#include <set>
#include <string>

TEST_CASE("scalar units have the stated shape") {
  attune::for_each_unit([](const auto& entry) {
    using unit_type = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (!attune::is_objective<unit_type>) {
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

namespace {

/// Loss of a generic sample of the objective's kind.
template <class Objective>
double loss_of(const Objective& objective) {
  attune::detail::sampler random(11);
  if constexpr (attune::group_objective<Objective>) {
    attune::completion<double> y[4];
    for (auto& each : y) {
      attune::detail::draw(random, each, 2);
      each.reward = random.uniform(0, 1);
    }
    return attune::group_loss(objective, attune::group<double>(y, 4), nullptr);
  } else if constexpr (attune::single_objective<Objective>) {
    return objective(attune::single<double>{{-1.25, -1.625, 6, 0.5}, 1});
  } else {
    double sum = 0;  // bounds and masks make objectives on tokens equal at some samples
    const int samples = attune::token_objective<Objective> || attune::value_objective<Objective> ? 64 : 1;
    for (int i = 0; i < samples; ++i) sum += objective(attune::detail::random_sample<attune::kind_of<Objective>>(random));
    return sum;
  }
}

}  // namespace

TEST_CASE("objectives have the stated shape: a more probable chosen answer lowers the loss, a more probable rejected one raises it (P07)") {
  int monotone = 0;
  attune::for_each_unit([&](const auto& entry) {
    using unit_type = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::is_objective<unit_type> && !attune::group_objective<unit_type>) {
      using kind = attune::kind_of<unit_type>;
      INFO(entry.name);
      attune::detail::sampler random(7);
      monotone += entry.is.monotone;
      for (int n = 0; n < 100; ++n) {
        const auto x = attune::detail::random_sample<kind>(random);
        const auto loss = unit_type{}(attune::differentiable<kind, double>(x));
        if (entry.is.nonnegative) CHECK(loss.value >= 0);
        if (!entry.is.monotone) continue;
        if constexpr (std::is_same_v<kind, attune::single_kind>) {
          CHECK(x.label * loss.grad[0] <= 0);
        } else {
          CHECK(loss.grad[0] <= 0);
          if constexpr (attune::policy_members<kind> > 1) CHECK(loss.grad[1] >= 0);
        }
      }
    }
  });
  CHECK(monotone >= 5);
}

// Equal by theorem, or because a statistic of the batch is at its neutral default.
TEST_CASE("no two objectives give the same number on a generic sample, except those that are equal by theorem (P33)") {
  const std::map<std::string, std::string> equal{{"f_dpo_reverse_kl", "dpo"}, {"beta_dpo", "dpo"},       {"f_dpo_alpha_u", "f_dpo_alpha_t"},
                                                 {"cpo_token_mean", "cpo"},   {"nll_token_mean", "nll"},
                                                 {"apo_zero_unpaired", "kto"}};
  const auto original = [&](const std::string& name) { return equal.count(name) ? equal.at(name) : name; };
  std::map<std::string, double> losses;
  attune::for_each_unit([&](const auto& entry) {
    using unit_type = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::is_objective<unit_type>) losses[entry.name] = loss_of(unit_type{});
  });
  for (const auto& [name, loss] : losses) {
    for (const auto& [other, same] : losses) {
      if (other <= name) continue;
      INFO(name << " and " << other);
      CHECK((loss == same) == (original(name) == original(other)));
    }
  }
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
    CHECK(attune::is_objective<unit_type> == std::string(entry.argument).empty());
    CHECK(std::is_trivially_copyable_v<unit_type>);
    if constexpr (attune::parametrised<unit_type>) CHECK_NOTHROW(attune::validate(unit_type{}));
  });
  attune::for_each_operation([&](const attune::operation_entry& o) {
    INFO(o.name);
    CHECK(names.insert(o.name).second);  // of no unit, and of no other operation
    ++rows;
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
