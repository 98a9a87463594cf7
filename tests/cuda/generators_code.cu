// SPDX-License-Identifier: MIT
// What row_divergence with its gradient is compiled to for generators with more to compute than a KL divergence has (device_code.sh): nothing spilled.
//
// kernel resident_divergence_block<attune::divergence::jensen_shannon, attune::bfloat16: spills = 0, registers <= 128, vector_loads >= 16, vector_stores >= 8
// kernel resident_divergence_block<attune::divergence::jensen_shannon, float: spills = 0, registers <= 128, vector_loads >= 16, vector_stores >= 8
// kernel resident_divergence_block<attune::divergence::generalized_jensen_shannon, attune::bfloat16: spills = 0, registers <= 128, vector_loads >= 16, vector_stores >= 8
// kernel resident_divergence_block<attune::divergence::skewed_reverse_kl, attune::bfloat16: spills = 0, registers <= 128, vector_loads >= 16, vector_stores >= 8
// kernel resident_divergence_block<attune::divergence::alpha_t, attune::bfloat16: spills = 0, registers <= 128, vector_loads >= 16, vector_stores >= 8
#include <attune/backend/cuda.hpp>
#include <attune/divergence/alpha_t.hpp>
#include <attune/divergence/generalized_jensen_shannon.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/skewed_reverse_kl.hpp>

using namespace attune;
#define KERNEL(...) template __global__ void detail::block_kernel<detail::__VA_ARGS__>(const __grid_constant__ detail::__VA_ARGS__);
KERNEL(resident_divergence_block<divergence::jensen_shannon, bfloat16, bfloat16>)
KERNEL(resident_divergence_block<divergence::jensen_shannon, float, float>)
KERNEL(resident_divergence_block<divergence::generalized_jensen_shannon, bfloat16, bfloat16>)
KERNEL(resident_divergence_block<divergence::skewed_reverse_kl, bfloat16, bfloat16>)
KERNEL(resident_divergence_block<divergence::alpha_t, bfloat16, bfloat16>)
