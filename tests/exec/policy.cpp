// SPDX-License-Identifier: MIT
#include <attune/exec/evaluate.hpp>
#include <attune/exec/executor.hpp>
#include <attune/exec/thread_pool.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/plackett_luce_dpo.hpp>
#include <attune/reference/soft_update.hpp>
#include <attune/rows/token_logps.hpp>

#include "exec/pair_batch.hpp"
#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

namespace {

/// A host's threads: started for every call, each with the indices that leave its own remainder.
const attune::executor host{[](int count, auto work) {
                              std::vector<std::thread> others;
                              for (int t = 0; t < 3; ++t) {
                                others.emplace_back([=] {
                                  for (int i = t; i < count; i += 3) work(i);
                                });
                              }
                              for (std::thread& t : others) t.join();
                            },
                            0};

/// Calls check(policy) with every kind of policy; none looks at the amount of work.
template <class Check>
void for_all_policies(const Check& check) {
  attune::thread_pool one{1}, three{3}, many{17};
  check(attune::serial{});
  check(attune::threads{2, 0});
  check(attune::threads{7, 0});
  check(attune::threads{0, 0});
  check(attune::on(one, 0));
  check(attune::on(three, 0));
  check(attune::on(many, 0));
  check(host);
}

/// How often each index was worked on, and by how many threads.
class tally {
 public:
  explicit tally(int count) : seen_(std::size_t(count)) {}
  void operator()(int i) { seen_[std::size_t(i)].fetch_add(1, std::memory_order_relaxed); }
  bool all_are(int expected) const {
    for (const auto& n : seen_) {
      if (n != expected) return false;
    }
    return true;
  }

 private:
  std::vector<std::atomic<int>> seen_;
};

/// Whether two calls of work are under way at the same time: each waits for the other.
template <class Policy>
bool runs_side_by_side(const Policy& policy) {
  std::atomic<int> begun = 0;
  std::atomic<bool> met = true;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  run_chunks(policy, 2, [&](int) {
    ++begun;
    while (begun < 2 && met) met = std::chrono::steady_clock::now() < deadline;
  });
  return met;
}

std::string message(const auto& run) {
  try {
    run();
  } catch (const attune::error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("run_chunks: every chunk once, whatever the policy") {
  for_all_policies([](const auto& policy) {
    for (int chunks : {0, 1, 2, 3, 63, 64, 1000}) {
      tally seen(chunks);
      for (int repeat = 1; repeat <= 20; ++repeat) {
        run_chunks(policy, chunks, seen);
        REQUIRE(seen.all_are(repeat));
      }
    }
  });
}

TEST_CASE("run_chunks: threads, pools and executors work side by side") {
  attune::thread_pool pool{2};
  CHECK(pool.size() == 2);
  CHECK(runs_side_by_side(attune::threads{2}));
  for (int repeat = 0; repeat < 50; ++repeat) CHECK(runs_side_by_side(attune::on(pool)));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // now the worker sleeps
  CHECK(runs_side_by_side(attune::on(pool)));
  CHECK(runs_side_by_side(host));
}

TEST_CASE("thread_pool: calls from several threads at once, each complete when it returns") {
  attune::thread_pool pool{3};
  std::atomic<bool> right = true;
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&, t] {
      for (int repeat = 0; repeat < 300; ++repeat) {
        const int chunks = 1 + (repeat * 7 + t) % 64;
        tally seen(chunks);
        run_chunks(attune::on(pool, 0), chunks, seen);
        if (!seen.all_are(1)) right = false;
      }
    });
  }
  for (std::thread& t : callers) t.join();
  CHECK(right);
}

TEST_CASE("thread_pool: a call from inside its own work") {
  attune::thread_pool pool{3};
  tally outer(40), inner(40 * 5);
  run_chunks(attune::on(pool, 0), 40, [&](int i) {
    outer(i);
    run_chunks(attune::on(pool, 0), 5, [&](int k) { inner(5 * i + k); });
  });
  CHECK(outer.all_are(1));
  CHECK(inner.all_are(1));
}

TEST_CASE("thread_pool: one thread has no workers, the calling thread does everything") {
  attune::thread_pool pool{1};
  CHECK(pool.size() == 1);
  bool here = true;
  run_chunks(attune::on(pool, 0), 64, [&, self = std::this_thread::get_id()](int) { here = here && std::this_thread::get_id() == self; });
  CHECK(here);
  CHECK(attune::thread_pool{}.size() >= 1);
  CHECK(attune::thread_pool{1000}.size() == attune::max_chunks);
}

TEST_CASE("thread_pool: destroyed at once, after work, or asleep") {
  for (int repeat = 0; repeat < 50; ++repeat) {
    attune::thread_pool fresh{4}, used{4};
    tally seen(64);
    run_chunks(attune::on(used, 0), 64, seen);
    CHECK(seen.all_are(1));
    if (repeat % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TEST_CASE("thread_pool: what one call wrote the next one reads, on any thread") {
  attune::thread_pool pool{3};
  std::vector<int> x(64, 0);
  for (int repeat = 0; repeat < 1000; ++repeat) {
    run_chunks(attune::on(pool, 0), 64, [&](int i) { x[std::size_t(i)] += 1; });
    run_chunks(attune::on(pool, 0), 32, [&](int i) { std::swap(x[std::size_t(i)], x[std::size_t(63 - i)]); });
  }
  CHECK(x == std::vector<int>(64, 1000));
}

TEST_CASE("policies that make no sense are refused before work begins") {
  attune::thread_pool pool{2};
  int done = 0;
  const auto work = [&](int) { ++done; };
  CHECK(message([] { attune::thread_pool{-1}; }) == "attune::thread_pool: count is -1; expected 0 (all processors) or more");
  CHECK(message([&] { run_chunks(attune::threads{-2}, 4, work); }) == "attune::threads: count is -2; expected 0 (all processors) or more");
  CHECK(message([&] { run_chunks(attune::threads{2, -1}, 4, work); }) == "attune::threads: grain is -1; expected a number of bytes, 0 or more");
  CHECK(message([&] { run_chunks(attune::on(pool, -1), 4, work); }) == "attune::on: grain is -1; expected a number of bytes, 0 or more");
  CHECK(message([&] { run_chunks(attune::executor{[](int, auto) {}, -1}, 4, work); }) ==
        "attune::executor: grain is -1; expected a number of bytes, 0 or more");
  CHECK(done == 0);
}

TEST_CASE("executor: one that returns too early is noticed, what it throws passes") {
  const attune::executor half{[](int count, auto work) {
    for (int i = 0; i < count / 2; ++i) work(i);
  }};
  CHECK(message([&] { run_chunks(half, 8, [](int) {}); }) ==
        "attune::executor: run returned after 4 of 8 calls of work(i); expected one for every i, all done before it returns");
  const attune::executor broken{[](int, auto) { throw std::runtime_error("no threads"); }};
  CHECK_THROWS_AS(run_chunks(broken, 8, [](int) {}), std::runtime_error);
}

TEST_CASE("the grain: with less work than two portions a call is serial, with more it has as many threads as portions") {
  int calls = 0;
  const auto counted = [&](std::int64_t grain) {
    return attune::executor{[&](int count, auto work) {
                              ++calls;
                              for (int i = 0; i < count; ++i) work(i);
                            },
                            grain};
  };
  tally seen(8);
  run_chunks(counted(1000), 8, seen, 1999);
  CHECK(calls == 0);
  run_chunks(counted(1000), 8, seen, 2000);
  CHECK(calls == 1);
  run_chunks(counted(0), 8, seen, 1);
  CHECK(calls == 2);
  CHECK(seen.all_are(3));
  CHECK(attune::detail::useful_threads(16, 64, 5000, 1000) == 5);
  CHECK(attune::detail::useful_threads(16, 3, 5000, 1000) == 3);
  CHECK(attune::detail::useful_threads(2, 64, 5000, 1000) == 2);
  CHECK(attune::detail::useful_threads(16, 64, 500, 1000) == 1);
  CHECK(attune::detail::useful_threads(16, 0, 5000, 1000) == 1);

  // Every function says how much work it has: little is done serially, much is not.
  const auto is_parallel = [&](auto run) {
    calls = 0;
    run(counted(attune::default_grain));
    return calls > 0;
  };
  const auto pairs = [](int size) {
    return [b = std::make_shared<batch_of<float>>(size)](const auto& policy) { evaluate(policy, attune::dpo{}, b->plain(), b->gradients()); };
  };
  CHECK_FALSE(is_parallel(pairs(8192)));
  CHECK(is_parallel(pairs(32768)));
  const auto groups = [](std::size_t size) {
    return [logp = std::vector<float>(size, -1.0f)](const auto& policy) {
      evaluate(policy, attune::plackett_luce_dpo{}, attune::groups<float>{.logp = logp, .ref_logp = logp, .reward = logp, .size = 4});
    };
  };
  CHECK_FALSE(is_parallel(groups(512)));
  CHECK(is_parallel(groups(4096)));
  const auto rows = [](std::int64_t n) {
    return [=, x = std::vector<float>(std::size_t(n * 4000)), y = std::vector<int>(std::size_t(n)), logps = std::vector<float>(std::size_t(n))](
               const auto& policy) mutable { token_logps(policy, attune::as_view(x.data(), n, 4000), y, logps); };
  };
  CHECK_FALSE(is_parallel(rows(24)));
  CHECK(is_parallel(rows(64)));
  const auto update = [](std::size_t n) {
    return [x = std::vector<float>(n), y = std::vector<float>(n)](const auto& policy) mutable { soft_update(policy, x, y, .5); };
  };
  CHECK_FALSE(is_parallel(update(30'000)));
  CHECK(is_parallel(update(150'000)));
}

TEST_CASE("the same bits whatever the policy") {
  batch_of<float> expected(20'011);
  const attune::report r = evaluate(attune::dpo{}, expected.full(), expected.gradients());
  for_all_policies([&](const auto& policy) {
    batch_of<float> b(20'011);
    CHECK(same_bits(r, evaluate(policy, attune::dpo{}, b.full(), b.gradients())));
    CHECK(b.d_chosen == expected.d_chosen);
    CHECK(b.d_rejected == expected.d_rejected);
  });
}

TEST_CASE("pools and executors do not allocate") {
  attune::thread_pool pool{3};
  const attune::executor plain{[](int count, auto work) {
    for (int i = 0; i < count; ++i) work(i);
  }};
  const std::int64_t before = attune_test::allocations();
  int done[64] = {};
  run_chunks(attune::on(pool), 64, [&](int i) { done[i] = 1; });
  run_chunks(plain, 64, [&](int i) { done[i] = 2; });
  CHECK(attune_test::allocations() == before);
}
