// SPDX-License-Identifier: MIT
// Advantages of the completions of a step, by name (--advantage).
#pragma once

#include "names.hpp"

#include <attune/policy/advantage/baselines.hpp>
#include <attune/policy/advantage/group.hpp>
#include <attune/policy/advantage/pass_at_k.hpp>
#include <attune/policy/advantage/whiten.hpp>

#include <string>
#include <vector>

namespace align {

/// Groups of `size` completions, one behind the other: rewards and lengths [M] to advantages [M].
struct scored_groups {
  const std::vector<float>& rewards;
  const std::vector<float>& lengths;  ///< [tokens]
  std::size_t size;

  attune::advantage::grouping grouping() const { return {.group_size = std::int64_t(size)}; }
};

/// A rule with its name.
struct advantage_rule {
  const char* name;
  attune::advantage::group_report (*form)(const scored_groups&, std::vector<float>&);
};

template <const attune::advantage::group_options& Options>
attune::advantage::group_report of_groups(const scored_groups& x, std::vector<float>& result) {
  return attune::advantage::of_groups(x.rewards, x.grouping(), result, Options);
}
/// REINFORCE++ with a baseline: the reward less its group's mean, whitened over the step.
inline attune::advantage::group_report centred_and_whitened(const scored_groups& x, std::vector<float>& result) {
  const auto report = attune::advantage::of_groups(x.rewards, x.grouping(), result, attune::advantage::dr_grpo);
  attune::advantage::whiten(result, result);
  return report;
}
inline attune::advantage::group_report opo(const scored_groups& x, std::vector<float>& result) {
  return attune::advantage::opo(x.rewards, x.lengths, x.grouping(), result);
}
inline attune::advantage::group_report gpg(const scored_groups& x, std::vector<float>& result) {
  return attune::advantage::gpg(x.rewards, x.grouping(), result);
}
inline attune::advantage::group_report pass_at_k(const scored_groups& x, std::vector<float>& result) {
  return attune::advantage::pass_at_k(x.rewards, x.grouping(), result);
}

inline constexpr advantage_rule advantage_rules[] = {{"grpo", of_groups<attune::advantage::grpo>},
                                                     {"dr_grpo", of_groups<attune::advantage::dr_grpo>},
                                                     {"rloo", of_groups<attune::advantage::rloo>},
                                                     {"lite_ppo", of_groups<attune::advantage::lite_ppo>},
                                                     {"leave_one_out_normalised", of_groups<attune::advantage::leave_one_out_normalised>},
                                                     {"reinforce_plus_plus_baseline", centred_and_whitened},
                                                     {"opo", opo},
                                                     {"gpg", gpg},
                                                     {"pass_at_k", pass_at_k}};

inline std::vector<std::string> advantage_names() {
  std::vector<std::string> names;
  for (const advantage_rule& rule : advantage_rules) names.push_back(rule.name);
  return names;
}

/// The rule of that name; of none: the one that is called like the objective, or else grpo. Throws attune::error for another name.
inline advantage_rule find_advantage(const std::string& name, const std::string& objective) {
  for (const advantage_rule& rule : advantage_rules) {
    if (rule.name == (name.empty() ? objective : name)) return rule;
  }
  if (name.empty()) return advantage_rules[0];
  throw attune::error("--advantage " + name + ": expected one of: " + listed(advantage_names()));
}

}  // namespace align
