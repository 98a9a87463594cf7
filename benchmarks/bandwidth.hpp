// SPDX-License-Identifier: MIT
// What the memory can do: the loops that a benchmark's bytes per second are divided by.
//
// A ceiling has to be honest: each kind has several loops (with and without software prefetch, with and without non-temporal stores), and
// the one that is fastest here, with this number of threads, is the ceiling. Vectors are the compiler's, widened by target wrappers, so
// that a build with plain -O2 has the same ceiling as one for this machine.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <emmintrin.h>  // _mm_stream_si128, in every x86-64 processor
#endif

namespace bench {

/// Two buffers of the same size. A kind of traffic uses one of them or both.
struct stream {
  std::byte* a = nullptr;
  std::byte* b = nullptr;
  std::int64_t bytes = 0;
};

enum class traffic {
  read,    ///< a
  copy,    ///< a -> b
  update,  ///< a, in place: one read and one write
  lerp,    ///< a += weight (b - a), in place: two reads and one write
};

/// Bytes that a kind of traffic names for each byte of a buffer. Reads for ownership are not counted.
inline std::int64_t bytes_named(traffic kind) { return kind == traffic::read ? 1 : kind == traffic::lerp ? 3 : 2; }
inline const char* name_of(traffic kind) { return std::array{"read", "copy", "in place", "in-place lerp"}[std::size_t(kind)]; }

namespace detail {

constexpr std::int64_t line = 64, group = 8, step = line * group;
using lines = std::make_index_sequence<std::size_t(group)>;

typedef std::uint64_t words __attribute__((vector_size(line)));
typedef float floats __attribute__((vector_size(line)));

// Read at run time, so that no compiler removes the arithmetic. Integer 0, and not a factor 1: it leaves every bit of any element type as
// it is, and is never slow on subnormal numbers.
inline volatile std::uint64_t nothing = 0;
inline volatile float lerp_weight = 0.25f;
inline volatile std::uint64_t sink;

#define BENCH_INLINE __attribute__((always_inline)) inline

/// The address is formed as an integer: it may lie beyond the buffer, where a prefetch does nothing.
template <int Ahead> BENCH_INLINE void prefetch(const std::byte* p) {
  if constexpr (Ahead > 0) __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(p) + Ahead));
}

template <int Ahead> struct read_loop {
  BENCH_INLINE void operator()(const stream& s) const {
    words sum[group] = {};
    for (std::int64_t i = 0; i < s.bytes; i += step) visit(s.a + i, sum, lines{});
    for (const words& part : sum) sum[0] ^= part;
    sink = sum[0][0] ^ sum[0][3] ^ sum[0][7];
  }
  template <std::size_t... K> static BENCH_INLINE void visit(const std::byte* p, words* sum, std::index_sequence<K...>) {
    (prefetch<Ahead>(p + K * line), ...);
    (add(p + K * line, sum[K]), ...);
  }
  static BENCH_INLINE void add(const std::byte* p, words& sum) {
    words x;
    std::memcpy(&x, p, line);
    sum ^= x;
  }
};

template <int Ahead> struct update_loop {
  BENCH_INLINE void operator()(const stream& s) const {
    const words zero = words{} + nothing;
    for (std::int64_t i = 0; i < s.bytes; i += step) visit(s.a + i, zero, lines{});
  }
  template <std::size_t... K> static BENCH_INLINE void visit(std::byte* p, const words& zero, std::index_sequence<K...>) {
    (prefetch<Ahead>(p + K * line), ...);
    (add(p + K * line, zero), ...);
  }
  static BENCH_INLINE void add(std::byte* p, const words& zero) {
    words x;
    std::memcpy(&x, p, line);
    x += zero;
    std::memcpy(p, &x, line);
  }
};

template <int Ahead> struct lerp_loop {
  BENCH_INLINE void operator()(const stream& s) const {
    const floats weight = floats{} + lerp_weight;
    for (std::int64_t i = 0; i < s.bytes; i += step) visit(s.a + i, s.b + i, weight, lines{});
  }
  template <std::size_t... K>
  static BENCH_INLINE void visit(std::byte* a, const std::byte* b, const floats& weight, std::index_sequence<K...>) {
    ((prefetch<Ahead>(a + K * line), prefetch<Ahead>(b + K * line)), ...);
    (move(a + K * line, b + K * line, weight), ...);
  }
  static BENCH_INLINE void move(std::byte* a, const std::byte* b, const floats& weight) {
    floats x, y;
    std::memcpy(&x, a, line);
    std::memcpy(&y, b, line);
    x += weight * (y - x);
    std::memcpy(a, &x, line);
  }
};

struct copy_by_library {
  BENCH_INLINE void operator()(const stream& s) const { std::memcpy(s.b, s.a, std::size_t(s.bytes)); }
};

/// Non-temporal stores, which spare the read of the destination.
template <int Ahead> struct copy_past_cache {
  BENCH_INLINE void operator()(const stream& s) const {
#if defined(__x86_64__)
    for (std::int64_t i = 0; i < s.bytes; i += line) {
      prefetch<Ahead>(s.a + i);
      for (int k = 0; k < line; k += 16) {
        const __m128i x = _mm_load_si128(reinterpret_cast<const __m128i*>(s.a + i + k));
        _mm_stream_si128(reinterpret_cast<__m128i*>(s.b + i + k), x);
      }
    }
    _mm_sfence();
#else
    std::memcpy(s.b, s.a, std::size_t(s.bytes));
#endif
  }
};

#undef BENCH_INLINE

using kernel = void (*)(const stream&);

template <class Loop> void run_baseline(const stream& s) { Loop{}(s); }
#if defined(__x86_64__)
template <class Loop> __attribute__((target("avx2"))) void run_avx2(const stream& s) { Loop{}(s); }
template <class Loop> __attribute__((target("avx512f"))) void run_avx512(const stream& s) { Loop{}(s); }
#endif

/// Adds the loop as compiled for every instruction set that this processor has. Which is fastest is measured: the widest is not always.
template <class... Loops> void add_candidates(std::vector<kernel>& to) {
  (to.push_back(&run_baseline<Loops>), ...);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) (to.push_back(&run_avx2<Loops>), ...);
  if (__builtin_cpu_supports("avx512f")) (to.push_back(&run_avx512<Loops>), ...);
#endif
}

inline std::vector<kernel> candidates(traffic kind) {
  std::vector<kernel> result;
  switch (kind) {
    case traffic::read:
      add_candidates<read_loop<0>, read_loop<2048>, read_loop<4096>, read_loop<8192>>(result);
      break;
    case traffic::copy:
      add_candidates<copy_by_library, copy_past_cache<0>, copy_past_cache<4096>>(result);
      break;
    case traffic::update:
      add_candidates<update_loop<0>, update_loop<2048>, update_loop<4096>>(result);
      break;
    case traffic::lerp:
      add_candidates<lerp_loop<0>, lerp_loop<2048>, lerp_loop<4096>>(result);
      break;
  }
  return result;
}

/// Runs the kernel on equal parts of the buffers, one a thread; the calling thread has the first.
inline void run_parts(kernel run, const stream& whole, int threads) {
  const std::int64_t part = whole.bytes / threads;
  const auto part_of = [&](int t) { return stream{whole.a + t * part, whole.b ? whole.b + t * part : nullptr, part}; };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back([=] { run(part_of(t)); });
  run(part_of(0));
  for (std::thread& t : others) t.join();
}

}  // namespace detail

using clock = std::chrono::steady_clock;

template <class Work> double seconds_of(const Work& work) {
  const clock::time_point begin = clock::now();
  work();
  return std::chrono::duration<double>(clock::now() - begin).count();
}

/// The fastest loop for a kind of traffic with a number of threads. It is sought once, on the first buffers that are given for both.
class ceiling {
 public:
  /// The buffers are aligned to a cache line; what is left of them beyond whole steps for every thread is not touched.
  ceiling(traffic kind, const stream& buffers, int threads) : kind_(kind), buffers_(buffers), threads_(threads) {
    buffers_.bytes -= buffers_.bytes % (detail::step * threads);
    static std::map<std::pair<traffic, int>, detail::kernel> known;
    detail::kernel& found = known[{kind, threads}];
    if (!found) found = fastest();
    run_ = found;
  }

  void operator()() const { detail::run_parts(run_, buffers_, threads_); }
  std::int64_t bytes() const { return buffers_.bytes * bytes_named(kind_); }

 private:
  detail::kernel fastest() const {
    const std::vector<detail::kernel> candidates = detail::candidates(kind_);
    std::vector<double> best(candidates.size(), std::numeric_limits<double>::infinity());
    for (int round = 0; round < 3; ++round) {
      for (std::size_t k = 0; k < candidates.size(); ++k) {
        const double seconds = seconds_of([&] { detail::run_parts(candidates[k], buffers_, threads_); });
        best[k] = std::min(best[k], seconds);
      }
    }
    return candidates[std::size_t(std::min_element(best.begin(), best.end()) - best.begin())];
  }

  traffic kind_;
  stream buffers_;
  int threads_;
  detail::kernel run_ = nullptr;
};

}  // namespace bench
