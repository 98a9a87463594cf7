// SPDX-License-Identifier: MIT
// expect: this argument is written to, but the tensor is const
#include <attune/preference/pairs.hpp>

#if ATTUNE_MUST_FAIL
const std::vector<float> gradient(3);
#else
std::vector<float> gradient(3);
#endif

attune::pair_gradients<float> gradients() { return {.chosen = gradient, .rejected = gradient}; }
