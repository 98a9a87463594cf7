// SPDX-License-Identifier: MIT
// evaluate on pairs, for every objective of the catalogue as the examples hold it. (The loop itself is tested in exec/evaluate.cpp, compiled
// as users compile it.)
#include "exec/pair_batch.hpp"
#include "held/objectives.hpp"
#include "support/catch.hpp"

namespace {

template <class T>
using any_pair = attune::any_objective<attune::pair_kind, T>;

/// Calls visit(name, objective in T) for every objective on pairs.
template <class T, class Visit>
void for_each_pair_objective(Visit visit) {
  int visited = 0;
  for (const held::entry& entry : held::objectives()) {
    const held::any objective = entry.make({});
    if (const auto* paired = std::get_if<held::in_both<attune::pair_kind>>(&objective)) visit(entry.name, paired->in<T>()), ++visited;
  }
  CHECK(visited > 50);
}

/// What an objective takes for the reward of a completion, which decides whether a pair is judged right.
template <class T>
using reward_of = T (*)(const attune::completion<T>&);
template <class T>
reward_of<T> implicit_reward_of(const std::string& name) {
  reward_of<T> found = nullptr;
  attune::for_each_unit([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::pair_objective<unit>) {
      if (name == entry.name) found = [](const attune::completion<T>& y) { return attune::detail::implicit_reward(unit{}, y); };
    }
  });
  REQUIRE(found != nullptr);
  return found;
}

template <class T>
void give_rewards(const any_pair<T>& objective, pairs<T>& batch, const std::vector<T>& chosen, const std::vector<T>& rejected) {
  for (const auto& m : attune::members<attune::pair_kind>()) {
    const bool read = attune::reads<attune::pair_kind>(objective, m);
    if (std::string(m.name) == "chosen_reward" && read) batch.chosen_reward = chosen;
    if (std::string(m.name) == "rejected_reward" && read) batch.rejected_reward = rejected;
  }
}

/// Without the members that the objective must not be given, and with the rewards that it reads.
template <class T>
pairs<T> batch_for(const any_pair<T>& objective, const batch_of<T>& b) {
  pairs<T> batch = b.full();
  for (const auto& m : attune::members<attune::pair_kind>()) {
    const bool read = attune::reads<attune::pair_kind>(objective, m);
    if (std::string(m.name) == "margin" && !read) batch.margin = {};
  }
  give_rewards(objective, batch, b.chosen_reward, b.rejected_reward);
  return batch;
}

}  // namespace

TEMPLATE_TEST_CASE("evaluate equals the sample by sample sum, for every objective", "", float, double) {
  using T = TestType;
  for_each_pair_objective<T>([](const std::string& name, const any_pair<T>& objective) {
    INFO(name);
    const reward_of<T> reward_function = implicit_reward_of<T>(name);
    batch_of<T> b(151);
    const pairs<T> batch = batch_for(objective, b);
    const attune::report r = evaluate(objective, batch, b.gradients());
    double loss = 0, weight = 0, accurate = 0;
    std::int64_t count = 0;
    for (std::size_t i = 0; i < b.chosen.size(); ++i) {
      if (!b.mask[i]) {
        CHECK(b.d_chosen[i] == 0);
        CHECK(b.d_rejected[i] == 0);
        continue;
      }
      const double w = double(b.weight[i]);
      const auto x = attune::differentiable<attune::pair_kind, double>(
          {{double(b.chosen[i]), double(b.ref_chosen[i]), double(b.chosen_length[i]), double(b.chosen_reward[i])},
           {double(b.rejected[i]), double(b.ref_rejected[i]), double(b.rejected_length[i]), double(b.rejected_reward[i])},
           batch.margin.absent() ? 0 : double(b.margin[i])});
      const auto exact = objective(x);
      loss += w * exact.value;
      weight += w;
      ++count;
      const auto reward = [&](T logp, T ref_logp, std::int32_t length) {  // in T: in float two rewards may be equal that are not in double
        return reward_function({logp, ref_logp, T(length)});
      };
      accurate += w * (reward(b.chosen[i], b.ref_chosen[i], b.chosen_length[i]) > reward(b.rejected[i], b.ref_rejected[i], b.rejected_length[i]));
      const double tolerance = sizeof(T) == 4 ? 2e-5 : 1e-13;
      CHECK(b.d_chosen[i] * r.weight == Approx(w * exact.grad[0]).epsilon(tolerance).margin(tolerance));
      CHECK(b.d_rejected[i] * r.weight == Approx(w * exact.grad[1]).epsilon(tolerance).margin(tolerance));
    }
    CHECK(r.loss_sum == Approx(loss).epsilon(sizeof(T) == 4 ? 1e-5 : 1e-13));
    CHECK(r.weight == Approx(weight).epsilon(1e-7));
    CHECK(r.accuracy == Approx(accurate / weight).epsilon(1e-6));
    CHECK(r.count == count);
    CHECK(r.non_finite == 0);
  });
}

TEMPLATE_TEST_CASE("no objective makes a NaN of finite log-ratios, however large", "", float, double) {
  using T = TestType;
  const std::vector<T> high{T(0.75)}, low{T(0.25)};
  const std::vector<T> logps = {T(0), T(-1e-30), T(-0.1), T(-40), T(-100), T(-800), T(-1e4), T(-1e20), T(-1e30)}, zero{0};
  const std::int32_t length[] = {7};
  for_each_pair_objective<T>([&](const std::string& name, const any_pair<T>& objective) {
    const bool rewarded = attune::reads<attune::pair_kind>(objective, attune::role::data);
    for (T chosen : logps) {
      for (T rejected : logps) {
        for (bool swapped : {false, true}) {  // large log-ratios of either sign
          const std::vector<T> c{chosen}, r{rejected};
          std::vector<T> dc(1), dr(1);
          pairs<T> batch{.chosen = swapped ? zero : c, .rejected = swapped ? zero : r, .ref_chosen = swapped ? c : zero,
                         .ref_rejected = swapped ? r : zero, .chosen_length = length, .rejected_length = length};
          if (rewarded) give_rewards(objective, batch, high, low);
          const auto report = evaluate(objective, batch, {.chosen = dc, .rejected = dr});
          INFO(name << " at " << chosen << ", " << rejected << (swapped ? " (reference)" : ""));
          CHECK_FALSE(std::isnan(report.loss()));
          CHECK_FALSE(std::isnan(dc[0]));
          CHECK_FALSE(std::isnan(dr[0]));
        }
      }
    }
  });
}
