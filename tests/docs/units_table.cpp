// SPDX-License-Identifier: MIT
// Prints what the documentation says of the catalogue.
//   units_table units   tables of all units: formulas, parameters, other names, sources, and the worst errors against the oracle, measured
//                       on this machine
//   units_table names   the names alone, a line a kind
#include "catalog/measured/units.hpp"

#include <cstdio>
#include <cstring>
#include <map>

namespace {

/// In a table cell a bar would end the cell.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.replace(at, 1, "\\|");
  return text;
}

template <class Unit>
std::string parameters() {
  std::string text;
  if constexpr (attune::parametrised<Unit>) {
    for (const auto& p : Unit::parameters()) {
      text += (text.empty() ? "" : ", ") + std::string(p.name) + " = " + attune::detail::text(Unit{}.*p.member) + " in " + p.domain.text();
    }
  }
  return text;
}

/// The chapters of the documentation.
template <class Entry>
const char* chapter(const Entry& entry) {
  using unit = typename Entry::unit;
  if (std::string(entry.family) == "reward") return "Reward models and shaping of rewards";
  if (attune::pair_objective<unit> || attune::detailed_pair_objective<unit>) return "Objectives on pairs";
  if (attune::single_objective<unit>) return "Objectives on single completions";
  if (attune::group_objective<unit>) return "Objectives on groups of completions";
  if (attune::token_objective<unit> || attune::value_objective<unit>) return "Policy gradient: objectives on tokens, and on a critic's values";
  if (std::string(entry.family) == "divergence") return "Divergences";
  if (std::string(entry.family) == "link") return "Links";
  if (std::string(entry.family) == "kl") return "KL estimators";
  if (std::string(entry.family) == "score") return "Scores";
  return std::string(entry.family) == "constraint" ? "Constraint terms" : "Scalar functions";
}
constexpr const char* chapters[] = {"Objectives on pairs", "Objectives on single completions", "Objectives on groups of completions",
                                    "Policy gradient: objectives on tokens, and on a critic's values",
                                    "Reward models and shaping of rewards", "Divergences", "KL estimators", "Links", "Scores", "Constraint terms", "Scalar functions"};

/// The worst errors of every unit in one arithmetic, by its name.
using errors = std::map<std::string, attune_test::conformance>;
errors measure(const attune_test::measured_units& pairs, const attune_test::measured_units& others) {
  errors found;
  for (const auto* list : {&pairs, &others}) {
    for (const attune_test::measured_unit& unit : *list) found[unit.name] = unit.conform(attune_test::planted::nothing);
  }
  return found;
}

template <class Entry>
void print_row(const Entry& entry, const attune_test::conformance& f, const attune_test::conformance& d) {
  using unit = typename Entry::unit;
  const std::string where = *entry.where ? std::string(", ") + entry.where : "";
  std::printf("| `%s` | `%s`%s | %s | %s | %.1f, %.1f | %.1f, %.1f | %s |\n", entry.name, cell(entry.formula).c_str(), cell(where).c_str(),
              parameters<unit>().c_str(), entry.also, f.value, f.derivative, d.value, d.derivative, entry.source);
}

}  // namespace

int main(int argc, char** argv) {
  const bool names = argc > 1 && std::strcmp(argv[1], "names") == 0;
  errors in_float, in_double;
  if (!names) {
    in_float = measure(attune_test::pairs_in_float(), attune_test::others_in_float());
    in_double = measure(attune_test::pairs_in_double(), attune_test::others_in_double());
  }
  for (const char* wanted : chapters) {
    int rows = 0;
    attune::for_each_unit([&](const auto& entry) {
      if (std::strcmp(chapter(entry), wanted) != 0) return;
      if (names) {
        if (rows++ == 0) std::printf("- **%s:** `%s`", wanted, entry.name);
        else std::printf(", `%s`", entry.name);
      } else {
        if (rows++ == 0) {
          std::printf("\n## %s\n\n| unit | formula | parameters | also known as | worst error of value, derivative: float | double | source |\n", wanted);
          std::printf("|---|---|---|---|---|---|---|\n");
        }
        print_row(entry, in_float.at(entry.name), in_double.at(entry.name));
      }
    });
    if (names && rows) std::printf("\n");
  }
  const char* separator = names ? "- **On batches, tokens, averages and models:** " : "\n## On batches, tokens, averages and models\n\n| operation | acts on | formula | call | also known as | source |\n|---|---|---|---|---|---|\n";
  attune::for_each_operation([&](const attune::operation_entry& o) {
    if (names) {
      std::printf("%s`%s`", separator, o.name);
      separator = ", ";
      return;
    }
    const std::string where = *o.where ? std::string(", ") + o.where : "";
    std::printf("%s| `%s` | %s | `%s`%s | `%s` | %s | %s |\n", separator, o.name, o.on, cell(o.formula).c_str(), cell(where).c_str(), o.call, o.also, o.source);
    separator = "";
  });
  if (names) std::printf("\n");
}
