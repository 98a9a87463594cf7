// SPDX-License-Identifier: MIT
// expect: std::vector<bool> has no bytes to view; use std::vector<std::uint8_t>
#include <attune/preference/pairs.hpp>

#if ATTUNE_MUST_FAIL
std::vector<bool> mask;
#else
std::vector<std::uint8_t> mask;
#endif

attune::pairs<float> batch() { return {.mask = mask}; }
