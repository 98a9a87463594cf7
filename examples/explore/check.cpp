// SPDX-License-Identifier: MIT
#include "check.hpp"

#include <algorithm>

namespace explore {
namespace {

struct check_held {
  attune::gradient_check operator()(const held::any_group& objective) const { return attune::check_gradient(objective); }
  template <class Kind> attune::gradient_check operator()(const held::in_both<Kind>& objective) const {
    return attune::check_gradient_on<Kind>(objective.in_double);
  }
};

}  // namespace

attune::gradient_check check(std::string_view name, const std::vector<setting>& settings) {
  attune::gradient_check result;
  const auto check_unit = [&](const auto& entry, const auto& unit) {
    result = attune::check_gradient(unit, std::max(-8.0, entry.domain.lower), std::min(8.0, entry.domain.upper));
  };
  with_unit(name, settings, check_unit, [&](const held::entry& entry, const held::any& objective) {
    if (entry.stops_gradient) {
      result.explanation = "holds a part of its value constant, so finite differences of the value do not apply; the oracle's do";
    } else {
      result = std::visit(check_held{}, objective);
    }
  });
  return result;
}

}  // namespace explore
