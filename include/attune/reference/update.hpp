// SPDX-License-Identifier: MIT
// What the soft and the hard update share: the report, the buffers that may accompany a reference, and the checks.
#pragma once

#include <attune/core/parameter.hpp>  // unit_interval
#include <attune/exec/convert_lanes.hpp>
#include <attune/exec/policy.hpp>     // partition, run_chunks

#include <array>
#include <span>
#include <utility>  // declval

namespace attune {

namespace detail {
struct no_companion {};
}  // namespace detail

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
template <half_storage T, class Space = host>
struct rounded_copy {
  view<T, 1, Space> storage;
};

/// What a 16-bit reference lacks: reference + residual carries the running average, to 16 bits for bfloat16 and 22 for half (of which none
/// is smaller than 6e-8). Same type and length as the reference, zero at first, and kept between updates.
template <half_storage T, class Space = host>
struct compensation {
  view<T, 1, Space> residual;
};

/// What rounding a 16-bit reference at random needs: nothing is kept beside the reference, which moves up or down so that its expectation is the
/// average, computed in float: P(up) = (average - below) / (above - below), with below and above the neighbours in 16 bits. A value that is
/// one of these, an infinity or NaN stays. The random number of an element is a hash of (seed, step, first + its index in the tensor):
/// the same bits whatever the cut into shards, the execution policy and the instructions. (An average beyond the largest finite number
/// becomes that or infinite. Chances are multiples of 2^-16: all that bfloat16 needs.)
/// seed    any; of tensors that share a seed the elements with equal indices share random numbers: give each a seed or a `first` of its own
/// step    number of the update: another one every time, or rounding errors add up instead of cancelling
/// first   index of this shard's first element in the whole tensor, >= 0
struct stochastic_rounding {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::int64_t first = 0;
};

/// One tensor of a model, as an update of many at once takes it: soft_update(std::span of these, ...). Companion: attune::rounded_copy<K>,
/// attune::compensation<T>, attune::stochastic_rounding, or nothing.
template <class T, class P = T, class Companion = detail::no_companion>
struct model_tensor {
  view<T> reference;
  view<const P> policy;
  Companion companion{};
};

namespace detail {
template <class X> using seen_vector = decltype(see<1>(std::declval<X&>()));
}  // namespace detail
template <tensor X> rounded_copy(X&&) -> rounded_copy<typename detail::seen_vector<X>::element, typename detail::seen_vector<X>::space>;
template <tensor X> compensation(X&&) -> compensation<typename detail::seen_vector<X>::element, typename detail::seen_vector<X>::space>;

namespace detail {

template <class X> inline constexpr bool is_rounded_copy = false;
template <class T, class Space> inline constexpr bool is_rounded_copy<rounded_copy<T, Space>> = true;
template <class X> inline constexpr bool is_compensation = false;
template <class T, class Space> inline constexpr bool is_compensation<compensation<T, Space>> = true;
template <class X> inline constexpr bool is_stochastic = std::is_same_v<X, stochastic_rounding>;

template <class T, class Space> constexpr view<const T, 1, Space> read_only(view<T, 1, Space> v) { return v; }

/// Whether the memory ranges of two tensors overlap.
template <class A, class B, class Space>
bool overlap(const view<A, 1, Space>& a, const view<B, 1, Space>& b) {
  const auto bounds = [](const auto& v) {
    const std::int64_t last = (v.extent(0) - 1) * v.stride(0);
    return std::array{reinterpret_cast<std::uintptr_t>(v.data() + (last < 0 ? last : 0)),
                      reinterpret_cast<std::uintptr_t>(v.data() + (last < 0 ? 0 : last) + 1)};
  };
  if (a.size() == 0 || b.size() == 0) return false;
  const auto x = bounds(a), y = bounds(b);
  return x[0] < y[1] && y[0] < x[1];
}

template <class A, class B, class Space>
void require_apart(const view<A, 1, Space>& a, const view<B, 1, Space>& b, const char* a_name, const char* b_name, const char* why) {
  if (overlap(a, b)) {
    throw error(std::string("attune: ") + a_name + " overlaps " + b_name + " in memory" + why + "; expected tensors of their own");
  }
}

/// The companion's memory; absent where it has none.
template <class T, class Space> view<T, 1, Space> memory_of(const rounded_copy<T, Space>& x) { return x.storage; }
template <class T, class Space> view<T, 1, Space> memory_of(const compensation<T, Space>& x) { return x.residual; }
template <class X> view<char> memory_of(const X&) { return {}; }
template <class X> constexpr const char* name_of = is_rounded_copy<X> ? "rounded_copy" : "compensation";

inline void check_weight(double policy_weight) {
  if (!unit_interval.contains(policy_weight)) {
    throw error("attune: policy_weight is " + text(policy_weight) + "; expected a value in " + unit_interval.text() +
                " (the weight of the new policy; 1 copies it)");
  }
}

/// Throws unless the reference, its companion and the policy's parameters are distinct tensors of one length.
template <class Tensor>
void check_tensor(const Tensor& x) {
  using Companion = std::remove_cvref_t<decltype(x.companion)>;
  require_extent(x.policy.extent(0), x.reference.extent(0), "policy", "reference");
  require_apart(x.reference, x.policy, "reference", "policy", ": the reference is the policy");
  if constexpr (is_rounded_copy<Companion> || is_compensation<Companion>) {
    const auto companion = memory_of(x.companion);
    require_extent(companion.extent(0), x.reference.extent(0), name_of<Companion>, "reference");
    require_apart(companion, x.reference, name_of<Companion>, "reference", "");
    require_apart(companion, x.policy, name_of<Companion>, "policy", "");
  }
  if constexpr (is_stochastic<Companion>) {
    if (x.companion.first < 0) throw error("attune: stochastic_rounding.first is " + text((long long)x.companion.first) + "; expected an index, 0 or more");
  }
}

/// The same of every tensor of a model; and what is written for one is neither read nor written for another.
template <class Tensor>
void check_model(std::span<const Tensor> model) {
  using Companion = std::remove_cvref_t<decltype(model[0].companion)>;
  constexpr bool has_memory = is_rounded_copy<Companion> || is_compensation<Companion>;
  if (model.size() == 1) return check_tensor(model[0]);
  const auto written_for = [&](const Tensor& x, const auto& memory) {
    if constexpr (has_memory) return overlap(x.reference, memory) || overlap(memory_of(x.companion), memory);
    else return overlap(x.reference, memory);
  };
  const auto meets = [&](const Tensor& x, const Tensor& y) {
    if constexpr (has_memory) return written_for(x, y.reference) || written_for(x, memory_of(y.companion)) || written_for(x, y.policy);
    else return written_for(x, y.reference) || written_for(x, y.policy);
  };
  for (std::size_t i = 0; i < model.size(); ++i) {
    try {
      check_tensor(model[i]);
    } catch (const error& e) {
      throw error(std::string(e.what()) + " (tensor " + text((long long)i) + " of the model)");
    }
    for (std::size_t k = 0; k < model.size(); ++k) {
      if (i != k && meets(model[i], model[k])) {
        throw error("attune: what is written for tensor " + text((long long)i) + " of the model overlaps tensor " + text((long long)k) +
                    " in memory; expected tensors of their own, and tied weights once");
      }
    }
  }
}

/// Where a cut of the model at `position` elements from a tensor's begin cuts the tensor: at whole cache lines.
inline std::int64_t cut_of_tensor(std::int64_t position, std::int64_t size) {
  return position <= 0 ? 0 : position >= size ? size : position - position % 64;
}

/// Runs work(tensor, range), which returns an update_report, over chunks of a model: of equal numbers of elements, across its tensors.
template <class Execution, class Tensor, class Work>
update_report run_update(const Execution& execution, std::span<const Tensor> model, const Work& work) {
  std::int64_t size = 0;
  for (const Tensor& x : model) size += x.reference.size();
  const partition cut(size, 4096);
  std::array<update_report, max_chunks> part{};
  const auto run = [&](int c) {
    std::int64_t first = 0;
    for (const Tensor& x : model) {
      const std::int64_t n = x.reference.size(), begin = cut_of_tensor(cut[c].begin - first, n), end = cut_of_tensor(cut[c].end - first, n);
      if (begin < end) part[static_cast<std::size_t>(c)] += work(x, chunk_range{begin, end});
      first += n;
    }
  };
  run_chunks(execution, cut.chunks(), run, 8 * size);
  update_report total;
  for (const update_report& r : part) total += r;
  return total;
}

}  // namespace detail
}  // namespace attune
