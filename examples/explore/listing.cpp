// SPDX-License-Identifier: MIT
#include "listing.hpp"

#include "unit.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <iomanip>
#include <ostream>

namespace explore {
namespace {

using json = nlohmann::ordered_json;

json number(double x) { return std::isfinite(x) ? json(x) : json(x > 0 ? "inf" : "-inf"); }

json interval_json(const attune::interval& i) {
  return {{"lower", number(i.lower)}, {"upper", number(i.upper)}, {"includes_lower", i.includes_lower}, {"includes_upper", i.includes_upper}};
}

template <class Unit>
json parameters_json() {
  json list = json::array();
  if constexpr (attune::parametrised<Unit>) {
    for (const auto& p : Unit::parameters()) {
      list.push_back({{"name", p.name}, {"default", number(Unit{}.*p.member)}, {"domain", interval_json(p.domain)}, {"meaning", p.meaning}});
    }
  }
  return list;
}

template <class Unit>
const char* kind() {
  if (attune::pair_objective<Unit>) return "pair";
  if (attune::detailed_pair_objective<Unit>) return "detailed_pair";
  if (attune::single_objective<Unit>) return "single";
  if (attune::group_objective<Unit>) return "group";
  if (attune::token_objective<Unit>) return "token";
  if (attune::value_objective<Unit>) return "value";
  return attune::divergence::generator<Unit> ? "divergence" : "scalar";
}

template <class Entry>
json entry_json(const Entry& entry) {
  using unit = typename Entry::unit;
  json j = {{"name", entry.name},       {"family", entry.family}, {"kind", kind<unit>()},     {"formula", entry.formula},
            {"where", entry.where},     {"slope", entry.slope},   {"source", entry.source},   {"also", entry.also},   {"parameters", parameters_json<unit>()}};
  if constexpr (!is_scalar<unit>) {
    json reads = json::array(), differentiable = json::array();
    for (const auto& m : attune::members<kind_of<unit>>()) {
      const bool read = reads_member(unit{}, m);
      if (read) reads.push_back(m.name);
      if (read && m.is == attune::role::policy) differentiable.push_back(m.name);
    }
    j["reads"] = reads;
    j["differentiable"] = differentiable;
  } else {
    j["argument"] = entry.argument;
  }
  j["domain"] = interval_json(entry.domain);
  j["shape"] = {{"convex", entry.is.convex}, {"increasing", entry.is.increasing}, {"decreasing", entry.is.decreasing},
                {"nonnegative", entry.is.nonnegative}, {"monotone", entry.is.monotone}};
  return j;
}

template <class Unit>
std::string parameters_text() {
  std::string text;
  if constexpr (attune::parametrised<Unit>) {
    for (const auto& p : Unit::parameters()) text += (text.empty() ? "" : "  ") + std::string(p.name) + "=" + attune::detail::text(Unit{}.*p.member);
  }
  return text;
}

}  // namespace

void list_json(std::ostream& out) {
  json list = json::array();
  attune::for_each_unit([&](const auto& entry) { list.push_back(entry_json(entry)); });
  attune::for_each_operation([&](const attune::operation_entry& o) {
    list.push_back({{"name", o.name}, {"family", "operation"}, {"kind", "operation"}, {"on", o.on}, {"formula", o.formula}, {"where", o.where},
                    {"call", o.call}, {"source", o.source}, {"also", o.also}});
  });
  out << list.dump(1) << '\n';
}

void list_text(std::ostream& out) {
  std::string family;
  attune::for_each_unit([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if (family != entry.family) out << (family.empty() ? "" : "\n") << (family = entry.family) << '\n';
    out << "  " << std::left << std::setw(23) << entry.name << std::setw(32) << parameters_text<unit>() << entry.formula;
    if (*entry.where) out << "   where " << entry.where;
    if (*entry.also) out << "   also " << entry.also;
    out << "   [" << entry.source << "]\n";
  });
  out << "\non a whole batch, or on tokens (not for eval and check)\n";
  attune::for_each_operation([&](const attune::operation_entry& o) {
    out << "  " << std::left << std::setw(23) << o.name << std::setw(32) << o.on << o.formula;
    if (*o.where) out << "   where " << o.where;
    if (*o.also) out << "   also " << o.also;
    out << "   by " << o.call << "   [" << o.source << "]\n";
  });
}

}  // namespace explore
