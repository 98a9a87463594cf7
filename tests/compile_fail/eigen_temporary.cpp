// SPDX-License-Identifier: MIT
// expect: a view of a temporary would dangle
#include <attune/backend/eigen.hpp>
#include <attune/preference/pairs.hpp>

Eigen::VectorXf make();

std::int64_t size() {
#if ATTUNE_MUST_FAIL
  const attune::pairs<float> batch{.chosen = make()};
#else
  const Eigen::VectorXf made = make();
  const attune::pairs<float> batch{.chosen = made};
#endif
  return batch.chosen.size();
}
