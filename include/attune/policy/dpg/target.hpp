// SPDX-License-Identifier: MIT
// Target distributions p = P / Z as energy-based models: a base model a, tilted or filtered. A trainer evaluates log P [nat] of its samples;
// Z is estimated from them (partitions.hpp).
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/core/scalar.hpp>
#include <attune/core/view.hpp>

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace attune::dpg {

/// Reward maximisation with a KL penalty:  P(x) = a(x) e^(r(x) / beta).
///
/// p is the optimum of E[r] - beta KL(pi || a), so that the reverse KL to it is RLHF's objective, divided by beta, up to a constant.
/// log_base = log a(x) [nat], -inf where the base model excludes x; reward in any unit, beta > 0 [the reward's unit / nat].
/// Source   Korbak et al. 2022, arXiv:2206.00761; f-DPG, arXiv:2302.08215.
struct reward_target {
  double beta = 1;

  double log_density(double log_base, double reward) const { return log_base + reward / beta; }

  static constexpr auto parameters() {
    return std::array{parameter<reward_target>{"beta", &reward_target::beta, positive, "temperature of the reward [its unit / nat]"}};
  }
};

/// Pointwise constraint:  P(x) = a(x) b(x), b in {0, 1}: the base model, given that b holds. Several constraints: the product of their b's.
/// Source   GDC, Khalifa et al. 2021, arXiv:2012.11635.
struct pointwise_target {
  double log_density(double log_base, bool accepted) const { return accepted ? log_base : -infinity<double>; }
};

/// Distributional constraint:  P(x) = a(x) e^(lambda . phi(x)), of all distributions with E[phi] = mu the one nearest to a: it minimises
/// KL(c || a), and KL(c || a) = KL(c || p) + KL(p || a) for each such c. lambda comes from fit_lambda (lambda.hpp).
/// phi [M], like lambda: features of a sample. Throws attune::error for another number of features than lambda has.
/// Source   GDC, Khalifa et al. 2021, arXiv:2012.11635.
struct distributional_target {
  std::vector<double> lambda;

  double log_density(double log_base, std::span<const double> features) const {
    attune::detail::require_extent(static_cast<std::int64_t>(features.size()), static_cast<std::int64_t>(lambda.size()), "features", "lambda");
    double sum = log_base;
    for (std::size_t j = 0; j < lambda.size(); ++j) sum += lambda[j] * features[j];
    return sum;
  }
};

}  // namespace attune::dpg
