// SPDX-License-Identifier: MIT
// Units of the catalogue by their names, and their parameters by "name=value": shared by the objectives of pairs and of tokens.
#pragma once

#include <attune/core/error.hpp>
#include <attune/core/parameter.hpp>

#include <charconv>
#include <string>
#include <vector>

namespace align {

/// Whether that is a name of the unit, or one of its other names.
template <class Entry> bool is_called(const Entry& entry, const std::string& name) {
  return name == entry.name || (" " + std::string(entry.also) + " ").find(" " + name + " ") != std::string::npos;
}

inline std::string listed(const std::vector<std::string>& names, const char* between = ", ") {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : between) + name;
  return list;
}

/// Of "name=value". Throws attune::error for what is no number, and for a name that the unit does not have.
template <class Unit> void apply_setting(Unit& unit, const std::string& setting, const char* option) {
  const std::size_t equals = setting.find('=');
  double value = 0;
  const char *first = setting.data() + equals + 1, *last = setting.data() + setting.size();
  if (equals == std::string::npos || std::from_chars(first, last, value).ptr != last || first == last) {
    throw attune::error(std::string(option) + " " + setting + ": expected parameter=number, such as beta=0.1");
  }
  attune::set_parameter(unit, setting.substr(0, equals), value);
}

}  // namespace align
