// SPDX-License-Identifier: MIT
// expect: the tensor has another number of dimensions than expected here
#include <attune/preference/pairs.hpp>

attune::pairs<float> batch(float* logps) {
#if ATTUNE_MUST_FAIL
  return {.chosen = attune::as_view(logps, 3, 4)};
#else
  return {.chosen = attune::as_view(logps, 12)};
#endif
}
