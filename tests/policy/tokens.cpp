// SPDX-License-Identifier: MIT
// The tokens batch: layouts, ratios, means, masks, weights, errors. What single objectives compute is the oracle's business; every one of
// them on this batch is the business of examples/tokens.cpp.
#include "policy/ragged_tokens.hpp"
#include "support/catch.hpp"

#include <attune/policy/surrogate/clip.hpp>
#include <attune/policy/surrogate/covariance.hpp>
#include <attune/policy/surrogate/importance_weighted.hpp>
#include <attune/policy/surrogate/reinforce.hpp>
#include <attune/policy/surrogate/smooth.hpp>
#include <attune/policy/value_loss.hpp>
#include <attune/check/gradient.hpp>
#include <attune/core/storage.hpp>
#include <attune/exec/any_objective.hpp>
#include <attune/exec/evaluate.hpp>
#include <attune/policy/kl/estimators.hpp>
#include <attune/policy/penalised.hpp>

using namespace attune;

namespace {

using attune_test::laid_out, attune_test::layout, attune_test::levels, attune_test::options_for, attune_test::ragged, attune_test::reductions;

}  // namespace

TEST_CASE("a run-time choice has the recipe and the bits of the objective itself") {
  const ragged<float> data;
  const auto compare = [&](const std::string& name, const auto& objective) {
    INFO(name);
    laid_out<float> a(data, layout::packed_row), b(data, layout::packed_row);
    const any_objective<token_kind, float> any(objective);
    const token_options o{.constant_length = recipe_of(objective).reduction == token_reduction::constant_length ? 40.0 : 0.0};
    const policy_report one = evaluate(objective, a.batch(objective, data), a.gradients(objective), o), two = evaluate(any, b.batch(any, data), b.gradients(any), o);
    CHECK(one.loss_sum == two.loss_sum);
    CHECK(one.clip_ratio() == two.clip_ratio());
    CHECK((a.gathered(a.d_logp) == b.gathered(b.d_logp)));
  };
  compare("gspo", gspo{});
  compare("gmpo", gmpo{});
  compare("dr_grpo", penalised{dr_grpo{}, kl_penalty<kl::k3>{}});
}

TEST_CASE("any split into micro-batches gives the gradient of the whole (P11)") {
  const ragged<double> data;
  for (const token_reduction reduction : reductions) {
    INFO(int(reduction));
    laid_out<double> whole(data, layout::right_padded), parts(data, layout::right_padded);
    const penalised objective{gspo{}, kl_penalty<kl::k3>{}};
    token_options o = options_for(ratio_level::sequence, reduction);
    const policy_report all = evaluate(objective, whole.batch(objective, data), whole.gradients(objective), o);
    o.normalizer = reduction == token_reduction::token_sum ? 1 : all.weight;
    policy_report sum;
    for (const std::int64_t begin : {0, 1, 4}) {
      const std::int64_t end = begin == 0 ? 1 : begin == 1 ? 4 : 6;
      const auto rows = [&](auto& x) { return as_view(x.data() + begin * parts.columns, end - begin, parts.columns); };
      const laid_out<double>& c = parts;
      sum += evaluate(objective,
                      tokens<double>{.logp = rows(c.logp), .old_logp = rows(c.old_logp), .ref_logp = rows(c.ref_logp), .advantage = as_view(data.advantage.data() + begin, end - begin),
                                     .mask = rows(c.mask)},
                      {.logp = rows(parts.d_logp)}, o);
    }
    CHECK(sum.loss() == Approx(all.loss()).epsilon(1e-13));
    CHECK(sum.kl == Approx(all.kl).epsilon(1e-13));
    CHECK(sum.tokens == all.tokens);
    CHECK(sum.sequences == all.sequences);
    for (std::size_t i = 0; i < whole.d_logp.size(); ++i) CHECK(parts.d_logp[i] == Approx(whole.d_logp[i]).epsilon(1e-14).margin(0));
  }
}

namespace {
/// One packed sequence of plain numbers.
template <class T = float>
struct row {
  std::vector<T> logp{}, old_logp{}, ref_logp{};
  std::vector<T> advantage{T(1)};
  std::vector<std::uint8_t> mask{};
  std::vector<T> d{};
  policy_report report{};

  template <class O>
  row& run(const O& objective, const token_options& o = {}) {
    d.assign(logp.size(), T(-7));
    const auto shaped = [](const auto& x) { using X = typename std::remove_cvref_t<decltype(x)>::value_type; return x.empty() ? view<const X, 2>() : packed(x); };
    report = evaluate(objective, tokens<T>{.logp = shaped(logp), .old_logp = shaped(old_logp), .ref_logp = shaped(ref_logp), .advantage = advantage, .mask = shaped(mask)},
                      {.logp = packed(d)}, o);
    return *this;
  }
};
struct token_loss {  // the loss of a token is its log-probability: means can be read off
  template <class S> S operator()(const token<S>& x) const { return x.logp; }
};
}  // namespace

TEMPLATE_TEST_CASE("a ratio that overflows has gradient 0 where it is clipped or masked (P01)", "", float, double) {
  using T = TestType;
  const std::vector<T> logp{T(-1), T(-1), T(0)}, old{T(-1), T(-1), T(-1000)};
  row<T> masked{.logp = logp, .old_logp = old, .mask = {1, 1, 0}};
  for (const token_reduction reduction : {token_reduction::token_mean, token_reduction::sequence_mean_token_mean}) {
    masked.run(ppo{}, {.reduction = reduction});
    CHECK(masked.report.loss() == -1);
    CHECK((masked.d == std::vector<T>{T(-0.5), T(-0.5), T(0)}));
  }
  row<T> clipped{.logp = logp, .old_logp = old};
  clipped.run(ppo{}, {.reduction = token_reduction::token_sum});
  CHECK(clipped.report.loss_sum == Approx(-3.2));
  CHECK(clipped.d[2] == 0);
  CHECK(clipped.report.non_finite == 0);
  CHECK(clipped.report.held_high == Approx(1. / 3));
  // what has no bound there is weighed by one, flat, or 0
  clipped.run(cispo{}, {.reduction = token_reduction::token_sum});
  CHECK(double(clipped.d[2]) == Approx(-1.2));
  for (const auto& d : {clipped.run(sapo{}, {.reduction = token_reduction::token_sum}).d, clipped.run(gmpo{}, {.reduction = token_reduction::token_sum}).d}) CHECK(d[2] == 0);
  for (const T d : clipped.run(vespo{}).d) CHECK(d == 0);  // the ratio of the sequence overflows, its weight is 0
  CHECK(clipped.report.non_finite == 0);
  clipped.advantage = {T(-1)};
  clipped.run(ppo{.dual = 3});
  CHECK(clipped.d[2] == 0);
  CHECK(clipped.report.loss() == Approx(5. / 3));
  clipped.run(ppo{});  // nothing holds this ratio: infinite, and seen
  CHECK(clipped.d[2] == infinity<T>);
  CHECK(clipped.report.non_finite == 1);
  // The same of a ratio that the tokens share: no 0 x inf where a token's own log-probability does not move it.
  const auto bonus = penalised{ppo{}, no_penalty{}, 0.5};
  const std::vector<T> far{T(-1), T(-1), T(-3000)};
  for (const ratio_level level : {ratio_level::sequence_sum, ratio_level::sequence, ratio_level::sequence_token}) {
    row<T> overflowing{.logp = logp, .old_logp = far, .advantage = clipped.advantage};
    overflowing.run(ppo{}, {.ratio = level});
    for (const T d : overflowing.d) CHECK(d == infinity<T>);
    CHECK(overflowing.report.loss() == infinity<double>);
    CHECK(overflowing.report.non_finite == 3);
    std::vector<T> entropy{T(1), T(1), T(1)}, d_entropy(3);
    evaluate(bonus, tokens<T>{.logp = packed(logp), .old_logp = packed(far), .advantage = clipped.advantage, .entropy = packed(entropy)},
             {.logp = packed(clipped.d), .entropy = packed(d_entropy)}, {.ratio = level, .reduction = token_reduction::token_sum});
    for (const T d : d_entropy) CHECK(d == T(-0.5));
    for (const T d : clipped.d) CHECK(d == infinity<T>);
  }
  clipped.advantage = {T(0)};
  clipped.run(ppo{});
  CHECK(clipped.report.loss_sum == 0);
  CHECK((clipped.d == std::vector<T>{T(0), T(0), T(0)}));
  clipped.advantage = {std::numeric_limits<T>::quiet_NaN()};
  CHECK(clipped.run(ppo{}).report.non_finite == 3);  // an active NaN stays visible
}

TEMPLATE_TEST_CASE("the corrected k3 penalty has the derivative c r u, however far the reference is", "", float, double) {
  using T = TestType;
  for (const T u : {T(-1e-6), T(-20), T(-80), T(-1000), T(0.5), T(20)}) {
    row<T> r{.logp = {T(-1)}, .old_logp = {T(-1.25)}, .ref_logp = {T(-1) - u}, .advantage = {T(0)}};
    r.run(penalised{ppo{}, corrected_kl_penalty<kl::k3>{.coefficient = 0.5}});
    CHECK(double(r.d[0]) == Approx(0.5 * std::exp(0.25) * double(r.logp[0] - r.ref_logp[0])).epsilon(8 * double(std::numeric_limits<T>::epsilon())).margin(0));
  }
}

TEST_CASE("the ratio of a sequence is a mean of log-ratios, one term a sequence (P13)") {
  row<double> r{.logp = {3, -3, .6}, .old_logp = {0, 0, 0}};
  CHECK(r.run(gspo{.low = 1, .high = 9}).report.loss() == Approx(-1.221402758));
  CHECK(r.run(rloo{.low = 1, .high = 9}).report.loss() == Approx(-1.822118800));
  r = {.logp = {0, -100}, .old_logp = {-100, 0}};
  r.run(gspo{});
  CHECK(r.report.loss() == -1);
  CHECK((r.d == std::vector<double>{-.5, -.5}));

  std::vector<double> logp(8, -1), a{1, 1}, d(8);
  std::vector<std::int32_t> offsets{0, 2, 8};
  const tokens<double> two{.logp = packed(std::as_const(logp)), .old_logp = packed(std::as_const(logp)), .advantage = a, .offsets = offsets};
  CHECK(evaluate(gspo{}, two, {.logp = packed(d)}).loss() == -1);
  CHECK(d[0] == -.25);
  CHECK(d[7] == Approx(-1. / 12));
  CHECK(evaluate(luspo{}, two, {.logp = packed(d)}).loss() == -4);  // a length times the loss
  CHECK(d[0] == -.5);
  CHECK(d[7] == -.5);
  CHECK(evaluate(dr_grpo{}, two, {.logp = packed(d)}, {.constant_length = 8}).loss() == Approx(-.5));
}

TEST_CASE("means by name (P12)") {
  const std::vector<double> logp{-1, -2, 0, 0, -3, -3, -3, -3}, d(8);
  std::vector<std::uint8_t> mask{1, 1, 0, 0, 1, 1, 1, 1};
  const auto loss = [&](token_reduction reduction) {
    return -evaluate(token_loss{}, tokens<double>{.logp = as_view(logp.data(), 2, 4), .mask = as_view(std::as_const(mask).data(), 2, 4)}, {},
                     {.reduction = reduction, .constant_length = reduction == token_reduction::constant_length ? 4.0 : 0.0}).loss();
  };
  CHECK(loss(token_reduction::token_mean) == 2.5);
  CHECK(loss(token_reduction::sequence_mean_token_mean) == 2.25);
  CHECK(loss(token_reduction::sequence_mean_token_sum) == 7.5);
  CHECK(loss(token_reduction::constant_length) == 1.875);
  for (std::size_t t = 4; t < 8; ++t) mask[t] = 0;  // a row that is left out leaves the denominators as well
  CHECK(loss(token_reduction::token_mean) == 1.5);
  CHECK(loss(token_reduction::sequence_mean_token_mean) == 1.5);
  CHECK(loss(token_reduction::sequence_mean_token_sum) == 3);
  CHECK(loss(token_reduction::constant_length) == .75);
  mask.assign(8, 0);
  for (const token_reduction reduction : reductions) CHECK(loss(reduction) == 0);  // P03
}

TEST_CASE("a token of weight 0 is a masked one, weights are multiplicities, constant advantages per token are the sequence's (P55, P56)") {
  const ragged<double> data;
  for (const ratio_level level : levels) {
    for (const token_reduction reduction : reductions) {
      INFO(int(level) << " " << int(reduction));
      const token_options o = options_for(level, reduction);
      laid_out<double> a(data, layout::right_padded), b(data, layout::right_padded);
      auto masked = a.batch(ppo{}, data), weighted = b.batch(ppo{}, data);
      b.token_weight.assign(b.token_weight.size(), 1);
      for (std::size_t k = 0; k < a.place.size(); k += 3) {
        a.mask[a.place[k]] = 0;
        b.token_weight[b.place[k]] = 0;
        b.logp[b.place[k]] = std::numeric_limits<double>::quiet_NaN();
      }
      weighted.token_weight = b.shaped(std::as_const(b.token_weight));
      for (std::size_t s = 0, k = 0; s < data.lengths.size(); ++s) {
        for (std::int64_t t = 0; t < data.lengths[s]; ++t) b.token_advantage[b.place[k++]] = data.advantage[s];
      }
      weighted.advantage = {};
      weighted.token_advantage = b.shaped(std::as_const(b.token_advantage));
      const policy_report one = evaluate(ppo{}, masked, a.gradients(ppo{}), o), two = evaluate(ppo{}, weighted, b.gradients(ppo{}), o);
      CHECK(one.loss_sum == Approx(two.loss_sum).epsilon(1e-14));
      CHECK(one.weight == two.weight);
      CHECK(one.count == two.count);
      CHECK(one.clip_ratio() == Approx(two.clip_ratio()).epsilon(1e-13));
      for (std::size_t k = 0; k < a.d_logp.size(); ++k) CHECK(a.d_logp[k] == Approx(b.d_logp[k]).epsilon(1e-14).margin(0));
    }
  }
}

TEST_CASE("on policy every ratio is 1, and the gradient that of REINFORCE") {
  const ragged<double> data;
  laid_out<double> a(data, layout::right_padded), b(data, layout::right_padded);
  for (const ratio_level level : {ratio_level::token, ratio_level::sequence, ratio_level::sequence_token}) {
    auto batch = a.batch(ppo{}, data);
    batch.old_logp = {};
    const policy_report r = evaluate(ppo{}, batch, a.gradients(ppo{}), {.ratio = level, .on_policy = true});
    evaluate(reinforce{}, b.batch(reinforce{}, data), b.gradients(reinforce{}));
    CHECK(r.old_kl == 0);
    for (std::size_t k = 0; k < a.d_logp.size(); ++k) CHECK(a.d_logp[k] == b.d_logp[k]);
  }
}

TEST_CASE("on policy a product of ratios has the gradient that it has with the policy as its own old one") {
  const ragged<double> data;
  laid_out<double> a(data, layout::right_padded), b(data, layout::right_padded);
  auto same = a.batch(rloo{}, data), alone = b.batch(rloo{}, data);
  same.old_logp = same.logp;
  alone.old_logp = {};
  const double loss = evaluate(rloo{}, same, a.gradients(rloo{})).loss();
  CHECK(evaluate(rloo{}, alone, b.gradients(rloo{}), {.on_policy = true}).loss() == loss);
  CHECK((a.d_logp == b.d_logp));
  CHECK(std::abs(a.d_logp[a.place[6]]) == Approx(std::abs(data.advantage[3]) / 5));  // of 300 tokens, each has the whole of it
}

TEST_CASE("wrong batches and options are refused before anything is written") {
  std::vector<double> logp(6, -1), d(6, 5), a{1, 2}, short_row(4, 0), entropy(6, 1);
  std::vector<std::uint8_t> bytes(6, 1);
  const auto shaped = [](auto& x) { return as_view(std::as_const(x).data(), 2, std::int64_t(x.size()) / 2); };
  const tokens<double> good{.logp = shaped(logp), .old_logp = shaped(logp), .advantage = a};
  const token_gradients<double> g{.logp = as_view(d.data(), 2, 3)};
  const auto refuses = [&](const char* what, const auto& objective, const tokens<double>& batch, const token_options& o = {}, const token_gradients<double>* other = nullptr) {
    INFO(what);
    CHECK_THROWS_WITH(evaluate(objective, batch, other ? *other : g, o), Catch::Contains(what));
    CHECK((d == std::vector<double>(6, 5.0)));
  };
  const auto with = [&](auto change) {
    tokens<double> b = good;
    change(b);
    return b;
  };
  refuses("tokens.old_logp is missing", ppo{}, with([](auto& b) { b.old_logp = {}; }));
  refuses("tokens.old_logp is given with token_options.on_policy", ppo{}, good, {.on_policy = true});
  refuses("tokens.advantage (or token_advantage) is missing", ppo{}, with([](auto& b) { b.advantage = {}; }));
  refuses("both given", ppo{}, with([&](auto& b) { b.token_advantage = shaped(logp); }));
  refuses("tokens.ref_logp is missing", penalised{ppo{}, kl_penalty<kl::k3>{}}, good);
  refuses("tokens.selected is missing", clip_cov{}, good);
  refuses("tokens.selected is given", ppo{}, with([&](auto& b) { b.selected = shaped(bytes); }));
  refuses("tokens.entropy is missing", penalised{ppo{}, no_penalty{}, 0.1}, good);
  refuses("token_gradients.entropy is missing", penalised{ppo{}, no_penalty{}, 0.1}, with([&](auto& b) { b.entropy = shaped(entropy); }));
  refuses("no ratio", reinforce{}, good, {.ratio = ratio_level::sequence});
  refuses("mask (in rows)", ppo{}, with([&](auto& b) { b.mask = as_view(std::as_const(bytes).data(), 3, 2); }));
  refuses("has shape [2, 2]; expected [2, 3]", ppo{}, with([&](auto& b) { b.old_logp = shaped(short_row); }));
  refuses("tokens.advantage has 6 elements", ppo{}, with([&](auto& b) { b.advantage = logp; }));
  refuses("constant_length is 0", dr_grpo{}, good);
  refuses("constant_length is given", grpo{}, good, {.constant_length = 5});
  refuses("normalizer is 0", ppo{}, good, {.normalizer = 0});
  refuses("parameter low", ppo{.low = 2}, good);
  refuses("parameter dual", ppo{.dual = 1}, good);
  const std::vector<std::int32_t> falling{0, 3, 2}, beyond{0, 7};
  const auto packed_batch = [&](const auto& offsets) { return tokens<double>{.logp = packed(std::as_const(logp)), .old_logp = packed(std::as_const(logp)), .advantage = a, .offsets = offsets}; };
  refuses("offsets[2] is 2", ppo{}, packed_batch(falling));
  refuses("offsets[1] is 7", ppo{}, packed_batch(beyond));
  refuses("packed tensors", ppo{}, with([&](auto& b) { b.offsets = falling; }));
  std::vector<double> negative{1, -1};
  refuses("tokens.weight of sample 1 is -1", ppo{}, with([&](auto& b) { b.weight = negative; }));
  std::vector<double> infinite(6, infinity<double>);
  refuses("tokens.token_weight(0, 0) is inf", ppo{}, with([&](auto& b) { b.token_weight = shaped(infinite); }));
  const token_gradients<double> overlapping{.logp = view<double, 2>(d.data(), {2, 3}, {0, 1})};
  refuses("stride 0", ppo{}, good, {}, &overlapping);
}

TEST_CASE("the critic's loss: clipped values have no gradient (P51), strides and masks") {
  std::vector<double> value{1, 2, 3}, old{0, 2.1, 3}, target{3, 2, 2}, d(3);
  const values<double> b{.value = value, .old_value = old, .target = target};
  const report r = evaluate(value_loss{.clip = 0.2}, b, {.value = d});
  CHECK(r.loss_sum == Approx(.5 * (2.8 * 2.8 + 0 + 1)));
  CHECK(d[0] == 0);
  CHECK(d[1] == 0);
  CHECK(d[2] == Approx(1. / 3));
  CHECK(evaluate(value_loss{.clip = infinity<double>}, values<double>{.value = value, .target = target}, {.value = d}).loss() == Approx(.5 * (4 + 0 + 1) / 3));
  CHECK(d[0] == Approx(-2. / 3));
  CHECK_THROWS_WITH(evaluate(value_loss{.clip = 1}, values<double>{.value = value, .target = target}), Catch::Contains("values.old_value is missing"));
}
