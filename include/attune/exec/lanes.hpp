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
