// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/instruction_set.hpp>
#include <attune/reference/rounding_noise.hpp>

namespace attune {

namespace detail {

// Equality of bits, lane by lane: +0 is not -0, and a NaN equals itself.
template <real T>
ATTUNE_FN bool same_bits(T a, T b) {
  using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return __builtin_bit_cast(bits, a) == __builtin_bit_cast(bits, b);
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

template <class S>
ATTUNE_PACK_FN auto finite(const S& x) { return abs(x) < S(std::numeric_limits<lane_of<S>>::infinity()); }

/// Two packs: of 2 lanes<S> consecutive elements. Where every tensor is bfloat16 they are twins, the even and the odd elements, because so they
/// lie in words of 32 bits.
template <class S>
struct pack_pair {
  S a, b;
};

/// Lanes whose bits are words, of which the upper halves are bfloat16s.
template <int N>
struct half_words;  // device compilers have no lanes
#if !defined(__CUDACC__)
template <int N>
struct half_words {
  using P = pack<float, N>;
  using vector = typename bfloat16_lanes<N>::words;
  vector v;

  ATTUNE_PACK_FN explicit half_words(const P& x) : v(__builtin_bit_cast(vector, x.v)) {}
  ATTUNE_PACK_FN P nearest() const { return upper(v + 0x7fffu + ((v >> 16) & 1u)); }
  ATTUNE_PACK_FN P quiet() const { return upper(v | 0x400000u); }
  ATTUNE_PACK_FN P at_random(const vector& noise) const { return upper(v + noise); }

 private:
  static ATTUNE_PACK_FN P upper(const vector& x) { return {__builtin_bit_cast(typename P::vector, x & 0xffff0000u)}; }
};
#endif

/// What a tile contributes to the report.
template <class S>
class soft_counts {
  using R = lane_of<S>;

 public:
  ATTUNE_PACK_FN void add(const S& before, const S& target, const S& after, const S& moved, const S& stored) {
    const auto unmoved = (after == before) | (moved == before);
    stalled_ = stalled_ + select(unmoved & (before != target), S(R(1)), S(R(0)));
    non_finite_ = non_finite_ + select(finite(stored), S(R(0)), S(R(1)));
  }
  ATTUNE_PACK_FN void add_to(update_report& report) const {
    for (R count : lane_buffer<S>(stalled_).lane) report.stalled += static_cast<std::int64_t>(count);
    for (R count : lane_buffer<S>(non_finite_).lane) report.non_finite += static_cast<std::int64_t>(count);
  }

 private:
  S stalled_ = S(R(0)), non_finite_ = S(R(0));  // exact in a float
};

template <class S, class T, class P, class Companion>
class soft_loop {
  using R = lane_of<S>;
  using K = std::remove_cvref_t<decltype(*memory_of(std::declval<const Companion&>()).data())>;  ///< of the companion; char: it has no memory
  static constexpr bool has_memory = is_rounded_copy<Companion> || is_compensation<Companion>;
  static constexpr bool in_words = std::is_same_v<T, bfloat16> && !std::is_same_v<S, R>;  ///< else 16 bits are rounded one by one
  static constexpr bool twins = in_words && std::is_same_v<P, bfloat16>;
  static constexpr int width = 2 * lanes<S>;
  static constexpr std::int64_t tile_size = 1 << 16;

 public:
  ATTUNE_PACK_FN soft_loop(const model_tensor<T, P, Companion>& x, double policy_weight)
      : reference_(x.reference), policy_(x.policy), memory_(memory_of(x.companion)), weight_(static_cast<R>(policy_weight)) {
    if constexpr (is_stochastic<Companion>) random_ = rounding_noise(x.companion);
  }

  ATTUNE_PACK_FN update_report operator()(chunk_range range) {
    update_report result;
    const bool dense = reference_.stride(0) == 1 && policy_.stride(0) == 1 && (!has_memory || memory_.stride(0) == 1);
    for (std::int64_t tile = range.begin, end; tile < range.end; tile = end) {
      end = range.end - tile < tile_size ? range.end : tile + tile_size;
      if constexpr (is_stochastic<Companion>) end = random_.enter(tile, end);
      soft_counts<S> counts;
      std::int64_t i = tile;
      for (; dense && i + width <= end; i += width) {
        prefetch(i);
        step(reference_.data() + i, policy_.data() + i, has_memory ? memory_.data() + i : nullptr, i, counts);
      }
      for (; i < end; i += width) gathered_step(i, end - i < width ? end - i : width, counts);
      counts.add_to(result);
      result.elements += end - tile;
    }
    if (!(weight_ > 0)) result.stalled = 0;
    return result;
  }

 private:
  /// 2 KiB ahead, once for a cache line or more often. The address is a number: it may lie beyond the tensor.
  template <class E>
  static ATTUNE_PACK_FN void prefetch(const E* x) {
    constexpr int bytes = width * int(sizeof(E));
    for (int b = 0; b < bytes; b += 64) __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(x) + 2048 + std::uintptr_t(b)));
  }
  ATTUNE_PACK_FN void prefetch(std::int64_t i) const {
    prefetch(reference_.data() + i);
    prefetch(policy_.data() + i);
    if constexpr (has_memory) prefetch(memory_.data() + i);
  }

  /// n elements from i, from and to tensors of any stride. The elements up to a whole step are 0 on both sides: neither stalled nor infinite.
  ATTUNE_PACK_FN void gathered_step(std::int64_t i, std::int64_t n, soft_counts<S>& counts) const {
    T reference[width] = {};
    P policy[width] = {};
    K memory[width] = {};
    for (int k = 0; k < n; ++k) {
      reference[k] = reference_(i + k);
      policy[k] = policy_(i + k);
      if constexpr (has_memory) memory[k] = memory_(i + k);
    }
    step(reference, policy, memory, i, counts);
    for (int k = 0; k < n; ++k) {
      reference_(i + k) = reference[k];
      if constexpr (has_memory) memory_(i + k) = memory[k];
    }
  }

  /// `width` consecutive elements, of which the first is element i.
  ATTUNE_PACK_FN void step(T* reference, const P* policy, K* memory, std::int64_t i, soft_counts<S>& counts) const {
    const pack_pair<S> head = read(reference), target = read(policy);
    pack_pair<S> before = head;
    if constexpr (is_compensation<Companion>) {
      const pack_pair<S> tail = read(memory);
      before = {sum(head.a, tail.a), sum(head.b, tail.b)};
    }
    const pack_pair<S> after = {soft_step(before.a, target.a, weight_), soft_step(before.b, target.b, weight_)};
    if constexpr (is_rounded_copy<Companion>) write(after, memory);
    const pack_pair<S> stored = write_reference(reference, policy, head, after, i);
    pack_pair<S> moved = is_stochastic<Companion> ? after : stored;
    if constexpr (is_compensation<Companion>) {
      pack_pair<S> low = {lost(after.a, stored.a), lost(after.b, stored.b)};
      if constexpr (in_words) {
        low = {half_words<lanes<S>>(low.a).nearest(), half_words<lanes<S>>(low.b).nearest()};
        write_words(low, memory);
      } else {
        write(low, memory);
        low = read(memory);
      }
      moved = {stored.a + low.a, stored.b + low.b};
    }
    counts.add(before.a, target.a, after.a, moved.a, stored.a);
    counts.add(before.b, target.b, after.b, moved.b, stored.b);
  }

  // head + tail, which keeps the sign of a zero head.
  static ATTUNE_PACK_FN S sum(const S& head, const S& tail) { return select(tail == S(R(0)), head, head + tail); }
  // What rounding to 16 bits loses: exact (Dekker). 0 where the reference is infinite or NaN.
  static ATTUNE_PACK_FN S lost(const S& after, const S& stored) { return select(finite(stored), after - stored, S(R(0))); }

  /// Returns what the reference then is.
  ATTUNE_PACK_FN pack_pair<S> write_reference(T* reference, const P* policy, const pack_pair<S>& head, const pack_pair<S>& after, std::int64_t i) const {
    constexpr int half = lanes<S>;
    if constexpr (in_words) {
      typename bfloat16_lanes<half>::words noise_a{}, noise_b{};
      if constexpr (is_stochastic<Companion> && twins) random_.of_twins(i, noise_a, noise_b);
      if constexpr (is_stochastic<Companion> && !twins) {
        random_.of_lanes(i, noise_a);
        random_.of_lanes(i + half, noise_b);
      }
      const pack_pair<S> stored = {rounded(head.a, after.a, noise_a), rounded(head.b, after.b, noise_b)};
      write_words(stored, reference);
      return stored;
    } else if constexpr (half_storage<T>) {
      return {round_each(reference, policy, head.a, after.a, i), round_each(reference + half, policy + half, head.b, after.b, i + half)};
    } else {
      write(after, reference);
      return after;
    }
  }

  // Rounding to 16 bits. A NaN that stays, or is copied from a policy of the same type, keeps its bits; one that is computed becomes quiet.
  template <class W>
  ATTUNE_PACK_FN S rounded(const S& head, const S& after, const W& noise) const {
    const half_words<lanes<S>> words(after);
    const S result = is_stochastic<Companion> ? words.at_random(noise) : words.nearest();
    const S nan = weight_ < 1 ? select(head != head, head, words.quiet()) : std::is_same_v<T, P> ? after : words.quiet();
    return select(after != after, nan, result);
  }
  S round_each(T* reference, const P* policy, const S& head, const S& after, std::int64_t i) const {
    const lane_buffer<S> old(head);
    lane_buffer<S> value(after);
    for (int k = 0; k < lanes<S>; ++k) {
      if (weight_ == 1 && std::is_same_v<T, P>) {
        reference[k] = convert<T>(policy[k]);
      } else if (!(weight_ < 1 && old.lane[k] != old.lane[k])) {
        if constexpr (is_stochastic<Companion>) {
          reference[k] = round_at_random<T>(value.lane[k], random_.of(i + k));
        } else {
          reference[k] = convert<T>(value.lane[k]);
        }
      }
      value.lane[k] = convert<R>(reference[k]);
    }
    return value.packed();
  }

  template <class E>
  static ATTUNE_PACK_FN pack_pair<S> read(const E* x) {
    if constexpr (twins) {
      typename bfloat16_lanes<lanes<S>>::words w;
      read_vector(x, w);
      return {{__builtin_bit_cast(typename S::vector, w << 16)}, {__builtin_bit_cast(typename S::vector, w & 0xffff0000u)}};
    } else {
      return {widen<S>(x), widen<S>(x + lanes<S>)};
    }
  }
  template <class E>
  static ATTUNE_PACK_FN void write(const pack_pair<S>& x, E* to) {
    narrow(x.a, to);
    narrow(x.b, to + lanes<S>);
  }
  // Lanes that are bfloat16s.
  static ATTUNE_PACK_FN void write_words(const pack_pair<S>& x, bfloat16* to) {
    const half_words<lanes<S>> a(x.a), b(x.b);
    if constexpr (twins) {
      write_vector(to, (a.v >> 16) | b.v);
    } else {
      using bits = typename bfloat16_lanes<lanes<S>>::bits;
      write_vector(to, __builtin_convertvector(a.v >> 16, bits));
      write_vector(to + lanes<S>, __builtin_convertvector(b.v >> 16, bits));
    }
  }

  view<T> reference_;
  view<const P> policy_;
  view<K> memory_;
  R weight_;
  rounding_noise random_;
};

struct soft_kernel {
  template <class S, class T, class P, class Companion>
  ATTUNE_PACK_FN static update_report run(const model_tensor<T, P, Companion>* x, double policy_weight, chunk_range range) {
    return soft_loop<S, T, P, Companion>(*x, policy_weight)(range);
  }
};

template <class T, class P, class Companion>
constexpr void require_types() {
  static_assert(!std::is_const_v<T>, "attune: the reference is written to, but the tensor is const");
  static_assert(storage<T> && storage<P>, "attune: parameters are float, double or a 16-bit floating-point type");
  static_assert(half_storage<T> || !is_compensation<Companion>, "attune: compensation is for a 16-bit reference; this one needs none");
  static_assert(half_storage<T> || !is_stochastic<Companion>, "attune: stochastic_rounding is for a 16-bit reference; this one needs none");
  static_assert(real<T> || !is_rounded_copy<Companion>, "attune: a rounded copy accompanies a float or double reference, not a 16-bit one");
  if constexpr (is_compensation<Companion>) {
    static_assert(std::is_same_v<T, std::remove_cvref_t<decltype(*memory_of(Companion{}).data())>>, "attune: the residual has the element type of the reference");
  }
}
template <class Execution, class T, class P, class Companion>
update_report update(const Execution& execution, std::span<const model_tensor<T, P, Companion>> model, double policy_weight) {
  require_types<T, P, Companion>();
  check_weight(policy_weight);
  check_model<model_tensor<T, P, Companion>>(model);
  return run_update(execution, model, [&](const model_tensor<T, P, Companion>& x, chunk_range range) {
    return run_kernel<native_pack<arithmetic<T>>, soft_kernel>(&x, policy_weight, range);
  });
}

template <class T, class Companion>
inline constexpr bool can_average = !half_storage<T> || is_compensation<Companion> || is_stochastic<Companion>;

/// update, of references that small steps can move.
template <class Execution, class T, class P, class Companion>
update_report average(const Execution& execution, std::span<const model_tensor<T, P, Companion>> model, double policy_weight) {
  static_assert(can_average<T, Companion>,
                "attune: a 16-bit reference alone cannot be averaged: small steps are rounded away and it never moves. Keep the reference in "
                "float (and pass attune::rounded_copy{weights} for a 16-bit model), or pass attune::compensation{residual} or "
                "attune::stochastic_rounding{.seed, .step}");
  return update(execution, model, policy_weight);
}

template <class Reference>
using reference_element = typename decltype(see<1>(std::declval<Reference&>()))::element;

/// The arguments of an update as a model of one tensor.
template <class Reference, class Policy, class Companion>
auto one_tensor(Reference&& reference, Policy&& policy, const Companion& companion) {
  const auto to = as_view<1>(static_cast<Reference&&>(reference));
  const auto from = read_only(as_view<1>(static_cast<Policy&&>(policy)));
  using tensor = model_tensor<typename decltype(to)::element, std::remove_const_t<typename decltype(from)::element>, Companion>;
  return std::array<tensor, 1>{tensor{to, from, companion}};
}

template <class X> inline constexpr bool is_model_tensor = false;
template <class T, class P, class Companion> inline constexpr bool is_model_tensor<model_tensor<T, P, Companion>> = true;
template <class Model>
using tensor_of = std::remove_cvref_t<decltype(*std::span(std::declval<const Model&>()).data())>;

template <class Model>
std::span<const tensor_of<Model>> tensors(const Model& model) { return model; }

}  // namespace detail

/// A list of attune::model_tensor of one type: std::vector, std::array, std::span, ...
template <class Model>
concept model_tensors = requires(const Model& x) { std::span(x); } && detail::is_model_tensor<detail::tensor_of<Model>>;

/// Soft update of a reference model (TR-DPO), in place:
///
///   reference <- reference + a (policy - reference) = (1 - a) reference + a policy,     a = policy_weight in [0, 1]
///
/// a is the weight of the NEW POLICY: a = 1 copies the policy, a = 0 changes no bit. It is 1 - decay of an exponential moving average.
/// reference   [n] float or double, updated in its own precision; or 16-bit with one of the last two companions
/// policy      [n] float, double or 16-bit parameters, read only; a double policy is rounded to a float reference's precision
/// companion   nothing; attune::rounded_copy{weights}: the updated reference is also rounded into these 16-bit weights;
///             attune::compensation{residual} or attune::stochastic_rounding{.seed, .step}, see there. A 16-bit reference without is
///             refused: at a = 0.01, 1.0 would never move to 1.0078125.
/// Where the reference has the policy's bits it keeps them, also -0, infinities and NaN: an average of equal weights is exact.
/// Error at most (1/2 + 3 a) ulp of the larger of |reference| and |policy|; policy - reference must be representable. A reference stops
/// within ulp/(2 a) of a resting policy: the report counts such elements as stalled (with stochastic rounding, those that float arithmetic
/// does not move; not those that chance leaves). NaN in either stays NaN, and is counted.
/// Element by element: shards of any cut give the bits of the whole, and so does any execution policy.
/// Throws attune::error for sizes that differ, a outside [0, 1], or tensors that overlap.
/// Source   Gorbatovski et al. 2024, "Learn your reference model", arXiv:2404.09656 (a = 0.6 every step).
template <execution_policy Execution, tensor Reference, tensor Policy, class Companion = detail::no_companion>
update_report soft_update(Execution execution, Reference&& reference, Policy&& policy, double policy_weight, Companion companion = {}) {
  const auto model = detail::one_tensor(static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), companion);
  return detail::average(execution, detail::tensors(model), policy_weight);
}
template <tensor Reference, tensor Policy, class Companion = detail::no_companion>
update_report soft_update(Reference&& reference, Policy&& policy, double policy_weight, Companion companion = {}) {
  return soft_update(serial{}, static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), policy_weight, companion);
}

/// The same of many tensors in one call: of a whole model, given as a list of attune::model_tensor of one type. The bits and the report are
/// those of a call for each; the work is distributed by elements, across tensors of any size. All tensors are checked before any is written,
/// also that none that is written overlaps another (tied weights are listed once): a time that grows with the square of the list.
template <execution_policy Execution, model_tensors Model>
update_report soft_update(Execution execution, const Model& model, double policy_weight) {
  return detail::average(execution, detail::tensors(model), policy_weight);
}
template <model_tensors Model>
update_report soft_update(const Model& model, double policy_weight) {
  return detail::average(serial{}, detail::tensors(model), policy_weight);
}

}  // namespace attune
