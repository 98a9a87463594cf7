// SPDX-License-Identifier: MIT
// A row of logits, block by block in its arithmetic type, whatever its element type and stride.
//
// Kernels compute on a block, a plain array of `row_block` numbers or less in steps of 64: float, double or bfloat16, read where they lie if
// the row is packed, else copied and padded. Element i of a block belongs to running sum i mod 64: the order of additions depends neither
// on the width of a pack nor on stride or neighbours, and sums leave a block in double. Each element is read from main memory once; the
// kernels ask for what lies some 4 KiB ahead, because with a dozen operations a cache line the processor itself does not look that far.
#pragma once

#include <attune/core/view.hpp>   // view
#include <attune/exec/convert_lanes.hpp>    // widen, narrow
#include <attune/exec/instruction_set.hpp>  // run_kernel

#include <cstring>  // memcpy

namespace attune::detail {

inline constexpr int row_block = 4096;  // 16 KiB of float: stays in the first-level cache
inline constexpr int row_lanes = 64;

template <class A> inline constexpr A infinity = std::numeric_limits<A>::infinity();
template <class A> inline constexpr A not_a_number = std::numeric_limits<A>::quiet_NaN();

/// The type in which kernels read and write a row's elements: bfloat16 itself; other 16-bit types are converted before and after.
template <class T> using kernel_type = std::conditional_t<std::same_as<T, bfloat16>, bfloat16, arithmetic<T>>;

template <class K> struct alignas(64) block_buffer {
  K values[row_block];
  block_buffer() {}  // values: uninitialised
};

/// Calls work(first, count) for the blocks of a row: the first `head` elements, if there are any, then blocks of full size, then the rest.
template <class Work> void for_blocks(std::int64_t size, std::int64_t head, const Work& work) {
  if (head > 0) work(std::int64_t{0}, static_cast<int>(head < size ? head : size));
  for (std::int64_t first = head; first < size; first += row_block) {
    work(first, static_cast<int>(size - first < row_block ? size - first : row_block));
  }
}
template <class Work> void for_blocks(std::int64_t size, const Work& work) { for_blocks(size, 0, work); }
constexpr int padded(int count) { return (count + row_lanes - 1) / row_lanes * row_lanes; }

inline constexpr std::int64_t prefetch_distance = 4096;  // bytes

/// 64 elements from x on are about to be read: asks for those `ahead` bytes behind them. (Never a fault, even beyond the tensor.)
template <class T> ATTUNE_PACK_FN void prefetch_ahead(const T* x, std::int64_t ahead = prefetch_distance) {
  const auto address = reinterpret_cast<std::uintptr_t>(x) + static_cast<std::uintptr_t>(ahead);
  for (unsigned line = 0; line < row_lanes * sizeof(T); line += 64) __builtin_prefetch(reinterpret_cast<const void*>(address + line));
}

/// Elements first .. first + count - 1 of the row as a kernel reads them, then -inf (a class of probability 0) up to a multiple of 64.
template <class T, class K> const K* copy_block(const view<const T>& row, std::int64_t first, int count, block_buffer<K>& buffer) {
  const std::int64_t stride = row.stride(0);
  const T* x = row.data() + first * stride;
  int i = 0;
  if (stride == 1) {
    if constexpr (std::same_as<T, K>) {
      std::memcpy(buffer.values, x, static_cast<std::size_t>(i = count) * sizeof(K));
    } else {  // fixed trip counts are turned into vector instructions at every level of optimisation
      for (; i + row_lanes <= count; i += row_lanes) {
        for (int k = 0; k < row_lanes; ++k) buffer.values[i + k] = convert<K>(x[i + k]);
      }
    }
  }
  for (; i < count; ++i) buffer.values[i] = convert<K>(x[i * stride]);
  for (; i < padded(count); ++i) buffer.values[i] = static_cast<K>(-infinity<arithmetic<K>>);
  return buffer.values;
}
/// The same; a block of numbers that lie as they are needed is used where it is.
template <class T, class K> const K* load_block(const view<const T>& row, std::int64_t first, int count, block_buffer<K>& buffer) {
  if constexpr (std::same_as<T, K>) {
    if (row.stride(0) == 1 && count % row_lanes == 0) return row.data() + first;
  }
  return copy_block(row, first, count, buffer);
}

/// Rounds a block of results to the row's element type and writes it.
template <class T, class K> void store_block(const view<T>& row, std::int64_t first, int count, const block_buffer<K>& buffer) {
  const std::int64_t stride = row.stride(0);
  T* x = row.data() + first * stride;
  int i = 0;
  if (stride == 1) {
    for (; i + row_lanes <= count; i += row_lanes) {
      for (int k = 0; k < row_lanes; ++k) x[i + k] = convert<T>(buffer.values[i + k]);
    }
  }
  for (; i < count; ++i) x[i * stride] = convert<T>(buffer.values[i]);
}

/// Puts results, made block by block in type K, into a row of type T; if `streamed`, past the caches where they can be.
template <class T, class K = kernel_type<T>> class row_writer {
  static constexpr std::int64_t line = 64;  // bytes

 public:
  row_writer(const view<T>& row, bool streamed) : row_(row), streamed_(streamed && std::same_as<T, K> && row.stride(0) == 1) {}

  /// How many elements there are before the first that begins a cache line, if that matters.
  std::int64_t head() const {
    const auto behind = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(row_.data()) % line) / std::int64_t(sizeof(T));
    const std::int64_t head = streamed_ && behind > 0 ? line / std::int64_t(sizeof(T)) - behind : 0;
    return head < row_.extent(0) ? head : row_.extent(0);
  }
  /// Where `count` results, and what pads them to a multiple of 64, are to be written: their place in the row, or a buffer.
  K* place(std::int64_t first, int count) {
    if constexpr (std::same_as<T, K>) {
      if (row_.stride(0) == 1 && count % row_lanes == 0) return row_.data() + first;
    }
    return buffer_.values;
  }
  bool is_streamed(const K* place) const { return streamed_ && place != buffer_.values; }
  void written(std::int64_t first, int count, const K* place) const {
    if (place == buffer_.values) store_block(row_, first, count, buffer_);
  }
  void end() const {
    if (streamed_) finish_streams();
  }

 private:
  view<T> row_;
  bool streamed_;
  block_buffer<K> buffer_;
};

/// Whether a result is better written past the caches: one of many megabytes, in memory of its own.
template <class T> bool is_streamed(const view<T, 2>& result, const void* input) {
  constexpr std::int64_t large = std::int64_t{8} << 20;
  return result.data() != input && result.size() * std::int64_t(sizeof(T)) >= large;
}

template <class T> void fill(const view<T>& row, std::int64_t begin, double value) {
  for (std::int64_t v = begin; v < row.extent(0); ++v) row(v) = static_cast<T>(static_cast<arithmetic<T>>(value));
}

/// Two packs of consecutive elements. Those of bfloat16 are the even and the odd ones, because so they lie in words of 32 bits: a shift or
/// a mask makes them floats.
template <class P> struct twin {
  P a, b;
};
template <class P, class K> ATTUNE_PACK_FN twin<P> read_twin(const K* x) {
  return {widen<P>(x), widen<P>(x + lanes<P>)};
}
template <class P, class K> ATTUNE_PACK_FN void write_twin(const twin<P>& t, K* x) {
  narrow(t.a, x);
  narrow(t.b, x + lanes<P>);
}
#if !defined(__CUDACC__)
template <class P, std::same_as<bfloat16> K> ATTUNE_PACK_FN twin<P> read_twin(const K* x) {
  using words = typename bfloat16_lanes<lanes<P>>::words;
  words w;
  read_vector(x, w);
  return {{__builtin_bit_cast(typename P::vector, w << 16)}, {__builtin_bit_cast(typename P::vector, w & 0xffff0000u)}};
}
/// The words of x in whose upper halves the bits of the nearest bfloat16 are, as bfloat16(float) rounds; x is not NaN.
template <class P, class W> ATTUNE_PACK_FN void round_words(const P& x, W& result) {
  const W w = __builtin_bit_cast(W, x.v);
  result = w + 0x7fffu + ((w >> 16) & 1u);
}
/// The bits of the two as bfloat16 numbers, as a pack of float.
template <class P> ATTUNE_PACK_FN void pair_words(const twin<P>& t, P& result) {
  typename bfloat16_lanes<lanes<P>>::words a, b;
  round_words(t.a, a);
  round_words(t.b, b);
  result.v = __builtin_bit_cast(typename P::vector, (a >> 16) | (b & 0xffff0000u));
}
template <class P, std::same_as<bfloat16> K> ATTUNE_PACK_FN void write_twin(const twin<P>& t, K* x) {
  P words;
  pair_words(t, words);
  write_vector(x, words.v);
}
#endif

/// The same past the caches, to an address that is a multiple of the twin's size.
template <class P, class K> ATTUNE_PACK_FN void stream_twin(const twin<P>& t, K* x) {
  if constexpr (std::same_as<K, lane_of<P>>) {
    stream_pack(t.a, x);
    stream_pack(t.b, x + lanes<P>);
  } else {
    write_twin(t, x);
  }
}
#if !defined(__CUDACC__)
template <class P, std::same_as<bfloat16> K> ATTUNE_PACK_FN void stream_twin(const twin<P>& t, K* x) {
  P words;
  pair_words(t, words);
  stream_pack(words, reinterpret_cast<float*>(x));
}
#endif

template <class P> ATTUNE_PACK_FN lane_of<P> largest_lane(const P& x) {
  lane_buffer<P> top(x);
  for (int half = lanes<P> / 2; half > 0; half /= 2) {
    for (int k = 0; k < half; ++k) top.lane[k] = top.lane[k] > top.lane[k + half] ? top.lane[k] : top.lane[k + half];
  }
  return top.lane[0];
}

/// 64 numbers, kept as twins: what the elements i, i + 64, ... of a block added up to, or the largest of them.
template <class P> struct lanes_64 {
  static constexpr int twins = row_lanes / lanes<P> / 2;
  twin<P> part[twins];

  ATTUNE_PACK_FN explicit lanes_64(lane_of<P> start) {
    for (twin<P>& t : part) t.a = t.b = P(start);
  }
  /// Adds element k + 32 to element k, then k + 16, ...: an order that does not depend on the width of a pack.
  template <class K> ATTUNE_PACK_FN double total() const {
    constexpr int width = lanes<P>;
    lane_of<P> x[row_lanes];
    for (int t = 0; t < twins; ++t) {  // of bfloat16 the even elements, then the odd ones
      write_pack<P>(x + (std::same_as<K, bfloat16> ? t * width : 2 * t * width), part[t].a);
      write_pack<P>(x + (std::same_as<K, bfloat16> ? t * width + row_lanes / 2 : (2 * t + 1) * width), part[t].b);
    }
    if constexpr (std::same_as<K, bfloat16>) return folded<row_lanes / 2>(x) + folded<row_lanes / 2>(x + row_lanes / 2);
    else return folded<row_lanes>(x);
  }
  ATTUNE_PACK_FN lane_of<P> largest() const {
    P top = larger(part[0].a, part[0].b);
    for (int t = 1; t < twins; ++t) top = larger(larger(part[t].a, part[t].b), top);
    return largest_lane(top);
  }

 private:
  /// Loops of constant length, for the vectoriser.
  template <int N, class A> static ATTUNE_PACK_FN double folded(const A* x) {
    if constexpr (N == 1) {
      return x[0];
    } else {
      double half[N / 2];
      for (int k = 0; k < N / 2; ++k) half[k] = static_cast<double>(x[k]) + static_cast<double>(x[k + N / 2]);
      return folded<N / 2>(half + 0);
    }
  }
};

/// The largest element; NaNs do not count. (They are found where numbers are added.)
struct block_max {
  template <class P, class K> ATTUNE_PACK_FN static lane_of<P> run(const K* x, int size) {
    lanes_64<P> top(-infinity<lane_of<P>>);
    for (int i = 0; i < size; i += row_lanes) {
      ATTUNE_UNROLL
      for (int k = 0; k < top.twins; ++k) {
        const twin<P> logits = read_twin<P>(x + i + 2 * k * lanes<P>);
        top.part[k].a = larger(logits.a, top.part[k].a);
        top.part[k].b = larger(logits.b, top.part[k].b);
      }
    }
    return top.largest();
  }
};

}  // namespace attune::detail
