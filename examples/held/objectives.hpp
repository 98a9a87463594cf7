// SPDX-License-Identifier: MIT
// Every objective of the catalogue, chosen at run time by its name: compiled once, for the example programs and their tests.
#pragma once

#include <attune/catalog/entry.hpp>
#include <attune/exec/any_objective.hpp>
#include <attune/preference/group.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace held {

/// An objective on samples of that kind, for tensors of either type.
template <class Kind>
struct in_both {
  attune::any_objective<Kind, float> in_float;
  attune::any_objective<Kind, double> in_double;

  template <class Real> const attune::any_objective<Kind, Real>& in() const {
    if constexpr (std::same_as<Real, float>) return in_float;
    else return in_double;
  }
};
/// A group objective with its gradient, which is one itself.
using any_group = std::function<double(const attune::group<double>&, double* gradient)>;

using any = std::variant<in_both<attune::pair_kind>, in_both<attune::detailed_pair_kind>, in_both<attune::single_kind>, in_both<attune::value_kind>,
                               in_both<attune::token_kind>, any_group>;

/// Whether that is the name of a unit, or one of its other names, a list separated by spaces.
inline bool is_called(std::string_view name, std::string_view also, std::string_view asked) {
  return asked == name || (!asked.empty() && (" " + std::string(also) + " ").find(" " + std::string(asked) + " ") != std::string::npos);
}

/// Parameters by name.
using settings = std::vector<std::pair<std::string, double>>;

/// An objective of the catalogue: its name, its other names separated by spaces, its domain (catalog/entry.hpp), whether it holds a part of its
/// value constant in its derivatives, and itself with these parameters. make throws attune::error for a parameter that is unknown or outside
/// its domain.
struct entry {
  std::string name, also;
  attune::interval domain;
  bool stops_gradient;
  any (*make)(const settings&);

  bool is_called(std::string_view other) const { return held::is_called(name, also, other); }
};

/// Whether it reads that member of its kind of sample.
template <class Kind> bool reads(const in_both<Kind>& objective, const attune::member_of<Kind>& member) {
  return attune::reads<Kind>(objective.in_double, member);
}
inline bool reads(const any_group& objective, const attune::member_of<attune::group_kind>& member) { return attune::group_reads(objective, member); }

/// Its kind of sample.
template <class Held> struct kind_of_held { using type = attune::group_kind; };
template <class Kind> struct kind_of_held<in_both<Kind>> { using type = Kind; };
template <class Held> using kind_of = typename kind_of_held<Held>::type;

/// All of them.
const std::vector<entry>& objectives();

/// The one that is called so by one of its names; null if there is none.
inline const entry* find(std::string_view name) {
  for (const entry& e : objectives()) {
    if (e.is_called(name)) return &e;
  }
  return nullptr;
}

/// One of your own.
template <class Unit> any hold(const Unit& unit) {
  if constexpr (attune::group_objective<Unit>) {
    attune::validate(unit);
    return any_group([unit](const attune::group<double>& g, double* d) { return attune::group_loss(unit, g, d); });
  } else {
    using kind = attune::kind_of<Unit>;
    return in_both<kind>{unit, unit};
  }
}

namespace detail {

template <class Unit> any make(const settings& all) {
  Unit unit{};
  for (const auto& [name, value] : all) attune::set_parameter(unit, name, value);
  return hold(unit);
}

/// Adds what it visits to a list; scalar units are left out.
struct add_to {
  std::vector<entry>& list;
  template <class Entry> void operator()(const Entry& e) const {
    using unit = typename Entry::unit;
    if constexpr (attune::is_objective<unit>) list.push_back({e.name, e.also, e.domain, attune::stops_gradient<unit>, &make<unit>});
  }
};
void add_pairs(std::vector<entry>& list);
void add_others(std::vector<entry>& list);

}  // namespace detail
}  // namespace held
