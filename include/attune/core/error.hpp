// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace attune {

/// Thrown for bad input: wrong sizes, labels out of range, parameters outside their domain, combinations without meaning.
/// The message names the argument, what was given and what is expected. Nothing has been written when it is thrown.
class error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

namespace detail {

/// Shortest text that a reader recognises: 0.1, not 0.100000.
inline std::string text(double x) {
  char buffer[32];
  for (int digits = 1; digits <= 17; ++digits) {
    std::snprintf(buffer, sizeof buffer, "%.*g", digits, x);
    if (std::strtod(buffer, nullptr) == x) break;
  }
  return buffer;
}
inline std::string text(long long x) { return std::to_string(x); }
inline std::string text(const char* x) { return x; }
inline std::string text(const std::string& x) { return x; }

}  // namespace detail
}  // namespace attune
