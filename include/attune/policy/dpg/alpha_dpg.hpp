// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/alpha_t.hpp>
#include <attune/policy/dpg/coefficients.hpp>

namespace attune::dpg {

/// alpha-DPG: f-DPG with the alpha family and a pseudo-reward without the family's constant factor, limited from above,
///
///   R = min( (p/pi)^(1 - alpha) - 1, limit )  =  min( (1 - alpha) (-f'(pi/p)), limit ),     f of divergence::alpha_t
///
/// alpha in [0, 1): 0 is DPG with a limit; towards 1 the reverse KL, with a step that shrinks like 1 - alpha. To be used with a
/// leave_one_out baseline:
///
///   const dpg::alpha_dpg method{.alpha = 0.5};
///   dpg::pseudo_rewards(method.generator(), batch, z, rewards, method.reward());
///   dpg::policy_coefficients(method.generator(), batch, z, coefficients, {.baselines = baselines, .reward = method.reward()});
///
/// Source   alpha-DPG, naver/alpha-dpg (limit 10).
struct alpha_dpg {
  double alpha = 0.5;
  double limit = 10;

  /// Throw attune::error for parameters outside their domains.
  divergence::alpha_t generator() const {
    validate(*this);
    return {.alpha = alpha};
  }
  reward_shape reward() const {
    validate(*this);
    return {.scale = 1 - alpha, .limit = limit};
  }

  static constexpr auto parameters() {
    return std::array{parameter<alpha_dpg>{"alpha", &alpha_dpg::alpha, {.lower = 0, .upper = 1, .includes_lower = true},
                                           "0: forward KL, towards 1: reverse KL"},
                      parameter<alpha_dpg>{"limit", &alpha_dpg::limit, {.lower = 0, .includes_upper = true}, "largest pseudo-reward"}};
  }
};

}  // namespace attune::dpg
