// SPDX-License-Identifier: MIT
#include "table.hpp"

#include <attune/core/error.hpp>

#include <cstdio>
#include <cstdlib>
#include <istream>
#include <ostream>
#include <string_view>

namespace explore {
namespace {

std::string trimmed(std::string_view cell) {
  const auto begin = cell.find_first_not_of(" \t\r"), end = cell.find_last_not_of(" \t\r");
  return begin == std::string_view::npos ? std::string() : std::string(cell.substr(begin, end - begin + 1));
}

std::vector<std::string> cells_of(std::string_view line) {
  std::vector<std::string> cells;
  for (std::size_t begin = 0;;) {
    const std::size_t comma = line.find(',', begin);
    cells.push_back(trimmed(line.substr(begin, comma == std::string_view::npos ? comma : comma - begin)));
    if (comma == std::string_view::npos) return cells;
    begin = comma + 1;
  }
}

}  // namespace

table read_csv(std::istream& in) {
  table t;
  std::string line;
  for (long number = 1; std::getline(in, line); ++number) {
    if (trimmed(line).empty()) continue;
    const std::vector<std::string> cells = cells_of(line);
    if (t.names.empty()) {
      t.names = cells;
      continue;
    }
    if (cells.size() != t.names.size()) {
      throw attune::error("line " + std::to_string(number) + " has " + std::to_string(cells.size()) + " cells; expected " +
                          std::to_string(t.names.size()) + ", one for each name in the header");
    }
    std::vector<double>& row = t.rows.emplace_back();
    for (std::size_t c = 0; c < cells.size(); ++c) {
      char* end = nullptr;
      row.push_back(std::strtod(cells[c].c_str(), &end));
      if (cells[c].empty() || *end != '\0') {
        throw attune::error("line " + std::to_string(number) + ", column " + t.names[c] + ": '" + cells[c] + "' is not a number");
      }
    }
  }
  if (t.names.empty()) throw attune::error("the input is empty; expected a header line of member names");
  return t;
}

void write_csv(std::ostream& out, const table& t) {
  for (std::size_t c = 0; c < t.names.size(); ++c) out << (c ? "," : "") << t.names[c];
  out << '\n';
  for (const std::vector<double>& row : t.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      char text[32];
      std::snprintf(text, sizeof text, "%s%.17g", c ? "," : "", row[c]);
      out << text;
    }
    out << '\n';
  }
}

}  // namespace explore
