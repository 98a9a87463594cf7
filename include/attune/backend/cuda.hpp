// SPDX-License-Identifier: MIT
// attune's functions by kernels of their own, on attune::cuda{stream}. For nvcc; needs the CUDA runtime and nothing else.
#pragma once

#include <attune/backend/cuda/fused_logits_gradient.hpp>
#include <attune/backend/cuda/logits_gradient.hpp>
#include <attune/backend/cuda/policy.hpp>
#include <attune/backend/cuda/row_divergence.hpp>
#include <attune/backend/cuda/sequence_loss.hpp>
#include <attune/backend/cuda/token_logps.hpp>
#include <attune/backend/cuda/update.hpp>
#include <attune/exec/device/evaluate.hpp>
#include <attune/exec/device/evaluate_tokens.hpp>
#include <attune/exec/device/lm_head.hpp>
#include <attune/exec/device/sequence.hpp>
