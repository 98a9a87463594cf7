// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/alpha_t.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jeffreys.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/neyman_chi_squared.hpp>
#include <attune/divergence/pearson_chi_squared.hpp>
#include <attune/divergence/squared_hellinger.hpp>
#include <attune/divergence/total_variation.hpp>
#include <attune/preference/listwise.hpp>
#include <attune/ranking/divergence.hpp>
#include <attune/score/log_ratio.hpp>

namespace attune {

/// f-divergence preference optimisation on K completions with rewards: any f-divergence between the two softmax distributions of the group.
///
///   loss = D_f(q || p) = sum_i p_i f(q_i / p_i),   q = softmax(beta D),   p = softmax(r / temperature),   D = log pi(y) - log pi_ref(y)
///   d loss / d log pi(y_i) = beta q_i ( f'(q_i/p_i) - sum_j q_j f'(q_j/p_j) )
///
/// With the reverse KL it is exo_rw; with the forward KL it is dpo_rw less the entropy of p. >= 0; 0 for a group of one.
/// Source   Han et al. 2024, arXiv:2410.21662. Its alpha and its names of the directions run the other way: there DPO is "reverse KL" and
///          alpha -> 0 is KL(q || p), here alpha_t = 1.
template <divergence::generator Generator>
struct f_po {
  Generator generator{};
  double beta = 0.1;
  double temperature = 0.1;

  ATTUNE_FN constexpr auto form() const {
    return listwise{score::log_ratio{}, ranking::softmax_divergence<Generator>{.temperature = temperature, .generator = generator}, beta};
  }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    return std::array{parameter<f_po>{"beta", &f_po::beta, positive, "inverse temperature of the policy [1/nat]"},
                      parameter<f_po>{"temperature", &f_po::temperature, positive, "of the rewards [reward/nat]"}};
  }
  template <class Visit>
  constexpr void for_each_part(Visit&& visit) const {
    visit(generator);
  }
};

using f_po_forward_kl = f_po<divergence::forward_kl>;
using f_po_jensen_shannon = f_po<divergence::jensen_shannon>;
using f_po_jeffreys = f_po<divergence::jeffreys>;
using f_po_neyman_chi_squared = f_po<divergence::neyman_chi_squared>;
using f_po_pearson_chi_squared = f_po<divergence::pearson_chi_squared>;
using f_po_squared_hellinger = f_po<divergence::squared_hellinger>;
using f_po_total_variation = f_po<divergence::total_variation>;

/// f_po by the alpha divergence, its alpha beside the other parameters.
struct f_po_alpha_t {
  double alpha = 0.5;
  double beta = 0.1;
  double temperature = 0.1;

  ATTUNE_FN constexpr auto form() const { return f_po<divergence::alpha_t>{{alpha}, beta, temperature}; }
  ATTUNE_FN double operator()(const group<double>& g, double* d) const { return form()(g, d); }
  ATTUNE_FN double reward(const completion<double>& y) const { return form().reward(y); }

  static constexpr auto parameters() {
    constexpr auto p = divergence::alpha_t::parameters()[0];
    return std::array{parameter<f_po_alpha_t>{"alpha", &f_po_alpha_t::alpha, p.domain, p.meaning},
                      parameter<f_po_alpha_t>{"beta", &f_po_alpha_t::beta, positive, "inverse temperature of the policy [1/nat]"},
                      parameter<f_po_alpha_t>{"temperature", &f_po_alpha_t::temperature, positive, "of the rewards [reward/nat]"}};
  }
};

}  // namespace attune
