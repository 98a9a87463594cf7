// SPDX-License-Identifier: MIT
// The shapes that the catalogue states, tested on grids: an unstated sign error cannot pass (P07).
#include "support/catch.hpp"

#include <attune/catalog.hpp>
#include <attune/check/gradient.hpp>

#include <cmath>
#include <map>
#include <set>
#include <string>

// What is checked of every unit is a function of pointers to its functions: compiled once, not once a unit.

namespace {

void check_scalar(const std::string& name, const attune::interval& domain, const attune::shape& is, double (*value)(double), double (*slope)(double)) {
  INFO(name);
  CHECK(domain.contains(-1e-3));
  for (double x = -40; x < 40; x += 0.173) {
    if (!domain.contains(x) || !domain.contains(x + 0.173)) continue;
    INFO("x = " << x);
    if (is.nonnegative) CHECK(value(x) >= 0);
    if (is.increasing) CHECK(slope(x) >= 0);
    if (is.decreasing) CHECK(slope(x) <= 0);
    if (is.convex) CHECK(slope(x + 0.173) >= slope(x) - 1e-15 * std::abs(slope(x)));
  }
}

}  // namespace

TEST_CASE("scalar units have the stated shape") {
  attune::for_each_unit([](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (!attune::is_objective<unit>) {
      check_scalar(entry.name, entry.domain, entry.is, [](double x) { return unit{}.value(x); }, [](double x) { return unit{}.slope(x); });
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

template <class Kind> using jet = attune::dual<double, attune::policy_members<Kind>>;
template <class Kind>
void check_objective(const std::string& name, const attune::shape& is, jet<Kind> (*objective)(const typename Kind::template sample<jet<Kind>>&)) {
  INFO(name);
  attune::detail::sampler random(7);
  for (int n = 0; n < 100; ++n) {
    const auto x = attune::detail::random_sample<Kind>(random);
    const auto loss = objective(attune::differentiable<Kind, double>(x));
    if (is.nonnegative) CHECK(loss.value >= 0);
    if (!is.monotone) continue;
    if constexpr (std::is_same_v<Kind, attune::single_kind>) {
      CHECK(x.label * loss.grad[0] <= 0);
    } else {
      CHECK(loss.grad[0] <= 0);
      if constexpr (attune::policy_members<Kind> > 1) CHECK(loss.grad[1] >= 0);
    }
  }
}

}  // namespace

TEST_CASE("objectives have the stated shape: a more probable chosen answer lowers the loss, a more probable rejected one raises it (P07)") {
  int monotone = 0;
  attune::for_each_unit([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::is_objective<unit> && !attune::group_objective<unit>) {
      using kind = attune::kind_of<unit>;
      monotone += entry.is.monotone;
      check_objective<kind>(entry.name, entry.is, [](const auto& x) { return jet<kind>(unit{}(x)); });
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

namespace {

/// Of a catalogue row.
void check_texts(const std::string& name, const std::string& formula, const std::string& source, bool has_argument) {
  INFO(name);
  CHECK(formula.size() > 3);
  CHECK(source.size() > 3);
  CHECK(has_argument);
}
/// `refusal` sets a parameter of a unit and returns what validate says, nothing if it accepts.
void check_refused(const std::string& name, const char* parameter, const attune::interval& domain, std::string (*refusal)(std::size_t, double), std::size_t i) {
  for (double bad : {std::numeric_limits<double>::quiet_NaN(), domain.lower - 1, domain.upper + 1}) {
    if (domain.contains(bad)) continue;
    INFO(name << "." << parameter << " = " << bad);
    CHECK(refusal(i, bad).find(parameter) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("catalogue rows are complete and their names distinct") {
  std::set<std::string> names;
  int rows = 0;
  attune::for_each_unit([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    static_assert(std::is_trivially_copyable_v<unit>);
    ++rows;
    names.insert(entry.name);
    check_texts(entry.name, entry.formula, entry.source, attune::is_objective<unit> == std::string(entry.argument).empty());
    if constexpr (attune::parametrised<unit>) attune::validate(unit{});  // the defaults are in their domains
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
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::parametrised<unit>) {
      const auto refusal = [](std::size_t i, double bad) -> std::string {
        unit x{};
        x.*unit::parameters()[i].member = bad;
        try {
          attune::validate(x);
        } catch (const attune::error& e) {
          return e.what();
        }
        return {};
      };
      const auto all = unit::parameters();
      for (std::size_t i = 0; i < all.size(); ++i) check_refused(entry.name, all[i].name, all[i].domain, refusal, i);
    }
  });
}
