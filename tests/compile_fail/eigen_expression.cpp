// SPDX-License-Identifier: MIT
// expect: this Eigen expression has no memory to view
#include <attune/backend/eigen.hpp>
#include <attune/preference/pairs.hpp>

std::int64_t size(const Eigen::VectorXf& a, const Eigen::VectorXf& b) {
#if ATTUNE_MUST_FAIL
  const attune::pairs<float> batch{.chosen = a + b};
#else
  const Eigen::VectorXf sum = a + b;
  const attune::pairs<float> batch{.chosen = sum};
#endif
  return batch.chosen.size();
}
