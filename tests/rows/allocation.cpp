// SPDX-License-Identifier: MIT
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/rows/collision_logps.hpp>
#include <attune/rows/humanline.hpp>
#include <attune/rows/ld_dpo_weights.hpp>
#include <attune/rows/logits_gradient.hpp>
#include <attune/rows/row_divergence.hpp>
#include <attune/rows/sequence.hpp>
#include <attune/rows/token_logps.hpp>
#include <attune/rows/wpo_weights.hpp>

#include "rows/support.hpp"
#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

using namespace attune_test;

namespace {

template <class F> std::int64_t count(const F& f) {
  const std::int64_t before = allocations();
  f();
  return allocations() - before;
}

template <class T, class Policy> void check(Policy policy) {
  using A = attune::arithmetic<T>;
  const std::int64_t sequences = 4, steps = 5, rows = sequences * steps, classes = 5000;
  std::vector<T> logits = normals<T>(rows * classes, 2, 1);
  const std::vector<T> target = normals<T>(rows * classes, 2, 2);
  const auto y = labels(rows, classes, 3);
  std::vector<A> logps(20), sums(4), lengths(4), values(20), coefficients(20);
  std::vector<attune::row_state> states(20);
  const std::vector<std::uint8_t> mask(20, 1);
  const auto x = as_view(logits.data(), rows, classes);
  const auto m = as_view(mask.data(), sequences, steps);
  const attune::row_options o{.temperature = 0.7, .mask = mask};
  CHECK(count([&] { attune::token_logps(policy, x, y, logps, states, o); }) == 0);
  CHECK(count([&] { attune::sequence_logps(policy, as_view(logps.data(), sequences, steps), m, sums, lengths); }) == 0);
  CHECK(count([&] { attune::token_coefficients(policy, sums, m, as_view(coefficients.data(), sequences, steps)); }) == 0);
  CHECK(count([&] {
          attune::row_divergence(policy, attune::divergence::jensen_shannon{}, x, as_view(target.data(), rows, classes), values, x);
        }) == 0);
  std::vector<A> weights(20), ratios(4), pair_weights(2);
  const auto tokens = as_view(logps.data(), sequences, steps), w = as_view(weights.data(), sequences, steps);
  const auto half_mask = as_view(mask.data(), 2, steps);
  CHECK(count([&] {
          attune::ld_dpo_weights(policy, 0.5, half_mask, half_mask, as_view(weights.data(), 2, steps),
                                 as_view(weights.data() + 2 * steps, 2, steps));
        }) == 0);
  CHECK(count([&] { attune::sequence_logps(policy, tokens, m, sums, lengths, w); }) == 0);
  CHECK(count([&] { attune::token_coefficients(policy, sums, m, as_view(coefficients.data(), sequences, steps), w); }) == 0);
  CHECK(count([&] { attune::humanline_log_ratios(policy, tokens, w, m, ratios, lengths); }) == 0);
  CHECK(count([&] {
          attune::humanline_coefficients(policy, ratios, tokens, w, m, as_view(coefficients.data(), sequences, steps));
        }) == 0);
  CHECK(count([&] { attune::collision_logps(policy, x, values, o); }) == 0);
  CHECK(count([&] { attune::wpo_weights(policy, tokens, as_view(values.data(), sequences, steps), m, sums); }) == 0);
  CHECK(count([&] { attune::wpo_pair_weights(as_view(sums.data(), 2), as_view(sums.data() + 2, 2), pair_weights); }) == 0);
  CHECK(count([&] { attune::logits_gradient(policy, x, y, states, coefficients, x, o); }) == 0);
}

}  // namespace

TEST_CASE("the row functions do not allocate") {
  std::vector<int> kept;
  CHECK(count([&] { kept.resize(10); }) == 1);  // the counter counts
  check<float>(attune::serial{});
  check<double>(attune::serial{});
  check<bfloat16>(attune::serial{});
  check<float>(attune::threads{3, 0});
}
