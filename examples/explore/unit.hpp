// SPDX-License-Identifier: MIT
// From a name on the command line to a unit of the catalogue.
#pragma once

#include "held/objectives.hpp"

#include <attune/catalog.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace explore {

/// "beta=0.1" from --set.
using setting = held::settings::value_type;
setting parse_setting(const std::string& text);

/// Calls use_unit(entry, unit) with the named scalar unit and the settings applied, or use_objective(entry, objective) with the objective
/// (held/objectives.hpp); attune::error if the name or a setting is unknown or out of domain.
template <class UseUnit, class UseObjective>
void with_unit(std::string_view name, const std::vector<setting>& settings, UseUnit&& use_unit, UseObjective&& use_objective) {
  if (const held::entry* entry = held::find(name)) return use_objective(*entry, entry->make(settings));
  bool found = false;
  std::string known;
  attune::for_each_unit([&](const auto& entry) {
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
    using unit_type = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (!attune::is_objective<unit_type>) {
      if (!held::is_called(entry.name, entry.also, name)) return;
      found = true;
      unit_type unit{};
      for (const auto& [parameter, value] : settings) attune::set_parameter(unit, parameter, value);
      attune::validate(unit);
      use_unit(entry, unit);
    }
  });
  attune::for_each_operation([&](const attune::operation_entry& o) {
    if (!held::is_called(o.name, o.also, name)) return;
    throw attune::error(std::string(o.name) + " acts on " + o.on + ", not on samples of log-probabilities; in C++: " + o.call);
  });
  if (!found) throw attune::error("there is no unit " + std::string(name) + "; the catalogue has: " + known);
}

}  // namespace explore
