// SPDX-License-Identifier: MIT
// expect: the tensor has another number of dimensions than expected here
#include <attune/backend/eigen.hpp>
#include <attune/preference/pairs.hpp>

attune::pairs<float> batch(const Eigen::MatrixXf& logps) {
#if ATTUNE_MUST_FAIL
  return {.chosen = logps};
#else
  return {.chosen = logps.col(0)};
#endif
}
