// SPDX-License-Identifier: MIT
// Toy distributions, and what objectives do on them.
#pragma once

#include <attune/check/toy/bandit.hpp>
#include <attune/check/toy/bernoulli.hpp>
#include <attune/check/toy/distribution.hpp>
#include <attune/check/toy/estimator.hpp>
#include <attune/check/toy/grid.hpp>
#include <attune/check/toy/objective.hpp>
#include <attune/check/toy/softmax_policy.hpp>
#include <attune/check/toy/tokens.hpp>
#include <attune/check/toy/tree_policy.hpp>
