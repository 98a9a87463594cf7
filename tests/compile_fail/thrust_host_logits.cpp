// SPDX-License-Identifier: MIT
// expect: the tensor lies in another memory space
#include <attune/backend/thrust.hpp>

void logps(const thrust::device_vector<float>& logits, const thrust::host_vector<float>& elsewhere, const thrust::device_vector<int>& targets,
           thrust::device_vector<float>& logps, const attune::device_row_options& options) {
#if ATTUNE_MUST_FAIL
  attune::token_logps(thrust::device, attune::as_view(elsewhere.data(), 2, 3), targets, logps, {}, options);
#else
  attune::token_logps(thrust::device, attune::as_view(logits.data(), 2, 3), targets, logps, {}, options);
#endif
  (void)logits, (void)elsewhere;
}
