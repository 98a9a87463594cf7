// SPDX-License-Identifier: MIT
// A row of logits, block by block in its arithmetic type, whatever its element type and stride.
//
// The functions that compute on a block see a plain array of `row_block` numbers or less, and are never inlined: so a strided, negative or
// converted row runs through the same instructions as a packed one and gives the same bits. Element i of a block belongs to running
// sum i mod 64: the order of additions depends neither on the width of a pack nor on the neighbours, and sums leave a block in double.
#pragma once

#include <attune/core/view.hpp>   // view
#include <attune/exec/lanes.hpp>  // lanes, lane_buffer
#include <attune/rows/row_state.hpp>

namespace attune::detail {

inline constexpr int row_block = 2048;  // 8 KiB of float: stays in the first-level cache
inline constexpr int row_lanes = 64;

template <class A> inline constexpr A infinity = std::numeric_limits<A>::infinity();
template <class A> inline constexpr A not_a_number = std::numeric_limits<A>::quiet_NaN();

template <real A> struct alignas(64) block_buffer {
  A values[row_block];  // uninitialised
};

/// Calls work(first, count) for the blocks of a row.
template <class Work> void for_blocks(std::int64_t size, const Work& work) {
  for (std::int64_t first = 0; first < size; first += row_block) {
    work(first, static_cast<int>(size - first < row_block ? size - first : row_block));
  }
}
constexpr int padded(int count) { return (count + row_lanes - 1) / row_lanes * row_lanes; }

template <class P> ATTUNE_PACK_FN P load_pack(const lane_of<P>* x) {
  P result;
  std::memcpy(static_cast<void*>(&result), x, sizeof result);
  return result;
}
template <class P> ATTUNE_PACK_FN void store_pack(lane_of<P>* x, const P& value) {
  std::memcpy(x, static_cast<const void*>(&value), sizeof value);
}

/// Elements first .. first + count - 1 of the row, then -inf (a class of probability 0) up to a multiple of 64. A whole block of numbers
/// that lie as they are needed is used where it is.
template <class T, real A> const A* load_block(const view<const T>& row, std::int64_t first, int count, block_buffer<A>& buffer) {
  const std::int64_t stride = row.stride(0);
  const T* x = row.data() + first * stride;
  if constexpr (std::same_as<T, A>) {
    if (stride == 1 && count == row_block) return x;
  }
  int i = 0;
  if (stride == 1) {  // fixed trip counts are turned into vector instructions at every level of optimisation
    for (; i + row_lanes <= count; i += row_lanes) {
      for (int k = 0; k < row_lanes; ++k) buffer.values[i + k] = static_cast<A>(x[i + k]);
    }
  }
  for (; i < count; ++i) buffer.values[i] = static_cast<A>(x[i * stride]);
  for (; i < padded(count); ++i) buffer.values[i] = -infinity<A>;
  return buffer.values;
}

/// Rounds a block of results to the row's element type and writes it.
template <class T, real A> void store_block(const view<T>& row, std::int64_t first, int count, const block_buffer<A>& buffer) {
  const std::int64_t stride = row.stride(0);
  T* x = row.data() + first * stride;
  int i = 0;
  if (stride == 1) {
    for (; i + row_lanes <= count; i += row_lanes) {
      for (int k = 0; k < row_lanes; ++k) x[i + k] = static_cast<T>(buffer.values[i + k]);
    }
  }
  for (; i < count; ++i) x[i * stride] = static_cast<T>(buffer.values[i]);
}

template <class T> void fill(const view<T>& row, std::int64_t begin, double value) {
  for (std::int64_t v = begin; v < row.extent(0); ++v) row(v) = static_cast<T>(static_cast<arithmetic<T>>(value));
}

/// 64 running sums.
template <class P> struct lane_sums {
  P part[row_lanes / lanes<P>]{};

  double total() const {
    double sum[row_lanes];
    int i = 0;
    for (const P& p : part) {
      for (lane_of<P> x : lane_buffer<P>(p).lane) sum[i++] = x;
    }
    for (int half = row_lanes / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) sum[k] += sum[k + half];
    }
    return sum[0];
  }
};

/// The largest element; NaN if there is one.
template <class P> [[gnu::noinline]] lane_of<P> block_max(const lane_of<P>* x, int size) {
  constexpr int width = lanes<P>, packs = row_lanes / width;
  P top[packs];
  for (P& t : top) t = P(-infinity<lane_of<P>>);
  for (int i = 0; i < size; i += row_lanes) {
    for (int k = 0; k < packs; ++k) top[k] = max(top[k], load_pack<P>(x + i + k * width));
  }
  lane_of<P> result = -infinity<lane_of<P>>;
  for (const P& t : top) {
    for (lane_of<P> lane : lane_buffer<P>(t).lane) result = max(result, lane);
  }
  return result;
}

/// Distance of a logit to the row's largest, z_v - max z = (x_v - top) / temperature <= 0: exact where x_v is near the top, so an offset
/// common to the whole row costs no accuracy.
template <class A> struct row_scale {
  A top, inverse_temperature;

  template <class P> ATTUNE_PACK_FN P operator()(const P& x) const { return (x - P(top)) * P(inverse_temperature); }
};

struct exp_sum {
  double ties = 0;  ///< elements equal to the top, each 1
  double rest = 0;  ///< sum of e^{z - shift} over all others
};

/// The largest terms are counted and not added: beside a 1 in float, the small terms of a confident row would be lost, and with them 1 - p.
template <class P> [[gnu::noinline]] exp_sum block_exp_sum(const lane_of<P>* x, int size, row_scale<lane_of<P>> z) {
  constexpr int width = lanes<P>;
  const P zero(0.0f), one(1.0f);
  lane_sums<P> ties, rest;
  for (int i = 0; i < size; i += row_lanes) {
    for (int k = 0; k < row_lanes / width; ++k) {
      const P logit = load_pack<P>(x + i + k * width);
      const auto tie = logit == P(z.top);
      ties.part[k] = ties.part[k] + select(tie, one, zero);
      rest.part[k] = rest.part[k] + select(tie, zero, exp(z(logit)));
    }
  }
  return {ties.total(), rest.total()};
}

/// The state of a row; {NaN, NaN} for a row with no finite logit, a NaN or +inf: it has no distribution.
template <class P, class T> row_state normalise(const view<const T>& row, double temperature) {
  using A = lane_of<P>;
  block_buffer<A> buffer;
  A top = -infinity<A>;
  for_blocks(row.extent(0),
             [&](std::int64_t first, int count) { top = max(top, block_max<P>(load_block(row, first, count, buffer), padded(count))); });
  if (!std::isfinite(top)) return {not_a_number<double>, not_a_number<double>};
  const row_scale<A> z{top, static_cast<A>(1 / temperature)};
  exp_sum sum;
  for_blocks(row.extent(0), [&](std::int64_t first, int count) {
    const exp_sum part = block_exp_sum<P>(load_block(row, first, count, buffer), padded(count), z);
    sum.ties += part.ties;
    sum.rest += part.rest;
  });
  return {static_cast<double>(top) / temperature, sum.ties + sum.rest};
}

/// The scale of a row from its state. For the state of `normalise`, top is the row's largest logit again (exactly, for float and halves).
template <real A> row_scale<A> scale_of(const row_state& state, double temperature) {
  return {static_cast<A>(state.shift * temperature), static_cast<A>(1 / temperature)};
}
/// e^{top / temperature - shift}: 1 for the state of `normalise`; corrects for a shift that is not the image of a float.
template <real A> double scale_correction(const row_state& state, double temperature, const row_scale<A>& z) {
  return std::exp(static_cast<double>(z.top) / temperature - state.shift);
}

}  // namespace attune::detail
