// SPDX-License-Identifier: MIT
#include "objective.hpp"

#include "names.hpp"

#include <attune/catalog.hpp>

#include <optional>

namespace align {
namespace {

/// Calls visit(entry, unit) for every objective of the catalogue that can be trained on pairs, each with its default parameters.
template <class Visit> void for_each_objective(Visit visit) {
  attune::for_each_unit([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::pair_objective<unit> || attune::single_objective<unit> || attune::group_objective<unit>) {
      if (trains_on_pairs<unit>()) visit(entry, unit{});
    }
  });
}

/// Calls visit(entry, unit) for every shaping of rewards of the catalogue, each with its default parameters.
template <class Visit> void for_each_shaping(Visit visit) {
  attune::catalog::for_each_reward([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::scalar_unit<unit>) {
      if (std::string(entry.argument) == "x") visit(entry, unit{});  // a penalty's argument is a length
    }
  });
}

}  // namespace

std::vector<std::string> objective_names() {
  std::vector<std::string> names;
  for_each_objective([&](const auto& entry, const auto&) { names.push_back(entry.name); });
  return names;
}

std::vector<std::string> shaping_names() {
  std::vector<std::string> names;
  for_each_shaping([&](const auto& entry, const auto&) { names.push_back(entry.name); });
  return names;
}

label_rewards shape_rewards(const std::string& shaping, const std::vector<std::string>& settings) {
  if (shaping.empty() && !settings.empty()) throw attune::error("--set-shape " + settings[0] + ": expected a --shape that it is a parameter of");
  if (shaping.empty()) return {};
  std::optional<label_rewards> found;
  for_each_shaping([&](const auto& entry, auto unit) {
    if (found || !is_called(entry, shaping)) return;
    for (const std::string& setting : settings) apply_setting(unit, setting, "--set-shape");
    attune::validate(unit);
    found = label_rewards{unit.value(1.0), unit.value(0.0)};
  });
  if (found) return *found;
  throw attune::error("there is no shaping of rewards " + shaping + "; expected one of: " + listed(shaping_names()));
}

objective make_objective(const std::string& name, const std::vector<std::string>& settings, const std::string& shaping,
                         const std::vector<std::string>& shaping_settings) {
  const label_rewards rewards = shape_rewards(shaping, shaping_settings);
  std::optional<objective> found;
  for_each_objective([&](const auto& entry, auto unit) {
    if (found || !is_called(entry, name)) return;
    for (const std::string& setting : settings) apply_setting(unit, setting, "--set");
    attune::validate(unit);
    if (!shaping.empty() && !reads_rewards(unit)) {
      throw attune::error("--shape " + shaping + ": the objective " + entry.name + " reads no rewards; expected one that does, such as exo_rw or rebel");
    }
    found.emplace(entry.name, unit, rewards);
  });
  if (found) return *found;
  throw attune::error("there is no objective " + name + "; expected one of: " + listed(objective_names()));
}

}  // namespace align
