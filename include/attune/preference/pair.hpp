// SPDX-License-Identifier: MIT
// One sample of preference data: a chosen and a rejected completion of the same prompt.
#pragma once

#include <attune/core/dual.hpp>  // real_of

namespace attune {

/// One completion as an objective sees it. Only `logp` carries derivatives; what comes from the reference model or from the data is a
/// constant by its type, so no gradient can reach it.
template <class S>
struct completion {
  S logp{};               ///< log-probability under the policy, summed over the completion's tokens [nat]
  real_of<S> ref_logp{};  ///< the same under the reference model [nat]
  real_of<S> length{};    ///< number of completion tokens, > 0

  ATTUNE_FN S log_ratio() const { return logp - ref_logp; }
  ATTUNE_FN S mean_logp() const { return logp / length; }
  ATTUNE_FN S mean_log_ratio() const { return log_ratio() / length; }
};

/// The argument of a pair objective.
template <class S>
struct pair {
  completion<S> chosen, rejected;
  real_of<S> margin{};  ///< demanded margin of this pair, in units of beta x score [nat]; 0 unless the data says otherwise
};

/// A member of a sample by name: what the columns of a table, the arguments of a checker and the messages of an error speak of.
struct pair_member {
  enum class role_type { policy, reference, length, margin };

  const char* name;
  role_type role;
  double& (*of)(pair<double>&);
  double typical;  ///< a value at which every objective is defined

  constexpr bool differentiable() const { return role == role_type::policy; }
  constexpr bool optional() const { return role == role_type::margin; }  ///< a batch without it means 0
};

inline constexpr pair_member pair_members[] = {
    {"chosen", pair_member::role_type::policy, [](pair<double>& x) -> double& { return x.chosen.logp; }, -12},
    {"rejected", pair_member::role_type::policy, [](pair<double>& x) -> double& { return x.rejected.logp; }, -15},
    {"ref_chosen", pair_member::role_type::reference, [](pair<double>& x) -> double& { return x.chosen.ref_logp; }, -13},
    {"ref_rejected", pair_member::role_type::reference, [](pair<double>& x) -> double& { return x.rejected.ref_logp; }, -14},
    {"chosen_length", pair_member::role_type::length, [](pair<double>& x) -> double& { return x.chosen.length; }, 6},
    {"rejected_length", pair_member::role_type::length, [](pair<double>& x) -> double& { return x.rejected.length; }, 5},
    {"margin", pair_member::role_type::margin, [](pair<double>& x) -> double& { return x.margin; }, 0},
};

/// A pair objective: a value struct with a call operator on one pair, templated on the scalar.
template <class O>
concept pair_objective = requires(const O& objective, const pair<double>& x) {
  { objective(x) } -> std::convertible_to<double>;
};

/// Whether the objective reads one member of the sample: its value becomes NaN when that member does. So the formula itself says
/// what data it needs, and nobody has to declare it.
template <pair_objective O>
bool reads(const O& objective, const pair_member& member) {
  pair<double> x;
  for (const pair_member& m : pair_members) m.of(x) = m.typical;
  member.of(x) = std::numeric_limits<double>::quiet_NaN();
  const double loss = objective(x);
  return loss != loss;
}
/// Whether it reads any member of that role.
template <pair_objective O>
bool reads(const O& objective, pair_member::role_type role) {
  for (const pair_member& m : pair_members) {
    if (m.role == role && reads(objective, m)) return true;
  }
  return false;
}

}  // namespace attune
