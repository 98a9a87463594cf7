// SPDX-License-Identifier: MIT
// Every unit of the catalogue against the oracle, in float and double, and every planted mistake seen to be rejected.
#include "support/catch.hpp"
#include "support/conformance.hpp"

using attune_test::conform;
using attune_test::planted;

namespace {

// Accuracy that attune promises: ulp x (1 + condition number), whatever the argument.
constexpr double value_bound = 2, derivative_bound = 3;

template <class T, class Entry>
void require_conformance(const Entry& entry) {
  const auto c = conform<T>(entry);
  INFO(entry.name << " in " << (sizeof(T) == 4 ? "float" : "double"));
  INFO("value: " << c.value << " ulp x (1 + cond) at " << c.worst_value);
  INFO("derivative: " << c.derivative << " ulp x (1 + cond) at " << c.worst_derivative);
  CHECK(c.compared > 100);
  CHECK(c.value <= value_bound);
  CHECK(c.derivative <= derivative_bound);
}

template <class T, class Entry>
void require_rejections(const Entry& entry) {
  for (planted mistake : {planted::sign, planted::factor, planted::term}) {
    INFO(entry.name << " in " << (sizeof(T) == 4 ? "float" : "double") << ", planted mistake " << int(mistake));
    CHECK(conform<T>(entry, mistake).derivative > derivative_bound);
  }
}

}  // namespace

TEST_CASE("every unit agrees with the oracle in double") { attune::for_each_unit([](const auto& entry) { require_conformance<double>(entry); }); }
TEST_CASE("every unit agrees with the oracle in float") { attune::for_each_unit([](const auto& entry) { require_conformance<float>(entry); }); }
TEST_CASE("the oracle rejects planted mistakes in double") { attune::for_each_unit([](const auto& entry) { require_rejections<double>(entry); }); }
TEST_CASE("the oracle rejects planted mistakes in float") { attune::for_each_unit([](const auto& entry) { require_rejections<float>(entry); }); }
