// SPDX-License-Identifier: MIT
// expect: the reference lies on the device and its companion in host memory
#include <attune/backend/thrust.hpp>

void update(thrust::device_vector<attune::bfloat16>& reference, const thrust::device_vector<float>& policy, thrust::host_vector<attune::bfloat16>& here,
            thrust::device_vector<attune::bfloat16>& there) {
#if ATTUNE_MUST_FAIL
  attune::soft_update(thrust::device, reference, policy, 0.1, attune::compensation{here});
#else
  attune::soft_update(thrust::device, reference, policy, 0.1, attune::compensation{there});
#endif
  (void)here, (void)there;
}
