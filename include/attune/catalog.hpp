// SPDX-License-Identifier: MIT
// THE list of units, a file of rows for each family. A unit that has a row here is verified (oracle, planted errors, finite differences),
// benchmarked, documented and available in the example programs with no further code.
#pragma once

#include <attune/catalog/constraint.hpp>
#include <attune/catalog/core.hpp>
#include <attune/catalog/divergence.hpp>
#include <attune/catalog/group.hpp>
#include <attune/catalog/kl.hpp>
#include <attune/catalog/link.hpp>
#include <attune/catalog/operation.hpp>
#include <attune/catalog/pair.hpp>
#include <attune/catalog/reward.hpp>
#include <attune/catalog/score.hpp>
#include <attune/catalog/single.hpp>
#include <attune/catalog/token.hpp>

namespace attune {
namespace catalog {

/// Calls visit(catalog_entry<Unit>) for every unit that is not an objective on pairs.
template <class Visitor>
void for_each_other(Visitor&& visit) {
  catalog::for_each_function(visit);
  catalog::for_each_divergence(visit);
  catalog::for_each_score(visit);
  catalog::for_each_link(visit);
  catalog::for_each_single_objective(visit);
  catalog::for_each_group_objective(visit);
  catalog::for_each_token_objective(visit);
  catalog::for_each_value_objective(visit);
  catalog::for_each_reward(visit);
  catalog::for_each_kl_estimator(visit);
  catalog::for_each_constraint(visit);
}

}  // namespace catalog

/// Calls visit(catalog_entry<Unit>) for every unit.
template <class Visitor>
void for_each_unit(Visitor&& visit) {
  catalog::for_each_other(visit);
  catalog::for_each_pair_objective(visit);
}

}  // namespace attune
