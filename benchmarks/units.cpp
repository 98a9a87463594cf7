// SPDX-License-Identifier: MIT
// Time per pair, completion or number, of every unit of the catalogue. Each loop's result is checked before it is timed.
//
// (DoNotOptimize is given const references only: with a mutable one g++ 12 and libbenchmark 1.7 have been seen to corrupt the value.)
#include <attune/attune.hpp>
#include <attune/catalog.hpp>
#include <attune/check/gradient.hpp>  // detail::sampler

#include "harness.hpp"

#include <cmath>
#include <string>

namespace {

/// A batch of one kind of sample: a column of numbers for every member, of which the objective is given those that it reads.
template <class Kind>
struct batch {
  static constexpr auto members = attune::members<Kind>();
  std::vector<std::vector<float>> columns, derivatives;
  std::vector<std::uint8_t> label;

  explicit batch(std::int64_t size) : columns(members.size()) {
    attune::detail::sampler random(1);
    for (std::int64_t i = 0; i < size; ++i) {
      auto x = attune::detail::random_sample<Kind>(random);
      for (std::size_t m = 0; m < members.size(); ++m) columns[m].push_back(float(members[m].of(x)));
      label.push_back(columns.back().back() > 0);
    }
    derivatives.assign(members.size(), std::vector<float>(std::size_t(size)));
  }
  template <class Batch, class Objective>
  Batch given(const Objective& objective) const {
    Batch b;
    attune::detail::for_each_column(b.columns(), [&](auto m, auto& tensor) {
      if constexpr (m < members.size()) {
        if (members[m].in_batch != attune::presence::usual && !attune::reads<Kind>(objective, members[m])) return;
        if constexpr (std::same_as<std::remove_cvref_t<decltype(tensor)>, attune::view<const std::uint8_t>>) tensor = label;
        else tensor = columns[m];
      }
    });
    return b;
  }
  template <class Gradients, class Objective>
  Gradients gradients(const Objective& objective) {
    Gradients g;
    std::vector<std::size_t> policy;
    for (std::size_t m = 0; m < members.size(); ++m) {
      if (members[m].is == attune::role::policy) policy.push_back(m);
    }
    attune::detail::for_each_column(g.columns(), [&](auto k, auto& tensor) {
      if (k >= policy.size()) return;
      const auto& m = members[policy[k]];
      if (m.in_batch == attune::presence::usual || attune::reads<Kind>(objective, m)) tensor = derivatives[policy[k]];
    });
    return g;
  }
};

template <class Kind> struct batches {
  using type = attune::pairs<float>;
  using gradients = attune::pair_gradients<float>;
};
template <> struct batches<attune::single_kind> {
  using type = attune::singles<float>;
  using gradients = attune::single_gradients<float>;
};
template <> struct batches<attune::value_kind> {
  using type = attune::values<float>;
  using gradients = attune::value_gradients<float>;
};

template <class Objective, class Batch, class Gradients>
void time_evaluate(benchmark::State& state, const Objective& objective, const Batch& b, const Gradients& g) {
  if (!std::isfinite(attune::evaluate(objective, b, g).loss())) state.SkipWithError("the loss is not finite");
  for (auto _ : state) {
    const auto r = attune::evaluate(objective, b, g);
    benchmark::DoNotOptimize(r);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

/// Tokens of sequences of 1,024.
template <class Objective>
void time_tokens(benchmark::State& state, bool gradients) {
  const Objective objective{};
  const std::int64_t columns = 1024, rows = state.range(0) / columns;
  std::vector<float> logp, old_logp, d_logp(std::size_t(state.range(0))), advantage(std::size_t(rows), 0.5f);
  std::vector<std::uint8_t> selected(d_logp.size(), 0);
  attune::detail::sampler random(1);
  for (std::size_t i = 0; i < d_logp.size(); ++i) {
    const auto x = attune::detail::random_sample<attune::token_kind>(random);
    logp.push_back(float(x.logp));
    old_logp.push_back(float(x.old_logp));
  }
  const auto shaped = [&](auto& x) { return attune::as_view(std::as_const(x).data(), rows, columns); };
  attune::tokens<float> b{.logp = shaped(logp), .old_logp = shaped(old_logp), .advantage = advantage};
  if (attune::reads<attune::token_kind>(objective, attune::member_named<attune::token_kind>("selected"))) b.selected = shaped(selected);
  const attune::token_gradients<float> g{.logp = attune::as_view(d_logp.data(), rows, columns)};
  time_evaluate(state, objective, b, gradients ? g : attune::token_gradients<float>{});
}

template <class Objective>
void time_objective(benchmark::State& state, bool gradients) {
  using kind = attune::kind_of<Objective>;
  using batch_type = typename batches<kind>::type;
  using gradients_type = typename batches<kind>::gradients;
  const Objective objective{};
  batch<kind> b(state.range(0));
  time_evaluate(state, objective, b.template given<batch_type>(objective), gradients ? b.template gradients<gradients_type>(objective) : gradients_type{});
}

/// Groups of eight; an item is a completion.
template <class Objective>
void time_group(benchmark::State& state, bool gradients) {
  const Objective objective{};
  const auto size = std::size_t(state.range(0));
  std::vector<float> logp, ref_logp, reward, length, d_logp(size);
  attune::detail::sampler random(1);
  for (std::size_t i = 0; i < size; ++i) {
    attune::completion<double> y;
    attune::detail::draw(random, y, 4);
    logp.push_back(float(y.logp));
    ref_logp.push_back(float(y.ref_logp));
    length.push_back(float(y.length));
    reward.push_back(float(random.uniform(0, 1)));
  }
  const attune::groups<float> b{.logp = logp, .ref_logp = ref_logp, .reward = reward, .length = length, .size = 8};
  time_evaluate(state, objective, b, gradients ? attune::group_gradients<float>{.logp = d_logp} : attune::group_gradients<float>{});
}

template <class Unit>
void time_scalar(benchmark::State& state, double lower, double upper) {
  using P = attune::native_pack<float>;
  constexpr std::size_t width = sizeof(P) / sizeof(float);
  const Unit unit{};
  std::vector<float> x(16384), value(x.size()), slope(x.size());
  attune::detail::sampler random(1);
  for (float& a : x) a = float(random.uniform(lower, upper));
  const auto run = [&] {
    for (std::size_t i = 0; i < x.size(); i += width) {
      P lanes, v, s;
      std::memcpy(static_cast<void*>(&lanes), &x[i], sizeof lanes);
      v = unit.value(lanes);
      s = unit.slope(lanes);
      std::memcpy(&value[i], static_cast<const void*>(&v), sizeof v);
      std::memcpy(&slope[i], static_cast<const void*>(&s), sizeof s);
    }
  };
  run();
  if (!(std::abs(value[5] - float(unit.value(double(x[5])))) <= 1e-5f * std::abs(value[5]) + 1e-30f)) state.SkipWithError("wrong value");
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * std::int64_t(x.size()));
}

void register_units() {
  attune::for_each_unit([](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    const std::string name = std::string(entry.family) + "/" + entry.name;
    if constexpr (attune::is_objective<unit>) {
      const auto run = [](benchmark::State& state, bool gradients) {
        if constexpr (attune::group_objective<unit>) time_group<unit>(state, gradients);
        else if constexpr (attune::token_objective<unit>) time_tokens<unit>(state, gradients);
        else time_objective<unit>(state, gradients);
      };
      benchmark::RegisterBenchmark((name + "/value").c_str(), run, false)->Arg(1024)->Arg(1 << 20);
      benchmark::RegisterBenchmark((name + "/value+gradient").c_str(), run, true)->Arg(1024)->Arg(1 << 20);
    } else {
      const double lower = std::max(-20.0, entry.domain.lower), upper = std::min(20.0, entry.domain.upper);
      benchmark::RegisterBenchmark((name + "/value+slope").c_str(), [=](benchmark::State& state) { time_scalar<unit>(state, lower, upper); });
    }
  });
}

}  // namespace

int main(int argc, char** argv) { return bench::run_program(argc, argv, register_units); }
