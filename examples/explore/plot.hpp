// SPDX-License-Identifier: MIT
#pragma once

#include "table.hpp"

#include <string>
#include <vector>

namespace explore {

/// Curves of one unit: columns x, value, slope.
struct curves {
  std::string name;
  std::string axis;  ///< what x is
  table points;
};

/// Draws value (upper panel) and derivative (lower panel) of every unit over x into `path` (.svg or .png) with gnuplot; attune::error if
/// gnuplot is not installed or fails.
void plot(const std::vector<curves>& all, const std::string& path);

}  // namespace explore
