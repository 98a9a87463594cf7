// SPDX-License-Identifier: MIT
// explore: the catalogue from the command line. List it, evaluate any unit on a table of samples, plot it, check its gradient.
#include "check.hpp"
#include "evaluate.hpp"
#include "listing.hpp"
#include "plot.hpp"
#include "unit.hpp"

#include <attune/version.hpp>

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <iostream>

namespace explore {

setting parse_setting(const std::string& text) {
  const std::size_t equals = text.find('=');
  char* end = nullptr;
  const double value = equals == std::string::npos ? 0 : std::strtod(text.c_str() + equals + 1, &end);
  if (equals == std::string::npos || equals == 0 || end == text.c_str() + equals + 1 || *end != '\0') {
    throw attune::error("--set " + text + "; expected parameter=number");
  }
  return {text.substr(0, equals), value};
}

/// Values and slopes over [lower, upper]: a scalar unit over its argument; an objective over the log-ratio of its first completion, its
/// other members at typical values with lengths 1 and log-probabilities 0 (so per-token scores are the same number).
curves sampled(const std::string& name, const std::vector<setting>& settings, double lower, double upper) {
  constexpr int steps = 400;
  curves c{name, "", {}};
  table in;
  std::vector<double> row;
  const auto sweep = [&](const attune::interval& domain) {
    for (int i = 0; i <= steps; ++i) {
      row[0] = lower + (upper - lower) * i / steps;
      if (domain.contains(row[0])) in.rows.push_back(row);
    }
  };
  const auto sweep_unit = [&](const auto& entry, const auto&) {
    in.names = {c.axis = entry.argument};
    row = {0};
    sweep(entry.domain);
  };
  with_unit(name, settings, sweep_unit, [&](const held::entry& entry, const held::any& objective) {
    const auto add_members = [&](const auto& held_one) {
      for (const auto& m : attune::members<held::kind_of<std::remove_cvref_t<decltype(held_one)>>>()) {
        if (m.in_batch != attune::presence::usual && !held::reads(held_one, m)) continue;
        in.names.push_back(m.name);
        row.push_back(m.is == attune::role::length ? 1 : m.is == attune::role::data ? m.typical : 0);
      }
    };
    std::visit(add_members, objective);
    c.axis = in.names[0] + ": log-ratio (others 0) [nat]";
    sweep(entry.domain);
  });
  c.points = evaluate(name, settings, arithmetic::f64, in);
  for (std::size_t i = 0; i < in.rows.size(); ++i) c.points.rows[i].insert(c.points.rows[i].begin(), in.rows[i][0]);
  return c;
}

int run(int argc, char** argv) {
  CLI::App app{"explore: attune's catalogue of units. List, evaluate, plot and check any of them."};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::to_string(ATTUNE_VERSION_MAJOR) + "." + std::to_string(ATTUNE_VERSION_MINOR) + "." + std::to_string(ATTUNE_VERSION_PATCH));
  std::string name, type = "f64", picture;
  std::vector<std::string> names, texts;
  std::vector<double> range{-10, 10};
  bool as_json = false;
  const auto settable = [&](CLI::App* command) {
    command->add_option("--set", texts, "parameter=number, e.g. --set beta=0.1; may be repeated")->type_name("NAME=VALUE")->allow_extra_args(false);
  };

  CLI::App* list = app.add_subcommand("list", "name, parameters with defaults, formula and source of every unit");
  list->add_flag("--json", as_json, "all that is known, as JSON");

  CLI::App* eval = app.add_subcommand("eval", "samples as CSV on standard input, values and derivatives as CSV on standard output");
  eval->add_option("name", name, "unit")->required();
  eval->add_option("--type", type, "arithmetic: f32 or f64")->check(CLI::IsMember({"f32", "f64"}))->capture_default_str();
  settable(eval);

  CLI::App* draw = app.add_subcommand("plot", "curves of value and derivative as a picture (needs gnuplot)");
  draw->add_option("names", names, "units, all of one argument")->required();
  draw->add_option("--out", picture, "file, .svg or .png; default: FIRST-NAME.svg");
  draw->add_option("--range", range, "lower and upper end of the argument")->expected(2)->capture_default_str();
  settable(draw);

  CLI::App* verify = app.add_subcommand("check", "compare the derivatives of a unit with finite differences");
  verify->add_option("name", name, "unit")->required();
  settable(verify);

  CLI11_PARSE(app, argc, argv);
  std::vector<setting> settings;
  for (const std::string& text : texts) settings.push_back(parse_setting(text));

  if (list->parsed()) {
    as_json ? list_json(std::cout) : list_text(std::cout);
  } else if (eval->parsed()) {
    write_csv(std::cout, evaluate(name, settings, type == "f32" ? arithmetic::f32 : arithmetic::f64, read_csv(std::cin)));
  } else if (draw->parsed()) {
    if (!(range[0] < range[1])) throw attune::error("--range: the lower end must be below the upper one");
    std::vector<curves> all;
    for (const std::string& n : names) all.push_back(sampled(n, settings, range[0], range[1]));
    if (picture.empty()) picture = names.front() + ".svg";
    plot(all, picture);
    std::cout << picture << '\n';
  } else {
    const attune::gradient_check verdict = check(name, settings);
    std::cout << name << (verdict ? ": passed: " : ": FAILED: ") << verdict.explanation << '\n';
    return verdict ? 0 : 1;
  }
  return 0;
}

}  // namespace explore

int main(int argc, char** argv) {
  try {
    return explore::run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "explore: " << e.what() << '\n';
    return 2;
  }
}
