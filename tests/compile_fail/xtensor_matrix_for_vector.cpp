// SPDX-License-Identifier: MIT
// expect: the tensor has another number of dimensions than expected here
#include <attune/backend/xtensor.hpp>
#include <attune/preference/pairs.hpp>

attune::pairs<float> batch(const xt::xtensor<float, 2>& logps) {
#if ATTUNE_MUST_FAIL
  return {.chosen = logps};
#else
  return {.chosen = xt::view(logps, 0)};
#endif
}
