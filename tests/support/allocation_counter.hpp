// SPDX-License-Identifier: MIT
// Counts the allocations of a test program. The counting operator new lives in allocation_counter.cpp; link it once.
#pragma once

#include <cstdint>

namespace attune_test {

/// Calls of any operator new, in any thread, since the program started.
std::int64_t allocations();

}  // namespace attune_test
