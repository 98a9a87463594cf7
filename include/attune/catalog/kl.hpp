// SPDX-License-Identifier: MIT
// The catalogue: estimators of a KL divergence from sampled tokens. k1 is u, and has no row.
#pragma once

#include <attune/catalog/entry.hpp>
#include <attune/policy/kl/estimators.hpp>

namespace attune::catalog {

template <class Visitor>
void for_each_kl_estimator(Visitor&& visit) {
  constexpr const char* schulman = "J. Schulman, Approximating KL divergence, 2020";
  visit(catalog_entry<kl::k2>{.name = "k2", .family = "kl", .formula = "u**2/2", .argument = "u", .is = {.convex = true, .nonnegative = true},
                              .source = schulman, .also = "mse"});
  visit(catalog_entry<kl::k3>{.name = "k3", .family = "kl", .formula = "exp(-u) - 1 + u", .argument = "u",
                              .is = {.convex = true, .nonnegative = true}, .source = schulman, .also = "low_var_kl"});
  visit(catalog_entry<kl::absolute>{.name = "kl_absolute", .family = "kl", .formula = "abs(u)", .slope = "1 if u > 0 else -1 if u < 0 else 0",
                                    .argument = "u", .is = {.convex = true, .nonnegative = true}, .source = "definition", .also = "abs"});
}

}  // namespace attune::catalog
