// SPDX-License-Identifier: MIT
// Between tensors and packs: loading and storing lanes of any stride and element type, with the last, partial pack padded.
#pragma once

#include <attune/core/pack.hpp>  // native_pack
#include <attune/core/view.hpp>  // view

#include <cstring>

namespace attune::detail {

template <class P> inline constexpr int lanes = int(sizeof(P) / sizeof(lane_of<P>));

/// The lanes of a pack as a plain array.
template <class P>
struct lane_buffer {
  lane_of<P> lane[lanes<P>];

  explicit lane_buffer(lane_of<P> fill)
    requires(!std::is_same_v<P, lane_of<P>>)  // where a lane is a plain number (device compilers), the next one serves
  {
    for (auto& x : lane) x = fill;
  }
  explicit lane_buffer(const P& x) { std::memcpy(lane, static_cast<const void*>(&x), sizeof lane); }
  P packed() const {
    P x;
    std::memcpy(static_cast<void*>(&x), lane, sizeof lane);
    return x;
  }
};

/// A [B]-sized tensor read or written pack by pack; an absent one reads as `fill` everywhere. It is small and held by value, so that a
/// loop keeps it in registers: the compiler must assume that a store through it changes anything that lies in memory.
template <class P, class T>
class column {
  using R = lane_of<P>;

 public:
  column(const view<T>& x, R fill) : data_(x.data()), stride_(x.stride(0)), given_(!x.absent()), fill_(fill) {}
  bool given() const { return given_; }

  /// Elements i .. i + lanes - 1: one unaligned read where the tensor is contiguous and of the pack's own type.
  ATTUNE_PACK_FN P whole(std::int64_t i) const {
    if (!given_) return P(fill_);
    if constexpr (std::is_same_v<std::remove_const_t<T>, R>) {
      if (stride_ == 1) {
        P result;
        std::memcpy(static_cast<void*>(&result), data_ + i, sizeof result);
        return result;
      }
    }
    lane_buffer<P> buffer(fill_);
    for (int k = 0; k < lanes<P>; ++k) buffer.lane[k] = static_cast<R>(data_[(i + k) * stride_]);
    return buffer.packed();
  }
  /// Elements i .. i + n - 1 that are active, `fill` in every other lane: those are not read.
  P some(std::int64_t i, int n, const bool* active) const {
    lane_buffer<P> buffer(fill_);
    for (int k = 0; given_ && k < n; ++k) {
      if (active[k]) buffer.lane[k] = static_cast<R>(data_[(i + k) * stride_]);
    }
    return buffer.packed();
  }
  ATTUNE_PACK_FN void put(std::int64_t i, int n, const P& value) const {
    if constexpr (std::is_same_v<T, R>) {
      if (stride_ == 1 && n == lanes<P>) {
        std::memcpy(static_cast<void*>(data_ + i), static_cast<const void*>(&value), sizeof value);
        return;
      }
    }
    const lane_buffer<P> buffer(value);
    for (int k = 0; k < n; ++k) data_[(i + k) * stride_] = static_cast<T>(buffer.lane[k]);
  }

 private:
  T* data_;
  std::int64_t stride_;
  bool given_;
  R fill_;
};

/// The same lanes in double, for sums: two half packs for float, the pack itself for double.
template <class P>
struct wide {
  using part_type = P;
  static constexpr int parts = 1;
  part_type part[1];

  wide() : part{P(0.0)} {}
  explicit wide(const P& x) : part{x} {}
};
template <>
struct wide<float> {
  using part_type = double;
  static constexpr int parts = 1;
  part_type part[1];

  wide() : part{0.0} {}
  explicit wide(float x) : part{double{x}} {}
};
#if !defined(__CUDACC__)
template <int N>
struct wide<pack<float, N>> {
  using part_type = pack<double, N / 2>;
  static constexpr int parts = 2;
  part_type part[2];

  wide() = default;
  ATTUNE_PACK_FN explicit wide(const pack<float, N>& x) {
    typedef float half __attribute__((vector_size(N / 2 * sizeof(float))));
    half halves[2];
    std::memcpy(halves, static_cast<const void*>(&x), sizeof halves);
    for (int h = 0; h < 2; ++h) part[h] = part_type(__builtin_convertvector(halves[h], typename part_type::vector));
  }
};
#endif

/// A running sum of products in double, one accumulator a lane.
template <class P>
struct wide_sum {
  wide<P> lane;

  ATTUNE_PACK_FN void add(const wide<P>& weight, const wide<P>& x) {
    for (int h = 0; h < wide<P>::parts; ++h) lane.part[h] = lane.part[h] + weight.part[h] * x.part[h];
  }
  double total() const {
    double sum = 0;
    for (const auto& part : lane.part) {
      const lane_buffer<typename wide<P>::part_type> buffer(part);
      for (double x : buffer.lane) sum += x;
    }
    return sum;
  }
};

}  // namespace attune::detail
