// SPDX-License-Identifier: MIT
#include "objective.hpp"

#include "names.hpp"

#include <attune/catalog/reward.hpp>

#include <optional>

namespace align {
namespace {

/// Whether an objective can be trained on pairs: it is on pairs or groups, or on single completions with labels.
struct trains_on_pairs {
  template <class Kind> bool operator()(const held::in_both<Kind>& unit) const {
    if constexpr (std::same_as<Kind, attune::single_kind>) return held::reads(unit, attune::member_named<Kind>("label"));
    else return std::same_as<Kind, attune::pair_kind>;
  }
  bool operator()(const held::any_group&) const { return true; }
};

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
  for (const held::entry& entry : held::objectives()) {
    if (std::visit(trains_on_pairs{}, entry.make({}))) names.push_back(entry.name);
  }
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
    if (found || !held::is_called(entry.name, entry.also, shaping)) return;
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
  const held::entry* entry = held::find(name);
  if (!entry || !std::visit(trains_on_pairs{}, entry->make({}))) {
    throw attune::error("there is no objective " + name + "; expected one of: " + listed(objective_names()));
  }
  held::settings values;
  for (const std::string& setting : settings) values.push_back(parse_setting(setting, "--set"));
  const objective found(entry->name, entry->make(values), rewards);
  if (!shaping.empty() && !found.reads_rewards()) {
    throw attune::error("--shape " + shaping + ": the objective " + entry->name + " reads no rewards; expected one that does, such as exo_rw or rebel");
  }
  return found;
}

}  // namespace align
