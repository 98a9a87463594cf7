// SPDX-License-Identifier: MIT
// expect: attune does not compile under -ffast-math
// flags: -ffinite-math-only
#include <attune/core/scalar.hpp>

double one() { return attune::exp(0.0); }
