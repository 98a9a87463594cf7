// SPDX-License-Identifier: MIT
// Which vector instructions a loop uses: decided when it runs, so that a program compiled for any x86-64 uses those of its machine.
//
// A loop is a kernel: a type whose static function template run<P>(arguments...) is written for packs P of any width and is always
// inlined. It is compiled once for each instruction set, in a function that allows the compiler these instructions, and nothing else is:
// a program's flags, and where it may run, stay what they were. (Function multiversioning by the compiler would be shorter, but g++ and
// clang disagree about it on templates, and its resolvers run before the sanitizers are ready.)
//
// ATTUNE_NO_DISPATCH, defined for a whole program, leaves only the instructions that it is compiled for: a third of the compile time where
// many objectives are instantiated.
#pragma once

#include <attune/core/pack.hpp>  // native_pack

namespace attune {

enum class instruction_set : int {
  compiled,  ///< those that the translation unit is compiled for
  avx2,      ///< AVX2, FMA and F16C: 32-byte registers
  avx512,    ///< AVX-512 F, BW, DQ and VL: 64-byte registers
};

namespace detail {

inline instruction_set best_instruction_set() {
#if defined(__x86_64__) && !defined(__CUDACC__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")) {
    return instruction_set::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return instruction_set::avx2;
#endif
  return instruction_set::compiled;
}
inline int chosen_instruction_set = static_cast<int>(best_instruction_set());

}  // namespace detail

/// The instruction set that batches are run with: the best that this machine has, unless it was limited.
inline instruction_set current_instruction_set() {
  return static_cast<instruction_set>(__atomic_load_n(&detail::chosen_instruction_set, __ATOMIC_RELAXED));
}

/// Limits batches that are run from now on, in the whole process, to an instruction set, or to the best of this machine if that is less.
/// Results differ between instruction sets in the last bits (fused multiply-add, the width of a sum); where the same bits are wanted on
/// different machines, limit all of them to the same set, of translation units compiled with the same flags. Never needed for speed.
inline void limit_instruction_set(instruction_set limit) {
  const instruction_set best = detail::best_instruction_set();
  __atomic_store_n(&detail::chosen_instruction_set, static_cast<int>(limit < best ? limit : best), __ATOMIC_RELAXED);
}

namespace detail {

#if defined(__x86_64__) && !defined(__CUDACC__) && !defined(ATTUNE_NO_DISPATCH)

/// Packs of P's arithmetic type that fill a register of so many bytes.
template <class P, int Bytes> using pack_of = pack<lane_of<P>, Bytes / int(sizeof(lane_of<P>))>;

// P, the pack of the translation unit, is a template argument of the following functions although they compute with wider ones: with it
// their names differ between translation units compiled for different machines, so that the linker keeps them apart.
template <class P, class Kernel, class... Arguments>
[[gnu::noinline, gnu::flatten, gnu::target(ATTUNE_TARGET_AVX512)]] auto run_avx512(Arguments... arguments) {
  return Kernel::template run<pack_of<P, 64>>(arguments...);
}
template <class P, class Kernel, class... Arguments>
[[gnu::noinline, gnu::flatten, gnu::target(ATTUNE_TARGET_AVX2)]] auto run_avx2(Arguments... arguments) {
  return Kernel::template run<pack_of<P, 32>>(arguments...);
}
template <class P, class Kernel, class... Arguments>
[[gnu::noinline]] auto run_compiled(Arguments... arguments) {
  return Kernel::template run<P>(arguments...);
}

/// Kernel::run<packs of the chosen instruction set>(arguments...). Arguments are passed by value: pointers, numbers, small structs.
template <class P, class Kernel, class... Arguments>
auto run_kernel(Arguments... arguments) {
  // Of doubles the functions are the standard library's, lane by lane.
  if constexpr (native_vector_bytes < 64 && std::is_same_v<lane_of<P>, float>) {
    const instruction_set set = current_instruction_set();
    if (set == instruction_set::avx512) return run_avx512<P, Kernel>(arguments...);
    if constexpr (native_vector_bytes < 32) {
      if (set == instruction_set::avx2) return run_avx2<P, Kernel>(arguments...);
    }
  }
  return run_compiled<P, Kernel>(arguments...);
}

#else

template <class P, class Kernel, class... Arguments>
[[gnu::noinline]] auto run_compiled(Arguments... arguments) {
  return Kernel::template run<P>(arguments...);
}
template <class P, class Kernel, class... Arguments>
auto run_kernel(Arguments... arguments) {
  return run_compiled<P, Kernel>(arguments...);
}

#endif

}  // namespace detail
}  // namespace attune
