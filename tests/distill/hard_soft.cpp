// SPDX-License-Identifier: MIT
// Labels and a teacher together: the sum of two rows' losses in one buffer.
#include <attune/distill/hard_soft.hpp>

#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/generalized_jensen_shannon.hpp>

#include "rows/support.hpp"
#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#include <algorithm>

using namespace attune_test;
using attune::row_report;
using attune::distill::hard_soft;
using attune::distill::hard_soft_options;
using attune::divergence::forward_kl;
using attune::divergence::generalized_jensen_shannon;
using real = long double;

namespace {

template <class T> struct problem {
  using A = attune::arithmetic<T>;
  std::int64_t rows, classes;
  std::vector<T> logits, target, gradient, memory;
  std::vector<std::int32_t> y;
  std::vector<A> values, coefficients, hard, soft;

  problem(std::int64_t n, std::int64_t v)
      : rows(n), classes(v), logits(normals<T>(n * v, 2, 21)), target(normals<T>(n * v, 2, 22)), gradient(logits.size(), to<T>(7)),
        memory(std::size_t(4 * v)), y(labels(n, v, 23)), values(std::size_t(n), 7), hard(std::size_t(n), 7), soft(std::size_t(n), 7) {
    for (std::int64_t i = 0; i < n; ++i) coefficients.push_back(A(i % 3 == 1 ? -2 : 0.5 + double(i)));
  }
  view<T, 2> x() { return as_view(logits.data(), rows, classes); }
  view<T, 2> t() { return as_view(target.data(), rows, classes); }
  view<T, 2> g() { return as_view(gradient.data(), rows, classes); }
  view<T, 2> scratch(std::int64_t slots = 1) { return as_view(memory.data(), slots, classes); }
  template <class G> row_report operator()(const G& f, const hard_soft_options& o = {}) {
    return hard_soft(f, x(), t(), y, values, g(), scratch(), coefficients, o, {.hard = hard, .soft = soft});
  }
};

/// With the forward KL, whose gradient is (pi - p) / T.
template <class T> void check_textbook(std::int64_t classes, const hard_soft_options& o) {
  problem<T> d(3, classes);
  d(forward_kl{}, o);
  const double u = 100 * half_ulp<attune::arithmetic<T>>(), temperature = o.divergence.temperature;
  const real k = o.times_temperature_squared ? temperature * temperature : 1;
  for (std::int64_t n = 0; n < 3; ++n) {
    INFO("V " << classes << " T " << temperature << " weights " << o.hard << ", " << o.soft << " row " << n);
    const auto plain = softmax(d.logits.data() + n * classes, classes, o.hard_temperature);
    const auto pi = softmax(d.logits.data() + n * classes, classes, temperature), p = softmax(d.target.data() + n * classes, classes, temperature);
    const auto i = std::size_t(n), label = std::size_t(d.y[i]);
    real kl = 0;
    for (std::size_t v = 0; v < p.size(); ++v) kl += p[v] * std::log(p[v] / pi[v]);
    const double likelihood = double(-std::log(plain[label])), value = o.hard * likelihood + o.soft * double(k * kl);
    CHECK(double(d.values[i]) == Approx(value).epsilon(u));
    if (o.hard > 0) CHECK(double(d.hard[i]) == Approx(likelihood).epsilon(u));
    if (o.soft > 0) CHECK(double(d.soft[i]) == Approx(double(kl)).epsilon(u));
    double worst = 0;
    for (std::size_t v = 0; v < p.size(); ++v) {
      const double c = double(d.coefficients[i]), a = c * o.hard / o.hard_temperature * double(plain[v] - (v == label)),
                   b = c * o.soft / temperature * double(k * (pi[v] - p[v]));
      const double rounded = std::abs(a) + std::abs(b) + std::abs(a + b), masses = double(pi[v] + p[v] + plain[v]);
      const double allowed = 1.01 * half_ulp<T>() * rounded + u * std::abs(c) * (1 + double(k)) * masses;
      worst = attune::max(worst, std::abs(from(d.gradient[i * p.size() + v]) - (a + b)) / allowed);
    }
    CHECK(worst <= 1);
  }
}

}  // namespace

TEST_CASE("hard_soft is the weighted sum of both losses, value and gradient, with and without T^2") {
  for (std::int64_t classes : {3, 33, 3000}) {
    for (double temperature : {1.0, 2.0, 0.7}) {
      for (bool squared : {false, true}) {
        const hard_soft_options o{.hard = 0.3, .soft = 0.7, .times_temperature_squared = squared, .divergence = {.temperature = temperature}};
        check_textbook<double>(classes, o);
        check_textbook<float>(classes, o);
        check_textbook<bfloat16>(classes, o);
      }
    }
  }
  check_textbook<double>(9, {.hard = 0.1, .soft = 2, .hard_temperature = 1.7, .divergence = {.temperature = 3}});
  check_textbook<double>(9, {.hard = 1, .soft = 0});
  check_textbook<double>(9, {.hard = 0, .soft = 1});
}

TEST_CASE("hard_soft: the gradient is that of the value by finite differences, position weights are coefficients") {
  const auto policy = normals<double>(8, 1, 31), teacher = normals<double>(8, 1, 32);
  const std::vector<std::int32_t> label{5};
  const std::vector<double> weight{1.375};
  std::vector<double> value(1), g(8), scratch(8);
  const hard_soft_options o{.hard = 0.4, .soft = 0.6, .times_temperature_squared = true, .hard_temperature = 0.9, .divergence = {.temperature = 2}};
  const generalized_jensen_shannon f{0.3};
  hard_soft(f, as_view(policy.data(), 1, 8), as_view(teacher.data(), 1, 8), label, value, as_view(g.data(), 1, 8), as_view(scratch.data(), 1, 8),
            weight, o);
  const auto loss = [&](const std::vector<double>& x) {
    hard_soft(f, as_view(x.data(), 1, 8), as_view(teacher.data(), 1, 8), label, value, {}, {}, {}, o);
    return 1.375 * value[0];
  };
  CHECK(gradient_error(loss, policy, g) < 1e-10);
  g[5] += 1e-6;
  CHECK(gradient_error(loss, policy, g) > 1e-8);
}

TEST_CASE("hard_soft: a part with weight 0 is not there, the other is its own function bit for bit") {
  problem<float> d(4, 50);
  std::vector<float> expected(d.gradient.size()), values(4);
  d.target[3] = nan_f;
  CHECK(d(forward_kl{}, {.hard = 1, .soft = 0}).non_finite == 0);
  attune::fused_logits_gradient(d.x(), d.y, [&](std::int64_t n, double) { return -double(d.coefficients[std::size_t(n)]); }, values,
                                as_view(expected.data(), 4, 50));
  CHECK(same_bits(d.gradient, expected));
  for (std::size_t n = 0; n < 4; ++n) CHECK((d.values[n] == -values[n] && d.hard[n] == -values[n] && d.soft[n] == 0));
  d.target[3] = 0;
  d.logits[std::size_t(d.y[0])] = -inf_f;  // an impossible label
  CHECK(d(forward_kl{}).non_finite == 1);
  CHECK(std::isinf(d.values[0]));
  d.target[std::size_t(d.y[0])] = -inf_f;
  CHECK(d(forward_kl{}, {.hard = 0, .soft = 1}).non_finite == 0);
  attune::row_divergence(forward_kl{}, d.x(), d.t(), values, as_view(expected.data(), 4, 50), d.coefficients);
  CHECK((same_bits(d.gradient, expected) && same_bits(d.values, values)));
}

TEST_CASE("hard_soft: strides, in place, threads and scratch rows change no bit, masked and ignored rows are not read, broken ones stay visible") {
  problem<float> d(5, 33);
  const hard_soft_options o{.divergence = {.temperature = 2}};
  CHECK(d(forward_kl{}, o).rows == 5);
  const auto values = d.values, gradient = d.gradient;
  for (auto [row, column] : strides(5, 33)) {
    placed<float> x(d.logits, 5, 33, row, column, 1e30), t(d.target, 5, 33, row, column, nan_f), g(d.gradient, 5, 33, row, column, 3);
    hard_soft(forward_kl{}, x.matrix, t.matrix, d.y, d.values, g.matrix, d.scratch(), d.coefficients, o);
    CHECK((same_bits(d.values, values) && same_bits(g.packed(), gradient)));
    hard_soft(forward_kl{}, x.matrix, t.matrix, d.y, d.values, x.matrix, d.scratch(), d.coefficients, o);
    CHECK((same_bits(d.values, values) && same_bits(x.packed(), gradient)));
  }
  for (std::int64_t slots : {2, 4}) {
    std::fill(d.gradient.begin(), d.gradient.end(), 9.0f);
    hard_soft(attune::threads{3, 0}, forward_kl{}, d.x(), d.t(), d.y, d.values, d.g(), d.scratch(slots), d.coefficients, o);
    CHECK((same_bits(d.values, values) && same_bits(d.gradient, gradient)));
  }
  hard_soft(attune::threads{3, 0}, forward_kl{}, d.x(), d.t(), d.y, d.values, {}, {}, {}, o);  // values alone need no scratch
  CHECK(same_bits(d.values, values));
  std::vector<float> wide(5 * 40, 5.0f);
  hard_soft(forward_kl{}, d.x(), d.t(), d.y, d.values, as_view(wide.data(), 5, 40), d.scratch(), d.coefficients, o);
  for (std::size_t i = 0; i < wide.size(); ++i) CHECK(wide[i] == (i % 40 < 33 ? gradient[i / 40 * 33 + i % 40] : 0));

  const std::vector<std::uint8_t> mask{1, 0, 1, 1, 1};
  d.y[1] = 9999;  // not read
  d.y[3] = -100;
  for (std::size_t i = 33; i < 66; ++i) d.logits[i] = d.target[i] = d.logits[i + 66] = nan_f;
  d.target[2 * 33] = nan_f;
  hard_soft_options masked = o;
  masked.divergence.mask = mask;
  const row_report found = d(forward_kl{}, masked);
  CHECK((found.rows == 5 && found.masked == 2 && found.non_finite == 1));
  CHECK((d.values[0] == values[0] && d.values[1] == 0 && std::isnan(d.values[2]) && d.values[3] == 0 && d.values[4] == values[4]));
  CHECK((d.hard[1] == 0 && d.soft[3] == 0 && std::isfinite(d.hard[2]) && std::isnan(d.soft[2])));
  for (std::size_t i = 0; i < d.gradient.size(); ++i) {
    const std::size_t n = i / 33;
    CHECK((n == 2 ? std::isnan(d.gradient[i]) : d.gradient[i] == (n == 1 || n == 3 ? 0 : gradient[i])));
  }
  const auto before = allocations();
  d(forward_kl{}, masked);
  CHECK(allocations() == before);
}

TEST_CASE("hard_soft: bad input is refused before anything is written") {
  problem<double> d(3, 4);
  const auto refused = [&](const auto& call, const char* part) {
    INFO(part);
    CHECK(contains(error_text(call), part));
    CHECK((d.values == std::vector<double>(3, 7) && d.gradient == std::vector<double>(12, 7) && d.hard == std::vector<double>(3, 7)));
  };
  refused([&] { d(forward_kl{}, {.hard = -1}); }, "hard_soft_options is {.hard = -1");
  refused([&] { d(forward_kl{}, {.hard = 0, .soft = 0}); }, "one of them > 0");
  refused([&] { d(forward_kl{}, {.soft = std::nan("")}); }, ".soft = nan");
  refused([&] { d(forward_kl{}, {.hard_temperature = 0}); }, "temperature");
  refused([&] { d(forward_kl{}, {.divergence = {.temperature = -1}}); }, "temperature");
  refused([&] { d(generalized_jensen_shannon{0}); }, "beta");
  refused([&] { hard_soft(forward_kl{}, d.x(), d.t(), d.y, d.values, d.g()); }, "scratch has 0 rows");
  refused([&] { hard_soft(forward_kl{}, d.x(), d.t(), d.y, d.values, d.g(), as_view(d.memory.data(), 1, 3)); }, "scratch");
  d.y[2] = 4;
  refused([&] { d(forward_kl{}); }, "the target of row 2 is 4");
  d.y.pop_back();
  refused([&] { d(forward_kl{}); }, "labels");
}
