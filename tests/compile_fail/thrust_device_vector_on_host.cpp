// SPDX-License-Identifier: MIT
// expect: the tensor lies in another memory space
#include <attune/backend/thrust.hpp>
#include <attune/preference/pairs.hpp>

#if ATTUNE_MUST_FAIL
attune::pairs<float> batch(const thrust::device_vector<float>& logps) { return {.chosen = logps}; }
#else
attune::pairs<float> batch(const thrust::host_vector<float>& logps) { return {.chosen = logps}; }
#endif
