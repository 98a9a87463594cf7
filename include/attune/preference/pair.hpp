// SPDX-License-Identifier: MIT
// One sample of preference data: a chosen and a rejected completion of the same prompt.
#pragma once

#include <attune/preference/completion.hpp>
#include <attune/preference/sample.hpp>

namespace attune {

/// The argument of a pair objective.
template <class S>
struct pair {
  completion<S> chosen, rejected;
  real_of<S> margin{};  ///< demanded margin of this pair, in units of beta x score [nat]; 0 unless the data says otherwise
};

/// A pair with what a few objectives need beyond two log-probabilities; an objective that takes this type instead of `pair` gets it.
template <class S>
struct detailed_pair : pair<S> {
  S chosen_kl{};    ///< sum over the chosen completion's tokens of KL(reference || policy) of the next-token distributions [nat]
  S rejected_kl{};  ///< the same for the rejected one
  S target_logp{};  ///< log pi(y*|x) of a third completion y* whose likelihood is to be raised, e.g. a gold answer [nat]
  real_of<S> target_length{};  ///< |y*| [tokens]
};

/// Pairs as a kind of sample: the table of their members.
struct pair_kind {
  template <class S>
  using sample = pair<S>;
  static constexpr const char* batch = "pairs", *gradients = "pair_gradients";

  ATTUNE_MEMBER(at_chosen, chosen.logp);
  ATTUNE_MEMBER(at_rejected, rejected.logp);
  ATTUNE_MEMBER(at_ref_chosen, chosen.ref_logp);
  ATTUNE_MEMBER(at_ref_rejected, rejected.ref_logp);
  ATTUNE_MEMBER(at_chosen_length, chosen.length);
  ATTUNE_MEMBER(at_rejected_length, rejected.length);
  ATTUNE_MEMBER(at_chosen_reward, chosen.reward);
  ATTUNE_MEMBER(at_rejected_reward, rejected.reward);
  ATTUNE_MEMBER(at_margin, margin);
  static constexpr auto members = std::tuple{
      sample_member{"chosen", role::policy, at_chosen{}, -12},
      sample_member{"rejected", role::policy, at_rejected{}, -15},
      sample_member{"ref_chosen", role::reference, at_ref_chosen{}, -13},
      sample_member{"ref_rejected", role::reference, at_ref_rejected{}, -14},
      sample_member{"chosen_length", role::length, at_chosen_length{}, 6},
      sample_member{"rejected_length", role::length, at_rejected_length{}, 5},
      sample_member{"chosen_reward", role::data, at_chosen_reward{}, 0.75, presence::exact},
      sample_member{"rejected_reward", role::data, at_rejected_reward{}, 0.25, presence::exact},
      sample_member{"margin", role::data, at_margin{}, 0, presence::optional},
  };
};

struct detailed_pair_kind {
  template <class S>
  using sample = detailed_pair<S>;
  static constexpr const char* batch = "pairs", *gradients = "pair_gradients";

  ATTUNE_MEMBER(at_chosen_kl, chosen_kl);
  ATTUNE_MEMBER(at_rejected_kl, rejected_kl);
  ATTUNE_MEMBER(at_target, target_logp);
  ATTUNE_MEMBER(at_target_length, target_length);
  static constexpr auto members = std::tuple_cat(
      pair_kind::members,
      std::tuple{sample_member{"chosen_kl", role::policy, at_chosen_kl{}, 2, presence::exact},
                 sample_member{"rejected_kl", role::policy, at_rejected_kl{}, 3, presence::exact},
                 sample_member{"target", role::policy, at_target{}, -9, presence::exact},
                 sample_member{"target_length", role::length, at_target_length{}, 4, presence::exact}});
};

/// What can be called with a pair, and what needs a detailed one.
template <class O>
concept pair_objective = objective_on<O, pair_kind>;
template <class O>
concept detailed_pair_objective = objective_on<O, detailed_pair_kind> && !pair_objective<O>;

}  // namespace attune
