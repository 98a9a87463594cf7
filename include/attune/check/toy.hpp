// SPDX-License-Identifier: MIT
// Toy distributions, and what objectives do on them.
#pragma once

#include <attune/check/toy/distribution.hpp>
#include <attune/check/toy/grid.hpp>
#include <attune/check/toy/objective.hpp>
#include <attune/check/toy/softmax_policy.hpp>
