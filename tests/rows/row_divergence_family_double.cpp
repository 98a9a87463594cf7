// SPDX-License-Identifier: MIT
#include "rows/row_divergence_family.hpp"

TEST_CASE("row_divergence in double with every generator is its textbook formula, value and gradient") {
  attune_test::check_textbook_of_every_generator<double>();
}

TEST_CASE("row_divergence in double with every generator: equal rows, rows far apart, classes without mass") {
  attune_test::check_limits_of_every_generator<double>();
}
