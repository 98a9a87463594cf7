// SPDX-License-Identifier: MIT
// Objectives on toy distributions: the loss over all the data that there can be, and its derivative, by `evaluate` itself. Give the
// coefficients to policy.gradient() or descend(), and a run of training is exact too.
#pragma once

#include <attune/check/toy/distribution.hpp>
#include <attune/exec/evaluate.hpp>

#include <functional>

namespace attune::toy {

/// Loss, and d loss / d log pi_i for every outcome i [K].
struct exact_loss {
  double value = 0;
  vector coefficients;
};

/// What is known of the outcomes besides their log-probabilities, [K] each, if an objective reads it.
struct outcomes {
  vector length{}, reward{};
};

/// The answer `chosen` was preferred to `rejected`, both outcomes, in a share `weight` of the data.
struct comparison {
  std::size_t chosen, rejected;
  double weight = 1;
};
/// The completion `outcome` was found desirable, or not.
struct verdict {
  std::size_t outcome;
  bool desirable;
  double weight = 1;
};

/// All pairs of two independent draws from `proposal`, labelled by Bradley and Terry: i is preferred to j with probability sigmoid(r_i - r_j).
/// The weights sum to 1, less the share of draws that are equal. An objective whose loss is proper is minimal where its implicit reward is r.
template <distribution Q>
std::vector<comparison> bradley_terry_comparisons(const Q& proposal, std::span<const double> reward) {
  const vector q = probabilities(proposal);
  detail::require_size(reward.size(), q.size(), "reward");
  std::vector<comparison> result;
  for (std::size_t i = 0; i < q.size(); ++i) {
    for (std::size_t j = 0; j < q.size(); ++j) {
      if (i != j) result.push_back({i, j, 2 * q[i] * q[j] * sigmoid(reward[i] - reward[j])});
    }
  }
  return result;
}

namespace detail {

/// What the outcomes of one column of a batch have of `values`; nothing if there are none.
class column {
 public:
  column(const vector& values, const std::vector<std::size_t>& outcome, std::size_t outcomes, const char* name) {
    if (values.empty()) return;
    require_size(values.size(), outcomes, name);
    for (std::size_t i : outcome) {
      if (i >= outcomes) throw error("attune::toy: outcome " + attune::detail::text((long long)i) + " does not exist; expected one below " + attune::detail::text((long long)outcomes));
      values_.push_back(values[i]);
    }
  }
  operator view<const double>() const { return values_.empty() ? view<const double>{} : as_view(values_); }
  operator length_view() const { return values_.empty() ? length_view{} : length_view(as_view(values_)); }

 private:
  vector values_;
};

inline void scatter(const vector& gradient, const std::vector<std::size_t>& outcome, vector& coefficients) {
  for (std::size_t i = 0; i < outcome.size(); ++i) coefficients[outcome[i]] += gradient[i];
}

}  // namespace detail

/// sum over the comparisons of weight x loss of the pair, divided by the sum of the weights.
/// Throws attune::error as evaluate does, and for outcomes that do not exist.
template <class O, distribution P, distribution R>
exact_loss loss_on_pairs(const O& objective, const P& policy, const R& reference, std::span<const comparison> data, const outcomes& known = {}) {
  const vector log_pi = policy.log_probabilities(), log_ref = reference.log_probabilities();
  std::vector<std::size_t> chosen, rejected;
  vector weight;
  for (const comparison& c : data) chosen.push_back(c.chosen), rejected.push_back(c.rejected), weight.push_back(c.weight);
  const auto of = [&](const vector& values, const std::vector<std::size_t>& outcome, const char* name) {
    return detail::column(values, outcome, log_pi.size(), name);
  };
  const auto logp_chosen = of(log_pi, chosen, "policy"), logp_rejected = of(log_pi, rejected, "policy"), ref_chosen = of(log_ref, chosen, "reference"),
             ref_rejected = of(log_ref, rejected, "reference"), length_chosen = of(known.length, chosen, "length"),
             length_rejected = of(known.length, rejected, "length"), reward_chosen = of(known.reward, chosen, "reward"),
             reward_rejected = of(known.reward, rejected, "reward");
  vector d_chosen(data.size()), d_rejected(data.size());
  const report found = evaluate(objective,
                                pairs<double>{.chosen = logp_chosen, .rejected = logp_rejected, .ref_chosen = ref_chosen, .ref_rejected = ref_rejected,
                                              .chosen_length = length_chosen, .rejected_length = length_rejected, .weight = as_view(weight),
                                              .chosen_reward = reward_chosen, .rejected_reward = reward_rejected},
                                {.chosen = d_chosen, .rejected = d_rejected});
  exact_loss result{found.loss(), vector(log_pi.size(), 0.0)};
  detail::scatter(d_chosen, chosen, result.coefficients);
  detail::scatter(d_rejected, rejected, result.coefficients);
  return result;
}

/// The same on single completions.
template <class O, distribution P, distribution R>
exact_loss loss_on_singles(const O& objective, const P& policy, const R& reference, std::span<const verdict> data, const outcomes& known = {}) {
  const vector log_pi = policy.log_probabilities(), log_ref = reference.log_probabilities();
  std::vector<std::size_t> outcome;
  vector weight, d(data.size());
  std::vector<std::uint8_t> label;
  for (const verdict& v : data) outcome.push_back(v.outcome), weight.push_back(v.weight), label.push_back(v.desirable);
  const auto of = [&](const vector& values, const char* name) { return detail::column(values, outcome, log_pi.size(), name); };
  const auto logp = of(log_pi, "policy"), ref_logp = of(log_ref, "reference"), length = of(known.length, "length"), reward = of(known.reward, "reward");
  singles<double> batch{.logp = logp, .ref_logp = ref_logp, .length = length, .reward = reward, .weight = as_view(weight)};
  if (single_objective<O> && reads<single_kind>(objective, member_named<single_kind>("label"))) batch.label = as_view(label);
  exact_loss result{0, vector(log_pi.size(), 0.0)};
  result.value = evaluate(objective, batch, {.logp = d}).loss();
  detail::scatter(d, outcome, result.coefficients);
  return result;
}

/// Calls visit(counts, probability) for every multiset of `size` independent draws from p [K]: counts[i] draws of outcome i.
/// There are C(size + K - 1, size) of them.
inline void for_each_multiset(const vector& p, int size, const std::function<void(const std::vector<int>&, double)>& visit) {
  std::vector<int> counts(p.size(), 0);
  const std::function<void(std::size_t, int, double)> place = [&](std::size_t outcome, int left, double log_probability) {
    const auto with = [&](int n) { return log_probability + (n > 0 ? n * std::log(p[outcome]) : 0) - std::lgamma(n + 1.0); };
    if (outcome + 1 == p.size()) {
      counts[outcome] = left;
      visit(counts, std::exp(with(left)));
      return;
    }
    for (int n = 0; n <= left; ++n) {
      counts[outcome] = n;
      place(outcome + 1, left - n, with(n));
    }
  };
  place(0, size, std::lgamma(size + 1.0));
}

/// E[loss of a group of `size` completions drawn from `proposal`], over every group that there can be.
template <class O, distribution P, distribution R, distribution Q>
exact_loss loss_on_groups(const O& objective, const P& policy, const R& reference, const Q& proposal, int size, const outcomes& known = {}) {
  const vector log_pi = policy.log_probabilities(), log_ref = reference.log_probabilities();
  std::vector<std::size_t> outcome;
  vector weight;
  for_each_multiset(probabilities(proposal), size, [&](const std::vector<int>& counts, double probability) {
    weight.push_back(probability);
    for (std::size_t i = 0; i < counts.size(); ++i) outcome.insert(outcome.end(), std::size_t(counts[i]), i);
  });
  vector d(outcome.size());
  const auto of = [&](const vector& values, const char* name) { return detail::column(values, outcome, log_pi.size(), name); };
  const auto logp = of(log_pi, "policy"), ref_logp = of(log_ref, "reference"), length = of(known.length, "length"), reward = of(known.reward, "reward");
  exact_loss result{0, vector(log_pi.size(), 0.0)};
  result.value = evaluate(objective, groups<double>{.logp = logp, .ref_logp = ref_logp, .reward = reward, .length = length, .size = size, .weight = as_view(weight)},
                          {.logp = d}).loss();
  detail::scatter(d, outcome, result.coefficients);
  return result;
}

}  // namespace attune::toy
