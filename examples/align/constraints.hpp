// SPDX-License-Identifier: MIT
// Constraints on averages over the policy's own completions (--constraint): what they can speak of.
#pragma once

#include "data.hpp"

#include <attune/constraint/lagrangian.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace align {

/// Of --constraint NAME>=VALUE and NAME<=VALUE. Quantities of a completion that NAME may be:
///   length   its tokens (bytes), the end token included
///   reward   of the synthetic task only: see synthetic_reward
/// Throws attune::error for other names, and for a reward without the synthetic task.
/// The name of a constraint is then "length<=" and the like: a quantity may have a limit on either side.
inline std::vector<attune::average_constraint> make_constraints(const std::vector<std::string>& texts, bool synthetic) {
  std::vector<attune::average_constraint> constraints;
  for (const std::string& text : texts) {
    attune::average_constraint c = attune::average_constraint::parse(text);
    const auto require = [&](bool good, const char* expected) {
      if (!good) throw attune::error("--constraint " + text + ": expected " + expected);
    };
    require(c.name == "length" || c.name == "reward", "length or reward before the sign");
    require(c.name != "reward" || synthetic, "length: only the synthetic task has a reward");
    c.name += c.side == attune::bound::at_least ? ">=" : "<=";
    c.unit = std::max(1.0, std::abs(c.limit));  // tokens by the hundred weigh as much as rewards of one
    for (const auto& other : constraints) require(other.name != c.name, "one limit on this side of the quantity");
    constraints.push_back(c);
  }
  return constraints;
}

/// What a completion is worth in the quantity of a constraint. Its tokens: begin, `prompt` - 1 bytes, completion, and end unless it was cut.
inline float quantity_of(const attune::average_constraint& c, const preference_tokens& y) {
  if (c.name.starts_with("length")) return float(y.chosen.size() - y.prompt);
  return float(synthetic_reward(text_of(y.chosen, 1, y.prompt), text_of(y.chosen, y.prompt, y.chosen.size())));
}

}  // namespace align
