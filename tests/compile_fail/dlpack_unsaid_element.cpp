// SPDX-License-Identifier: MIT
// expect: what a DLPack tensor holds is known at run time only
#include <attune/backend/dlpack.hpp>

std::int64_t size(const DLTensor& x) {
#if ATTUNE_MUST_FAIL
  return attune::as_view<2>(x).size();
#else
  return attune::as_view<const float, 2>(x).size();
#endif
}
