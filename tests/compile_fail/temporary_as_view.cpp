// SPDX-License-Identifier: MIT
// expect: a view of a temporary would dangle
#include <attune/core/view.hpp>

std::vector<float> make();

std::int64_t size() {
#if ATTUNE_MUST_FAIL
  return attune::as_view(make()).size();
#else
  const std::vector<float> made = make();
  return attune::as_view(made).size();
#endif
}
