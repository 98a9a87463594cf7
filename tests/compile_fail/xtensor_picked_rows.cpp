// SPDX-License-Identifier: MIT
// expect: this xtensor expression has no memory with strides to view
#include <attune/backend/xtensor.hpp>
#include <attune/preference/pairs.hpp>

attune::pairs<float> batch(const xt::xtensor<float, 1>& logps) {
#if ATTUNE_MUST_FAIL
  return {.chosen = xt::view(logps, xt::keep(0, 1, 5))};
#else
  return {.chosen = xt::view(logps, xt::range(0, 6, 2))};
#endif
}
