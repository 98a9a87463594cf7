// SPDX-License-Identifier: MIT
// From a name on the command line to a unit of the catalogue.
#pragma once

#include <attune/catalog.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace explore {

/// "beta=0.1" from --set.
struct setting {
  std::string name;
  double value;
};
setting parse_setting(const std::string& text);

/// Whether the name is one of the words of a list.
inline bool is_among(std::string_view name, std::string_view words) {
  return !name.empty() && (" " + std::string(words) + " ").find(" " + std::string(name) + " ") != std::string::npos;
}

/// Calls use(entry, unit) with the named unit and the settings applied; attune::error if the name or a setting is unknown or out of domain.
template <class Use>
void with_unit(std::string_view name, const std::vector<setting>& settings, Use&& use) {
  bool found = false;
  std::string known;
  attune::for_each_unit([&](const auto& entry) {
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
    if (name != entry.name && !is_among(name, entry.also)) return;
    found = true;
    typename std::remove_cvref_t<decltype(entry)>::unit unit{};
    for (const setting& s : settings) attune::set_parameter(unit, s.name, s.value);
    attune::validate(unit);
    use(entry, unit);
  });
  attune::for_each_operation([&](const attune::operation_entry& o) {
    if (name != o.name && !is_among(name, o.also)) return;
    throw attune::error(std::string(o.name) + " acts on " + o.on + ", not on samples of log-probabilities; in C++: " + o.call);
  });
  if (!found) throw attune::error("there is no unit " + std::string(name) + "; the catalogue has: " + known);
}

using attune::kind_of;
template <class Unit>
inline constexpr bool is_scalar = !attune::is_objective<Unit>;

/// Whether the objective reads that member of its kind of sample.
template <class Unit>
bool reads_member(const Unit& unit, const attune::member_of<kind_of<Unit>>& member) {
  if constexpr (std::same_as<kind_of<Unit>, attune::group_kind>) {
    return attune::group_reads(unit, member);
  } else {
    return attune::reads<kind_of<Unit>>(unit, member);
  }
}

}  // namespace explore
