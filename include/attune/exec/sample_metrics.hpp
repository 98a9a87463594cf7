// SPDX-License-Identifier: MIT
// What evaluate measures beside the loss, on the host and on devices: each sample adds to sums, and a report is made of these.
#pragma once

#include <attune/exec/implicit_reward.hpp>
#include <attune/exec/report.hpp>
#include <attune/policy/value_loss.hpp>
#include <attune/preference/pair.hpp>
#include <attune/preference/single.hpp>

#include <type_traits>

namespace attune::detail {

/// The sums over samples of weight x quantity; non_finite is a count.
struct sample_sums {
  enum metric { loss, accuracy, reward_chosen, reward_rejected, logp_chosen, logp_rejected, weight_chosen, weight_rejected, non_finite, metrics };
};

/// Both completions of a pair weigh as much as the pair.
template <class Kind> inline constexpr bool is_paired = std::is_base_of_v<pair<double>, typename Kind::template sample<double>>;

/// total[m]: the sum of metric m over samples.
ATTUNE_FN report report_of(const double* total, double weight, std::int64_t count, bool paired) {
  using sums = sample_sums;
  report r;
  r.loss_sum = total[sums::loss];
  r.weight = weight;
  r.weight_chosen = paired ? weight : total[sums::weight_chosen];
  r.weight_rejected = paired ? weight : total[sums::weight_rejected];
  r.count = count;
  r.non_finite = static_cast<std::int64_t>(total[sums::non_finite]);
  const auto mean = [&](sums::metric m, double over) { return over > 0 ? total[m] * (1 / over) : 0; };
  r.accuracy = mean(sums::accuracy, r.weight);
  r.reward_chosen = mean(sums::reward_chosen, r.weight_chosen);
  r.reward_rejected = mean(sums::reward_rejected, r.weight_rejected);
  r.margin = r.reward_chosen - r.reward_rejected;
  r.logp_chosen = mean(sums::logp_chosen, r.weight_chosen);
  r.logp_rejected = mean(sums::logp_rejected, r.weight_rejected);
  return r;
}

/// A pair of weight w. A tie is not accurate. to.add(metric, x) adds x to the sum.
ATTUNE_CALLS_ANY
template <class Objective, class P, class Sums>
ATTUNE_FN void judge(const Objective& objective, const P& w, const pair<P>& x, Sums& to) {
  using sums = sample_sums;
  const P chosen = implicit_reward(objective, x.chosen), rejected = implicit_reward(objective, x.rejected);
  to.add(sums::accuracy, select(chosen > rejected, w, P(0.0f)));
  to.add(sums::reward_chosen, w * chosen);
  to.add(sums::reward_rejected, w * rejected);
  to.add(sums::logp_chosen, w * x.chosen.logp);
  to.add(sums::logp_rejected, w * x.rejected.logp);
}
/// A completion is a chosen one if it is desirable, else a rejected one; it is judged right if the reward has the label's sign.
ATTUNE_CALLS_ANY
template <class Objective, class P, class Sums>
ATTUNE_FN void judge(const Objective& objective, const P& w, const single<P>& x, Sums& to) {
  using sums = sample_sums;
  const P zero(0.0f), reward = implicit_reward(objective, x.y);
  const P desirable = select(x.label > zero, w, zero), undesirable = select(x.label > zero, zero, w);
  to.add(sums::accuracy, select(x.label * reward > zero, w, zero));
  to.add(sums::weight_chosen, desirable);
  to.add(sums::weight_rejected, undesirable);
  to.add(sums::reward_chosen, desirable * reward);
  to.add(sums::reward_rejected, undesirable * reward);
  to.add(sums::logp_chosen, desirable * x.y.logp);
  to.add(sums::logp_rejected, undesirable * x.y.logp);
}
/// Of values of a critic nothing is chosen or rejected.
ATTUNE_CALLS_ANY
template <class Objective, class P, class Sums>
ATTUNE_FN void judge(const Objective&, const P&, const value_estimate<P>&, Sums&) {}

}  // namespace attune::detail
