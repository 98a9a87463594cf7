// SPDX-License-Identifier: MIT
#include "catalog/measured/units.hpp"

attune_test::measured_units attune_test::pairs_in_double() {
  measured_units list;
  attune::catalog::for_each_pair_objective(add_measured<double>{list});
  return list;
}
