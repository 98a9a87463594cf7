// SPDX-License-Identifier: MIT
// Batches of single completions: every catalogued objective on them, and what is special about labels.
#include "support/catch.hpp"

#include <attune/catalog.hpp>
#include <attune/check/gradient.hpp>  // detail::sampler
#include <attune/exec/evaluate.hpp>
#include <attune/preference/quantity.hpp>

#include <cmath>

using attune::evaluate;
using attune::singles;

namespace {

template <class T>
struct batch_of {
  std::vector<T> logp, ref_logp, reward, weight, d_logp;
  std::vector<std::int32_t> length;
  std::vector<std::uint8_t> label, mask;

  explicit batch_of(int size) : d_logp(std::size_t(size)) {
    attune::detail::sampler random(5);
    for (int i = 0; i < size; ++i) {
      const auto x = attune::detail::random_sample<attune::single_kind>(random);
      logp.push_back(T(float(x.y.logp)));
      ref_logp.push_back(T(float(x.y.ref_logp)));
      reward.push_back(T(float(x.y.reward)));
      length.push_back(int(x.y.length));
      label.push_back(x.label > 0);
      weight.push_back(T(float(random.uniform(0.1, 2))));
      mask.push_back(random.uniform(0, 1) < 0.8);
    }
  }
  /// Only what the objective reads.
  template <class Objective>
  singles<T> batch(const Objective& objective) const {
    singles<T> b{.logp = logp};
    for (const auto& m : attune::members<attune::single_kind>()) {
      if (!attune::reads<attune::single_kind>(objective, m)) continue;
      const std::string name = m.name;
      if (name == "ref_logp") b.ref_logp = ref_logp;
      if (name == "length") b.length = length;
      if (name == "reward") b.reward = reward;
      if (name == "label") b.label = label;
    }
    return b;
  }
  attune::single<double> sample(std::size_t i) const {
    return {{double(logp[i]), double(ref_logp[i]), double(length[i]), double(reward[i])}, label[i] ? 1.0 : -1.0};
  }
};

}  // namespace

TEMPLATE_TEST_CASE("evaluate on singles equals the sample by sample sum, for every objective", "", float, double, attune::bfloat16) {
  using T = TestType;
  int objectives = 0;
  attune::for_each_unit([&](const auto& entry) {
    using unit = typename std::remove_cvref_t<decltype(entry)>::unit;
    if constexpr (attune::single_objective<unit>) {
      ++objectives;
      INFO(entry.name);
      const unit objective{};
      batch_of<T> b(151);
      auto batch = b.batch(objective);
      batch.weight = b.weight;
      batch.mask = b.mask;
      const attune::report r = evaluate(objective, batch, {.logp = b.d_logp});
      double loss = 0, weight = 0, desirable = 0;
      for (std::size_t i = 0; i < b.logp.size(); ++i) {
        if (!b.mask[i]) {
          CHECK(double(b.d_logp[i]) == 0);
          continue;
        }
        const double w = double(b.weight[i]);
        const auto exact = objective(attune::differentiable<attune::single_kind, double>(b.sample(i)));
        loss += w * exact.value;
        weight += w;
        desirable += attune::reads<attune::single_kind>(objective, attune::role::data) && !b.label[i] ? 0 : w;
        const double tolerance = sizeof(T) == 8 ? 1e-13 : sizeof(T) == 4 ? 2e-5 : 5e-3;
        CHECK(double(b.d_logp[i]) * r.weight == Approx(w * exact.grad[0]).epsilon(tolerance).margin(1e-3 * tolerance));
      }
      CHECK(r.loss_sum == Approx(loss).epsilon(sizeof(T) == 8 ? 1e-13 : 1e-5));
      CHECK(r.weight == Approx(weight).epsilon(1e-7));
      if (!batch.label.absent()) CHECK(r.weight_chosen == Approx(desirable).epsilon(1e-7));
    }
  });
  CHECK(objectives >= 9);
}

TEST_CASE("threads, micro-batches and positions do not change singles (P11, P44)") {
  const attune::kto objective{.kl = 0.5};
  batch_of<float> one(20011), many(20011);
  const attune::report serial = evaluate(objective, one.batch(objective), {.logp = one.d_logp});
  const attune::report parallel = evaluate(attune::threads{7, 0}, objective, many.batch(objective), {.logp = many.d_logp});
  CHECK(serial.loss_sum == parallel.loss_sum);
  CHECK(serial.reward_rejected == parallel.reward_rejected);
  CHECK(one.d_logp == many.d_logp);

  batch_of<double> whole(97), parts(97);
  const attune::report all = evaluate(objective, whole.batch(objective), {.logp = whole.d_logp});
  attune::report sum;
  for (std::size_t begin : {std::size_t(0), std::size_t(1), std::size_t(40)}) {
    const std::size_t end = begin == 0 ? 1 : begin == 1 ? 40 : 97;
    const auto cut = [&](auto& x) { return attune::as_view(x.data() + begin, end - begin); };
    const batch_of<double>& c = parts;
    sum += evaluate(objective, singles<double>{.logp = cut(c.logp), .ref_logp = cut(c.ref_logp), .label = cut(c.label)}, {.logp = cut(parts.d_logp)},
                    {.normalizer = all.weight});
  }
  CHECK(sum.loss() == Approx(all.loss()).epsilon(1e-14));
  for (std::size_t m = 0; m < all.metrics().size(); ++m) CHECK(sum.metrics()[m].value == Approx(all.metrics()[m].value).epsilon(1e-13));
  for (std::size_t i = 0; i < 97; ++i) CHECK(parts.d_logp[i] == Approx(whole.d_logp[i]).epsilon(1e-14));
}

TEST_CASE("metrics of singles: desirable completions are the chosen ones, an answer is right if its reward has the label's sign") {
  const std::vector<double> logp{-1, -2, -5, -4}, ref_logp{-2, -2.5, -3, -6};
  const std::vector<std::uint8_t> label{1, 1, 0, 0};
  const attune::report r = evaluate(attune::bco{.beta = 0.5}, singles<double>{.logp = logp, .ref_logp = ref_logp, .label = label});
  CHECK(r.reward_chosen == Approx(0.375));     // (0.5 + 0.25) / 2
  CHECK(r.reward_rejected == Approx(0));       // (-1 + 1) / 2
  CHECK(r.margin == Approx(0.375));
  CHECK(r.logp_chosen == Approx(-1.5));
  CHECK(r.logp_rejected == Approx(-4.5));
  CHECK(r.accuracy == Approx(0.75));           // the last one has a positive reward but is undesirable
  CHECK(r.weight_chosen == 2);
  CHECK(r.weight_rejected == 2);

  const std::vector<std::uint8_t> wanted{1, 1, 1, 1};
  const attune::report all = evaluate(attune::bco{}, singles<double>{.logp = logp, .ref_logp = ref_logp, .label = wanted});
  CHECK(all.weight_rejected == 0);
  CHECK(all.reward_rejected == 0);  // a mean over nothing is 0, not NaN
}

TEST_CASE("errors on singles name the member, what is not read is refused") {
  batch_of<float> b(8);
  const auto message = [&](auto objective, auto change) {
    auto batch = b.batch(objective);
    change(batch);
    try {
      evaluate(objective, batch);
    } catch (const attune::error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const auto contains = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(contains(message(attune::kto{}, [](auto& x) { x.label = {}; }), "singles.label is missing; this objective reads it"));
  CHECK(contains(message(attune::kto{}, [](auto& x) { x.ref_logp = {}; }), "singles.ref_logp is missing"));
  CHECK(contains(message(attune::sft{}, [&](auto& x) { x.label = b.label; }), "singles.label is given, but this objective does not read it"));
  CHECK(contains(message(attune::kto{}, [&](auto& x) { x.reward = b.reward; }), "singles.reward is given, but this objective does not read it"));
  const std::vector<std::uint8_t> three(3, 1);
  CHECK(contains(message(attune::kto{}, [&](auto& x) { x.label = three; }), "singles.label has 3 elements; expected 8"));
  const std::vector<std::int32_t> zero(8, 0);
  CHECK(contains(message(attune::sft_per_token{}, [&](auto& x) { x.length = zero; }), "singles.length of sample 0 is 0; expected > 0 tokens"));
  CHECK(contains(message(attune::kto{.kl = -1}, [](auto&) {}), "parameter kl is -1; expected a value in [0, inf)"));
  CHECK(message(attune::kto{}, [](auto&) {}).empty());
}

TEST_CASE("batch statistics are evaluated like objectives and merge over ranks: KTO's baseline, BCO's shift, a variance") {
  batch_of<double> b(40);
  attune::report mean, squares;
  const auto half = [&](int begin) {
    const auto cut = [&](const auto& x) { return attune::as_view(x.data() + begin, 20); };
    return singles<double>{.logp = cut(b.logp), .ref_logp = cut(b.ref_logp)};
  };
  for (int rank : {0, 20}) mean += evaluate(attune::quantity::log_ratio{}, half(rank));
  double sum = 0, variance = 0;
  for (std::size_t i = 0; i < 40; ++i) sum += b.logp[i] - b.ref_logp[i];
  CHECK(mean.loss() == Approx(sum / 40).epsilon(1e-14));
  for (int rank : {0, 20}) squares += evaluate(attune::quantity::squared_deviation<attune::quantity::log_ratio>{.mean = mean.loss()}, half(rank));
  for (std::size_t i = 0; i < 40; ++i) variance += std::pow(b.logp[i] - b.ref_logp[i] - sum / 40, 2) / 40;
  CHECK(squares.loss() == Approx(variance).epsilon(1e-13));
}
