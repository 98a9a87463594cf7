// SPDX-License-Identifier: MIT
// Thrust (the CUDA 13 toolkit's CCCL, or 1.17 with any CPU system): its vectors and pointers as views, and attune's functions on its execution
// policies.
#pragma once

#include <attune/backend/thrust/lm_head.hpp>
#include <attune/backend/thrust/logits_gradient.hpp>
#include <attune/backend/thrust/policy.hpp>
#include <attune/backend/thrust/row_divergence.hpp>
#include <attune/backend/thrust/token_logps.hpp>
#include <attune/backend/thrust/update.hpp>
#include <attune/backend/thrust/vectors.hpp>
#include <attune/exec/device/evaluate.hpp>
#include <attune/exec/device/evaluate_tokens.hpp>
#include <attune/exec/device/sequence.hpp>
