// SPDX-License-Identifier: MIT
// expect: a 16-bit reference alone cannot be averaged.*attune::compensation
#include <attune/reference/soft_update.hpp>

void update(std::vector<attune::bfloat16>& reference, const std::vector<float>& policy, std::vector<attune::bfloat16>& residual) {
#if ATTUNE_MUST_FAIL
  (void)residual;
  attune::soft_update(reference, policy, 0.01);
#else
  attune::soft_update(reference, policy, 0.01, attune::compensation{residual});
#endif
}
