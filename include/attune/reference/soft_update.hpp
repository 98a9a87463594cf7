// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/instruction_set.hpp>
#include <attune/reference/update.hpp>

namespace attune {

namespace detail {

// Equality of bits, lane by lane: +0 is not -0, and a NaN equals itself.
template <real T>
ATTUNE_FN bool same_bits(T a, T b) {
  using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<bits>(a) == std::bit_cast<bits>(b);
}
#if !defined(__CUDACC__)
template <class T, int N>
ATTUNE_PACK_FN pack_mask<T, N> same_bits(const pack<T, N>& a, const pack<T, N>& b) {
  using bits = typename pack<T, N>::integers;
  return pack<T, N>::compare::template equal<pack_mask<T, N>>(__builtin_bit_cast(bits, a.v), __builtin_bit_cast(bits, b.v));
}
#endif

}  // namespace detail

/// One element of the soft update, on a number or on lanes:  reference + a (policy - reference).
/// A reference whose bits are the policy's is returned as it is, also -0, infinities and NaN. a = 1 gives the policy, a = 0 the reference.
template <class S>
ATTUNE_FN S soft_step(S reference, S policy, lane_of<S> policy_weight) {
  if (policy_weight == 1) return policy;
  if (policy_weight == 0) return reference;
  // Where the bits agree, policy is returned rather than reference: a choice between reference and reference + d is rewritten by clang as
  // reference + (-0 or d), which quietens a signalling NaN.
  return select(detail::same_bits(reference, policy), policy, reference + S(policy_weight) * (policy - reference));
}

namespace detail {

template <class S, class T, class P, class Companion>
class soft_loop {
  using R = lane_of<S>;
  static constexpr int width = lanes<S>;

 public:
  soft_loop(view<T> reference, view<const P> policy, double policy_weight, Companion companion)
      : reference_(reference), policy_(policy), weight_(static_cast<R>(policy_weight)), companion_(companion) {}

  ATTUNE_PACK_FN update_report operator()(chunk_range range) const {
    update_report result;
    const bool is_dense = dense();
    for (std::int64_t tile = range.begin; tile < range.end; tile += tile_size) {
      const std::int64_t end = range.end - tile < tile_size ? range.end : tile + tile_size;
      S stalled(R(0)), non_finite(R(0));  // counts of one tile, exact in a float
      std::int64_t i = tile;
      for (; is_dense && i + width <= end; i += width) step<true>(i, width, stalled, non_finite);
      for (; i < end; i += width) step<false>(i, static_cast<int>(end - i < width ? end - i : width), stalled, non_finite);
      for (R count : lane_buffer<S>(stalled).lane) result.stalled += weight_ > 0 ? static_cast<std::int64_t>(count) : 0;
      for (R count : lane_buffer<S>(non_finite).lane) result.non_finite += static_cast<std::int64_t>(count);
      result.elements += end - tile;
    }
    return result;
  }

 private:
  static constexpr std::int64_t tile_size = 1 << 16;

  // Lanes beyond n hold 0 on both sides, so they count as neither stalled nor non-finite.
  template <bool Dense>
  ATTUNE_PACK_FN void step(std::int64_t i, int n, S& stalled, S& non_finite) const {
    const S target = read_lanes<Dense, S>(policy_, i, n), before = average<Dense>(i, n);
    const S after = soft_step(before, target, weight_), stored = write<Dense>(i, n, before, after);
    const auto unmoved = (after == before) | (stored == before);
    stalled = stalled + select(unmoved & (before != target), S(R(1)), S(R(0)));
    non_finite = non_finite + select(finite(stored), S(R(0)), S(R(1)));
  }

  // reference, or reference + residual, which keeps the sign of a zero reference.
  template <bool Dense>
  ATTUNE_PACK_FN S average(std::int64_t i, int n) const {
    const S head = read_lanes<Dense, S>(read_only(reference_), i, n);
    if constexpr (is_compensation<Companion>) {
      const S tail = read_lanes<Dense, S>(read_only(companion_.residual), i, n);
      return select(tail == S(R(0)), head, head + tail);
    } else {
      return head;
    }
  }

  // Writes the reference and its companion; returns the average that they then hold.
  template <bool Dense>
  ATTUNE_PACK_FN S write(std::int64_t i, int n, S before, S after) const {
    if constexpr (is_rounded_copy<Companion>) write_lanes<Dense>(companion_.storage, i, n, after);
    if constexpr (half_storage<T>) {
      return write_half<Dense>(i, n, before, after);
    } else {
      write_lanes<Dense>(reference_, i, n, after);
      return after;
    }
  }

  // The residual is what rounding to 16 bits loses: after - high is exact (Dekker). It is 0 where the reference is infinite.
  template <bool Dense>
  ATTUNE_PACK_FN S write_half(std::int64_t i, int n, S before, S after) const {
    if (has_nan(after)) {
      write_with_nan(i, n, before, after);
    } else {
      write_lanes<Dense>(reference_, i, n, after);
    }
    const S high = read_lanes<Dense, S>(read_only(reference_), i, n);
    if constexpr (is_compensation<Companion>) {
      const S low = after - high;
      write_lanes<Dense>(companion_.residual, i, n, select(finite(low), low, S(R(0))));
      return high + read_lanes<Dense, S>(read_only(companion_.residual), i, n);
    } else {
      return high;
    }
  }

  // Conversion to 16 bits quietens a signalling NaN; one that stays, or is copied from a policy of the same type, keeps its bits.
  [[gnu::noinline]] void write_with_nan(std::int64_t i, int n, S before, S after) const {
    const lane_buffer<S> old(before), average(after);
    for (int k = 0; k < n; ++k) {
      if (weight_ < 1 && old.lane[k] != old.lane[k]) continue;
      reference_(i + k) = convert<T>(average.lane[k]);
      if constexpr (std::is_same_v<T, P>) {
        if (weight_ == 1) reference_(i + k) = policy_(i + k);
      }
    }
  }
  static ATTUNE_PACK_FN bool has_nan(const S& x) {
    const auto nan = x != x;
    if constexpr (std::same_as<decltype(nan), const bool>) {
      return nan;
    } else {
      std::array<std::uint64_t, sizeof nan.v / 8> words = __builtin_bit_cast(decltype(words), nan.v);
      std::uint64_t any = 0;
      for (std::uint64_t word : words) any |= word;
      return any != 0;
    }
  }

  bool dense() const {
    bool result = reference_.stride(0) == 1 && policy_.stride(0) == 1;
    if constexpr (is_rounded_copy<Companion>) result &= companion_.storage.stride(0) == 1;
    if constexpr (is_compensation<Companion>) result &= companion_.residual.stride(0) == 1;
    return result;
  }

  view<T> reference_;
  view<const P> policy_;
  R weight_;
  Companion companion_;
};

struct soft_kernel {
  template <class S, class T, class P, class Companion>
  ATTUNE_PACK_FN static update_report run(const view<T>* reference, const view<const P>* policy, double policy_weight, const Companion* companion,
                                          chunk_range range) {
    return soft_loop<S, T, P, Companion>(*reference, *policy, policy_weight, *companion)(range);
  }
};

template <class Execution, class T, class P, class Companion>
update_report update(Execution execution, view<T> reference, view<const P> policy, double policy_weight, Companion companion) {
  static_assert(!std::is_const_v<T>, "attune: the reference is written to, but the tensor is const");
  static_assert(storage<T> && storage<P>, "attune: parameters are float, double or a 16-bit floating-point type");
  static_assert(half_storage<T> || !is_compensation<Companion>, "attune: compensation is for a 16-bit reference; this one needs none");
  static_assert(real<T> || !is_rounded_copy<Companion>, "attune: a rounded copy accompanies a float or double reference, not a 16-bit one");
  if constexpr (is_compensation<Companion>) {
    static_assert(std::is_same_v<Companion, compensation<T>>, "attune: the residual has the element type of the reference");
  }
  check_update(reference, policy, policy_weight, companion);
  return run_update(execution, reference.size(), [&](chunk_range range) {
    return run_kernel<native_pack<arithmetic<T>>, soft_kernel>(&reference, &policy, policy_weight, &companion, range);
  });
}

template <class Reference>
using reference_element = typename decltype(see<1>(std::declval<Reference&>()))::element;

}  // namespace detail

/// Soft update of a reference model (TR-DPO), in place:
///
///   reference <- reference + a (policy - reference) = (1 - a) reference + a policy,     a = policy_weight in [0, 1]
///
/// a is the weight of the NEW POLICY: a = 1 copies the policy, a = 0 changes no bit. It is 1 - decay of an exponential moving average.
/// reference   [n] float or double, updated in its own precision; or 16-bit with attune::compensation{residual}
/// policy      [n] float, double or 16-bit parameters, read only; a double policy is rounded to a float reference's precision
/// companion   nothing; attune::rounded_copy{weights}: the updated reference is also rounded into these 16-bit weights;
///             or attune::compensation{residual}, see there. A 16-bit reference without it is refused: at a = 0.01, 1.0 would never move
///             to 1.0078125.
/// Where the reference has the policy's bits it keeps them, also -0, infinities and NaN: an average of equal weights is exact.
/// Error at most (1/2 + 3 a) ulp of the larger of |reference| and |policy|; policy - reference must be representable. A reference stops
/// within ulp/(2 a) of a resting policy: the report counts such elements as stalled. NaN in either stays NaN, and is counted.
/// Element by element: shards of any cut give the bits of the whole, and so does any number of threads.
/// Throws attune::error for sizes that differ, a outside [0, 1], or tensors that overlap.
/// Source   Gorbatovski et al. 2024, "Learn your reference model", arXiv:2404.09656 (a = 0.6 every step).
template <execution_policy Execution, tensor Reference, tensor Policy, class Companion = detail::no_companion>
update_report soft_update(Execution execution, Reference&& reference, Policy&& policy, double policy_weight, Companion companion = {}) {
  static_assert(!half_storage<detail::reference_element<Reference>> || detail::is_compensation<Companion>,
                "attune: a 16-bit reference alone cannot be averaged: small steps are rounded away and it never moves. Keep the reference in "
                "float (and pass attune::rounded_copy{weights} for a 16-bit model), or pass attune::compensation{residual}");
  return detail::update(execution, as_view<1>(static_cast<Reference&&>(reference)),
                        detail::read_only(as_view<1>(static_cast<Policy&&>(policy))), policy_weight, companion);
}
template <tensor Reference, tensor Policy, class Companion = detail::no_companion>
update_report soft_update(Reference&& reference, Policy&& policy, double policy_weight, Companion companion = {}) {
  return soft_update(serial{}, static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), policy_weight, companion);
}

}  // namespace attune
