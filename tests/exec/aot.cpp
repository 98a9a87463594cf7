// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <attune/check/derivative.hpp>
#include <attune/check/gradient.hpp>  // detail::sampler
#include <attune/exec/aot.hpp>

#include <cmath>

namespace {

struct pair_data {
  std::vector<double> chosen, rejected, ref_chosen, ref_rejected, d_chosen, d_rejected;

  explicit pair_data(std::size_t size) : d_chosen(size), d_rejected(size) {
    attune::detail::sampler random(3);
    for (auto* x : {&chosen, &rejected, &ref_chosen, &ref_rejected}) {
      for (std::size_t i = 0; i < size; ++i) x->push_back(random.uniform(-30, -1));
    }
  }
  attune::pairs<double> batch() const { return {.chosen = chosen, .rejected = rejected, .ref_chosen = ref_chosen, .ref_rejected = ref_rejected}; }
  attune::pair_gradients<double> gradients() { return {.chosen = d_chosen, .rejected = d_rejected}; }
};

std::vector<double> sorted_differences(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> d;
  for (std::size_t i = 0; i < a.size(); ++i) d.push_back(a[i] - b[i]);
  std::sort(d.begin(), d.end());
  return d;
}

/// The textbook form: sort, subtract, average.
double textbook(const std::vector<double>& first, const std::vector<double>& second, double beta, double e) {
  double loss = 0;
  for (std::size_t k = 0; k < first.size(); ++k) {
    const double z = beta * (first[k] - second[k]);
    loss += -(1 - e) * std::log(1 / (1 + std::exp(-z))) - e * std::log(1 / (1 + std::exp(z)));
  }
  return loss / double(first.size());
}

template <class Aot>
double loss_of(const Aot& objective, const pair_data& data) {
  attune::aot_workspace<double> workspace;
  return attune::evaluate(objective, data.batch(), {}, workspace).loss();
}

}  // namespace

TEST_CASE("AOT equals the textbook form, paired and unpaired") {
  const pair_data data(17);
  CHECK(loss_of(attune::aot_unpaired{.beta = 0.3, .label_smoothing = 0.1}, data) ==
        Approx(textbook(sorted_differences(data.chosen, data.ref_chosen), sorted_differences(data.rejected, data.ref_rejected), 0.3, 0.1)).epsilon(1e-13));
  CHECK(loss_of(attune::aot_paired{.beta = 0.3}, data) ==
        Approx(textbook(sorted_differences(data.chosen, data.rejected), sorted_differences(data.ref_chosen, data.ref_rejected), 0.3, 0)).epsilon(1e-13));
}

TEMPLATE_TEST_CASE("AOT's gradient agrees with finite differences and returns to the answers it came from", "", attune::aot_unpaired, attune::aot_paired) {
  const TestType objective{.beta = 0.3, .label_smoothing = 0.05};
  pair_data data(9);
  attune::aot_workspace<double> workspace;
  attune::evaluate(objective, data.batch(), data.gradients(), workspace);
  for (std::size_t i = 0; i < 9; ++i) {
    for (const bool chosen : {true, false}) {
      pair_data moved = data;
      double& x = (chosen ? moved.chosen : moved.rejected)[i];
      const double at = x;
      const auto found = attune::differentiate([&](double y) { return x = y, loss_of(objective, moved); }, at, 1e-3);
      CHECK((chosen ? data.d_chosen : data.d_rejected)[i] == Approx(found.value).epsilon(1e-7).margin(1e-12));
    }
  }
}

TEST_CASE("AOT on one pair is cDPO, masked pairs take no part, threads give the same bits") {
  pair_data one(1);
  attune::aot_workspace<double> workspace;
  const double expected = attune::evaluate(attune::cdpo{.beta = 0.2, .label_smoothing = 0.1}, one.batch()).loss();
  CHECK(loss_of(attune::aot_unpaired{.beta = 0.2, .label_smoothing = 0.1}, one) == expected);
  CHECK(loss_of(attune::aot_paired{.beta = 0.2, .label_smoothing = 0.1}, one) == Approx(expected).epsilon(1e-15));

  pair_data all(12), fewer(12);
  std::vector<std::uint8_t> mask(12, 1);
  mask[3] = mask[7] = 0;
  auto masked = all.batch();
  masked.mask = mask;
  all.chosen[3] = all.rejected[7] = std::nan("");
  const attune::report r = attune::evaluate(attune::aot_unpaired{}, masked, all.gradients(), workspace);
  for (auto* x : {&fewer.chosen, &fewer.rejected, &fewer.ref_chosen, &fewer.ref_rejected, &fewer.d_chosen, &fewer.d_rejected}) {
    x->erase(x->begin() + 7);
    x->erase(x->begin() + 3);
  }
  CHECK(r.loss() == attune::evaluate(attune::aot_unpaired{}, fewer.batch(), fewer.gradients(), workspace).loss());
  CHECK(all.d_chosen[3] == 0);
  CHECK(all.d_rejected[7] == 0);
  CHECK(all.d_chosen[4] == fewer.d_chosen[3]);
  CHECK(attune::evaluate(attune::threads{3, 0}, attune::aot_unpaired{}, masked, {}, workspace).loss_sum == r.loss_sum);

  const std::vector<double> weight(12, 1.0);
  masked.weight = weight;
  CHECK_THROWS_AS(attune::evaluate(attune::aot_unpaired{}, masked, {}, workspace), attune::error);
  CHECK_THROWS_AS(attune::evaluate(attune::aot_paired{.beta = -1}, all.batch(), {}, workspace), attune::error);
}
