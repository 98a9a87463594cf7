// SPDX-License-Identifier: MIT
// expect: deleted
#include <attune/backend/dlpack.hpp>

std::int64_t first_extent(attune::view<float> x) {
#if ATTUNE_MUST_FAIL
  const DLTensor tensor = attune::to_dlpack(x).tensor();
#else
  auto lent = attune::to_dlpack(x);
  const DLTensor tensor = lent.tensor();
#endif
  return tensor.shape[0];
}
