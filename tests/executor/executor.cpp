// SPDX-License-Identifier: MIT
// The library's work on the threads of a host: ATTUNE_TEST_HOST is a piece of docs/trainers.md, which defines `policy`.
#include ATTUNE_TEST_HOST

#include "exec/pair_batch.hpp"
#include "support/catch.hpp"

#include <atomic>
#include <chrono>

TEST_CASE("the executor of the page: every chunk once, and the same bits") {
  for (int repeat = 0; repeat < 100; ++repeat) {
    std::atomic<int> seen[64] = {};
    run_chunks(policy, 64, [&](int i) { ++seen[i]; });
    for (const auto& n : seen) REQUIRE(n == 1);
  }
  batch_of<float> one(40'000), many(40'000);
  const attune::report serial = evaluate(attune::dpo{}, one.plain(), one.gradients());
  CHECK(same_bits(serial, evaluate(policy, attune::dpo{}, many.plain(), many.gradients())));
  CHECK(one.d_chosen == many.d_chosen);
  CHECK(one.d_rejected == many.d_rejected);
}
