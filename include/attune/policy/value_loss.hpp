// SPDX-License-Identifier: MIT
// The critic's half of PPO.
#pragma once

#include <attune/core/parameter.hpp>
#include <attune/core/view.hpp>
#include <attune/preference/sample.hpp>

namespace attune {

/// The argument of an objective on values: what the critic says of a token's prefix.
template <class S>
struct value_estimate {
  S value{};                  ///< V
  real_of<S> old_value{};     ///< V when the samples were drawn
  real_of<S> target{};        ///< what it is fitted to: a return
};

struct value_kind {
  template <class S>
  using sample = value_estimate<S>;
  static constexpr const char* batch = "values", *gradients = "value_gradients";

  ATTUNE_MEMBER(at_value, value);
  ATTUNE_MEMBER(at_old_value, old_value);
  ATTUNE_MEMBER(at_target, target);
  static constexpr auto members = std::tuple{
      sample_member{"value", role::policy, at_value{}, 0.5},
      sample_member{"old_value", role::reference, at_old_value{}, 0.25},
      sample_member{"target", role::data, at_target{}, 1},
  };
};

template <class O>
concept value_objective = objective_on<O, value_kind>;

/// A batch of N values ([B, T] tensors in one row), as views of tensors that the trainer owns; the rules are those of `pairs`.
template <storage T, class Space = host>
struct values {
  using kind = value_kind;

  view<const T, 1, Space> value{};            ///< [N]
  view<const T, 1, Space> old_value{};        ///< [N]
  view<const T, 1, Space> target{};           ///< [N]
  view<const T, 1, Space> weight{};           ///< [N] >= 0; 0 leaves the value out
  view<const std::uint8_t, 1, Space> mask{};  ///< [N] 0 leaves the value out: its numbers are never read

  auto columns() const { return std::tie(value, old_value, target); }
  auto columns() { return std::tie(value, old_value, target); }
};
/// Where d loss / d value is written, [N]; left out: value only.
template <storage T, class Space = host>
struct value_gradients {
  view<T, 1, Space> value{};

  auto columns() const { return std::tie(value); }
  auto columns() { return std::tie(value); }
};

/// PPO's clipped value loss:
///
///   loss = 1/2 max( (V - target)^2, (min(max(V, V_old - clip), V_old + clip) - target)^2 )
///   d loss / d V = V - target, exactly 0 where the clipped term is the larger one
///
/// clip = inf: plain squared error; old_value then is not read.
/// Source   the PPO implementation of Dhariwal et al. 2017 (openai/baselines). TRL clips at .2, verl and OpenRLHF at .5, torchtune at .1, NeMo-RL not.
struct value_loss {
  double clip = 0.2;

  template <class S> ATTUNE_FN S operator()(const value_estimate<S>& x) const {
    using R = real_of<S>;
    const R width = R(lane_of<S>(clip)), half = R(lane_of<S>(0.5));
    const S plain = x.value - x.target;
    if (!(clip < infinity<double>)) return plain * plain * half;
    const S clipped = min(max(x.value, S(x.old_value - width)), S(x.old_value + width)) - x.target;
    return max(plain * plain, clipped * clipped) * half;
  }

  static constexpr auto parameters() {
    return std::array{parameter<value_loss>{"clip", &value_loss::clip, {.lower = 0, .includes_upper = true},
                                            "how far the value may move from V_old before its gradient ends [value]; inf: anywhere"}};
  }
};

}  // namespace attune
