// SPDX-License-Identifier: MIT
// Every objective on tokens, as the examples hold them: against the definition, in every layout, with every option. (The batch itself is
// tested in policy/tokens.cpp.)
#include "held/objectives.hpp"
#include "policy/ragged_tokens.hpp"
#include "support/catch.hpp"

#include <attune/catalog.hpp>
#include <attune/check/gradient.hpp>
#include <attune/policy/kl/estimators.hpp>
#include <attune/policy/penalised.hpp>
#include <attune/policy/surrogate/clip.hpp>

#include <map>

using namespace attune;

namespace {

using attune_test::laid_out, attune_test::layout, attune_test::levels, attune_test::options_for, attune_test::ragged, attune_test::reductions;
using held_tokens = held::in_both<token_kind>;

held_tokens make(const std::string& name, const held::settings& parameters = {}) {
  const held::entry* entry = held::find(name);
  REQUIRE(entry != nullptr);
  return std::get<held_tokens>(entry->make(parameters));
}

/// Calls visit(name, objective, whether a part of it is held constant) for every objective on tokens, and for composed ones.
template <real R, class Visit>
void for_each_objective(Visit&& visit) {
  catalog::for_each_token_objective([&](const auto& entry) {
    visit(std::string(entry.name), make(entry.name).template in<R>(), stops_gradient<typename std::remove_cvref_t<decltype(entry)>::unit>);
  });
  const auto give = [&](const char* name, const auto& objective) {
    visit(std::string(name), any_objective<token_kind, R>(objective), stops_gradient<std::remove_cvref_t<decltype(objective)>>);
  };
  give("composed", penalised{ppo{}, kl_penalty<kl::k3>{.coefficient = 0.25}, 0.125});
  give("corrected", penalised{grpo{}, corrected_kl_penalty<kl::k3>{.coefficient = 0.25}});
}

/// The definition, in double: loss of ragged data as a function of all log-probabilities.
template <class O>
double defined_loss(const O& objective, const ragged<double>& data, const std::vector<double>& logp, token_recipe recipe, double normalizer, double constant_length, bool weighted,
                    bool corrected) {
  double loss = 0;
  std::size_t i = 0;
  for (std::size_t s = 0; s < data.lengths.size(); ++s) {
    const std::size_t begin = i, end = i + std::size_t(data.lengths[s]);
    i = end;
    double n = 0, sum = 0, shared = 0;
    const double a = data.advantage[s];
    for (std::size_t k = begin; k < end; ++k) {
      const double w = weighted ? data.token_weight[k] : 1;
      double l = logp[k] - data.old_logp[k];
      if (a > 0) l = std::min(l, recipe.ratio.upper);
      if (a < 0) l = std::max(l, recipe.ratio.lower);
      n += w;
      shared += w * l;
    }
    if (recipe.ratio.level != ratio_level::sequence_sum) shared /= n;
    for (std::size_t k = begin; k < end; ++k) {
      const double w = weighted ? data.token_weight[k] : 1;
      token<double> x{logp[k], recipe.ratio.level == ratio_level::token ? logp[k] - data.old_logp[k] : shared, data.entropy[k], data.old_logp[k], data.ref_logp[k], a, 1, double(data.selected[k])};
      if (corrected) x.correction = data.correction[k];
      const bool own = attune::detail::reads_token(objective, "correction");
      sum += w * double(objective(x)) * (corrected && !own ? data.correction[k] : 1);
    }
    if (recipe.reduction == token_reduction::sequence_mean_token_mean && n > 0) sum /= n;
    if (recipe.reduction == token_reduction::constant_length) sum /= constant_length;
    loss += sum;
  }
  return loss / normalizer;
}

/// evaluate against the definition, its gradient against finite differences; returns how many derivatives were compared.
int compare_with_definition(const any_objective<token_kind, double>& objective, const token_options& o, bool extras, bool stops) {
  const ragged<double> data;
  laid_out<double> b(data, layout::right_padded);
  auto batch = b.batch(objective, data);
  if (extras) batch.token_weight = b.shaped(std::as_const(b.token_weight)), batch.correction = b.shaped(std::as_const(b.correction));
  const policy_report r = evaluate(objective, batch, b.gradients(objective), o);
  const token_recipe recipe = attune::detail::recipe_of(objective, o);
  const double normalizer = recipe.reduction == token_reduction::token_sum ? 1 : r.weight;
  const auto loss = [&](const std::vector<double>& logp) { return defined_loss(objective, data, logp, recipe, normalizer, o.constant_length, extras, extras); };
  CHECK(r.loss_sum / normalizer == Approx(loss(data.logp)).epsilon(1e-12).margin(1e-13));
  if (stops || recipe.ratio.level == ratio_level::sequence_token) return 0;
  int compared = 0;
  const std::vector<double> d = b.gathered(b.d_logp);
  for (const std::size_t k : {std::size_t(0), std::size_t(3), std::size_t(5), std::size_t(6), std::size_t(120), std::size_t(310), data.size() - 1}) {
    const auto along = [&](double moved) {
      auto logp = data.logp;
      logp[k] = moved;
      return loss(logp);
    };
    const auto found = differentiate(along, data.logp[k], 0.25);
    if (found.error > 1e-7 * (std::abs(found.value) + 1e-3)) continue;  // a kink
    CHECK(d[k] == Approx(found.value).epsilon(1e-6).margin(4 * found.error + 1e-11));
    ++compared;
  }
  return compared;
}

}  // namespace

TEST_CASE("loss and gradient of every objective, at every level, with every mean, are those of the definition") {
  int compared = 0;
  for_each_objective<double>([&](const std::string& name, const any_objective<token_kind, double>& objective, bool stops) {
    const bool has_ratio = attune::detail::reads_token(objective, "log_ratio");
    for (const ratio_level level : levels) {
      if (!has_ratio && level != ratio_level::token) continue;
      for (const token_reduction reduction : reductions) {
        for (const bool extras : {false, true}) {
          INFO(name << ", level " << int(level) << ", reduction " << int(reduction) << ", weights and correction " << extras);
          token_options o = options_for(level, reduction);
          if (!has_ratio) o.ratio.reset();
          compared += compare_with_definition(objective, o, extras, stops);
        }
      }
    }
  });
  for (const bool extras : {false, true}) {
    compared += compare_with_definition(gmpo{.low = 0.1, .high = 0.05}, {}, extras, false);  // clipped token by token, before the mean
  }
  CHECK(compared > 1700);
}

TEMPLATE_TEST_CASE("padded, packed and scattered tokens give the same bits (P02, P62)", "", float, double, bfloat16) {
  using T = TestType;
  const ragged<T> data;
  for_each_objective<arithmetic<T>>([&](const std::string& name, const any_objective<token_kind, arithmetic<T>>& objective, bool) {
    for (const ratio_level level : levels) {
      token_options o = options_for(level, token_reduction::sequence_mean_token_mean);
      if (!attune::detail::reads_token(objective, "log_ratio")) o.ratio.reset();
      INFO(name << ", level " << int(level));
      laid_out<T> reference(data, layout::packed_row);
      const policy_report expected = evaluate(objective, reference.batch(objective, data), reference.gradients(objective), o);
      CHECK(expected.non_finite == 0);
      CHECK(expected.count == std::int64_t(data.size()));
      CHECK(expected.sequences == 5);
      for (const layout how : {layout::right_padded, layout::left_padded, layout::scattered}) {
        laid_out<T> other(data, how);
        const policy_report r = evaluate(threads{3, 0}, objective, other.batch(objective, data), other.gradients(objective), o);
        CHECK(r.loss_sum == expected.loss_sum);
        CHECK(r.kl == expected.kl);
        CHECK(r.clip_ratio() == expected.clip_ratio());
        CHECK((other.gathered(other.d_logp) == reference.gathered(reference.d_logp)));
        double outside = 0;
        for (std::size_t i = 0; i < other.d_logp.size(); ++i) outside += other.mask[i] ? 0 : std::abs(double(other.d_logp[i]));
        CHECK(outside == 0);
      }
    }
  });
}

TEST_CASE("empty batches and rows, for every objective (P03, P52)") {
  for_each_objective<float>([&](const std::string& name, const any_objective<token_kind, float>& objective, bool) {
    INFO(name);
    const ragged<float> data;
    const token_options o{.constant_length = recipe_of(objective).reduction == token_reduction::constant_length ? 40.0 : 0.0};
    const policy_report none = evaluate(objective, tokens<float>{}, {}, o);
    CHECK(none.loss() == 0);
    laid_out<float> b(data, layout::right_padded);
    b.mask.assign(b.mask.size(), 0);
    const policy_report r = evaluate(objective, b.batch(objective, data), b.gradients(objective), o);
    CHECK(r.loss() == 0);
    CHECK(r.loss_sum == 0);
    CHECK(r.weight == 0);
    for (float d : b.d_logp) CHECK(d == 0);
  });
}

TEST_CASE("every option and parameter changes the result, or is refused (P21, P33)") {
  const ragged<double> data;
  std::map<std::string, std::vector<double>> seen;
  int changes = 0, refusals = 0;
  catalog::for_each_token_objective([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    const any_objective<token_kind, double> objective = make(entry.name).in_double;
    const token_recipe own = recipe_of(objective);
    const auto run = [&](const any_objective<token_kind, double>& chosen, const token_options& o, auto change) {
      laid_out<double> b(data, layout::right_padded);
      auto batch = b.batch(chosen, data);
      change(b, batch);
      std::vector<double> result{evaluate(chosen, batch, b.gradients(chosen), o).loss_sum};
      result.insert(result.end(), b.d_logp.begin(), b.d_logp.end());
      return result;
    };
    const auto nothing = [](auto&, auto&) {};
    const std::vector<double> before = run(objective, {}, nothing);
    seen[entry.name] = before;
    const auto changes_or_refuses = [&](const std::string& what, const token_options& o, auto change) {
      INFO(entry.name << ": " << what);
      try {
        const std::vector<double> after = run(objective, o, change);
        CHECK(after != before);
        ++changes;
      } catch (const error&) {
        ++refusals;
      }
    };
    for (const ratio_level level : levels) {
      if (level != own.ratio.level || own.ratio.upper < infinity<double>) changes_or_refuses("ratio " + std::to_string(int(level)), {.ratio = level}, nothing);
    }
    for (const token_reduction reduction : reductions) {
      token_options o{.reduction = reduction};
      if (reduction == token_reduction::constant_length) o.constant_length = 40;
      if (reduction != own.reduction) changes_or_refuses("reduction " + std::to_string(int(reduction)), o, nothing);
    }
    changes_or_refuses("normalizer", {.normalizer = 7}, nothing);
    changes_or_refuses("constant_length", {.constant_length = 7}, nothing);
    changes_or_refuses("on_policy", {.on_policy = true}, [](auto&, auto& batch) { batch.old_logp = {}; });
    changes_or_refuses("mask", {}, [](auto& b, auto&) { b.mask[b.place[0]] = 0; });
    changes_or_refuses("correction", {}, [](auto& b, auto& batch) { batch.correction = b.shaped(std::as_const(b.correction)); });
    changes_or_refuses("token_weight", {}, [](auto& b, auto& batch) { batch.token_weight = b.shaped(std::as_const(b.token_weight)); });
    changes_or_refuses("token_advantage", {}, [](auto& b, auto& batch) { batch.advantage = {}, batch.token_advantage = b.shaped(std::as_const(b.token_advantage)); });
    changes_or_refuses("selected", {}, [](auto& b, auto& batch) { b.selected[b.place[0]] ^= 1, batch.selected = b.shaped(std::as_const(b.selected)); });
    if constexpr (parametrised<unit>) {
      for (const auto& parameter : unit::parameters()) {
        INFO(entry.name << ": " << parameter.name);
        bool changed = false;
        for (const double value : {0.01, 0.6, 1.05, 3.0}) {
          if (parameter.domain.contains(value)) changed |= run(make(entry.name, {{parameter.name, value}}).in_double, {}, nothing) != before;
        }
        CHECK(changed);
      }
    }
  });
  for (const auto& [name, result] : seen) {
    for (const auto& [other, same] : seen) {
      INFO(name << " and " << other);
      CHECK((result == same) == (name == other));  // no two are the same on a generic batch
    }
  }
  CHECK(changes > 100);
  CHECK(refusals > 20);
}

