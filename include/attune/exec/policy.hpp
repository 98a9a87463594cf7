// SPDX-License-Identifier: MIT
// How a batch is run. No function of attune opens a parallel region, allocates or synchronises unless its execution policy says so.
#pragma once

#include <attune/core/error.hpp>  // error

#include <array>
#include <concepts>
#include <cstdint>
#include <pthread.h>  // a tenth of <thread>'s compile time; the umbrella header stays light
#include <unistd.h>   // sysconf

namespace attune {

/// On the calling thread (the default).
struct serial {};

/// On `count` threads, the calling one included, started for this call and joined before it returns. 0: one per online processor.
/// Starting a thread costs some 30 us: worthwhile from about 1e5 pairs, or 1 MB of logits.
struct threads {
  int count = 0;
};

template <class P>
concept execution_policy = std::same_as<P, serial> || std::same_as<P, threads>;

/// A batch is cut into at most `max_chunks` runs of samples whatever the policy, partial sums are kept per chunk and added in chunk
/// order: so the result has the same bits for any number of threads.
inline constexpr int max_chunks = 64;

struct chunk_range {
  std::int64_t begin, end;
};

/// The cut of `size` samples into chunks whose length is a multiple of `quantum` (the last one excepted).
class partition {
 public:
  partition(std::int64_t size, std::int64_t quantum) : size_(size) {
    const std::int64_t even = (size + max_chunks - 1) / max_chunks;
    length_ = (even + quantum - 1) / quantum * quantum;
  }
  int chunks() const { return size_ == 0 ? 0 : static_cast<int>((size_ + length_ - 1) / length_); }
  chunk_range operator[](int c) const {
    const std::int64_t begin = c * length_, end = begin + length_;
    return {begin, end < size_ ? end : size_};
  }

 private:
  std::int64_t size_, length_ = 1;
};

/// Calls work(c) once for each chunk c in [0, chunks); work must not throw.
template <class Work>
void run_chunks(serial, int chunks, Work&& work) {
  for (int c = 0; c < chunks; ++c) work(c);
}

template <class Work>
void run_chunks(threads policy, int chunks, Work&& work) {
  if (policy.count < 0) throw error("attune::threads: count is " + detail::text((long long)policy.count) + "; expected 0 (all processors) or more");
  struct shared_state {
    Work& work;
    int chunks, next;
    static void* drain(void* self) {
      auto& state = *static_cast<shared_state*>(self);
      for (int c; (c = __atomic_fetch_add(&state.next, 1, __ATOMIC_RELAXED)) < state.chunks;) state.work(c);
      return nullptr;
    }
  } state{work, chunks, 0};
  const long wanted = policy.count > 0 ? policy.count : sysconf(_SC_NPROCESSORS_ONLN);
  const int helpers = static_cast<int>(wanted < chunks ? wanted : chunks) - 1;
  std::array<pthread_t, max_chunks> started{};
  int running = 0;
  while (running < helpers && pthread_create(&started[static_cast<std::size_t>(running)], nullptr, &shared_state::drain, &state) == 0) ++running;
  shared_state::drain(&state);  // also when no thread could be started: the work is done, only later
  for (int i = 0; i < running; ++i) pthread_join(started[static_cast<std::size_t>(i)], nullptr);
}

}  // namespace attune
