// SPDX-License-Identifier: MIT
// A policy-gradient objective as the sum of its parts.
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/core/unit.hpp>
#include <attune/core/weighted.hpp>
#include <attune/policy/token.hpp>

namespace attune {

/// No penalty.
struct no_penalty {
  template <class S> ATTUNE_FN S operator()(const token<S>&) const { return S(real_of<S>(0)); }
};

/// coefficient x an estimate of a divergence from the reference:  c K(u),  u = log pi - log pi_ref of the sampled token, K of kl:: or any scalar
/// unit. coefficient = 0: the reference is not read.
template <scalar_unit Estimator>
struct kl_penalty {
  double coefficient = 0.04;
  Estimator estimator{};

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    return weighted<S>(real_of<S>(lane_of<S>(coefficient)), apply(estimator, x.ref_log_ratio()));
  }
  static constexpr auto parameters() {
    return std::array{parameter<kl_penalty>{"coefficient", &kl_penalty::coefficient, nonnegative, "weight of the penalty [loss / nat]"}};
  }
  template <class Visit> constexpr void for_each_part(Visit&& visit) const {
    if constexpr (parametrised<Estimator>) visit(estimator);
  }
};

/// The same, corrected for old samples:  c r K(u), with the gradient through r = e^log_ratio as well. Of k3 it is c r u: its mean under pi_old is
/// the gradient of KL(pi || pi_ref).   Source   DeepSeek-V3.2, arXiv:2512.02556 (TRL's use_bias_correction_kl).
template <scalar_unit Estimator>
struct corrected_kl_penalty {
  double coefficient = 0.04;
  Estimator estimator{};

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    return weighted<S>(real_of<S>(lane_of<S>(coefficient)), corrected(x.log_ratio, x.ref_log_ratio()));
  }
  static constexpr auto parameters() {
    using self = corrected_kl_penalty;
    return std::array{parameter<self>{"coefficient", &self::coefficient, nonnegative, "weight of the penalty [loss / nat]"}};
  }
  template <class Visit> constexpr void for_each_part(Visit&& visit) const {
    if constexpr (parametrised<Estimator>) visit(estimator);
  }

 private:
  /// e^l K(u). Where the token's own ratio is meant, l and u move together, and the derivative is e^l (K + K')(u): in closed form if the
  /// estimator has it, because K and K' cancel where the reference has much more mass (k3: e^-u - 1 + u and 1 - e^-u; their sum is u).
  template <class S> ATTUNE_FN S corrected(const S& l, const S& u) const { return exp(l) * apply(estimator, u); }
  template <class T, int N> ATTUNE_FN dual<T, N> corrected(const dual<T, N>& l, const dual<T, N>& u) const {
    dual<T, N> product = exp(l) * apply(estimator, u);
    if constexpr (requires { estimator.scored_slope(u.value); }) {
      const T slope = exp(l.value) * estimator.scored_slope(u.value);
      for (int i = 0; i < N; ++i) product.grad[i] = select(l.grad[i] == u.grad[i], slope * u.grad[i], product.grad[i]);
    }
    return product;
  }
};

/// surrogate, penalty and entropy bonus:
///
///   loss = correction x surrogate(x) + penalty(x) - entropy_coefficient x entropy
///
///   penalised{grpo{}, kl_penalty<kl::k3>{.coefficient = 0.04}}        GRPO with its KL term
///
/// Ratio and reduction are the surrogate's. tokens.correction multiplies the surrogate only (of an objective that is no `penalised`, the whole loss).
template <token_objective Surrogate, token_objective Penalty = no_penalty>
struct penalised {
  Surrogate surrogate{};
  Penalty penalty{};
  double entropy_coefficient = 0;

  constexpr ratio_form ratio() const { return recipe_of(surrogate).ratio; }
  constexpr token_reduction reduction() const { return recipe_of(surrogate).reduction; }

  template <class S> ATTUNE_FN S operator()(const token<S>& x) const {
    using R = real_of<S>;
    return weighted<S>(x.correction, surrogate(x)) + penalty(x) - weighted<S>(R(lane_of<S>(entropy_coefficient)), x.entropy);
  }
  template <class R> ATTUNE_FN auto held(const token<R>& x) const
    requires requires { surrogate.held(x); }
  {
    return surrogate.held(x);
  }

  static constexpr auto parameters() {
    return std::array{parameter<penalised>{"entropy_coefficient", &penalised::entropy_coefficient, real_line, "weight of the entropy [loss / nat]"}};
  }
  template <class Visit> constexpr void for_each_part(Visit&& visit) const {
    if constexpr (parametrised<Surrogate>) visit(surrogate);
    if constexpr (!std::same_as<Penalty, no_penalty>) visit(penalty);
  }
};
template <class Surrogate>
penalised(Surrogate) -> penalised<Surrogate>;
template <class Surrogate, class Penalty>
penalised(Surrogate, Penalty) -> penalised<Surrogate, Penalty>;
template <class Surrogate, class Penalty>
penalised(Surrogate, Penalty, double) -> penalised<Surrogate, Penalty>;

}  // namespace attune
