// SPDX-License-Identifier: MIT
// expect: a view of a temporary would dangle
#include <attune/backend/xtensor.hpp>
#include <attune/preference/pairs.hpp>

xt::xtensor<float, 2> make();

std::int64_t size() {
#if ATTUNE_MUST_FAIL
  const attune::pairs<float> batch{.chosen = xt::view(make(), 0)};
#else
  const xt::xtensor<float, 2> made = make();
  const attune::pairs<float> batch{.chosen = xt::view(made, 0)};
#endif
  return batch.chosen.size();
}
