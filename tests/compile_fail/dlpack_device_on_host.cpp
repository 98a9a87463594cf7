// SPDX-License-Identifier: MIT
// expect: the tensor lies in another memory space
#include <attune/backend/dlpack.hpp>
#include <attune/preference/pairs.hpp>

attune::pairs<float> batch(const DLTensor& logps) {
#if ATTUNE_MUST_FAIL
  return {.chosen = attune::as_view<const float, 1, attune::device>(logps)};
#else
  return {.chosen = attune::as_view<const float, 1, attune::host>(logps)};
#endif
}
