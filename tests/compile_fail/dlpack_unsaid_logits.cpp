// SPDX-License-Identifier: MIT
// expect: what a DLPack tensor holds is known at run time only
#include <attune/backend/dlpack.hpp>
#include <attune/rows/token_logps.hpp>

attune::row_report logps(const DLTensor& logits, const DLTensor& targets, const DLTensor& logps) {
#if ATTUNE_MUST_FAIL
  return attune::token_logps(logits, attune::as_view<const std::int64_t>(targets), logps);
#else
  return attune::token_logps(attune::as_view<const float, 2>(logits), attune::as_view<const std::int64_t>(targets), logps);
#endif
}
