// SPDX-License-Identifier: MIT
// Reads the reference values that tests/oracle/generate.py wrote, and says when a result agrees with them.
#pragma once

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace attune_test {

/// An exact result and |result| (1 + condition number): what one ulp in every input and parameter changes.
struct reference {
  double exact, scale;
};

struct oracle_row {
  std::string unit;
  std::vector<std::pair<std::string, double>> parameters, inputs;
  std::vector<std::pair<std::string, reference>> results;  ///< "value", then "d_<member>"

  double input(const std::string& name) const {
    for (const auto& [key, x] : inputs) {
      if (key == name) return x;
    }
    return 0;
  }
  std::vector<double> list(const std::string& name) const {
    std::vector<double> all;
    for (const auto& [key, x] : inputs) {
      if (key == name) all.push_back(x);
    }
    return all;
  }
  /// The last derivative that is not 0; the last one, if all are.
  const reference* last_derivative() const {
    for (std::size_t i = results.size(); i-- > 1;) {
      if (results[i].second.exact != 0) return &results[i].second;
    }
    return &results.back().second;
  }
  const reference* result(const std::string& name) const {
    for (const auto& [key, r] : results) {
      if (key == name) return &r;
    }
    return nullptr;
  }
};

inline std::vector<std::pair<std::string, double>> parse_assignments(const std::string& text) {
  std::vector<std::pair<std::string, double>> list;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const auto equals = word.find('=');
    list.emplace_back(word.substr(0, equals), std::strtod(word.c_str() + equals + 1, nullptr));
  }
  return list;
}

/// One line of the file.
inline oracle_row parse_row(const std::string& line) {
  std::vector<std::string> cells;
  for (std::size_t begin = 0, end; begin != std::string::npos; begin = end == std::string::npos ? end : end + 1) {
    end = line.find(';', begin);
    cells.push_back(line.substr(begin, end == std::string::npos ? end : end - begin));
  }
  oracle_row row{cells.at(0), parse_assignments(cells.at(1)), parse_assignments(cells.at(2)), {}};
  for (std::size_t c = 3; c < cells.size(); ++c) {
    std::istringstream words(cells[c]);
    std::string name, exact, scale;
    words >> name >> exact >> scale;
    row.results.push_back({name, {std::strtod(exact.c_str(), nullptr), std::strtod(scale.c_str(), nullptr)}});
  }
  return row;
}

/// All rows of one unit; throws if there are none.
inline const std::vector<oracle_row>& oracle_rows(const std::string& unit) {
  static const std::map<std::string, std::vector<oracle_row>> rows = [] {
    std::map<std::string, std::vector<oracle_row>> all;
    std::ifstream file(ATTUNE_TEST_DATA "/oracle.txt");
    std::string line;
    std::getline(file, line);  // the digest
    while (std::getline(file, line)) {
      oracle_row row = parse_row(line);
      all[row.unit].push_back(std::move(row));
    }
    return all;
  }();
  const auto found = rows.find(unit);
  if (found == rows.end()) throw std::runtime_error("the oracle has no rows for " + unit + ": regenerate tests/data/oracle.txt");
  return found->second;
}

/// Error of `got` in ulp x (1 + condition number) of type T; 0 where both are below its smallest normal number. Where the exact result is
/// beyond the range of T (or within a factor of 8 of its end) the code overflows or saturates: `got` must then have the right sign and be
/// huge. Infinite where one is NaN or infinite and the other is not.
template <class T>
double error_in_ulp(double got, const reference& want) {
  constexpr double largest = std::numeric_limits<T>::max(), smallest = std::numeric_limits<T>::min();
  if (std::fabs(want.exact) > largest / 8) {
    return (got > 0) == (want.exact > 0) && std::fabs(got) > largest / 1024 ? 0 : std::numeric_limits<double>::infinity();
  }
  if (!(std::fabs(got) <= largest)) return std::numeric_limits<double>::infinity();
  const double difference = std::fabs(got - want.exact);
  if (difference <= smallest) return 0;
  return difference / (std::numeric_limits<T>::epsilon() * want.scale);
}

}  // namespace attune_test
