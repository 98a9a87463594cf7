// SPDX-License-Identifier: MIT
// Units of the catalogue by their names, and their parameters by "name=value": shared by the objectives of pairs and of tokens.
#pragma once

#include <attune/core/error.hpp>
#include <attune/core/parameter.hpp>

#include <charconv>
#include <string>
#include <utility>
#include <vector>

namespace align {

inline std::string listed(const std::vector<std::string>& names, const char* between = ", ") {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : between) + name;
  return list;
}

/// A parameter and its value, of "name=value". Throws attune::error for what is no number.
inline std::pair<std::string, double> parse_setting(const std::string& setting, const char* option) {
  const std::size_t equals = setting.find('=');
  double value = 0;
  const char *first = setting.data() + equals + 1, *last = setting.data() + setting.size();
  if (equals == std::string::npos || std::from_chars(first, last, value).ptr != last || first == last) {
    throw attune::error(std::string(option) + " " + setting + ": expected parameter=number, such as beta=0.1");
  }
  return {setting.substr(0, equals), value};
}
template <class Unit> void apply_setting(Unit& unit, const std::string& setting, const char* option) {
  const auto [name, value] = parse_setting(setting, option);
  attune::set_parameter(unit, name, value);
}

}  // namespace align
