// SPDX-License-Identifier: MIT
// expect: the tensor's element type is not the one expected here
#include <attune/preference/pairs.hpp>

#if ATTUNE_MUST_FAIL
std::vector<int> logps;
#else
std::vector<float> logps;
#endif

attune::pairs<float> batch() { return {.chosen = logps}; }
