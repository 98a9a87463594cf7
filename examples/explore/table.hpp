// SPDX-License-Identifier: MIT
// Tables of numbers as CSV: a header of column names, then one row of numbers a line.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace explore {

struct table {
  std::vector<std::string> names;
  std::vector<std::vector<double>> rows;
};

/// Throws attune::error naming the line and column of what is not a number, or of a row with another number of cells than the header.
table read_csv(std::istream& in);
/// 17 significant digits: every double survives.
void write_csv(std::ostream& out, const table& t);

}  // namespace explore
