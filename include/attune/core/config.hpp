// SPDX-License-Identifier: MIT
// The compiler contract: C++20, IEEE arithmetic, and one annotation that lets host and device share a function body.
#pragma once

#if __cplusplus < 202002L
#error "attune needs C++20: compile this translation unit with -std=c++20 (CUDA: also -DCMAKE_CUDA_STANDARD=20)"
#endif

// Under -ffast-math a compiler may assume that NaN and infinity do not exist; then a non-finite input could be hidden
// and -inf logits could turn into garbage. A trainer that wants the flag compiles attune's calls in a file without it.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ == 1)
#error "attune does not compile under -ffast-math, -Ofast or -ffinite-math-only: put the calls into a file of their own, built without"
#endif

#if defined(__CUDACC__)
#define ATTUNE_FN __host__ __device__ inline
#else
#define ATTUNE_FN inline
#endif

// Functions of whole packs are always inlined: a call would pass 64-byte values through memory, and hide that softplus and sigmoid of
// the same number share one exponential.
#define ATTUNE_PACK_FN __attribute__((always_inline)) inline
