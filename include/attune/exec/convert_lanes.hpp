// SPDX-License-Identifier: MIT
// Lanes from and to memory of another element type: 16-bit storage and double.
#pragma once

#include <attune/exec/lanes.hpp>  // lane_buffer, lanes

namespace attune::detail {

/// A value of type `From` as one of type `To`, rounded at most twice (double to float to 16 bits).
template <class To, class From>
ATTUNE_FN To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else {
    return static_cast<To>(static_cast<arithmetic<To>>(static_cast<arithmetic<From>>(x)));
  }
}

/// As many consecutive elements as S has lanes, converted: a read or write where the type is the lane's own, else a loop of constant
/// length, which compilers vectorise for most types. For bfloat16 they do not, so below its bits are moved by vector operations.
template <class S, class T>
ATTUNE_PACK_FN S widen(const T* from) {
  if constexpr (std::is_same_v<T, lane_of<S>>) {
    return read_pack<S>(from);
  } else {
    lane_buffer<S> buffer(lane_of<S>(0));
    for (int k = 0; k < lanes<S>; ++k) buffer.lane[k] = convert<lane_of<S>>(from[k]);
    return buffer.packed();
  }
}
template <class S, class T>
ATTUNE_PACK_FN void narrow(const S& x, T* to) {
  if constexpr (std::is_same_v<T, lane_of<S>>) {
    write_pack<S>(to, x);
  } else {
    const lane_buffer<S> buffer(x);
    for (int k = 0; k < lanes<S>; ++k) to[k] = convert<T>(buffer.lane[k]);
  }
}
template <int N>
struct bfloat16_lanes;  // device compilers have no lanes
#if !defined(__CUDACC__)
template <int N>
struct bfloat16_lanes {
  typedef std::uint16_t bits __attribute__((vector_size(2 * N)));
  typedef std::uint32_t words __attribute__((vector_size(4 * N)));
};
template <class S>
  requires std::same_as<lane_of<S>, float>
ATTUNE_PACK_FN S widen(const bfloat16* from) {
  using lane = bfloat16_lanes<lanes<S>>;
  typename lane::bits bits;
  read_vector(from, bits);
  return {__builtin_bit_cast(typename S::vector, __builtin_convertvector(bits, typename lane::words) << 16)};
}
template <int N>
ATTUNE_PACK_FN void narrow(const pack<float, N>& x, bfloat16* to) {  // the formula of bfloat16(float)
  using lane = bfloat16_lanes<N>;
  using words = typename lane::words;
  const words word = __builtin_bit_cast(words, x.v), high = word >> 16, nan = __builtin_bit_cast(words, (x != x).v);
  const words rounded = (word + 0x7fffu + (high & 1u)) >> 16;
  write_vector(to, __builtin_convertvector((nan & (high | 0x40u)) | (~nan & rounded), typename lane::bits));
}
#endif

}  // namespace attune::detail
