// SPDX-License-Identifier: MIT
#include "policy_objective.hpp"

#include "held/objectives.hpp"
#include "names.hpp"

#include <attune/catalog/token.hpp>
#include <attune/exec/evaluate_tokens.hpp>
#include <attune/policy/kl/estimators.hpp>
#include <attune/policy/penalised.hpp>

#include <sstream>
#include <utility>

namespace align {
namespace {

using attune::ratio_level;
using attune::token_recipe;
using attune::token_reduction;

/// Estimators as one unit, so that every surrogate is compiled with one penalty. The branch is the same for all tokens. k3+ is
/// straight_through<k3, k2>: its slope is not the derivative of its value.
enum class estimator { k1, k2, k3, k3_plus };
struct chosen_kl {
  estimator which = estimator::k3;

  template <class S> ATTUNE_FN S value(S u) const {
    switch (which) {
      case estimator::k1: return attune::kl::k1{}.value(u);
      case estimator::k2: return attune::kl::k2{}.value(u);
      default: return attune::kl::k3{}.value(u);
    }
  }
  template <class S> ATTUNE_FN S slope(S u) const {
    switch (which) {
      case estimator::k1: return attune::kl::k1{}.slope(u);
      case estimator::k3: return attune::kl::k3{}.slope(u);
      default: return attune::kl::k2{}.slope(u);
    }
  }
};
constexpr std::pair<const char*, estimator> estimators[] = {
    {"k1", estimator::k1}, {"k2", estimator::k2}, {"k3", estimator::k3}, {"k3+", estimator::k3_plus}};

constexpr std::pair<const char*, token_reduction> reductions[] = {{"token_mean", token_reduction::token_mean},
                                                                  {"sequence_mean_token_mean", token_reduction::sequence_mean_token_mean},
                                                                  {"sequence_mean_token_sum", token_reduction::sequence_mean_token_sum},
                                                                  {"constant_length", token_reduction::constant_length},
                                                                  {"token_sum", token_reduction::token_sum}};

/// Names under which PPO's surrogate has another ratio or another mean.
template <class Objective> constexpr token_recipe recipe() { return attune::recipe_of(Objective{}); }
const std::pair<const char*, token_recipe> aliases[] = {{"grpo", recipe<attune::grpo>()},   {"dr_grpo", recipe<attune::dr_grpo>()},
                                                        {"gspo", recipe<attune::gspo>()},   {"gspo_token", recipe<attune::gspo_token>()},
                                                        {"luspo", recipe<attune::luspo>()}, {"rloo", recipe<attune::rloo>()}};

template <class Table> std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& [name, value] : table) names.push_back(name);
  return names;
}
template <class Table> auto named(const Table& table, const std::string& name, const char* option) {
  for (const auto& [known, value] : table) {
    if (known == name) return value;
  }
  throw attune::error(std::string("--") + option + " " + name + ": expected one of: " + listed(names_of(table)));
}

template <class Unit> policy_objective objective_of(const char* name, const Unit& unit, const policy_settings& s) {
  using penalised = attune::penalised<Unit, attune::kl_penalty<chosen_kl>>;
  const estimator which = named(estimators, s.kl.empty() ? "k3" : s.kl, "kl");
  const penalised whole{unit, {.coefficient = s.kl_coefficient, .estimator = {which}}, s.entropy_coefficient};
  policy_objective o{.name = name, .on_float = whole, .on_double = whole};
  o.reduction = whole.reduction();
  o.reads_reference = attune::reads<attune::token_kind>(whole, attune::member_named<attune::token_kind>("ref_logp"));
  o.reads_entropy = attune::reads<attune::token_kind>(whole, attune::member_named<attune::token_kind>("entropy"));
  o.is_derivative = !attune::stops_gradient<Unit> && !(which == estimator::k3_plus && s.kl_coefficient > 0);
  if constexpr (std::same_as<Unit, attune::clip_cov>) o.selection = attune::covariance::clip_cov{.clip_lower = unit.low, .clip_upper = unit.high};
  if constexpr (std::same_as<Unit, attune::kl_cov>) o.selection = attune::covariance::kl_cov{};
  return o;
}

/// Ratio and mean: those of the name, then what --reduction says.
void set_recipe(policy_objective& o, const policy_settings& s, std::size_t context) {
  for (const auto& [name, recipe] : aliases) {
    if (s.name != name) continue;
    o.name = name;
    o.options.ratio = recipe.ratio.level;
    o.reduction = recipe.reduction;
  }
  if (!s.reduction.empty()) o.reduction = named(reductions, s.reduction, "reduction");
  o.options.reduction = o.reduction;
  if (o.reduction == token_reduction::constant_length) o.options.constant_length = double(context);
}

template <class Real>
attune::policy_report run(const policy_objective& o, const attune::any_objective<attune::token_kind, Real>& held, const attune::tokens<Real>& batch,
                          const attune::token_gradients<Real>& gradients, double normalizer) {
  attune::token_options options = o.options;
  options.normalizer = normalizer;
  return attune::evaluate(held, batch, gradients, options);
}

}  // namespace

std::vector<std::string> policy_names() {
  std::vector<std::string> names;
  attune::catalog::for_each_token_objective([&](const auto& entry) {
    names.push_back(entry.name);
    std::istringstream also(entry.also);
    for (std::string name; also >> name;) names.push_back(name);
  });
  return names;
}
std::vector<std::string> kl_names() { return names_of(estimators); }
std::vector<std::string> reduction_names() { return names_of(reductions); }

double policy_objective::denominator(std::size_t tokens, std::size_t completions) const {
  if (reduction == token_reduction::token_sum) return 1;
  return double(reduction == token_reduction::token_mean ? tokens : completions);
}

attune::policy_report policy_objective::operator()(const attune::tokens<float>& batch, const attune::token_gradients<float>& gradients, double normalizer) const {
  return run(*this, on_float, batch, gradients, normalizer);
}
attune::policy_report policy_objective::operator()(const attune::tokens<double>& batch, const attune::token_gradients<double>& gradients, double normalizer) const {
  return run(*this, on_double, batch, gradients, normalizer);
}

policy_objective make_policy_objective(const policy_settings& s, const std::vector<std::string>& set, std::size_t context) {
  std::optional<policy_objective> found;
  attune::catalog::for_each_token_objective([&](const auto& entry) {
    typename std::remove_cvref_t<decltype(entry)>::unit unit;
    if (found || !held::is_called(entry.name, entry.also, s.name)) return;
    for (const std::string& setting : set) apply_setting(unit, setting, "--set");
    attune::validate(unit);
    found = objective_of(entry.name, unit, s);
  });
  if (!found) throw attune::error("--policy " + s.name + ": expected one of: " + listed(policy_names()));
  set_recipe(*found, s, context);
  return *found;
}

}  // namespace align
