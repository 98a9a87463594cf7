// SPDX-License-Identifier: MIT
// Units against the oracle, and every planted mistake seen to be rejected.
#include "catalog/measured/units.hpp"
#include "support/catch.hpp"

using attune_test::measured_unit;
using attune_test::planted;

namespace {

// Accuracy that attune promises: ulp x (1 + condition number), whatever the argument.
constexpr double value_bound = 2, derivative_bound = 3;

void require_conformance(const attune_test::measured_units& units) {
  CHECK(units.size() > 50);
  for (const measured_unit& unit : units) {
    const auto c = unit.conform(planted::nothing);
    INFO(unit.name);
    INFO("value: " << c.value << " ulp x (1 + cond) at " << c.worst_value);
    INFO("derivative: " << c.derivative << " ulp x (1 + cond) at " << c.worst_derivative);
    CHECK(c.compared > 100);
    CHECK(c.value <= value_bound);
    CHECK(c.derivative <= derivative_bound);
  }
}

void require_rejections(const attune_test::measured_units& units) {
  for (const measured_unit& unit : units) {
    for (planted mistake : {planted::sign, planted::factor, planted::term}) {
      INFO(unit.name << ", planted mistake " << int(mistake));
      CHECK(unit.conform(mistake).derivative > derivative_bound);
    }
  }
}

}  // namespace

TEST_CASE("pair objectives agree with the oracle in float") { require_conformance(attune_test::pairs_in_float()); }
TEST_CASE("pair objectives agree with the oracle in double") { require_conformance(attune_test::pairs_in_double()); }
TEST_CASE("all units but pair objectives agree with the oracle in float") { require_conformance(attune_test::others_in_float()); }
TEST_CASE("all units but pair objectives agree with the oracle in double") { require_conformance(attune_test::others_in_double()); }
TEST_CASE("the oracle of pair objectives rejects planted mistakes in float") { require_rejections(attune_test::pairs_in_float()); }
TEST_CASE("the oracle of pair objectives rejects planted mistakes in double") { require_rejections(attune_test::pairs_in_double()); }
TEST_CASE("the oracle of all units but pair objectives rejects planted mistakes in float") { require_rejections(attune_test::others_in_float()); }
TEST_CASE("the oracle of all units but pair objectives rejects planted mistakes in double") { require_rejections(attune_test::others_in_double()); }
