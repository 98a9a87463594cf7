// SPDX-License-Identifier: MIT
// A paper's acceptance tests: numbers and claims that the library must give on problems small enough to be exact. One program a paper: its
// source defines `const papers::paper papers::described`, and main.cpp runs it.
#pragma once

#include <cstdio>
#include <iosfwd>
#include <string>
#include <vector>

namespace papers {

/// What is compared in one test: prints a line for each, and counts what was missed.
class comparison {
 public:
  /// |obtained - expected| <= tolerance. An expected number that is quoted with n digits has a tolerance of half the last one, or more.
  void near(const std::string& what, double obtained, double expected, double tolerance);
  /// A claim without a number, for instance an order.
  void holds(const std::string& what, bool holds);
  /// Something to read, not compared.
  void note(const std::string& text) { std::printf("    %s\n", text.c_str()); }

  int compared() const { return compared_; }
  int missed() const { return missed_; }

 private:
  void count(bool met);
  int compared_ = 0, missed_ = 0;
};

struct acceptance_test {
  const char* number;  ///< a digit for the paper, a letter for the test: "1A". CMake reads it here and makes it a test
  const char* title;
  void (*run)(comparison&);
};

/// A picture: `script` writes the gnuplot commands and their data; main.cpp says where the picture goes.
struct figure {
  const char* name;  ///< of the file, without its end
  void (*script)(std::ostream&);
};

struct paper {
  const char* title;  ///< with its number at arXiv
  std::vector<acceptance_test> tests;
  std::vector<figure> figures;
};

extern const paper described;

}  // namespace papers
