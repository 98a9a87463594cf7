// SPDX-License-Identifier: MIT
// A Ref<const ...> holds a copy where the types do not fit.
// expect: a view of a temporary would dangle
#include <attune/backend/eigen.hpp>
#include <attune/preference/pairs.hpp>

std::int64_t size(Eigen::VectorXf& x) {
#if ATTUNE_MUST_FAIL
  const attune::pairs<float> batch{.chosen = Eigen::Ref<const Eigen::VectorXf>(x)};
#else
  const attune::pairs<float> batch{.chosen = Eigen::Ref<Eigen::VectorXf>(x)};
#endif
  return batch.chosen.size();
}
