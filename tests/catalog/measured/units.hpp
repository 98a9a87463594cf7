// SPDX-License-Identifier: MIT
// Every unit of the catalogue with its errors against the oracle: compiled once, for the tests and for the tables of the documentation, by
// family and arithmetic in files that compile side by side.
#pragma once

#include "support/conformance.hpp"

#include <functional>

namespace attune_test {

struct measured_unit {
  std::string name;
  std::function<conformance(planted)> conform;
};
using measured_units = std::vector<measured_unit>;

template <class T>
struct add_measured {
  measured_units& list;
  template <class Entry>
  void operator()(const Entry& entry) const {
    list.push_back({entry.name, [entry](planted mistake) { return conform<T>(entry, mistake); }});
  }
};

measured_units pairs_in_float();
measured_units pairs_in_double();
measured_units others_in_float();
measured_units others_in_double();

}  // namespace attune_test
