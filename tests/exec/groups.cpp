// SPDX-License-Identifier: MIT
// Batches of groups: every catalogued objective on them; raggedness, masks, ties, size one.
#include "support/catch.hpp"

#include <attune/catalog.hpp>
#include <attune/check/gradient.hpp>
#include <attune/exec/evaluate.hpp>

#include <algorithm>
#include <cmath>
#include <string>

using attune::evaluate;
using attune::groups;

namespace {

template <class T>
struct batch_of {
  std::vector<T> logp, ref_logp, reward, weight, d_logp;
  std::vector<std::int32_t> length;
  std::vector<std::uint8_t> mask;
  std::vector<std::int64_t> begin{0};

  explicit batch_of(const std::vector<int>& sizes) {
    attune::detail::sampler random(9);
    for (int size : sizes) {
      for (int i = 0; i < size; ++i) {
        attune::completion<double> y;
        attune::detail::draw(random, y, 4);
        logp.push_back(T(float(y.logp)));
        ref_logp.push_back(T(float(y.ref_logp)));
        length.push_back(int(y.length));
        reward.push_back(T(float(random.uniform(0, 1))));
        mask.push_back(random.uniform(0, 1) < 0.8);
      }
      weight.push_back(T(float(random.uniform(0.1, 2))));
      begin.push_back(std::int64_t(logp.size()));
    }
    d_logp.resize(logp.size());
  }
  groups<T> batch() const { return {.logp = logp, .ref_logp = ref_logp, .reward = reward, .length = length, .begin = begin}; }
  attune::completion<double> completion(std::size_t i) const {
    return {double(logp[i]), double(ref_logp[i]), double(length[i]), double(reward[i])};
  }
};

struct log_ratio_contrast {  // a user's objective: no closed gradient, and reads no length
  template <class S> S operator()(const attune::group<S>& g) const {
    S sum(0);
    for (const auto& y : g) sum = sum + attune::softplus(-y.reward * y.log_ratio());
    return sum * sum;
  }
};

/// Calls visit(name, objective) for every objective on groups, as evaluate's loop sees it: so what is checked is compiled once.
template <class Visit>
void for_each_group_objective(Visit visit) {
  int visited = 0;
  attune::catalog::for_each_group_objective([&](const auto& entry) {
    const typename std::remove_cvref_t<decltype(entry)>::unit objective{};
    visit(std::string(entry.name), attune::detail::group_ref(objective));
    ++visited;
  });
  CHECK(visited >= 9);
}

}  // namespace

TEMPLATE_TEST_CASE("evaluate on groups equals the group by group sum, for every objective", "", float, double, attune::bfloat16) {
  using T = TestType;
  for_each_group_objective([&](const std::string& name, const attune::detail::group_ref& objective) {
    INFO(name);
    batch_of<T> b({1, 2, 5, 3, 8, 2, 1, 4, 30});
    auto batch = b.batch();
    batch.weight = b.weight;
    batch.mask = b.mask;
    const attune::report r = evaluate(objective, batch, {.logp = b.d_logp});
    double loss = 0, weight = 0;
    for (std::size_t g = 0; g + 1 < b.begin.size(); ++g) {
      std::vector<attune::completion<double>> y;
      std::vector<std::size_t> from;
      for (auto i = std::size_t(b.begin[g]); i < std::size_t(b.begin[g + 1]); ++i) {
        if (b.mask[i]) y.push_back(b.completion(i)), from.push_back(i);
        if (!b.mask[i]) CHECK(double(b.d_logp[i]) == 0);
      }
      if (y.empty()) continue;
      std::vector<double> d(y.size());
      const double w = double(b.weight[g]);
      loss += w * attune::group_loss(objective, attune::group<double>(y.data(), int(y.size())), d.data());
      weight += w;
      for (std::size_t k = 0; k < d.size(); ++k) {
        const double tolerance = sizeof(T) == 8 ? 1e-14 : sizeof(T) == 4 ? 1e-6 : 5e-3;
        CHECK(double(b.d_logp[from[k]]) * r.weight == Approx(w * d[k]).epsilon(tolerance).margin(1e-30));
      }
    }
    CHECK(r.loss_sum == Approx(loss).epsilon(1e-14));
    CHECK(r.weight == Approx(weight).epsilon(1e-14));
    CHECK(r.non_finite == 0);
  });
}

TEST_CASE("group objectives do not depend on the order of the completions, also with equal rewards and equal scores") {
  for_each_group_objective([&](const std::string& name, const attune::detail::group_ref& objective) {
    INFO(name);
    std::vector<attune::completion<double>> y{{-5, -6, 4, 0.5}, {-9, -7, 5, 0.25}, {-5, -6, 4, 0.5}, {-3, -6, 2, 0.5}, {-8, -6, 9, 0.25}, {-1, -2, 3, 1}};
    double d[6], e[6];
    const double loss = attune::group_loss(objective, attune::group<double>(y.data(), 6), d);
    CHECK(std::isfinite(loss));
    std::vector<std::size_t> order{3, 0, 5, 4, 1, 2};
    std::vector<attune::completion<double>> shuffled;
    for (std::size_t i : order) shuffled.push_back(y[i]);
    CHECK(attune::group_loss(objective, attune::group<double>(shuffled.data(), 6), e) == Approx(loss).epsilon(1e-14));
    for (std::size_t k = 0; k < 6; ++k) CHECK(e[k] == Approx(d[order[k]]).epsilon(1e-13).margin(1e-15));
  });
}

TEST_CASE("a group of one is never NaN (P15)") {
  for_each_group_objective([&](const std::string& name, const attune::detail::group_ref& objective) {
    INFO(name);
    const attune::completion<double> y{-5, -6, 4, 0.5};
    double d[1];
    CHECK(std::isfinite(attune::group_loss(objective, attune::group<double>(&y, 1), d)));
    CHECK(std::isfinite(d[0]));
  });
}

TEST_CASE("a reward that is not finite stays visible") {
  for_each_group_objective([&](const std::string& name, const attune::detail::group_ref& objective) {
    INFO(name);
    for (double bad : {std::nan(""), HUGE_VAL}) {
      batch_of<double> b({3, 3});
      b.reward[4] = bad;
      const attune::report r = evaluate(objective, b.batch(), {.logp = b.d_logp});
      CHECK(r.non_finite == 1);
      CHECK(std::isnan(r.loss()));
      CHECK(std::isfinite(b.d_logp[2]));
      CHECK(std::isnan(b.d_logp[5]));
    }
  });
}

TEST_CASE("groups of equal size and the same groups as ragged ones, threads, micro-batches") {
  batch_of<float> b(std::vector<int>(301, 4)), c(std::vector<int>(301, 4));
  auto fixed = b.batch();
  fixed.begin = {};
  fixed.size = 4;
  const attune::report r = evaluate(attune::plackett_luce_dpo{}, fixed, {.logp = b.d_logp});
  const attune::report s = evaluate(attune::threads{5, 0}, attune::plackett_luce_dpo{}, c.batch(), {.logp = c.d_logp});
  CHECK(r.loss_sum == s.loss_sum);
  CHECK(r.accuracy == s.accuracy);
  CHECK(b.d_logp == c.d_logp);
  CHECK(r.count == 301);
  attune::report sum;
  const batch_of<float>& k = c;
  for (int first : {0, 400}) {
    const auto cut = [&](auto& x) { return attune::as_view(x.data() + first, first == 0 ? 400 : 804); };
    sum += evaluate(attune::plackett_luce_dpo{}, groups<float>{.logp = cut(k.logp), .ref_logp = cut(k.ref_logp), .reward = cut(k.reward), .size = 4},
                    {.logp = cut(c.d_logp)}, {.normalizer = r.weight});
  }
  CHECK(sum.loss() == Approx(r.loss()).epsilon(1e-14));
  CHECK(c.d_logp == b.d_logp);
}

TEST_CASE("the gradient may be written over the log-probabilities, masked completions included") {
  batch_of<float> apart({3, 5, 2}), in_place({3, 5, 2});
  auto expected = apart.batch(), batch = in_place.batch();
  expected.mask = apart.mask;
  batch.mask = in_place.mask;
  const attune::report r = evaluate(attune::exo_rw{}, expected, {.logp = apart.d_logp});
  CHECK(evaluate(attune::exo_rw{}, batch, {.logp = in_place.logp}).loss_sum == r.loss_sum);
  CHECK(in_place.logp == apart.d_logp);
}

TEST_CASE("a user's objective on groups: gradient by dual numbers, also beyond one block, checked") {
  batch_of<double> b({11, 2});
  evaluate(log_ratio_contrast{}, b.batch(), {.logp = b.d_logp}, {.normalizer = 1});
  double sum = 0;
  for (std::size_t i = 0; i < 11; ++i) sum += std::log1p(std::exp(-b.reward[i] * (b.logp[i] - b.ref_logp[i])));
  for (std::size_t i = 0; i < 11; ++i) {
    const double z = -b.reward[i] * (b.logp[i] - b.ref_logp[i]);
    CHECK(b.d_logp[i] == Approx(2 * sum * -b.reward[i] / (1 + std::exp(-z))).epsilon(1e-12));
  }
  CHECK(attune::check_gradient(log_ratio_contrast{}));
}

TEST_CASE("errors on groups: extents, sizes, what is missing or not read") {
  batch_of<float> b({4, 4});
  const auto message = [&](auto objective, auto change) {
    auto batch = b.batch();
    change(batch);
    try {
      evaluate(objective, batch);
    } catch (const attune::error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const auto contains = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  CHECK(contains(message(attune::exo_rw{}, [](auto& x) { x.size = 4; }), "expected exactly one of them"));
  CHECK(contains(message(attune::exo_rw{}, [](auto& x) { x.begin = {}; }), "expected exactly one of them"));
  CHECK(contains(message(attune::exo_rw{}, [](auto& x) { x.begin = {}, x.size = 3; }), "expected a divisor of 8"));
  const std::vector<std::int64_t> gap{0, 4, 7}, back{0, 6, 5, 8};
  CHECK(contains(message(attune::exo_rw{}, [&](auto& x) { x.begin = gap; }), "does not run from 0 to 8"));
  CHECK(contains(message(attune::exo_rw{}, [&](auto& x) { x.begin = back; }), "group 1 has -1 completions"));
  CHECK(contains(message(attune::exo_rw{}, [](auto& x) { x.reward = {}; }), "groups.reward is missing; this objective reads it"));
  CHECK(contains(message(attune::rrhf{}, [](auto& x) { x.length = {}; }), "groups.length is missing"));
  CHECK(contains(message(attune::exo_rw{.temperature = 0}, [](auto&) {}), "parameter temperature is 0"));
  CHECK(message(attune::exo_rw{}, [](auto&) {}).empty());
  std::vector<float> many(1025, -1);
  CHECK_THROWS_AS(evaluate(attune::dpo_best{}, groups<float>{.logp = many, .ref_logp = many, .reward = many, .size = 1025}), attune::error);
  CHECK(evaluate(attune::dpo_best{}, groups<float>{}).loss() == 0);
}
