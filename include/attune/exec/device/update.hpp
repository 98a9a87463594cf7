// SPDX-License-Identifier: MIT
// The body of soft_update and hard_update on a device: some elements of a tensor a thread, as many as fill 16 bytes in the widest of the tensors.
// What is done to an element is what the host's loop does (reference/soft_update.hpp). So are its bits, where that has no fused multiplication and
// addition: devices are kept from fusing here.
#pragma once

#include <attune/exec/device/element_group.hpp>
#include <attune/reference/soft_update.hpp>

#include <cmath>

namespace attune::detail {

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
    if (stalled > 0 && weight > 0) add_count(report->stalled, stalled);
    if (non_finite > 0) add_count(report->non_finite, non_finite);
  }

 private:
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
