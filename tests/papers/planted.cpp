// SPDX-License-Identifier: MIT
// A paper whose tests must fail, each for a reason of its own: see CMakeLists.txt.
#include "acceptance.hpp"

#include <limits>

namespace papers {
namespace {

void a_wrong_number(comparison& found) { found.near("one", 1, 1.001, 1e-6); }
void not_a_number(comparison& found) { found.near("NaN", std::numeric_limits<double>::quiet_NaN(), 1, 1e9); }
void a_wrong_claim(comparison& found) { found.holds("nothing", false); }
void nothing_compared(comparison&) {}
void right(comparison& found) { found.near("one", 1, 1, 0); }

}  // namespace

const paper described{"A paper that is not there",
                      {{"9A", "a wrong number", &a_wrong_number},
                       {"9B", "not a number", &not_a_number},
                       {"9C", "a wrong claim", &a_wrong_claim},
                       {"9D", "nothing is compared", &nothing_compared},
                       {"9E", "a right number", &right}},
                      {}};

}  // namespace papers
