// SPDX-License-Identifier: MIT
#pragma once

#include <attune/divergence/categorical.hpp>
#include <attune/ranking/order.hpp>  // list_room

namespace attune::ranking {

/// f-divergence between the softmax of the scores and the softmax of the rewards:
///
///   L = D_f(q || p) = sum_i p_i f(q_i / p_i),   q = softmax(z),   p = softmax(r / temperature)
///   dL/dz_i = q_i ( f'(t_i) - sum_j q_j f'(t_j) ),   t = q / p
///
/// f: any generator; reverse_kl is EXO, forward_kl has cross_entropy's gradient. 0 where scores and rewards / temperature differ by a
/// constant; never negative.
/// Source   Ji et al. 2024, arXiv:2402.00856 (EXO, reverse KL); f-PO, Han et al. 2024, arXiv:2410.21662 (its alpha and its names of the
///          directions run the other way; here forward_kl = KL(p || q)).
template <divergence::generator G>
struct softmax_divergence {
  double temperature = 1;
  G generator{};

  ATTUNE_FN double operator()(values z, values r, double* dz) const {
    const softmax p(r, 1 / temperature);
    double log_p[list_room];
    for (int i = 0; i < r.size; ++i) log_p[i] = p.log_probability(i);
    return divergence::detail::group_divergence(generator, z.data, static_cast<const double*>(log_p), dz, z.size);
  }

  static constexpr auto parameters() {
    return std::array{parameter<softmax_divergence>{"temperature", &softmax_divergence::temperature, positive, "of the rewards [reward/nat]"}};
  }
  template <class Visit>
  constexpr void for_each_part(Visit&& visit) const {
    visit(generator);
  }
};

}  // namespace attune::ranking
