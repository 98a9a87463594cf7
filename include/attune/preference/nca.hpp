// SPDX-License-Identifier: MIT
#pragma once

#include <attune/preference/listwise.hpp>
#include <attune/ranking/contrast.hpp>
#include <attune/score/log_ratio.hpp>

namespace attune {

/// Noise-contrastive alignment on K completions with rewards:
///
///   loss = -sum_i [ p_i log sigmoid(z_i) + (1/K) log sigmoid(-z_i) ],   z = beta D,   p = softmax(r / temperature)
///   d loss / d log pi(y_i) = beta ( sigmoid(z_i)/K - p_i sigmoid(-z_i) ),   D = log pi(y) - log pi_ref(y)
///
/// Besides the differences it fixes the level of the implicit rewards, which keeps the likelihood of good answers from falling.
/// Source   Chen et al. 2024, arXiv:2402.05369 (NCA).
struct nca {
  double beta = 0.1;
  double temperature = 0.1;

  ATTUNE_FN constexpr auto form() const { return listwise{score::log_ratio{}, ranking::noise_contrast{temperature}, beta}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<nca>{"beta", &nca::beta, positive, "inverse temperature of the policy [1/nat]"},
                      parameter<nca>{"temperature", &nca::temperature, positive, "of the rewards [reward/nat]"}};
  }
};

}  // namespace attune
