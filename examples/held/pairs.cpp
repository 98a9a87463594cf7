// SPDX-License-Identifier: MIT
#include "objectives.hpp"

#include <attune/catalog/pair.hpp>

namespace held::detail {
void add_pairs(std::vector<entry>& list) { attune::catalog::for_each_pair_objective(add_to{list}); }
}  // namespace held::detail
