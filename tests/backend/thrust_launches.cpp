// SPDX-License-Identifier: MIT
// How many launches a call is, counted by an execution policy of the test's own; and that unchecked calls are launches only.
#include "thrust_support.hpp"

#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/total_variation.hpp>

#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#if THRUST_DEVICE_SYSTEM != THRUST_DEVICE_SYSTEM_CUDA  // the policy runs on the host

using namespace attune_test;
using attune::row_report;
using attune::row_state;

namespace {

int launches = 0, reductions = 0;

/// A user's policy: what it does not overload is what CPP does.
struct counting : thrust::cpp::execution_policy<counting> {};
template <class Iterator, class Size, class F> Iterator for_each_n(counting&, Iterator first, Size n, F f) {
  ++launches;
  return thrust::for_each_n(thrust::cpp::par, first, n, f);
}
template <class Iterator, class Unary, class T, class Binary> T transform_reduce(counting&, Iterator first, Iterator last, Unary f, T init, Binary g) {
  ++reductions;
  return thrust::transform_reduce(thrust::cpp::par, first, last, f, init, g);
}

template <class F> int launches_of(const F& call) {
  launches = 0;
  call();
  return launches;
}

}  // namespace

TEST_CASE("Thrust launches: as few as documented", "[thrust]") {
  STATIC_REQUIRE(attune::thrust_policy<counting>);
  STATIC_REQUIRE_FALSE(attune::thrust_policy<attune::serial>);
  STATIC_REQUIRE_FALSE(attune::thrust_policy<thrust::device_vector<float>>);
  const counting policy;
  device_matrix<float> logits(normals<float>(6 * 100, 1, 2), 6, 100), teacher(normals<float>(6 * 100, 1, 3), 6, 100);
  const thrust::device_vector<std::int32_t> targets(6, 1);
  thrust::device_vector<float> logps(6), entropies(6), sums(2);
  thrust::device_vector<row_state> states(6);
  thrust::device_vector<row_report> report(1);
  thrust::device_vector<std::byte> workspace(1 << 16);
  reductions = 0;
  const attune::device_row_options o{.workspace = workspace}, with_report{.workspace = workspace, .report = report};
  CHECK(launches_of([&] { attune::token_logps(policy, logits.matrix(), targets, logps, states, o); }) == 2);
  CHECK(launches_of([&] { attune::token_logps(policy, logits.matrix(), targets, logps, states, with_report, {.entropies = entropies}); }) == 2);
  CHECK(launches_of([&] { attune::sequence_logps(policy, as_view(logps.data(), 2, 3), {}, sums); }) == 1);
  CHECK(launches_of([&] { attune::token_coefficients(policy, sums, {}, as_view(logps.data(), 2, 3)); }) == 1);
  const auto divergence = [&](const auto& generator, bool gradient) {
    return launches_of([&] {
      attune::row_divergence(policy, generator, logits.matrix(), teacher.matrix(), logps, gradient ? logits.matrix() : view<float, 2, device>{}, {},
                             {.workspace = workspace, .report = report});
    });
  };
  CHECK(divergence(attune::divergence::forward_kl{}, false) == 2);
  CHECK(divergence(attune::divergence::forward_kl{}, true) == 3);
  CHECK(divergence(attune::divergence::total_variation{}, false) == 4);
  CHECK(divergence(attune::divergence::total_variation{}, true) == 5);
  CHECK(launches_of([&] { attune::logits_gradient(policy, logits.matrix(), targets, states, logps, logits.matrix(), o); }) == 1);
  CHECK(launches_of([&] { attune::logits_gradient(policy, logits.matrix(), targets, states, logps, logits.matrix(), with_report); }) == 2);
  CHECK(launches_of([&] { attune::soft_update(policy, logps, entropies, 0.5); }) == 1);
  CHECK(launches_of([&] { attune::hard_update(policy, logps, entropies); }) == 1);
  CHECK(reductions == 0);
  const auto before = attune_test::allocations();
  attune::token_logps(policy, logits.matrix(), targets, logps, states, with_report);
  attune::logits_gradient(policy, logits.matrix(), targets, states, logps, logits.matrix(), with_report);
  attune::soft_update(policy, logps, entropies, 0.5);
  const auto after = attune_test::allocations();
  CHECK(after == before);
  attune::device_row_options checked = o;
  checked.checked = true;
  attune::token_logps(policy, logits.matrix(), targets, logps, states, checked);
  CHECK(reductions == 1);
}

#endif
