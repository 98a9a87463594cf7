// SPDX-License-Identifier: MIT
// expect: this argument is written to, but the tensor is const
#include <attune/backend/eigen.hpp>
#include <attune/preference/pairs.hpp>

#if ATTUNE_MUST_FAIL
using matrix = const Eigen::MatrixXf;
#else
using matrix = Eigen::MatrixXf;
#endif

attune::pair_gradients<float> gradients(matrix& gradient) { return {.chosen = gradient.col(0), .rejected = gradient.col(1)}; }
