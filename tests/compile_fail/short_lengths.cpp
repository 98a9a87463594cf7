// SPDX-License-Identifier: MIT
// expect: completion lengths are of type std::int32_t, std::int64_t, float or double
#include <attune/preference/pairs.hpp>

#if ATTUNE_MUST_FAIL
std::vector<short> lengths;
#else
std::vector<std::int32_t> lengths;
#endif

attune::pairs<float> batch() { return {.chosen_length = lengths}; }
