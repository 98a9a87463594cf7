// SPDX-License-Identifier: MIT
// expect: a view of a temporary would dangle
#include <attune/preference/pairs.hpp>

std::vector<float> make();

std::int64_t size() {
#if ATTUNE_MUST_FAIL
  const attune::pairs<float> batch{.chosen = make()};
#else
  const std::vector<float> made = make();
  const attune::pairs<float> batch{.chosen = made};
#endif
  return batch.chosen.size();
}
