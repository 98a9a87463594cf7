// SPDX-License-Identifier: MIT
#pragma once

#include <attune/constraint/batch_average.hpp>
#include <attune/constraint/moving_estimate.hpp>

#include <limits>
#include <string>
#include <string_view>

namespace attune {

enum class bound { at_least, at_most };

/// A constraint on an average over the policy's completions, as of a reward or of the length:
///
///   at_least   E[r] >= limit:   C = (limit - E[r]) / unit <= 0
///   at_most    E[r] <= limit:   C = (E[r] - limit) / unit <= 0
///
/// r: a number for each completion; limit and unit are in its units. A band, as 50 <= E[length] <= 100, is two constraints of one quantity.
/// Everything that a run carries from step to step is in the members: to save a run is to save them.
/// unit: what counts as missing the limit by much. Rules of multipliers know no scale (mu and s of a barrier are in units of the loss and
/// of C): a length in tokens with the unit 1 outweighs a loss of a few nats a hundred times, and the policy overshoots.
struct average_constraint {
  std::string name;                   ///< for reports and messages; unique among the constraints of a run
  bound side = bound::at_least;
  double limit = 0;
  double unit = 1;                    ///< > 0
  moving_estimate estimate{};         ///< of E[r]; weight 0.1 (L3M), 1 to follow the batch
  batch_average batch{};              ///< the newest batch, which has gone into the estimate
  double multiplier = 0;              ///< lambda >= 0; what it is set to before the first step is where dual ascent begins

  /// dC / dE[r]
  double slope() const { return (side == bound::at_least ? -1 : 1) / unit; }
  /// C at an average
  double at(double average) const { return slope() * (average - limit); }
  /// C at the moving estimate. Throws attune::error before the first batch.
  double value() const { return at(estimate.value()); }

  /// "name>=limit" or "name<=limit", without spaces. Throws attune::error for any other text.
  static average_constraint parse(std::string_view text) {
    const std::size_t at = text.find_first_of("<>");
    const std::string number(at == text.npos || at + 2 > text.size() ? "" : text.substr(at + 2));
    char* end = nullptr;
    const double limit = std::strtod(number.c_str(), &end);
    const bool whole = !number.empty() && *end == '\0' && number.find_first_of(" \t") == number.npos;
    if (at == 0 || at == text.npos || text.substr(at + 1, 1) != "=" || !whole || !std::isfinite(limit)) {
      throw error("attune: the constraint is \"" + std::string(text) + "\"; expected NAME>=NUMBER or NAME<=NUMBER");
    }
    return {.name = std::string(text.substr(0, at)), .side = text[at] == '>' ? bound::at_least : bound::at_most, .limit = limit};
  }
};

/// Throws attune::error: no name, a limit that is not finite, a multiplier or the weight of the estimate outside its domain.
inline void validate(const average_constraint& c) {
  const auto refuse = [&](const char* what, double given, const char* expected) {
    throw error("attune: the " + std::string(what) + " of constraint " + c.name + " is " + detail::text(given) + "; expected " + expected);
  };
  if (c.name.empty()) throw error("attune: a constraint has no name; expected one, unique among the constraints");
  if (!std::isfinite(c.limit)) refuse("limit", c.limit, "a finite number");
  if (!(c.unit > 0 && c.unit <= std::numeric_limits<double>::max())) refuse("unit", c.unit, "a finite number > 0");
  if (!(c.multiplier >= 0)) refuse("multiplier", c.multiplier, "a value >= 0");
  validate(c.estimate);
}

}  // namespace attune
