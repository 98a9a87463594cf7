// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/device/vectors.hpp>

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

}  // namespace attune::detail
