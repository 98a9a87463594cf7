// SPDX-License-Identifier: MIT
// expect: the tensor lies in another memory space
#include <attune/preference/pairs.hpp>

#if ATTUNE_MUST_FAIL
using space = attune::device;
#else
using space = attune::host;
#endif

attune::pairs<float> batch(attune::view<float, 1, space> logps) { return {.chosen = logps}; }
