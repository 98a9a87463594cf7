// SPDX-License-Identifier: MIT
// The Thrust system that the tests of thrust_support.hpp's linked_system run on: CPP, OMP if ATTUNE_LINKED_OMP is defined, TBB if ATTUNE_LINKED_TBB is.
#include "thrust_support.hpp"

#if defined(ATTUNE_LINKED_OMP)
#include <thrust/system/omp/execution_policy.h>
#include <omp.h>
#elif defined(ATTUNE_LINKED_TBB)
#include <thrust/system/tbb/execution_policy.h>
#include <tbb/task_arena.h>
#endif

#include "support/catch.hpp"

#include <atomic>
#include <thread>

#if THRUST_DEVICE_SYSTEM != THRUST_DEVICE_SYSTEM_CUDA

using attune::detail::bad_label;

namespace {

#if defined(ATTUNE_LINKED_OMP)
const auto& system_policy = thrust::omp::par;
bool is_inside() { return omp_get_level() == 1; }
#elif defined(ATTUNE_LINKED_TBB)
const auto& system_policy = thrust::tbb::par;
bool is_inside() { return tbb::this_task_arena::current_thread_index() != tbb::task_arena::not_initialized; }
#else
const auto& system_policy = thrust::cpp::par;
const std::thread::id only_thread = std::this_thread::get_id();
bool is_inside() { return std::this_thread::get_id() == only_thread; }
#endif

struct called {
  attune_test::body_of_indices body;
  void operator()(std::int64_t i) const { body.call(body.of, i); }
};

}  // namespace

void attune_test::run_linked(std::int64_t n, body_of_indices body) { thrust::for_each_n(system_policy, index_iterator(0), n, called{body}); }
bad_label attune_test::reduce_linked(std::int64_t n, labels_of_indices label) {
  return thrust::transform_reduce(system_policy, index_iterator(0), index_iterator(n), label, bad_label{n, 0}, attune::detail::first_bad_label{});
}

TEST_CASE("Thrust systems: bodies run on the system that is linked, each index once", "[thrust]") {
  std::vector<std::atomic<int>> calls(10000);
  std::atomic<int> inside = 0;
  const auto body = [&](std::int64_t i) {
    ++calls[std::size_t(i)];
    inside += is_inside();
  };
  attune::detail::launch(attune_test::on_thrust, std::int64_t(calls.size()), body);
  CHECK(inside == int(calls.size()));
  for (const auto& count : calls) {
    if (count != 1) FAIL("an index was called " << count << " times");
  }
  const auto found = attune::detail::first_bad(attune_test::on_thrust, 10000, [](std::int64_t i) { return i == 777 || i == 4000 ? bad_label{i, -i} : bad_label{10000, 0}; });
  CHECK(found.row == 777);
  CHECK(found.label == -777);
  CHECK(attune::detail::first_bad(attune_test::on_thrust, 10000, [](std::int64_t) { return bad_label{10000, 0}; }).row == 10000);
}

#endif
