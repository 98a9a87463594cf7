// SPDX-License-Identifier: MIT
// expect: DLPack has no name for this element type
#include <attune/backend/dlpack.hpp>

#if ATTUNE_MUST_FAIL
struct element { double shift, sum; };
#else
using element = double;
#endif

std::int64_t size(const DLTensor& x) { return attune::as_view<const element>(x).size(); }
