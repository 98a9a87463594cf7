// SPDX-License-Identifier: MIT
// expect: this argument is written to, but the tensor is const
#include <attune/preference/pairs.hpp>

#if ATTUNE_MUST_FAIL
using element = const float;
#else
using element = float;
#endif

attune::pair_gradients<float> gradients(attune::view<element> x) { return {.chosen = x, .rejected = x}; }
