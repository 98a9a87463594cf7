// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/reverse_kl.hpp>
#include <attune/link/logistic.hpp>
#include <attune/preference/preference.hpp>
#include <attune/score/f_slope.hpp>

namespace attune {

/// f-DPO: DPO whose policy is held to the reference by another f-divergence than the reverse KL.
///
///   loss = -log sigmoid( beta (f'(e^D_w) - f'(e^D_l)) - margin ),   D = log pi(y) - log pi_ref(y)
///   d loss / d log pi(y_w) = -beta sigmoid(-z) f'-slope(D_w),  with f'-slope(u) = d f'(e^u)/du the generator's curvature
///
///   generator        score f'(e^D)               reverse_kl is DPO itself
///   forward_kl       1 - e^-D                    saturates at D < -87.3 (float), -708.3 (double); see score/f_slope.hpp
///   jensen_shannon   log 2 - log(1 + e^-D)
///
/// Source   Wang et al. 2023, arXiv:2309.16240, eq. 9 and table 1.
template <class Generator>
struct f_dpo {
  Generator generator{};
  double beta = 0.1;

  ATTUNE_FN constexpr auto form() const { return preference{score::f_slope<Generator>{generator}, link::logistic{}, beta}; }
  template <class S> ATTUNE_FN S operator()(const pair<S>& x) const { return form()(x); }
  template <class S> ATTUNE_FN S reward(const completion<S>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<f_dpo>{"beta", &f_dpo::beta, positive, "inverse temperature [1/nat]"}};
  }
};

using f_dpo_forward_kl = f_dpo<divergence::forward_kl>;
using f_dpo_reverse_kl = f_dpo<divergence::reverse_kl>;
using f_dpo_jensen_shannon = f_dpo<divergence::jensen_shannon>;

}  // namespace attune
