// SPDX-License-Identifier: MIT
// expect: attune needs C\+\+20: compile this translation unit with -std=c\+\+20
// flags: -std=c++17
#include <attune/core/scalar.hpp>

double one() { return attune::exp(0.0); }
