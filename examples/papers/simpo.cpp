// SPDX-License-Identifier: MIT
#include "acceptance.hpp"

#include <attune/preference/simpo.hpp>

using attune::pair;

namespace papers {
namespace {

// Three pairs as (log pi, tokens) of the chosen and of the rejected answer. The second has the first's means: only its lengths differ. Of the
// third a loss on sums would say the opposite.
void pairs_of_different_lengths(comparison& found) {
  struct row {
    const char* name;
    double chosen, chosen_length, rejected, rejected_length, loss, d_chosen, d_rejected;
  };
  const attune::simpo simpo{.beta = 2, .gamma = 0.5};
  for (const row& r : {row{"(-20, 10) over (-24, 8)", -20, 10, -24, 8, .201413278, -.036485105, .045606381},
                       row{"(-40, 20) over (-24, 8)", -40, 20, -24, 8, .201413278, -.018242552, .045606381},
                       row{"(-10, 4) over (-30, 15)", -10, 4, -30, 15, 1.701413278, -.408787238, .109009930}}) {
    const pair<double> x{.chosen = {.logp = r.chosen, .length = r.chosen_length}, .rejected = {.logp = r.rejected, .length = r.rejected_length}};
    const auto loss = simpo(attune::differentiable<attune::pair_kind, double>(x));
    found.near(std::string("loss of ") + r.name, loss.value, r.loss, 6e-10);
    found.near("  d loss / d log pi(chosen)", loss.grad[0], r.d_chosen, 6e-10);
    found.near("  d loss / d log pi(rejected)", loss.grad[1], r.d_rejected, 6e-10);
  }
}

}  // namespace

const paper described{"SimPO: Simple Preference Optimization with a Reference-Free Reward, arXiv:2405.14734",
                      {
                          {"5A", "length invariance: values and gradients of three pairs", &pairs_of_different_lengths},
                      },
                      {}};

}  // namespace papers
