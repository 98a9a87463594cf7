// SPDX-License-Identifier: MIT
// How a batch is run. No function of attune opens a parallel region, allocates or synchronises unless its execution policy says so.
#pragma once

#include <attune/core/error.hpp>  // error

#include <array>
#include <cstdint>
#include <limits>
#include <pthread.h>  // a tenth of <thread>'s compile time; the umbrella header stays light
#include <type_traits>
#include <unistd.h>  // sysconf

namespace attune {

/// What a thread must at least have to do, in bytes that the work reads and writes: with less than twice as much a call is serial, with more
/// it uses as many threads as have their share. Measured with DPO, value and gradients, on two processors of a virtual machine (Skylake,
/// g++ 12 -O2), in us, one call after the other | after 5 ms of sleep:
///
///   pairs (32 bytes)   serial       a pool of two   threads{2}
///     8192             20 |  51      11 |  62        42 |  131
///    16384             49 |  92      27 |  99        72 |  164     half a MiB, where a pool begins
///    65536            158 | 222      92 | 207       183 |  301
///   131072            306 | 403     178 | 303       200 |  465     4 MiB, where threads begin
///  1048576           2716 | 2875   1285 | 1537     1358 | 2901
inline constexpr std::int64_t default_grain = std::int64_t{1} << 18;

/// On the calling thread (the default).
struct serial {};

/// On `count` threads, the calling one included, started for this call and joined before it returns. 0: one per online processor.
/// grain [bytes]: see default_grain, but to start a thread costs more than to wake one; 0 starts threads whatever there is to do.
/// A program with many calls keeps a thread_pool.
struct threads {
  int count = 0;
  std::int64_t grain = 8 * default_grain;
};

template <class P> inline constexpr bool is_execution_policy = false;
template <> inline constexpr bool is_execution_policy<serial> = true;
template <> inline constexpr bool is_execution_policy<threads> = true;

/// serial, threads, on(thread_pool), executor.
template <class P>
concept execution_policy = is_execution_policy<P>;

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

/// Work of unknown size: enough for any number of threads.
inline constexpr std::int64_t unknown_bytes = std::numeric_limits<std::int64_t>::max();

namespace detail {

inline void require_threads(const char* policy, long long count, long long grain) {
  if (count < 0) throw error(std::string("attune::") + policy + ": count is " + text(count) + "; expected 0 (all processors) or more");
  if (grain < 0) throw error(std::string("attune::") + policy + ": grain is " + text(grain) + "; expected a number of bytes, 0 or more");
}
/// Of a function object, to be called through a function that knows its type.
template <class Work>
void* address(Work& work) {
  return const_cast<void*>(static_cast<const void*>(&work));
}
/// How many threads are worth their waking: at most `count` (0: all processors), one a chunk, one for every `grain` bytes.
inline int useful_threads(int count, int chunks, std::int64_t bytes, std::int64_t grain) {
  const std::int64_t portions = grain > 0 ? bytes / grain : chunks;
  const std::int64_t most = portions < chunks ? portions : chunks;
  if (most <= 1) return 1;
  const std::int64_t wanted = count > 0 ? count : sysconf(_SC_NPROCESSORS_ONLN);
  return static_cast<int>(wanted < most ? wanted : most);
}

}  // namespace detail

/// Calls work(c) once for each chunk c in [0, chunks). work must not throw. bytes: how much memory all of it reads and writes; work that
/// computes for longer than memory takes counts for more.
template <class Work>
void run_chunks(serial, int chunks, Work&& work, std::int64_t = unknown_bytes) {
  for (int c = 0; c < chunks; ++c) work(c);
}

template <class Work>
void run_chunks(threads policy, int chunks, Work&& work, std::int64_t bytes = unknown_bytes) {
  detail::require_threads("threads", policy.count, policy.grain);
  const int helpers = detail::useful_threads(policy.count, chunks, bytes, policy.grain) - 1;
  if (helpers == 0) return run_chunks(serial{}, chunks, work);
  struct shared_state {
    std::remove_reference_t<Work>& work;
    int chunks, next;
    static void* drain(void* self) {
      auto& state = *static_cast<shared_state*>(self);
      for (int c; (c = __atomic_fetch_add(&state.next, 1, __ATOMIC_RELAXED)) < state.chunks;) state.work(c);
      return nullptr;
    }
  } state{work, chunks, 0};
  std::array<pthread_t, max_chunks> started{};
  std::size_t running = 0;
  const auto wanted = static_cast<std::size_t>(helpers < max_chunks ? helpers : max_chunks);
  while (running < wanted && pthread_create(&started[running], nullptr, &shared_state::drain, &state) == 0) ++running;
  shared_state::drain(&state);  // also when no thread could be started: the work is done, only later
  for (std::size_t i = 0; i < running; ++i) pthread_join(started[i], nullptr);
}

}  // namespace attune
