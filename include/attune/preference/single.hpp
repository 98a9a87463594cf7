// SPDX-License-Identifier: MIT
// One sample of unpaired feedback: a completion, and whether it was wanted.
#pragma once

#include <attune/preference/completion.hpp>
#include <attune/preference/sample.hpp>

namespace attune {

/// The argument of an objective on single completions.
template <class S>
struct single {
  completion<S> y;
  real_of<S> label{};  ///< +1: desirable, -1: undesirable
};

/// Single completions as a kind of sample: the table of their members.
struct single_kind {
  template <class S>
  using sample = single<S>;
  static constexpr const char* batch = "singles", *gradients = "single_gradients";

  ATTUNE_MEMBER(at_logp, y.logp);
  ATTUNE_MEMBER(at_ref_logp, y.ref_logp);
  ATTUNE_MEMBER(at_length, y.length);
  ATTUNE_MEMBER(at_reward, y.reward);
  ATTUNE_MEMBER(at_label, label);
  static constexpr auto members = std::tuple{
      sample_member{"logp", role::policy, at_logp{}, -12},
      sample_member{"ref_logp", role::reference, at_ref_logp{}, -13},
      sample_member{"length", role::length, at_length{}, 6},
      sample_member{"reward", role::data, at_reward{}, 0.75, presence::exact},
      sample_member{"label", role::data, at_label{}, 1, presence::exact},
  };
};

template <class O>
concept single_objective = objective_on<O, single_kind>;

}  // namespace attune
