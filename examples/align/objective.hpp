// SPDX-License-Identifier: MIT
#pragma once

#include "held/objectives.hpp"

#include <attune/exec/evaluate.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace align {

/// What the data says of a pair, for objectives that read rewards: the chosen answer has 1, the rejected one 0, or what a shaping of the
/// catalogue makes of them.
struct label_rewards {
  double chosen = 1, rejected = 0;
};
template <class Real>
struct pair_rewards {
  std::vector<Real> chosen, rejected;
  pair_rewards(std::int64_t size, const label_rewards& r) : chosen(std::size_t(size), Real(r.chosen)), rejected(std::size_t(size), Real(r.rejected)) {}
};

/// A pair objective on a batch of pairs.
template <class Real>
attune::report evaluate_on_pairs(const attune::any_objective<attune::pair_kind, Real>& unit, attune::pairs<Real> batch, const attune::pair_gradients<Real>& gradients,
                                 const label_rewards& labels, const attune::options& o) {
  const pair_rewards<Real> rewards(batch.chosen.extent(0), labels);
  if (attune::reads<attune::pair_kind>(unit, attune::member_named<attune::pair_kind>("chosen_reward"))) batch.chosen_reward = rewards.chosen;
  if (attune::reads<attune::pair_kind>(unit, attune::member_named<attune::pair_kind>("rejected_reward"))) batch.rejected_reward = rewards.rejected;
  return attune::evaluate(unit, batch, gradients, o);
}

/// An objective on single completions: the chosen answers are desirable, the rejected ones are not. A pair is two samples; the mean over
/// samples is half the mean over pairs.
template <class Real>
attune::report evaluate_on_pairs(const attune::any_objective<attune::single_kind, Real>& unit, const attune::pairs<Real>& batch, const attune::pair_gradients<Real>& gradients,
                                 const label_rewards&, const attune::options& o) {
  const std::vector<std::uint8_t> yes(std::size_t(batch.chosen.extent(0)), 1), no(yes.size(), 0);
  const attune::options both{.normalizer = 2 * o.normalizer.value_or(double(yes.size()))};
  const attune::report desirable = attune::evaluate(
      unit, attune::singles<Real>{.logp = batch.chosen, .ref_logp = batch.ref_chosen, .length = batch.chosen_length, .label = yes},
      {.logp = gradients.chosen}, both);
  return desirable + attune::evaluate(unit, attune::singles<Real>{.logp = batch.rejected, .ref_logp = batch.ref_rejected, .length = batch.rejected_length, .label = no},
                                      {.logp = gradients.rejected}, both);
}

/// An objective on groups: a pair is a group of two.
template <class Real>
attune::report evaluate_on_pairs(const held::any_group& unit, const attune::pairs<Real>& batch, const attune::pair_gradients<Real>& gradients,
                                 const label_rewards& labels, const attune::options& o) {
  const std::int64_t size = batch.chosen.extent(0);
  std::vector<Real> logp, ref_logp, reward, length, d_logp(std::size_t(2 * size));
  for (std::int64_t i = 0; i < size; ++i) {
    logp.insert(logp.end(), {batch.chosen(i), batch.rejected(i)});
    reward.insert(reward.end(), {Real(labels.chosen), Real(labels.rejected)});
    length.insert(length.end(), {Real(batch.chosen_length(i)), Real(batch.rejected_length(i))});
    if (!batch.ref_chosen.absent()) ref_logp.insert(ref_logp.end(), {batch.ref_chosen(i), batch.ref_rejected(i)});
  }
  attune::groups<Real> groups{.logp = logp, .reward = reward, .length = length, .size = 2};
  if (!ref_logp.empty()) groups.ref_logp = ref_logp;
  const attune::report r = attune::evaluate(unit, groups, {.logp = d_logp}, o);
  for (std::int64_t i = 0; i < size && !gradients.chosen.absent(); ++i) {
    gradients.chosen(i) = d_logp[std::size_t(2 * i)];
    gradients.rejected(i) = d_logp[std::size_t(2 * i + 1)];
  }
  return r;
}

/// An objective of attune's catalogue, chosen at run time by its name. Only stage 2 is behind the call: one indirection a batch.
class objective {
 public:
  objective(std::string name, held::any held_one, const label_rewards& labels = {}) : name_(std::move(name)), held_(std::move(held_one)), labels_(labels) {}
  /// One of your own.
  template <class Unit>
    requires attune::is_objective<Unit>
  objective(std::string name, const Unit& unit) : objective(std::move(name), held::hold(unit)) {}

  const std::string& name() const { return name_; }
  bool reads_reference() const {
    return reads([](const auto& m) { return m.is == attune::role::reference; });
  }
  /// Whether it reads the rewards of a pair's answers. (Of single completions it is the label that says which is good.)
  bool reads_rewards() const {
    return !std::holds_alternative<held::in_both<attune::single_kind>>(held_) &&
           reads([](const auto& m) { return std::string_view(m.name).ends_with("reward"); });
  }

  attune::report operator()(const attune::pairs<float>& batch, const attune::pair_gradients<float>& gradients = {},
                            const attune::options& o = {}) const {
    return evaluate(batch, gradients, o);
  }
  attune::report operator()(const attune::pairs<double>& batch, const attune::pair_gradients<double>& gradients = {},
                            const attune::options& o = {}) const {
    return evaluate(batch, gradients, o);
  }

 private:
  /// Whether it reads a member that is `wanted`.
  template <class Wanted> bool reads(Wanted wanted) const {
    const auto any = [&](const auto& unit) {
      for (const auto& m : attune::members<held::kind_of<std::remove_cvref_t<decltype(unit)>>>()) {
        if (wanted(m) && held::reads(unit, m)) return true;
      }
      return false;
    };
    return std::visit(any, held_);
  }
  template <class Real>
  attune::report evaluate(const attune::pairs<Real>& batch, const attune::pair_gradients<Real>& gradients, const attune::options& o) const {
    return std::visit(on_pairs<Real>{batch, gradients, labels_, o}, held_);
  }
  template <class Real> struct on_pairs {
    const attune::pairs<Real>& batch;
    const attune::pair_gradients<Real>& gradients;
    const label_rewards& labels;
    const attune::options& options;

    attune::report operator()(const held::any_group& unit) const { return evaluate_on_pairs(unit, batch, gradients, labels, options); }
    template <class Kind> attune::report operator()(const held::in_both<Kind>& unit) const {
      if constexpr (std::same_as<Kind, attune::pair_kind> || std::same_as<Kind, attune::single_kind>) {
        return evaluate_on_pairs(unit.template in<Real>(), batch, gradients, labels, options);
      } else {
        throw attune::error("this objective is not one on pairs, groups or single completions");
      }
    }
  };

  std::string name_;
  held::any held_;
  label_rewards labels_;
};

/// The objective called `name` with the parameters of `settings`, each "parameter=value". Throws attune::error for a name, parameter or
/// value that is unknown or outside its domain, and says what there is. A shaping, by its name and its settings in the same form, is applied
/// to the rewards of a pair; also throws for an objective that reads none.
objective make_objective(const std::string& name, const std::vector<std::string>& settings, const std::string& shaping = "",
                         const std::vector<std::string>& shaping_settings = {});

/// The rewards of a pair under a shaping f of the catalogue, of the reward above that of the rejected answer, the reference: f(1) and f(0).
/// No name: 1 and 0. Throws attune::error like make_objective.
label_rewards shape_rewards(const std::string& shaping, const std::vector<std::string>& settings);

/// Names of all shapings of rewards that shape_rewards knows.
std::vector<std::string> shaping_names();

/// Names of all objectives of the catalogue that can be trained on pairs.
std::vector<std::string> objective_names();

}  // namespace align
