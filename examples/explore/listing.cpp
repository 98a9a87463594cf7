// SPDX-License-Identifier: MIT
#include "listing.hpp"

#include <attune/catalog.hpp>

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

/// One parameter of a unit, and its default.
struct parameter_facts {
  const char *name, *meaning;
  double value;
  attune::interval domain;
};
/// What the catalogue says of a unit, whatever its type.
struct unit_facts {
  const char *name, *family, *kind, *formula, *where, *slope, *argument, *source, *also;
  attune::interval domain;
  attune::shape is;
  bool is_objective;
  std::vector<parameter_facts> parameters;
  std::vector<std::string> reads, differentiable;  ///< of an objective: members of its sample; and those by which it has derivatives
};

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

template <class Unit>
bool reads_member(const Unit& unit, const attune::member_of<attune::kind_of<Unit>>& member) {
  if constexpr (attune::group_objective<Unit>) return attune::group_reads(unit, member);
  else return attune::reads<attune::kind_of<Unit>>(unit, member);
}

template <class Entry>
unit_facts facts_of(const Entry& e) {
  using unit = typename Entry::unit;
  unit_facts facts{e.name, e.family, kind<unit>(), e.formula, e.where, e.slope, e.argument, e.source, e.also, e.domain, e.is, attune::is_objective<unit>, {}, {}, {}};
  if constexpr (attune::parametrised<unit>) {
    for (const auto& p : unit::parameters()) facts.parameters.push_back({p.name, p.meaning, unit{}.*p.member, p.domain});
  }
  if constexpr (attune::is_objective<unit>) {
    for (const auto& m : attune::members<attune::kind_of<unit>>()) {
      if (!reads_member(unit{}, m)) continue;
      facts.reads.push_back(m.name);
      if (m.is == attune::role::policy) facts.differentiable.push_back(m.name);
    }
  }
  return facts;
}
std::vector<unit_facts> all_units() {
  std::vector<unit_facts> all;
  attune::for_each_unit([&](const auto& entry) { all.push_back(facts_of(entry)); });
  return all;
}

json unit_json(const unit_facts& u) {
  json parameters = json::array();
  for (const parameter_facts& p : u.parameters) {
    parameters.push_back({{"name", p.name}, {"default", number(p.value)}, {"domain", interval_json(p.domain)}, {"meaning", p.meaning}});
  }
  json j = {{"name", u.name}, {"family", u.family}, {"kind", u.kind}, {"formula", u.formula}, {"where", u.where}, {"slope", u.slope}, {"source", u.source}, {"also", u.also}, {"parameters", parameters}};
  if (u.is_objective) {
    j["reads"] = u.reads;
    j["differentiable"] = u.differentiable;
  } else {
    j["argument"] = u.argument;
  }
  j["domain"] = interval_json(u.domain);
  j["shape"] = {{"convex", u.is.convex}, {"increasing", u.is.increasing}, {"decreasing", u.is.decreasing}, {"nonnegative", u.is.nonnegative}, {"monotone", u.is.monotone}};
  return j;
}

std::string parameters_text(const unit_facts& u) {
  std::string text;
  for (const parameter_facts& p : u.parameters) text += (text.empty() ? "" : "  ") + std::string(p.name) + "=" + attune::detail::text(p.value);
  return text;
}

}  // namespace

void list_json(std::ostream& out) {
  json list = json::array();
  for (const unit_facts& u : all_units()) list.push_back(unit_json(u));
  attune::for_each_operation([&](const attune::operation_entry& o) {
    list.push_back({{"name", o.name}, {"family", "operation"}, {"kind", "operation"}, {"on", o.on}, {"formula", o.formula}, {"where", o.where},
                    {"call", o.call}, {"source", o.source}, {"also", o.also}});
  });
  out << list.dump(1) << '\n';
}

void list_text(std::ostream& out) {
  std::string family;
  for (const unit_facts& u : all_units()) {
    if (family != u.family) out << (family.empty() ? "" : "\n") << (family = u.family) << '\n';
    out << "  " << std::left << std::setw(23) << u.name << std::setw(32) << parameters_text(u) << u.formula;
    if (*u.where) out << "   where " << u.where;
    if (*u.also) out << "   also " << u.also;
    out << "   [" << u.source << "]\n";
  }
  out << "\non a whole batch, or on tokens (not for eval and check)\n";
  attune::for_each_operation([&](const attune::operation_entry& o) {
    out << "  " << std::left << std::setw(23) << o.name << std::setw(32) << o.on << o.formula;
    if (*o.where) out << "   where " << o.where;
    if (*o.also) out << "   also " << o.also;
    out << "   by " << o.call << "   [" << o.source << "]\n";
  });
}

}  // namespace explore
