// SPDX-License-Identifier: MIT
// expect: this xtensor expression has no memory with strides to view
#include <attune/backend/xtensor.hpp>
#include <attune/preference/pairs.hpp>

std::int64_t size(const xt::xtensor<float, 1>& a, const xt::xtensor<float, 1>& b) {
#if ATTUNE_MUST_FAIL
  const attune::pairs<float> batch{.chosen = a + b};
#else
  const xt::xtensor<float, 1> sum = a + b;
  const attune::pairs<float> batch{.chosen = sum};
#endif
  return batch.chosen.size();
}
