// SPDX-License-Identifier: MIT
// What the catalogue-driven tests do with every row, for the new one: it must have become a unit like any other.
#include "support/conformance.hpp"

#include <attune/check/gradient.hpp>
#include <attune/exec/any_objective.hpp>
#include <attune/exec/evaluate.hpp>

#include <cstdio>

namespace {

int failures = 0;
void require(bool good, const char* what) {
  std::printf("%s: %s\n", good ? "ok" : "FAILED", what);
  failures += !good;
}

struct verify {
  int* found;
  template <class Entry>
  void operator()(const Entry&) const {}
  void operator()(const attune::catalog_entry<attune::gap_dpo>& entry) const {
    using attune_test::planted;
    ++*found;
    const auto f = attune_test::conform<float>(entry), d = attune_test::conform<double>(entry);
    require(f.compared > 100 && f.value <= 2 && f.derivative <= 3, "agrees with the oracle in float");
    require(d.compared > 100 && d.value <= 2 && d.derivative <= 3, "agrees with the oracle in double");
    for (planted mistake : {planted::sign, planted::factor, planted::term}) {
      require(attune_test::conform<double>(entry, mistake).derivative > 3, "the oracle rejects a planted mistake");
    }
    require(attune::check_gradient(attune::gap_dpo{}).passed, "finite differences agree");
    const float chosen[] = {-10}, rejected[] = {-12}, reference[] = {-11}, length[] = {4};
    float d_chosen[1], d_rejected[1];
    const attune::any_objective<attune::pair_kind, float> objective = attune::gap_dpo{};
    const attune::report r = attune::evaluate(attune::threads{2, 0}, objective,
                                              attune::pairs<float>{.chosen = chosen, .rejected = rejected, .ref_chosen = reference, .ref_rejected = reference,
                                                                   .chosen_length = length, .rejected_length = length},
                                              {.chosen = d_chosen, .rejected = d_rejected});
    require(r.loss() == 0.75 && d_chosen[0] == -0.125f && d_rejected[0] == 0.125f, "evaluate runs it");
  }
};

}  // namespace

int main() {
  int found = 0;
  attune::catalog::for_each_pair_objective(verify{&found});
  require(found == 1, "the catalogue has the new row once");
  return failures == 0 ? 0 : 1;
}
