// SPDX-License-Identifier: MIT
// The body of soft_update and hard_update on a device: some elements of a tensor a thread, as many as fill 16 bytes in the widest of the tensors.
// What is done to an element is what the host's loop does (reference/soft_update.hpp). So are its bits, where that has no fused multiplication and
// addition: devices are kept from fusing here.
#pragma once

#include <attune/exec/device/row_selection.hpp>
#include <attune/reference/soft_update.hpp>

#include <cmath>

namespace attune::detail {

/// Bytes bytes, which may be read and written at once where they are aligned: 4, 8 or 16 of them.
template <int Bytes> struct alignas(Bytes) byte_group {
  std::uint32_t word[Bytes / 4];
};
/// N consecutive elements in a body's memory, of which the first `count` are in the tensor.
template <class E, int N> struct element_group {
  static constexpr int bytes = N * int(sizeof(E));
  E x[N];

  ATTUNE_FN void read(const strided<E>& from, std::int64_t i, int count) {
    if (together(from, i, count)) {
      byte_group<bytes> words;
#if defined(__CUDA_ARCH__)
      words = *reinterpret_cast<const byte_group<bytes>*>(from.data + i);
#else
      __builtin_memcpy(&words, __builtin_assume_aligned(from.data + i, bytes), bytes);
#endif
      for (int k = 0; k < N; ++k) x[k] = element(words, k);
      return;
    }
    for (int k = 0; k < N; ++k) {
      if (k < count) x[k] = from(i + k);
      else x[k] = E{};
    }
  }
  ATTUNE_FN void write(const strided<E>& to, std::int64_t i, int count) const {
    if (together(to, i, count)) {
      byte_group<bytes> words{};
      for (int k = 0; k < N; ++k) insert(words, k, x[k]);
#if defined(__CUDA_ARCH__)
      *reinterpret_cast<byte_group<bytes>*>(to.data + i) = words;
#else
      __builtin_memcpy(__builtin_assume_aligned(to.data + i, bytes), &words, bytes);
#endif
      return;
    }
    for (int k = 0; k < N; ++k) {
      if (k < count) to(i + k) = x[k];
    }
  }

 private:
  static ATTUNE_FN bool together(const strided<E>& at, std::int64_t i, int count) {
    return at.stride == 1 && count == N && reinterpret_cast<std::uintptr_t>(at.data + i) % bytes == 0;
  }
  static ATTUNE_FN E element(const byte_group<bytes>& words, int k) {
    if constexpr (sizeof(E) == 2) return __builtin_bit_cast(E, static_cast<std::uint16_t>(words.word[k / 2] >> k % 2 * 16));
    else if constexpr (sizeof(E) == 4) return __builtin_bit_cast(E, words.word[k]);
    else return __builtin_bit_cast(E, std::uint64_t{words.word[2 * k + 1]} << 32 | words.word[2 * k]);
  }
  static ATTUNE_FN void insert(byte_group<bytes>& words, int k, E given) {
    if constexpr (sizeof(E) == 2) {
      words.word[k / 2] |= static_cast<std::uint32_t>(__builtin_bit_cast(std::uint16_t, given)) << k % 2 * 16;
    } else if constexpr (sizeof(E) == 4) {
      words.word[k] = __builtin_bit_cast(std::uint32_t, given);
    } else {
      auto both = __builtin_bit_cast(std::uint64_t, given);  // not const: nvcc 13.0 crashes
      words.word[2 * k] = static_cast<std::uint32_t>(both);
      words.word[2 * k + 1] = static_cast<std::uint32_t>(both >> 32);
    }
  }
};

/// a + b c, rounded twice.
ATTUNE_FN float add_product(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(a, __fmul_rn(b, c));
#else
  return a + b * c;
#endif
}
ATTUNE_FN double add_product(double a, double b, double c) {
#if defined(__CUDA_ARCH__)
  return __dadd_rn(a, __dmul_rn(b, c));
#else
  return a + b * c;
#endif
}

/// The report of an update, in device memory, or none.
struct begin_update_report {
  update_report* report;
  std::int64_t elements;

  ATTUNE_FN void operator()(std::int64_t) const { *report = update_report{elements, 0, 0}; }
};

template <class T, class P, class Companion> struct update_elements {
  using R = arithmetic<T>;
  using K = std::remove_cvref_t<decltype(*memory_of(std::declval<const Companion&>()).data())>;  // of the companion; char: it has no memory
  static constexpr bool has_memory = is_rounded_copy<Companion> || is_compensation<Companion>;
  static constexpr int widest = int(sizeof(T) > sizeof(P) ? sizeof(T) : sizeof(P)), count = 16 / widest;

  strided<T> reference;
  strided<P> policy;  // read only
  strided<K> memory;
  std::int64_t size;
  R weight;
  rounding_noise random;
  update_report* report;

  ATTUNE_FN void operator()(std::int64_t thread) const {
    const std::int64_t i = thread * count;
    const int here = size - i < count ? static_cast<int>(size - i) : count;
    element_group<T, count> to;
    element_group<P, count> from;
    element_group<K, has_memory ? count : 4> kept;
    to.read(reference, i, here);
    from.read(policy, i, here);
    if constexpr (is_compensation<Companion>) kept.read(memory, i, here);
    rounding_noise noise = random;
    std::int64_t held = i;
    int stalled = 0, non_finite = 0;
    for (int k = 0; k < count; ++k) {
      if constexpr (is_stochastic<Companion>) {
        if (i + k == held) held = noise.enter(i + k, i + count);
      }
      if (k < here) step(to.x[k], from.x[k], kept.x[has_memory ? k : 0], is_stochastic<Companion> ? noise.of(i + k) : 0, stalled, non_finite);
    }
    to.write(reference, i, here);
    if constexpr (has_memory) kept.write(memory, i, here);
    if (report == nullptr) return;
    if (stalled > 0 && weight > 0) count_many(report->stalled, stalled);
    if (non_finite > 0) count_many(report->non_finite, non_finite);
  }

 private:
  static ATTUNE_FN void count_many(std::int64_t& total, int n) {
#if defined(__CUDA_ARCH__)
    atomicAdd(reinterpret_cast<unsigned long long*>(&total), static_cast<unsigned long long>(n));
#else
    __atomic_fetch_add(&total, n, __ATOMIC_RELAXED);
#endif
  }
  static ATTUNE_FN bool is_number(R x) { return std::fabs(x) < infinity<R>; }

  ATTUNE_FN R average(R head, R target) const {
    if (weight == 1) return target;
    if (weight == 0) return head;
    return same_bits(head, target) ? target : add_product(head, weight, target - head);
  }
  ATTUNE_FN void step(T& to, const P& from, K& kept, std::uint32_t noise, int& stalled, int& non_finite) const {
    const R head = convert<R>(to), target = convert<R>(from);
    R before = head;
    if constexpr (is_compensation<Companion>) {
      const R tail = convert<R>(kept);
      before = tail == 0 ? head : head + tail;  // keeps the sign of a zero head
    }
    const R after = average(before, target);
    if constexpr (is_rounded_copy<Companion>) kept = convert<K>(after);
    const R stored = write_reference(to, from, head, after, noise);
    R moved = is_stochastic<Companion> ? after : stored;
    if constexpr (is_compensation<Companion>) {
      kept = convert<K>(is_number(stored) ? after - stored : R(0));  // what rounding loses: exact (Dekker)
      moved = stored + convert<R>(kept);
    }
    stalled += (after == before || moved == before) && before != target;
    non_finite += !is_number(stored);
  }
  /// Returns what the reference then is. A NaN that stays, or is copied from a policy of the same type, keeps its bits.
  ATTUNE_FN R write_reference(T& to, const P& from, R head, R after, std::uint32_t noise) const {
    if constexpr (!half_storage<T>) {
      to = after;
    } else if (weight == 1 && std::is_same_v<T, P>) {
      to = convert<T>(from);
    } else if (!(weight < 1 && head != head)) {
      if constexpr (is_stochastic<Companion>) to = round_at_random<T>(after, noise);
      else to = convert<T>(after);
    }
    return convert<R>(to);
  }
};

}  // namespace attune::detail
