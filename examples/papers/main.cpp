// SPDX-License-Identifier: MIT
// papers_<name> [NUMBER ...] [--figures FOLDER]: runs a paper's acceptance tests, all of them or those that are named, and draws its figures.
#include "acceptance.hpp"

#include <CLI/CLI.hpp>

#include <cmath>
#include <filesystem>
#include <fstream>

namespace papers {

void comparison::count(bool met) {
  ++compared_;
  missed_ += !met;
}
void comparison::near(const std::string& what, double obtained, double expected, double tolerance) {
  const bool met = std::abs(obtained - expected) <= tolerance;
  std::printf("    %-58s expected %-14.10g obtained %-14.10g %s\n", what.c_str(), expected, obtained, met ? "ok" : "MISSED");
  count(met);
}
void comparison::holds(const std::string& what, bool holds) {
  std::printf("    %-106s %s\n", what.c_str(), holds ? "ok" : "MISSED");
  count(holds);
}

namespace {

/// Runs one test; a test that compares nothing has missed.
bool passes(const acceptance_test& test) {
  std::printf("  %s  %s\n", test.number, test.title);
  comparison found;
  test.run(found);
  std::printf("    %d of %d met\n\n", found.compared() - found.missed(), found.compared());
  return found.compared() > 0 && found.missed() == 0;
}

bool draw(const figure& picture, const std::filesystem::path& folder) {
  const std::filesystem::path script = folder / (std::string(picture.name) + ".gp"), svg = folder / (std::string(picture.name) + ".svg");
  {
    std::ofstream out(script);
    out.precision(9);
    out << "set terminal svg size 900,420 dynamic background rgb 'white' font 'sans,12'\nset output '" << svg.string() << "'\nset grid\n";
    picture.script(out);
  }
  const bool drawn = std::system(("gnuplot '" + script.string() + "'").c_str()) == 0;
  std::filesystem::remove(script);
  std::printf("  %s %s\n", svg.c_str(), drawn ? "" : "could not be drawn: gnuplot is needed (Debian: gnuplot-nox)");
  return drawn;
}

}  // namespace
}  // namespace papers

int main(int argc, char** argv) {
  using papers::described;
  CLI::App app(std::string("The acceptance tests of ") + described.title);
  std::vector<std::string> chosen, known;
  std::string folder;
  for (const auto& test : described.tests) known.push_back(test.number);
  app.add_option("number", chosen, "tests to run; all without")->check(CLI::IsMember(known));
  app.add_option("--figures", folder, "folder to draw the figures in, as SVG")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);

  std::printf("%s\n\n", described.title);
  bool passed = true;
  for (const auto& test : described.tests) {
    if (chosen.empty() || std::find(chosen.begin(), chosen.end(), test.number) != chosen.end()) passed = papers::passes(test) && passed;
  }
  for (const auto& picture : described.figures) passed = (folder.empty() || papers::draw(picture, folder)) && passed;
  return passed ? 0 : 1;
}
