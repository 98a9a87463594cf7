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

// Functions of whole packs are always inlined: a call would pass 64-byte values through memory, and hide that softplus and sigmoid of
// the same number share one exponential. In kernels (exec/instruction_set.hpp), what is not inlined is also compiled for lesser
// instructions; so the functions of which objectives are made are always inlined, too.
#define ATTUNE_PACK_FN __attribute__((always_inline)) inline
#if defined(__CUDACC__)
#define ATTUNE_FN __host__ __device__ inline
// Before a template that calls what a user gives it: on the host that may be a function of the host.
#define ATTUNE_CALLS_ANY _Pragma("nv_exec_check_disable")
#else
#define ATTUNE_FN ATTUNE_PACK_FN
#define ATTUNE_CALLS_ANY
#endif

// In the operators of packs: a product and a sum may become one fused instruction where there is one. g++ does so by default, clang only
// within one expression.
#if defined(__clang__)
#define ATTUNE_FUSE _Pragma("clang fp contract(fast)")
#else
#define ATTUNE_FUSE
#endif

// Before a loop over a few packs whose results shall stay in registers.
#if defined(__clang__)
#define ATTUNE_UNROLL _Pragma("unroll")
#elif defined(__CUDACC__)
#define ATTUNE_UNROLL
#else
#define ATTUNE_UNROLL _Pragma("GCC unroll 16")
#endif

// The instructions that loops may use on machines that have them (exec/instruction_set.hpp).
#define ATTUNE_TARGET_AVX2 "avx2,fma,f16c,bmi2"
#define ATTUNE_TARGET_AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi2"
