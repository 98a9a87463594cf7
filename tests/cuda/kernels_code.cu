// SPDX-License-Identifier: MIT
// What attune's kernels are compiled to (device_code.sh): nothing spilled, logits read and written 16 bytes at a time.
//
// kernel token_logps_block<attune::bfloat16, false>: spills = 0, stack = 0, registers <= 40, vector_loads >= 4
// kernel token_logps_block<attune::bfloat16, true>: spills = 0, stack = 0, registers <= 40, vector_loads >= 4
// kernel token_logps_block<float, false>: spills = 0, stack = 0, registers <= 40, vector_loads >= 4
// kernel token_logps_block<float, true>: spills = 0, stack = 0, registers <= 40, vector_loads >= 4
// kernel token_logps_block<double, false>: spills = 0, vector_loads >= 4
// kernel logits_gradient_block<attune::bfloat16, false>: spills = 0, stack = 0, registers <= 64, vector_loads >= 4, vector_stores >= 4
// kernel logits_gradient_block<attune::bfloat16, true>: spills = 0, stack = 0, registers <= 64, vector_loads >= 4, vector_stores >= 4
// kernel logits_gradient_block<float, false>: spills = 0, stack = 0, registers <= 64, vector_loads >= 4, vector_stores >= 4
// kernel fused_gradient_block<attune::bfloat16, false, false: spills = 0, stack = 0, registers <= 80, shared <= 8192, vector_loads >= 10, vector_stores >= 10
// kernel fused_gradient_block<attune::bfloat16, true, false: spills = 0, stack = 0, registers <= 80, shared <= 8192, vector_loads >= 10, vector_stores >= 10
// kernel fused_gradient_block<float, false, false: spills = 0, stack = 0, registers <= 64, shared <= 8192, vector_loads >= 8, vector_stores >= 8
// kernel fused_gradient_block<float, true, false: spills = 0, stack = 0, registers <= 128, shared <= 8192, vector_loads >= 8, vector_stores >= 8
// kernel ::divergence_block<attune::divergence::forward_kl, attune::bfloat16: spills = 0, stack = 0, registers <= 64, vector_loads >= 4
// kernel ::divergence_block<attune::divergence::forward_kl, float: spills = 0, stack = 0, registers <= 64, vector_loads >= 4
// kernel resident_divergence_block<attune::divergence::forward_kl, attune::bfloat16: spills = 0, stack = 0, registers <= 128, vector_loads >= 16, vector_stores >= 8
#include <attune/backend/cuda.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/policy/surrogate/clip.hpp>

using namespace attune;
#define KERNEL(...) template __global__ void detail::block_kernel<detail::__VA_ARGS__>(const __grid_constant__ detail::__VA_ARGS__);
KERNEL(token_logps_block<bfloat16, false>)
KERNEL(token_logps_block<bfloat16, true>)
KERNEL(token_logps_block<float, false>)
KERNEL(token_logps_block<float, true>)
KERNEL(token_logps_block<double, false>)
KERNEL(logits_gradient_block<bfloat16, false>)
KERNEL(logits_gradient_block<bfloat16, true>)
KERNEL(logits_gradient_block<float, false>)
KERNEL(fused_gradient_block<bfloat16, false, false, detail::token_row_objective<ppo, float>>)
KERNEL(fused_gradient_block<bfloat16, true, false, detail::token_row_objective<ppo, float>>)
KERNEL(fused_gradient_block<float, false, false, detail::token_row_objective<ppo, float>>)
KERNEL(fused_gradient_block<float, true, false, detail::token_row_objective<ppo, float>>)
KERNEL(divergence_block<divergence::forward_kl, bfloat16, bfloat16>)
KERNEL(divergence_block<divergence::forward_kl, float, float>)
KERNEL(resident_divergence_block<divergence::forward_kl, bfloat16, bfloat16>)
