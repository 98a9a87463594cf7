// SPDX-License-Identifier: MIT
// What the soft and the hard update share: the report, the buffers that may accompany a reference, and the checks.
#pragma once

#include <attune/core/parameter.hpp>  // unit_interval
#include <attune/exec/convert_lanes.hpp>
#include <attune/exec/policy.hpp>     // partition, run_chunks

#include <array>
#include <utility>  // declval

namespace attune {

/// What an update did. Reports of several tensors or shards are combined by +=.
struct update_report {
  std::int64_t elements = 0;    ///< elements of the reference that the update went over; 0 where a schedule was not due
  std::int64_t stalled = 0;     ///< elements that differ from the policy and did not move: the step was rounded away
  std::int64_t non_finite = 0;  ///< elements of the updated reference that are NaN or infinite

  update_report& operator+=(const update_report& other) {
    elements += other.elements;
    stalled += other.stalled;
    non_finite += other.non_finite;
    return *this;
  }
};

/// A 16-bit copy of a float or double reference (the weights that the reference model computes with). The reference is the master: it is
/// updated in its own precision, then rounded into `storage`.
template <half_storage T>
struct rounded_copy {
  view<T> storage;
};

/// What a 16-bit reference lacks: reference + residual carries the running average, to 16 bits for bfloat16 and 22 for half (of which none
/// is smaller than 6e-8). Same type and length as the reference, zero at first, and kept between updates.
template <half_storage T>
struct compensation {
  view<T> residual;
};

template <tensor X> rounded_copy(X&&) -> rounded_copy<typename decltype(detail::see<1>(std::declval<X&>()))::element>;
template <tensor X> compensation(X&&) -> compensation<typename decltype(detail::see<1>(std::declval<X&>()))::element>;

namespace detail {

struct no_companion {};

template <class X> inline constexpr bool is_rounded_copy = false;
template <class T> inline constexpr bool is_rounded_copy<rounded_copy<T>> = true;
template <class X> inline constexpr bool is_compensation = false;
template <class T> inline constexpr bool is_compensation<compensation<T>> = true;

template <class T> constexpr view<const T> read_only(view<T> v) { return v; }

template <class S>
ATTUNE_FN auto finite(S x) { return abs(x) < S(std::numeric_limits<lane_of<S>>::infinity()); }

/// Whether the memory ranges of two tensors overlap.
template <class A, class B>
bool overlap(const view<A>& a, const view<B>& b) {
  const auto bounds = [](const auto& v) {
    const std::int64_t last = (v.extent(0) - 1) * v.stride(0);
    return std::array{reinterpret_cast<std::uintptr_t>(v.data() + (last < 0 ? last : 0)),
                      reinterpret_cast<std::uintptr_t>(v.data() + (last < 0 ? 0 : last) + 1)};
  };
  if (a.size() == 0 || b.size() == 0) return false;
  const auto x = bounds(a), y = bounds(b);
  return x[0] < y[1] && y[0] < x[1];
}

template <class A, class B>
void require_apart(const view<A>& a, const view<B>& b, const char* a_name, const char* b_name, const char* why) {
  if (overlap(a, b)) {
    throw error(std::string("attune: ") + a_name + " overlaps " + b_name + " in memory" + why + "; expected tensors of their own");
  }
}

/// Throws unless the reference, its companion and the policy's parameters are distinct tensors of one length.
template <class T, class P, class Companion>
void check_update(const view<T>& reference, const view<const P>& policy, double policy_weight, const Companion& companion) {
  if (!unit_interval.contains(policy_weight)) {
    throw error("attune: policy_weight is " + text(policy_weight) + "; expected a value in " + unit_interval.text() +
                " (the weight of the new policy; 1 copies it)");
  }
  const auto check_companion = [&](const auto& x, const char* name) {
    require_extent(x.extent(0), reference.extent(0), name, "reference");
    require_apart(x, reference, name, "reference", "");
    require_apart(x, policy, name, "policy", "");
  };
  require_extent(policy.extent(0), reference.extent(0), "policy", "reference");
  require_apart(reference, policy, "reference", "policy", ": the reference is the policy");
  if constexpr (is_rounded_copy<Companion>) check_companion(companion.storage, "rounded_copy");
  if constexpr (is_compensation<Companion>) check_companion(companion.residual, "compensation");
}

/// Runs work(range), which returns an update_report, over chunks of [0, size).
template <class Execution, class Work>
update_report run_update(Execution execution, std::int64_t size, const Work& work) {
  const partition cut(size, 4096);
  std::array<update_report, max_chunks> part{};
  run_chunks(execution, cut.chunks(), [&](int c) { part[static_cast<std::size_t>(c)] = work(cut[c]); }, 8 * size);
  update_report total;
  for (const update_report& r : part) total += r;
  return total;
}

}  // namespace detail
}  // namespace attune
