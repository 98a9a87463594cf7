// SPDX-License-Identifier: MIT
#include "exec/pair_batch.hpp"
#include "support/catch.hpp"

#include <attune/catalog.hpp>
#include <attune/check/gradient.hpp>
#include <attune/exec/any_objective.hpp>
#include <attune/exec/evaluate.hpp>

#include <cmath>
#include <cstring>

namespace {

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const attune::error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("an objective chosen at run time gives the same bits as the objective itself") {
  batch_of<float> direct(300), chosen(300);
  const attune::report r = evaluate(attune::simpo{.beta = 3}, direct.full(), direct.gradients());
  using any = attune::any_objective<attune::pair_kind, float>;
  const any objective = attune::simpo{.beta = 3};
  CHECK(same_bits(r, evaluate(attune::threads{3, 0}, objective, chosen.full(), chosen.gradients())));
  CHECK(direct.d_chosen == chosen.d_chosen);
  CHECK(attune::check_gradient(objective));
  CHECK_THROWS_AS(any(attune::simpo{.beta = -1}), attune::error);
}

TEST_CASE("the same bits for any number of threads, any position, any micro-batch alignment (P44)") {
  for (int size : {1, 3, 64, 1000, 5000, 20011}) {
    batch_of<float> one(size), many(size);
    const attune::report serial = evaluate(attune::dpo{}, one.plain(), one.gradients());
    for (int threads : {1, 2, 3, 7, 64, 0}) {
      const attune::report parallel = evaluate(attune::threads{threads, 0}, attune::dpo{}, many.plain(), many.gradients());
      CHECK(same_bits(serial, parallel));
      CHECK(one.d_chosen == many.d_chosen);
      CHECK(one.d_rejected == many.d_rejected);
    }
  }
  // one pair alone, or anywhere in a batch, has the same gradient
  batch_of<float> b(4096);
  evaluate(attune::exo_pref{}, b.plain(), b.gradients(), {.normalizer = 1});
  for (std::size_t i : {std::size_t(0), std::size_t(7), std::size_t(2047), std::size_t(4095)}) {
    float dc[1], dr[1];
    const auto at = [&](const std::vector<float>& x) { return attune::as_view(x.data() + i, 1); };
    evaluate(attune::exo_pref{}, pairs<float>{.chosen = at(b.chosen), .rejected = at(b.rejected), .ref_chosen = at(b.ref_chosen), .ref_rejected = at(b.ref_rejected)},
             {.chosen = dc, .rejected = dr}, {.normalizer = 1});
    CHECK(dc[0] == b.d_chosen[i]);
    CHECK(dr[0] == b.d_rejected[i]);
  }
  CHECK_THROWS_AS(evaluate(attune::threads{-1}, attune::dpo{}, b.plain()), attune::error);
}

TEST_CASE("any split into micro-batches gives the gradient and the report of the whole (P11, P51)") {
  batch_of<double> whole(97), parts(97);
  const attune::report all = evaluate(attune::cdpo{}, whole.full(), whole.gradients());
  attune::report sum;
  for (const auto& range : {std::pair<std::size_t, std::size_t>{0, 1}, {1, 40}, {40, 41}, {41, 97}}) {
    const std::size_t begin = range.first, end = range.second;  // clang 14 cannot capture a structured binding
    const auto cut = [&](auto& x) { return attune::as_view(x.data() + begin, end - begin); };
    const batch_of<double>& c = parts;
    sum += evaluate(attune::cdpo{},
                    pairs<double>{.chosen = cut(c.chosen), .rejected = cut(c.rejected), .ref_chosen = cut(c.ref_chosen), .ref_rejected = cut(c.ref_rejected),
                                  .weight = cut(c.weight), .margin = cut(c.margin), .mask = cut(c.mask)},
                    {.chosen = cut(parts.d_chosen), .rejected = cut(parts.d_rejected)}, {.normalizer = all.weight});
  }
  for (std::size_t i = 0; i < 97; ++i) CHECK(parts.d_chosen[i] == Approx(whole.d_chosen[i]).epsilon(1e-14));
  CHECK(sum.loss() == Approx(all.loss()).epsilon(1e-14));
  CHECK(sum.count == all.count);
  for (std::size_t m = 0; m < all.metrics().size(); ++m) CHECK(sum.metrics()[m].value == Approx(all.metrics()[m].value).epsilon(1e-13));
}

TEST_CASE("weights: {2, 0, 1} is the first pair twice and the second left out (P55)") {
  batch_of<double> b(3), twice(3);
  twice.chosen = {b.chosen[0], b.chosen[0], b.chosen[2]};
  twice.rejected = {b.rejected[0], b.rejected[0], b.rejected[2]};
  twice.ref_chosen = {b.ref_chosen[0], b.ref_chosen[0], b.ref_chosen[2]};
  twice.ref_rejected = {b.ref_rejected[0], b.ref_rejected[0], b.ref_rejected[2]};
  b.weight = {2, 0, 1};
  pairs<double> weighted = b.plain();
  weighted.weight = b.weight;
  const auto r = evaluate(attune::dpo{}, weighted, b.gradients()), s = evaluate(attune::dpo{}, twice.plain());
  CHECK(r.loss() == Approx(s.loss()).epsilon(1e-15));
  CHECK(r.accuracy == Approx(s.accuracy));
  CHECK(r.count == 2);
  CHECK(b.d_chosen[1] == 0);
  b.weight = {0, 0, 0};
  const auto none = evaluate(attune::dpo{}, weighted, b.gradients());
  CHECK(none.loss() == 0);
  CHECK(none.weight == 0);
  CHECK(b.d_chosen == std::vector<double>{0, 0, 0});
}

TEST_CASE("masked pairs are not read: garbage cannot leak, an active NaN stays visible and is counted (P02, P03, P54)") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  batch_of<double> clean(20), dirty(20);
  dirty.mask = clean.mask;
  for (std::size_t i = 0; i < 20; ++i) {
    if (clean.mask[i]) continue;
    dirty.chosen[i] = nan;
    dirty.rejected[i] = inf;
    dirty.ref_chosen[i] = -1e300;
    dirty.weight[i] = nan;
    dirty.margin[i] = -inf;
    dirty.chosen_length[i] = -5;
  }
  const auto a = evaluate(attune::simpo{}, clean.full(), clean.gradients()), b = evaluate(attune::simpo{}, dirty.full(), dirty.gradients());
  CHECK(same_bits(a, b));
  CHECK(clean.d_chosen == dirty.d_chosen);
  CHECK(clean.d_rejected == dirty.d_rejected);

  clean.mask.assign(20, 0);
  const auto empty = evaluate(attune::simpo{}, clean.full(), clean.gradients());
  CHECK(empty.loss() == 0);
  CHECK(empty.accuracy == 0);
  CHECK(clean.d_chosen == std::vector<double>(20, 0.0));

  batch_of<double> broken(20);
  broken.chosen[4] = nan;
  broken.rejected[9] = -inf;
  const auto seen = evaluate(attune::dpo{}, broken.plain(), broken.gradients());
  CHECK(std::isnan(seen.loss()));
  CHECK(seen.non_finite == 1);  // a rejected log-prob of -inf is the limit of a perfect pair: loss 0, gradient 0
  CHECK(std::isnan(broken.d_chosen[4]));
  CHECK(broken.d_chosen[9] == 0);
  CHECK(std::isfinite(broken.d_chosen[5]));
}

TEST_CASE("batches of every size, empty ones too (P52)") {
  for (int size = 0; size < 70; ++size) {
    batch_of<float> b(size), full(size);
    full.mask.assign(std::size_t(size), 1);
    full.weight.assign(std::size_t(size), 1);
    full.margin.assign(std::size_t(size), 0);
    const auto plain = evaluate(attune::ipo_mean{}, b.plain(), b.gradients()), general = evaluate(attune::ipo_mean{}, full.full(), full.gradients());
    CHECK(same_bits(plain, general));
    CHECK(b.d_chosen == full.d_chosen);
    CHECK(plain.count == size);
  }
  CHECK(evaluate(attune::dpo{}, pairs<float>{}).loss() == 0);
}

TEST_CASE("strided tensors and 16-bit storage are read and written in place (P24)") {
  batch_of<float> b(33);
  std::vector<float> interleaved(33 * 2), gradients(33 * 2, 5.0f), reversed(b.rejected.rbegin(), b.rejected.rend());
  for (std::size_t i = 0; i < 33; ++i) interleaved[2 * i] = b.chosen[i], interleaved[2 * i + 1] = std::numeric_limits<float>::quiet_NaN();
  pairs<float> strided = b.plain();
  strided.chosen = attune::as_view(static_cast<const float*>(interleaved.data()), {33}, {2});
  strided.rejected = attune::as_view(static_cast<const float*>(reversed.data() + 32), {33}, {-1});
  const auto packed = evaluate(attune::dpo{}, b.plain(), b.gradients());
  std::vector<float> d_rejected(33);
  const auto r = evaluate(attune::dpo{}, strided, {.chosen = attune::as_view(gradients.data(), {33}, {2}), .rejected = d_rejected});
  CHECK(same_bits(packed, r));
  for (std::size_t i = 0; i < 33; ++i) {
    CHECK(gradients[2 * i] == b.d_chosen[i]);
    CHECK(gradients[2 * i + 1] == 5.0f);
  }

  using bf16 = attune::bfloat16;
  std::vector<bf16> c, j, rc, rj, dc(33), dj(33);
  for (std::size_t i = 0; i < 33; ++i) c.emplace_back(b.chosen[i]), j.emplace_back(b.rejected[i]), rc.emplace_back(b.ref_chosen[i]), rj.emplace_back(b.ref_rejected[i]);
  batch_of<float> rounded(33);
  for (std::size_t i = 0; i < 33; ++i) rounded.chosen[i] = c[i], rounded.rejected[i] = j[i], rounded.ref_chosen[i] = rc[i], rounded.ref_rejected[i] = rj[i];
  const auto half = evaluate(attune::dpo{}, pairs<bf16>{.chosen = c, .rejected = j, .ref_chosen = rc, .ref_rejected = rj}, {.chosen = dc, .rejected = dj});
  const auto single = evaluate(attune::dpo{}, rounded.plain(), rounded.gradients());
  CHECK(same_bits(half, single));
  for (std::size_t i = 0; i < 33; ++i) CHECK(dc[i].bits == bf16(rounded.d_chosen[i]).bits);
}

TEST_CASE("bad input: an error that names what is wrong, and nothing is written") {
  batch_of<float> b(8);
  const std::vector<float> untouched(8, 77.0f);
  const std::vector<float> three(3);
  const auto refuses = [&](const std::string& part, auto&& change, auto objective, attune::options o = {}) {
    pairs<float> p = b.plain();
    pair_gradients<float> g = b.gradients();
    change(p, g);
    const std::string message = message_of([&] { evaluate(objective, p, g, o); });
    INFO(message);
    CHECK(message.find(part) != std::string::npos);
    CHECK(b.d_chosen == untouched);
    CHECK(b.d_rejected == untouched);
  };
  const auto nothing = [](auto&, auto&) {};
  using attune::dpo;
  std::vector<float> short_gradient(3), negative{1, 1, 1, -1, 1, 1, 1, 1};
  std::vector<std::int32_t> zero_length(8, 4);
  zero_length[5] = 0;
  refuses("pairs.rejected has 3 elements; expected 8", [&](auto& p, auto&) { p.rejected = three; }, dpo{});
  refuses("pairs.ref_chosen has 3 elements", [&](auto& p, auto&) { p.ref_chosen = three; }, dpo{});
  refuses("pairs.ref_rejected is missing; this objective reads it", [&](auto& p, auto&) { p.ref_rejected = {}; }, dpo{});
  refuses("pairs.chosen_length is missing", [&](auto& p, auto&) { p.chosen_length = {}; }, attune::simpo{});
  refuses("pairs.rejected_length of sample 5 is 0; expected > 0 tokens", [&](auto& p, auto&) { p.rejected_length = zero_length; }, attune::simpo{});
  refuses("pairs.weight of sample 3 is -1", [&](auto& p, auto&) { p.weight = negative; }, dpo{});
  refuses("pair_gradients.chosen has 3 elements", [&](auto&, auto& g) { g.chosen = short_gradient; }, dpo{});
  refuses("has stride 0", [&](auto&, auto& g) { g.chosen = attune::as_view(b.d_chosen.data(), {8}, {0}); }, dpo{});
  refuses("pair_gradients.rejected is missing", [&](auto&, auto& g) { g.rejected = {}; }, dpo{});
  refuses("pairs.chosen_kl is given, but this objective does not read it", [&](auto& p, auto&) { p.chosen_kl = b.chosen; }, dpo{});
  refuses("pairs.chosen_reward is given, but this objective does not read it", [&](auto& p, auto&) { p.chosen_reward = b.chosen; }, dpo{});
  refuses("parameter beta is -0.1; expected a value in (0, inf)", nothing, dpo{.beta = -0.1});
  refuses("parameter label_smoothing is 0.5", nothing, attune::cdpo{.label_smoothing = 0.5});
  refuses("options.normalizer is 0", nothing, dpo{}, {.normalizer = 0});
  refuses("options.normalizer is nan", nothing, dpo{}, {.normalizer = std::nan("")});
  CHECK_NOTHROW(evaluate(dpo{}, b.plain()));
}

namespace {
struct no_margin {
  template <class S> S operator()(const attune::pair<S>& x) const { return attune::softplus(x.rejected.logp - x.chosen.logp); }
};
struct logistic_by_hand {
  double beta = 0.1;
  template <class S> ATTUNE_FN S operator()(const attune::pair<S>& x) const {
    return attune::softplus(-beta * (x.chosen.log_ratio() - x.rejected.log_ratio()));
  }
};
}  // namespace

TEST_CASE("users' objectives: checked for what they read, bitwise equal to the built-in one (P58)") {
  batch_of<float> b(500), c(500);
  pairs<float> p = b.plain();
  p.margin = b.margin;
  CHECK(message_of([&] { evaluate(no_margin{}, p); }).find("pairs.margin is given, but this objective does not read it") != std::string::npos);
  const auto mine = evaluate(logistic_by_hand{}, b.plain(), b.gradients()), built_in = evaluate(attune::dpo{}, c.plain(), c.gradients());
  CHECK(mine.loss_sum == built_in.loss_sum);
  CHECK(b.d_chosen == c.d_chosen);
  CHECK(mine.reward_chosen == built_in.reward_chosen);  // its beta is found
}

TEST_CASE("report: hand values under TRL's names, ties are not accurate (P51)") {
  const double chosen[] = {-3, -5}, rejected[] = {-5, -5}, ref[] = {-4, -4};
  const auto r = evaluate(attune::dpo{.beta = 0.1}, pairs<double>{.chosen = chosen, .rejected = rejected, .ref_chosen = ref, .ref_rejected = ref});
  const auto metrics = r.metrics();
  const auto get = [&](const std::string& name) {
    for (const auto& m : metrics) {
      if (name == m.name) return m.value;
    }
    return std::nan("");
  };
  CHECK(get("rewards/chosen") == Approx((0.1 - 0.1) / 2).margin(1e-16));
  CHECK(get("rewards/rejected") == Approx(-0.1));
  CHECK(get("rewards/margins") == Approx(0.1));
  CHECK(get("rewards/accuracies") == 0.5);
  CHECK(get("logps/chosen") == -4);
  CHECK(get("logps/rejected") == -5);
  CHECK(get("loss") == Approx((std::log1p(std::exp(-0.2)) + std::log(2)) / 2));
}

namespace {
struct has_a_ref {  // evaluate's own names are not forbidden to a user's objective
  double ref() const { return 2; }
  template <class S> S operator()(const attune::pair<S>& x) const { return S(ref()) * (x.rejected.logp - x.chosen.logp); }
};
}  // namespace
TEST_CASE("a user's objective may have a member of any name") {
  const std::vector<double> chosen{-1}, rejected{-3};
  std::vector<double> d_chosen(1), d_rejected(1);
  const attune::report r = attune::evaluate(has_a_ref{}, attune::pairs<double>{.chosen = chosen, .rejected = rejected}, {.chosen = d_chosen, .rejected = d_rejected});
  CHECK(r.loss() == -4);
  CHECK(d_chosen[0] == -2);
  CHECK(d_rejected[0] == 2);
}
