// SPDX-License-Identifier: MIT
// A row of the catalogue.
//
// `formula` is the textbook formula, exactly as in the source, in Python's syntax; it is evaluated at high precision to produce the
// reference values that the code is compared with. It is written here a second time on purpose: naive, to be checked by eye against the
// paper; the code, stable, is checked by machine against it. `where` holds definitions used in it, in order, separated by ";".
// Parameters, their defaults and domains are the unit's own (Unit::parameters()); what an objective reads of a sample is found by
// evaluating it (attune::reads).
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/policy/token.hpp>
#include <attune/policy/value_loss.hpp>
#include <attune/preference/group.hpp>
#include <attune/preference/pair.hpp>
#include <attune/preference/single.hpp>

#include <type_traits>

namespace attune {

/// What is known about the shape of a unit; each is tested. For objectives, monotone: d loss/d chosen <= 0 and d loss/d rejected >= 0.
struct shape {
  bool convex = false;
  bool increasing = false;
  bool decreasing = false;
  bool nonnegative = false;
  bool monotone = false;
};

template <class Unit>
struct catalog_entry {
  using unit = Unit;

  const char* name;
  const char* family;         ///< the folder: core, divergence, score, link, preference, kl, reward, constraint
  const char* formula;        ///< value
  const char* where = "";     ///< definitions used in the formula
  const char* slope = "";     ///< formula of the slope, where it is not the derivative in the argument
  const char* argument = "";  ///< of a scalar unit
  interval domain{};          ///< of the argument; of an objective: of each completion's log-ratio, beyond which it saturates
  shape is{};
  const char* source = "";
  const char* also = "";      ///< other names under which systems and papers have it, separated by spaces
};

/// The kind of sample that an objective takes; void for scalar units.
template <class Unit>
struct kind_of_unit { using type = void; };
template <pair_objective Unit> struct kind_of_unit<Unit> { using type = pair_kind; };
template <detailed_pair_objective Unit> struct kind_of_unit<Unit> { using type = detailed_pair_kind; };
template <single_objective Unit> struct kind_of_unit<Unit> { using type = single_kind; };
template <group_objective Unit> struct kind_of_unit<Unit> { using type = group_kind; };
template <token_objective Unit> struct kind_of_unit<Unit> { using type = token_kind; };
template <value_objective Unit> struct kind_of_unit<Unit> { using type = value_kind; };
template <class Unit>
using kind_of = typename kind_of_unit<Unit>::type;
template <class Unit>
inline constexpr bool is_objective = !std::is_void_v<kind_of<Unit>>;

}  // namespace attune
