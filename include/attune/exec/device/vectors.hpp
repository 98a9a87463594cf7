// SPDX-License-Identifier: MIT
// How the bodies that run on a device read and write tensors: 16 bytes at a time, whatever the alignment and stride of a row.
//
// A body is a functor whose operator() does the work of one thread; its first argument is the thread's index. It holds raw pointers and
// strides, and knows neither CUDA nor Thrust: what launches it decides where it runs, and the host's compiler compiles the same text.
#pragma once

#include <attune/core/storage.hpp>  // storage, arithmetic

#include <cstdint>

namespace attune::detail {

/// A vector in a body's memory: element i is data[i * stride]. Without data it is absent.
template <class T> struct strided {
  T* data = nullptr;
  std::int64_t stride = 0;

  ATTUNE_FN bool given() const { return data != nullptr; }
  ATTUNE_FN T& operator()(std::int64_t i) const { return data[i * stride]; }
};

/// A row of a matrix: elements 0 .. size - 1, `stride` apart.
template <class T> struct strided_row {
  T* data;
  std::int64_t stride;
  int size;

  ATTUNE_FN T& operator()(int v) const { return data[v * stride]; }
};
/// The rows of a matrix; their offsets are 64-bit, columns are counted with 32.
template <class T> struct strided_rows {
  T* data;
  std::int64_t row_stride, column_stride;
  int columns;

  ATTUNE_FN strided_row<T> row(std::int64_t n) const { return {data + n * row_stride, column_stride, columns}; }
};

/// 16 bytes: what a thread of a device best reads and writes at once.
struct alignas(16) vector_words {
  std::uint32_t word[4];
};
template <class T> inline constexpr int vector_length = 16 / int(sizeof(T));

/// `from` and `to` are multiples of 16.
ATTUNE_FN vector_words read_words(const void* from) {
#if defined(__CUDA_ARCH__)
  const uint4 v = *static_cast<const uint4*>(from);
  return {{v.x, v.y, v.z, v.w}};
#else
  vector_words words;
  __builtin_memcpy(&words, __builtin_assume_aligned(from, 16), sizeof words);
  return words;
#endif
}
ATTUNE_FN void write_words(const vector_words& words, void* to) {
#if defined(__CUDA_ARCH__)
  *static_cast<uint4*>(to) = make_uint4(words.word[0], words.word[1], words.word[2], words.word[3]);
#else
  __builtin_memcpy(__builtin_assume_aligned(to, 16), &words, sizeof words);
#endif
}

/// Bytes shift .. shift + 15 of low and the high that follows it, 0 <= shift < 16, without an index that is known at run time only: that
/// would put registers into memory.
ATTUNE_FN vector_words shifted_words(const vector_words& low, const vector_words& high, int shift) {
  std::uint32_t word[8] = {low.word[0], low.word[1], low.word[2], low.word[3], high.word[0], high.word[1], high.word[2], high.word[3]};
  for (int k = 0; k < 6; ++k) word[k] = shift & 8 ? word[k + 2] : word[k];
  for (int k = 0; k < 5; ++k) word[k] = shift & 4 ? word[k + 1] : word[k];
  vector_words result;
  for (int k = 0; k < 4; ++k) {
    const std::uint64_t pair = std::uint64_t{word[k + 1]} << 32 | word[k];
    result.word[k] = static_cast<std::uint32_t>(pair >> (shift & 3) * 8);
  }
  return result;
}

/// The elements of 16 bytes in their arithmetic type, and back (rounded to nearest).
template <storage T> ATTUNE_FN void unpack(const vector_words& words, arithmetic<T> (&x)[vector_length<T>]) {
  for (int k = 0; k < 4; ++k) {
    if constexpr (sizeof(T) == 2) {
      x[2 * k] = static_cast<float>(__builtin_bit_cast(T, static_cast<std::uint16_t>(words.word[k] & 0xffffu)));
      x[2 * k + 1] = static_cast<float>(__builtin_bit_cast(T, static_cast<std::uint16_t>(words.word[k] >> 16)));
    } else if constexpr (sizeof(T) == 4) {
      x[k] = __builtin_bit_cast(float, words.word[k]);
    } else if (k % 2 == 0) {
      x[k / 2] = __builtin_bit_cast(double, std::uint64_t{words.word[k + 1]} << 32 | words.word[k]);
    }
  }
}
template <storage T> ATTUNE_FN vector_words packed(const arithmetic<T> (&x)[vector_length<T>]) {
  vector_words words;
  for (int k = 0; k < 4; ++k) {
    if constexpr (sizeof(T) == 2) {
      const T low = static_cast<T>(x[2 * k]), high = static_cast<T>(x[2 * k + 1]);
      words.word[k] = static_cast<std::uint32_t>(__builtin_bit_cast(std::uint16_t, high)) << 16;  // braces here would crash nvcc 13.0
      words.word[k] |= static_cast<std::uint32_t>(__builtin_bit_cast(std::uint16_t, low));
    } else if constexpr (sizeof(T) == 4) {
      words.word[k] = __builtin_bit_cast(std::uint32_t, x[k]);
    } else {
      words.word[k] = static_cast<std::uint32_t>(__builtin_bit_cast(std::uint64_t, x[k / 2]) >> (k % 2 * 32));
    }
  }
  return words;
}

/// How many bytes an address is behind a multiple of 16.
ATTUNE_FN int misalignment(const void* p) { return static_cast<int>(reinterpret_cast<std::uintptr_t>(p) % 16); }

/// Elements first, first + 1, ... of a row; `none` where it has none. Of a row that does not begin at a multiple of 16, the two aligned vectors
/// that hold them: each is in the cache when the next thread asks for it.
template <class T> ATTUNE_FN void load_vector(const strided_row<const T>& row, int first, arithmetic<T> none, arithmetic<T> (&x)[vector_length<T>]) {
  constexpr int length = vector_length<T>;
  if (row.stride == 1 && first >= 0 && first + length <= row.size) {
    const T* from = row.data + first;
    const int shift = misalignment(from), before = shift / int(sizeof(T));
    if (shift == 0) return unpack<T>(read_words(from), x);
    if (shift % int(sizeof(T)) == 0 && first >= before && first - before + 2 * length <= row.size) {
      const T* aligned = from - before;
      return unpack<T>(shifted_words(read_words(aligned), read_words(aligned + length), shift), x);
    }
  }
  for (int k = 0; k < length; ++k) x[k] = first + k >= 0 && first + k < row.size ? static_cast<arithmetic<T>>(row(first + k)) : none;
}
/// Writes elements first, first + 1, ...; those that the row does not have are left out.
template <class T> ATTUNE_FN void store_vector(const strided_row<T>& row, int first, const arithmetic<T> (&x)[vector_length<T>]) {
  constexpr int length = vector_length<T>;
  if (row.stride == 1 && first >= 0 && first + length <= row.size && misalignment(row.data + first) == 0) {
    return write_words(packed<T>(x), row.data + first);
  }
  for (int k = 0; k < length; ++k) {
    if (first + k >= 0 && first + k < row.size) row(first + k) = static_cast<T>(x[k]);
  }
}

/// Adds to a count that other threads add to, too. Integers: the sum does not depend on their order.
ATTUNE_FN void add_count(std::int64_t& count, int n) {
#if defined(__CUDA_ARCH__)
  atomicAdd(reinterpret_cast<unsigned long long*>(&count), static_cast<unsigned long long>(n));
#else
  __atomic_fetch_add(&count, n, __ATOMIC_RELAXED);
#endif
}

}  // namespace attune::detail
