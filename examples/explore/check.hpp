// SPDX-License-Identifier: MIT
#pragma once

#include "unit.hpp"

#include <attune/check/gradient.hpp>

namespace explore {

/// The derivatives of a unit against finite differences.
attune::gradient_check check(std::string_view name, const std::vector<setting>& settings);

}  // namespace explore
