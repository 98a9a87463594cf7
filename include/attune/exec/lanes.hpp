// SPDX-License-Identifier: MIT
// Between tensors and packs: loading and storing lanes of any stride and element type, with the last, partial pack padded.
#pragma once

#include <attune/core/pack.hpp>  // native_pack
#include <attune/core/view.hpp>  // view


namespace attune::detail {

template <class P> inline constexpr int lanes = int(sizeof(P) / sizeof(lane_of<P>));

/// A vector anywhere in memory. One instruction reads or writes it; a memcpy of 64 bytes may become two, by way of the stack. (No reference
/// may be bound to the member: it would promise an alignment.)
template <class V> struct __attribute__((packed, may_alias)) unaligned { V vector; };
template <class V> ATTUNE_PACK_FN void read_vector(const void* from, V& to) { to = static_cast<const unaligned<V>*>(from)->vector; }
template <class V> ATTUNE_PACK_FN void write_vector(void* to, const V& from) { static_cast<unaligned<V>*>(to)->vector = from; }

/// As many consecutive numbers as P has lanes.
template <class P> ATTUNE_PACK_FN P read_pack(const lane_of<P>* from) {
  P result;
  if constexpr (std::is_same_v<P, lane_of<P>>) result = *from;
  else read_vector(from, result.v);
  return result;
}
template <class P> ATTUNE_PACK_FN void write_pack(lane_of<P>* to, const P& x) {
  if constexpr (std::is_same_v<P, lane_of<P>>) *to = x;
  else write_vector(to, x.v);
}

// Writes past the caches, for results larger than these, which else would be read before they are overwritten. g++ has no vector extension for
// that; its builtins need the instructions allowed where they are written, as comparisons do (core/pack.hpp).
#if !defined(__x86_64__) || defined(__CUDACC__)
template <class P> ATTUNE_PACK_FN void stream_pack(const P& x, lane_of<P>* to) { write_pack<P>(to, x); }
inline void finish_streams() {}
#else
template <int Bytes> struct streamed;
#if defined(__clang__)
#define ATTUNE_STREAM(size, name, specifiers) \
  template <> struct streamed<size> { \
    template <class V> ATTUNE_PACK_FN static void write(const V& from, void* to) { __builtin_nontemporal_store(from, static_cast<V*>(to)); } \
  };
#else
#define ATTUNE_STREAM(size, name, specifiers) \
  template <> struct streamed<size> { \
    template <class V> specifiers static void write(const V& from, void* to) { \
      __builtin_ia32_##name(static_cast<float*>(to), __builtin_bit_cast(typename pack<float, size / 4>::vector, from)); \
    } \
  };
#endif
ATTUNE_STREAM(16, movntps, ATTUNE_PACK_FN)
#if defined(__AVX__)
ATTUNE_STREAM(32, movntps256, ATTUNE_PACK_FN)
#else
ATTUNE_STREAM(32, movntps256, __attribute__((target(ATTUNE_TARGET_AVX2))) inline)
#endif
#if defined(__AVX512F__)
ATTUNE_STREAM(64, movntps512, ATTUNE_PACK_FN)
#else
ATTUNE_STREAM(64, movntps512, __attribute__((target(ATTUNE_TARGET_AVX512))) inline)
#endif
#undef ATTUNE_STREAM
/// To an address that is a multiple of the pack's size.
template <class P> ATTUNE_PACK_FN void stream_pack(const P& x, lane_of<P>* to) {
  if constexpr (std::is_same_v<P, lane_of<P>>) *to = x;
  else streamed<int(sizeof(P))>::write(x.v, to);
}
/// What was streamed is visible to other threads as after an ordinary write.
inline void finish_streams() { __builtin_ia32_sfence(); }
#endif

/// The lanes of a pack as a plain array.
template <class P>
struct lane_buffer {
  lane_of<P> lane[lanes<P>];

  explicit lane_buffer(lane_of<P> fill)
    requires(!std::is_same_v<P, lane_of<P>>)  // where a lane is a plain number (device compilers), the next one serves
  {
    for (auto& x : lane) x = fill;
  }
  ATTUNE_PACK_FN explicit lane_buffer(const P& x) { write_pack<P>(lane, x); }
  ATTUNE_PACK_FN P packed() const { return read_pack<P>(lane); }
};

}  // namespace attune::detail
