// SPDX-License-Identifier: MIT
#pragma once

#include <attune/catalog/entry.hpp>
#include <attune/exec/any_objective.hpp>
#include <attune/exec/evaluate.hpp>

#include <functional>
#include <string>
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
template <attune::group_objective Unit, class Real>
attune::report evaluate_on_pairs(const Unit& unit, const attune::pairs<Real>& batch, const attune::pair_gradients<Real>& gradients,
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

/// Whether the objective reads the rewards of a pair's answers.
template <class Unit>
bool reads_rewards(const Unit& unit) {
  using attune::member_named;
  if constexpr (attune::group_objective<Unit>) return attune::group_reads(unit, member_named<attune::group_kind>("reward"));
  else if constexpr (!attune::pair_objective<Unit>) return false;  // of single completions the label is read
  else return attune::reads<attune::pair_kind>(unit, member_named<attune::pair_kind>("chosen_reward")) ||
              attune::reads<attune::pair_kind>(unit, member_named<attune::pair_kind>("rejected_reward"));
}

/// Whether the objective can be trained on pairs: it is on pairs or groups, or on single completions with labels.
template <class Unit>
bool trains_on_pairs() {
  if constexpr (attune::single_objective<Unit>) {
    return attune::reads<attune::single_kind>(Unit{}, attune::member_named<attune::single_kind>("label"));
  } else {
    return attune::pair_objective<Unit> || attune::group_objective<Unit>;
  }
}

/// An objective of attune's catalogue, chosen at run time by its name. Only stage 2 is behind the call: one indirection a batch.
class objective {
 public:
  template <class Unit>
  objective(std::string name, const Unit& unit, const label_rewards& labels = {})
      : name_(std::move(name)), reads_reference_(reads_reference(unit)),
        float_(evaluator_of<float>(unit, labels)), double_(evaluator_of<double>(unit, labels)) {}

  const std::string& name() const { return name_; }
  bool reads_reference() const { return reads_reference_; }

  attune::report operator()(const attune::pairs<float>& batch, const attune::pair_gradients<float>& gradients = {},
                            const attune::options& o = {}) const {
    return float_(batch, gradients, o);
  }
  attune::report operator()(const attune::pairs<double>& batch, const attune::pair_gradients<double>& gradients = {},
                            const attune::options& o = {}) const {
    return double_(batch, gradients, o);
  }

 private:
  template <class Unit>
  static bool reads_reference(const Unit& unit) {
    if constexpr (attune::group_objective<Unit>) return attune::group_reads(unit, attune::role::reference);
    else return attune::reads<attune::kind_of<Unit>>(unit, attune::role::reference);
  }

  template <class Real>
  using evaluator = std::function<attune::report(const attune::pairs<Real>&, const attune::pair_gradients<Real>&, const attune::options&)>;

  template <class Real, class Unit>
  static evaluator<Real> evaluator_of(const Unit& unit, const label_rewards& labels) {
    const auto held = [&] {
      if constexpr (attune::group_objective<Unit>) return unit;
      else return attune::any_objective<attune::kind_of<Unit>, Real>(unit);
    }();
    return [held, labels](const auto& batch, const auto& gradients, const attune::options& o) { return evaluate_on_pairs(held, batch, gradients, labels, o); };
  }

  std::string name_;
  bool reads_reference_;
  evaluator<float> float_;
  evaluator<double> double_;
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
