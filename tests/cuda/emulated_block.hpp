// SPDX-License-Identifier: MIT
// Kernels of blocks (exec/cuda/block.hpp) on the host: a policy that runs all threads of a cluster, each on a stack of its own, from one meeting to the
// next. In one order or the other: what a kernel reads of its neighbours without meeting them first then differs. A thread that the others wait for and
// that has left ends the program. With ATTUNE_EMULATE_THREADS they are real threads, for ThreadSanitizer.
#pragma once

#include <attune/exec/cuda/block.hpp>
#include <attune/exec/device/policy.hpp>
#include <attune/exec/device/row_arguments.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#if defined(ATTUNE_EMULATE_THREADS)
#include <barrier>
#include <thread>
#else
#include <ucontext.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#endif

namespace attune_test {

/// threads: of a block at most; ranks: blocks of a cluster at most, 1 for devices without clusters.
struct emulated {
  int threads = 32, ranks = 8;
  bool backwards = false;
};

struct exchange_slot {
  alignas(8) unsigned char bytes[2][8];
};

#if defined(ATTUNE_EMULATE_THREADS)
class emulated_cluster {
 public:
  emulated_cluster(int ranks, int threads, bool) : all_(ranks * threads) {
    for (int r = 0; r < ranks; ++r) blocks_.push_back(std::make_unique<std::barrier<>>(threads));
  }
  void meet_block(int, int rank) { blocks_[std::size_t(rank)]->arrive_and_wait(); }
  std::barrier<>::arrival_token arrive(int) { return all_.arrive(); }
  void meet_cluster(std::barrier<>::arrival_token&& token) { all_.wait(std::move(token)); }
  template <class Work> void run(int count, const Work& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back([&, i] { work(i); });
    for (std::thread& t : threads) t.join();
  }

 private:
  std::barrier<> all_;
  std::vector<std::unique_ptr<std::barrier<>>> blocks_;
};
using arrival = std::barrier<>::arrival_token;
#else
using arrival = int;
class emulated_cluster {
 public:
  emulated_cluster(int ranks, int threads, bool backwards)
      : threads_(threads), backwards_(backwards), at_block_(std::size_t(ranks)), passed_(std::size_t(ranks * threads)), arrived_(std::size_t(ranks * threads)) {}
  void meet_block(int i, int rank) {
    progress_ = true;
    const std::int64_t wanted = ++passed_[std::size_t(i)] * threads_;
    ++at_block_[std::size_t(rank)];
    while (at_block_[std::size_t(rank)] < wanted) yield(i);
    progress_ = true;
  }
  arrival arrive(int i) {
    progress_ = true;
    ++at_cluster_;
    return i;
  }
  void meet_cluster(arrival i) {
    const std::int64_t wanted = ++arrived_[std::size_t(i)] * std::int64_t(arrived_.size());
    while (at_cluster_ < wanted) yield(i);
    progress_ = true;
  }
  template <class Work> void run(int count, const Work& work) {
    work_ = [](const void* w, int i) { (*static_cast<const Work*>(w))(i); };
    given_ = &work;
    auto& stacks = memory();
    while (int(stacks.size()) < count) stacks.push_back(std::make_unique<unsigned char[]>(stack_size));
    fibers_ = std::vector<ucontext_t>(std::size_t(count));
    done_ = std::vector<char>(std::size_t(count), 0);
    for (int i = 0; i < count; ++i) {
      ucontext_t& f = fibers_[std::size_t(i)];
      getcontext(&f);
      f.uc_stack.ss_sp = stacks[std::size_t(i)].get();
      f.uc_stack.ss_size = stack_size;
      f.uc_link = nullptr;
      const auto self = reinterpret_cast<std::uintptr_t>(this);
      makecontext(&f, reinterpret_cast<void (*)()>(&emulated_cluster::enter), 3, static_cast<unsigned>(self & 0xffffffffu), static_cast<unsigned>(self >> 32), i);
    }
    for (int left = count; left > 0;) {
      progress_ = false;
      for (int k = 0; k < count; ++k) {
        const int i = backwards_ ? count - 1 - k : k;
        if (done_[std::size_t(i)]) continue;
        resume(i);
        if (done_[std::size_t(i)]) --left, progress_ = true;
      }
      if (!progress_) {
        std::puts("threads of a block or cluster wait for one that does not come");
        std::abort();
      }
    }
  }

 private:
  static constexpr std::size_t stack_size = std::size_t{1} << 16;
  static std::vector<std::unique_ptr<unsigned char[]>>& memory() {
    static std::vector<std::unique_ptr<unsigned char[]>> the;
    return the;
  }
  static void enter(unsigned low, unsigned high, int i) {
    auto* self = reinterpret_cast<emulated_cluster*>(std::uintptr_t(high) << 32 | low);
    self->entered(nullptr);
    self->work_(self->given_, i);
    self->done_[std::size_t(i)] = 1;
    self->leave(i, true);
  }
  void resume(int i) {
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, fibers_[std::size_t(i)].uc_stack.ss_sp, stack_size);
#endif
    swapcontext(&main_, &fibers_[std::size_t(i)]);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  }
  void yield(int i) { leave(i, false); }
  void leave(int i, [[maybe_unused]] bool forever) {
    void* fake = nullptr;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(forever ? nullptr : &fake, main_stack_, main_size_);
#endif
    swapcontext(&fibers_[std::size_t(i)], &main_);
    entered(fake);
  }
  void entered([[maybe_unused]] void* fake) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, &main_stack_, &main_size_);
#endif
  }

  std::int64_t threads_, at_cluster_ = 0;
  bool backwards_, progress_ = false;
  std::vector<std::int64_t> at_block_, passed_, arrived_;
  void (*work_)(const void*, int) = nullptr;
  const void* given_ = nullptr;
  std::vector<ucontext_t> fibers_;
  std::vector<char> done_;
  ucontext_t main_{};
  [[maybe_unused]] const void* main_stack_ = nullptr;
  [[maybe_unused]] std::size_t main_size_ = 0;
};
#endif

/// What a kernel sees of its thread.
template <class Shared> class emulated_block {
 public:
  emulated_block(emulated_cluster& cluster, std::vector<Shared>& memory, std::vector<exchange_slot>& slots, const attune::detail::block_grid& grid, int i,
                 std::int64_t row, int tile)
      : cluster_(cluster), memory_(memory), slots_(slots), grid_(grid), i_(i), row_(row), tile_(tile) {}
  int thread() const { return i_ % grid_.threads; }
  int threads() const { return grid_.threads; }
  std::int64_t row() const { return row_; }
  int tile() const { return tile_; }
  int tiles() const { return grid_.tiles; }
  int rank() const { return i_ / grid_.threads; }
  int ranks() const { return grid_.ranks; }
  void sync() const { cluster_.meet_block(i_, rank()); }
  void sync_warp() const {}
  template <class X> X other(X x, int mask) const {
    static_assert(sizeof(X) <= 8);
    parity_ = 1 - parity_;
    std::memcpy(slots_[std::size_t(i_)].bytes[parity_], &x, sizeof x);
    sync();
    std::memcpy(&x, slots_[std::size_t(i_ ^ mask)].bytes[parity_], sizeof x);
    return x;
  }
  void arrive() const { token_.push_back(cluster_.arrive(i_)); }
  void wait() const {
    cluster_.meet_cluster(std::move(token_.back()));
    token_.pop_back();
  }
  template <class X> const X& peer(const X& own, int rank) const {
    const auto offset = reinterpret_cast<const char*>(&own) - reinterpret_cast<const char*>(&memory_[std::size_t(this->rank())]);
    return *reinterpret_cast<const X*>(reinterpret_cast<const char*>(&memory_[std::size_t(rank)]) + offset);
  }

 private:
  emulated_cluster& cluster_;
  std::vector<Shared>& memory_;
  std::vector<exchange_slot>& slots_;
  const attune::detail::block_grid& grid_;
  int i_;
  std::int64_t row_;
  int tile_;
  mutable int parity_ = 0;
  mutable std::vector<arrival> token_;
};

template <class Kernel> int threads_of(const emulated& policy, const Kernel&, int wanted) { return wanted < policy.threads ? wanted : policy.threads; }
template <class Kernel> int most_ranks(const emulated& policy, const Kernel&) { return policy.ranks; }

template <class Kernel> void launch_blocks(const emulated& policy, const attune::detail::block_grid& grid, const Kernel& kernel) {
  using shared = typename Kernel::shared;
  for (std::int64_t row = 0; row < grid.rows; ++row) {
    for (int tile = 0; tile < grid.tiles; ++tile) {
      std::vector<shared> memory(std::size_t(grid.ranks));
      std::memset(static_cast<void*>(memory.data()), 0xff, memory.size() * sizeof(shared));
      const int count = grid.ranks * grid.threads;
      std::vector<exchange_slot> slots(std::size_t(count), exchange_slot{});
      emulated_cluster cluster(grid.ranks, grid.threads, policy.backwards);
      cluster.run(count, [&](int i) {
        const emulated_block<shared> block(cluster, memory, slots, grid, i, row, tile);
        kernel(block, memory[std::size_t(i / grid.threads)]);
      });
    }
  }
}
template <class Body> void launch(const emulated&, std::int64_t n, const Body& body) {
  for (std::int64_t i = 0; i < n; ++i) body(i);
}
template <class Find> attune::detail::bad_label first_bad(const emulated&, std::int64_t rows, const Find& find) {
  for (std::int64_t n = 0; n < rows; ++n) {
    if (find(n).row < rows) return find(n);
  }
  return {rows, 0};
}

}  // namespace attune_test

template <> inline constexpr bool attune::detail::is_block_policy<attune_test::emulated> = true;
template <> inline constexpr bool attune::detail::is_device_policy<attune_test::emulated> = true;
