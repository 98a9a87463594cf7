// SPDX-License-Identifier: MIT
// Adaptive KL and ULD: rows that are ranked, against their definitions in long double and finite differences.
#include <attune/distill/adaptive_kl.hpp>
#include <attune/distill/uld.hpp>

#include "rows/support.hpp"
#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <numeric>

using namespace attune_test;
using attune::row_report;
using attune::distill::adaptive_kl;
using attune::distill::adaptive_kl_options;
using attune::distill::ranked_class;
using attune::distill::uld;
using attune::distill::uld_options;
using real = long double;

namespace {

using distribution = std::vector<real>;
real kl(const distribution& a, const distribution& b) {
  real sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] > 0 ? a[i] * std::log(a[i] / b[i]) : 0;
  return sum;
}
std::vector<std::size_t> ranking(const distribution& p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return p[a] > p[b]; });
  return order;
}

struct textbook {
  real value = 0, weight = 0;
  distribution gradient;  // with respect to the logits at temperature 1
};
textbook exact_adaptive(const distribution& s, const distribution& t, real mu) {
  real mass = 0, head = 0, all = 0;
  for (std::size_t v = 0; v < t.size(); ++v) all += std::abs(t[v] - s[v]);
  for (std::size_t v : ranking(t)) {
    if (mass >= mu) break;
    mass += t[v];
    head += std::abs(t[v] - s[v]);
  }
  textbook e;
  e.weight = head / all;
  const real reverse = kl(s, t);
  e.value = e.weight * kl(t, s) + (1 - e.weight) * reverse;
  for (std::size_t v = 0; v < t.size(); ++v) {
    e.gradient.push_back(e.weight * (s[v] - t[v]) + (1 - e.weight) * s[v] * (std::log(s[v] / t[v]) - reverse));
  }
  return e;
}
textbook exact_uld(const distribution& s, const distribution& t) {
  const auto by_s = ranking(s), by_t = ranking(t);
  textbook e;
  distribution sign(s.size(), 0);
  real mean = 0;
  for (std::size_t k = 0; k < std::max(s.size(), t.size()); ++k) {
    const real a = k < s.size() ? s[by_s[k]] : 0, b = k < t.size() ? t[by_t[k]] : 0;
    e.value += std::abs(a - b);
    if (k < s.size()) mean += a * (sign[by_s[k]] = a > b ? 1 : a < b ? -1 : 0);
  }
  for (std::size_t v = 0; v < s.size(); ++v) e.gradient.push_back(s[v] * (sign[v] - mean));
  return e;
}

template <class T> struct problem {
  using A = attune::arithmetic<T>;
  std::int64_t rows, own, theirs;
  std::vector<T> logits, target, gradient;
  std::vector<A> values, coefficients, weights;
  std::vector<ranked_class> memory;

  problem(std::int64_t n, std::int64_t v, std::int64_t w)
      : rows(n), own(v), theirs(w), logits(normals<T>(n * v, 2, 5)), target(normals<T>(n * w, 2, 6)), gradient(logits.size(), to<T>(7)),
        values(std::size_t(n), 7), weights(std::size_t(n), 7), memory(std::size_t(4 * (v + w))) {
    for (std::int64_t i = 0; i < n; ++i) coefficients.push_back(A(i % 3 == 1 ? -2 : 0.5 + double(i)));
  }
  view<T, 2> x() { return as_view(logits.data(), rows, own); }
  view<T, 2> y() { return as_view(target.data(), rows, theirs); }
  view<T, 2> g() { return as_view(gradient.data(), rows, own); }
  view<ranked_class, 2> scratch(std::int64_t slots = 1) { return as_view(memory.data(), slots, own + theirs); }
  row_report adaptive(const adaptive_kl_options& o = {}) { return adaptive_kl(x(), y(), values, g(), scratch(), coefficients, o, weights); }
  row_report sorted(const uld_options& o = {}) { return uld(x(), y(), values, g(), scratch(), coefficients, o); }

  double worst(std::int64_t n, const textbook& e, double temperature, double tolerance) {
    double largest = 0;
    for (std::int64_t v = 0; v < own; ++v) {
      const double exact = double(e.gradient[std::size_t(v)]) * double(coefficients[std::size_t(n)]) / temperature;
      const double allowed = 1.01 * half_ulp<T>() * std::abs(exact) + tolerance * (1 + std::abs(double(coefficients[std::size_t(n)])));
      largest = attune::max(largest, std::abs(from(gradient[std::size_t(n * own + v)]) - exact) / allowed);
    }
    return largest;
  }
};

template <class T> void check_rows(std::int64_t classes, double temperature, double mu) {
  const double u = 100 * half_ulp<attune::arithmetic<T>>();
  problem<T> same(4, classes, classes), other(4, classes, classes + 9);
  const row_report report = same.adaptive({.head_mass = mu, .divergence = {.temperature = temperature}});
  CHECK((report.rows == 4 && report.masked == 0 && report.non_finite == 0));
  CHECK(other.sorted({.temperature = temperature}).rows == 4);
  for (std::int64_t n = 0; n < 4; ++n) {
    INFO("V " << classes << " T " << temperature << " mu " << mu << " row " << n);
    const auto s = softmax(same.logits.data() + n * classes, classes, temperature), t = softmax(same.target.data() + n * classes, classes, temperature);
    const textbook e = exact_adaptive(s, t, mu);
    CHECK(double(same.weights[std::size_t(n)]) == Approx(double(e.weight)).epsilon(u));
    CHECK(double(same.values[std::size_t(n)]) == Approx(double(e.value)).epsilon(u));
    CHECK(same.worst(n, e, temperature, u) <= 1);
    const textbook d = exact_uld(softmax(other.logits.data() + n * classes, classes, temperature),
                                 softmax(other.target.data() + n * (classes + 9), classes + 9, temperature));
    CHECK(double(other.values[std::size_t(n)]) == Approx(double(d.value)).epsilon(u).margin(u));  // a difference of sums of 1
    CHECK(other.worst(n, d, temperature, u) <= 1);
  }
}

double log_of(double p) { return std::log(p); }

}  // namespace

TEST_CASE("adaptive_kl and uld are their definitions, value and gradient, in double, float and bfloat16") {
  for (std::int64_t classes : {2, 7, 40, 1500}) {
    for (double temperature : {1.0, 0.7, 3.0}) {
      for (double mu : {0.2, 0.5, 0.9}) {
        check_rows<double>(classes, temperature, mu);
        check_rows<float>(classes, temperature, mu);
      }
    }
  }
  check_rows<bfloat16>(300, 1, 0.5);
}

TEST_CASE("adaptive_kl by hand: the head of the teacher, and what its gap weighs") {
  const std::vector<double> student{0, 0, 0, 0}, p{0.1, 0.45, 0.15, 0.3};
  std::vector<double> value(1), weight(1);
  std::vector<ranked_class> memory(8);
  const auto at = [&](double mu) {
    adaptive_kl(as_view(student.data(), 1, 4), attune::probabilities(as_view(p.data(), 1, 4)), value, {}, as_view(memory.data(), 1, 8), {},
                {.head_mass = mu}, weight);
    return weight[0];
  };
  CHECK(at(0.4) == Approx(0.2 / 0.5));   // head: .45; gaps .2 | .05, .1, .15
  CHECK(at(0.5) == Approx(0.25 / 0.5));  // head: .45, .3, with which the mass reaches .5
  CHECK(at(0.8) == Approx(0.35 / 0.5));
  CHECK(at(1) == Approx(1));
  const double forward = log_of(0.25) * -1 + 0.1 * log_of(0.1) + 0.45 * log_of(0.45) + 0.15 * log_of(0.15) + 0.3 * log_of(0.3);
  const double reverse = log_of(0.25) - (log_of(0.1) + log_of(0.45) + log_of(0.15) + log_of(0.3)) / 4;
  CHECK(value[0] == Approx(forward));
  at(0.4);
  CHECK(value[0] == Approx(0.4 * forward + 0.6 * reverse));
}

TEST_CASE("adaptive_kl: the gradient is that of the value at the row's weight, of uld that of its value, by finite differences") {
  const auto policy = normals<double>(8, 1, 11), teacher = normals<double>(8, 1, 12), longer = normals<double>(11, 1, 13);
  std::vector<ranked_class> memory(19);
  std::vector<double> value(1), weight(1), gradient(8);
  adaptive_kl(as_view(policy.data(), 1, 8), as_view(teacher.data(), 1, 8), value, as_view(gradient.data(), 1, 8), as_view(memory.data(), 1, 19), {},
              {}, weight);
  const attune::divergence::mixed_kl mixed{weight[0]};
  const auto mixed_loss = [&](const std::vector<double>& x) {
    attune::row_divergence(mixed, as_view(x.data(), 1, 8), as_view(teacher.data(), 1, 8), value);
    return value[0];
  };
  CHECK(gradient_error(mixed_loss, policy, gradient) < 1e-10);
  const std::vector<double> third{1.0 / 3};
  for (const auto* target : {&teacher, &longer}) {
    const auto size = std::int64_t(target->size());
    uld(as_view(policy.data(), 1, 8), as_view(target->data(), 1, size), value, as_view(gradient.data(), 1, 8), as_view(memory.data(), 1, 19), third,
        {.temperature = 0.8});
    const auto loss = [&](const std::vector<double>& x) {
      uld(as_view(x.data(), 1, 8), as_view(target->data(), 1, size), value, {}, as_view(memory.data(), 1, 19), {}, {.temperature = 0.8});
      return value[0] / 3;
    };
    CHECK(gradient_error(loss, policy, gradient, 1e-5) < 1e-9);  // no kink is as near
    gradient[2] += 1e-6;
    CHECK(gradient_error(loss, policy, gradient, 1e-5) > 1e-8);
  }
}

TEST_CASE("uld by hand: order and names of the classes do not matter, a shorter vocabulary goes on with 0, ties have the documented subgradient") {
  std::vector<double> value(1), g(3, 7);
  std::vector<ranked_class> memory(8);
  const auto at = [&](const std::vector<double>& student, const std::vector<double>& teacher) {
    std::vector<double> x(student.size());
    std::transform(student.begin(), student.end(), x.begin(), log_of);
    const auto v = std::int64_t(x.size()), w = std::int64_t(teacher.size());
    uld(as_view(x.data(), 1, v), attune::probabilities(as_view(teacher.data(), 1, w)), value, as_view(g.data(), 1, std::int64_t{3}),
        as_view(memory.data(), 1, 8));
    return value[0];
  };
  CHECK(at({0.5, 0.5}, {0.9, 0.1}) == Approx(0.8));
  CHECK((g[0] == Approx(-0.5) && g[1] == Approx(0.5) && g[2] == 0));  // equally likely classes: the first has the first rank. Column 2: padding
  CHECK(at({0.5, 0.5}, {0.1, 0.9}) == Approx(0.8));
  CHECK(at({0.5, 0.5}, {0.1, 0.6, 0.3}) == Approx(0.4));
  CHECK(at({0.1, 0.6, 0.3}, {0.5, 0.5}) == Approx(0.4));
  CHECK(g[1] == Approx(0.6 * (1 - (0.6 - 0.3 + 0.1))));
  CHECK(at({0.25, 0.5, 0.25}, {2, 1, 1}) == 0);  // numbers proportional to the same probabilities
  CHECK((g[0] == 0 && g[1] == 0 && g[2] == 0));
  CHECK(at({0, 1}, {0.5, 0.5}) == Approx(1));  // log 0 = -inf: never NaN
  CHECK((g[0] == 0 && g[1] == 0));
}

TEST_CASE("adaptive_kl: equal rows, vocabularies, classes without mass") {
  problem<double> d(3, 6, 6);
  d.target = d.logits;
  d.adaptive();
  CHECK(d.values == std::vector<double>(3, 0));
  CHECK(d.gradient == std::vector<double>(18, 0));
  CHECK(d.weights == std::vector<double>(3, 0.5));

  problem<double> five(2, 5, 7);
  CHECK(contains(error_text([&] { five.adaptive(); }), "columns"));
  CHECK(five.values[0] == 7);
  five.adaptive({.divergence = {.classes = attune::vocabulary::common}});
  for (std::int64_t n = 0; n < 2; ++n) {
    const textbook e = exact_adaptive(softmax(five.logits.data() + 5 * n, 5), softmax(five.target.data() + 7 * n, 5), 0.5L);
    CHECK(five.weights[std::size_t(n)] == Approx(double(e.weight)));
    CHECK(five.values[std::size_t(n)] == Approx(double(e.value)));
    CHECK(five.worst(n, e, 1, 1e-13) <= 1);
  }
  problem<double> seven(2, 7, 5);  // the student has two classes more: the reverse KL is infinite, the weight still what it is
  seven.adaptive({.divergence = {.classes = attune::vocabulary::zero}});
  auto s = softmax(seven.logits.data(), 7), t = softmax(seven.target.data(), 5);
  t.resize(7, 0);
  CHECK(seven.weights[0] == Approx(double(exact_adaptive(s, t, 0.5L).weight)));
  CHECK(std::isinf(seven.values[0]));

  const double none = -std::numeric_limits<double>::infinity();  // P04
  const std::vector<double> student{1, 0, none}, teacher{0, 1, none};
  std::vector<double> value(1), g(3);
  std::vector<ranked_class> memory(6);
  adaptive_kl(as_view(student.data(), 1, 3), as_view(teacher.data(), 1, 3), value, as_view(g.data(), 1, 3), as_view(memory.data(), 1, 6));
  CHECK(value[0] == Approx(0.462117).epsilon(1e-6));  // both KLs are equal here
  CHECK((std::isfinite(g[0]) && g[2] == 0));
}

TEST_CASE("adaptive_kl and uld: strides, in place, threads and scratch rows change no bit, masked rows are not read, broken ones stay visible") {
  const auto each = [](const auto& call) {
    problem<float> d(5, 33, 33);
    const row_report report = call(d, attune::serial{}, d.x(), d.y(), d.g(), d.scratch(), view<const std::uint8_t>{});
    CHECK((report.rows == 5 && report.masked == 0 && report.non_finite == 0));
    const auto values = d.values, gradient = d.gradient;
    for (auto [row, column] : strides(5, 33)) {
      placed<float> x(d.logits, 5, 33, row, column, 1e30), y(d.target, 5, 33, row, column, nan_f), g(d.gradient, 5, 33, row, column, 3);
      call(d, attune::serial{}, x.matrix, y.matrix, g.matrix, d.scratch(), {});
      CHECK((same_bits(d.values, values) && same_bits(g.packed(), gradient)));
      call(d, attune::serial{}, x.matrix, y.matrix, x.matrix, d.scratch(), {});  // in place
      CHECK((same_bits(d.values, values) && same_bits(x.packed(), gradient)));
    }
    for (std::int64_t slots : {2, 3, 4}) {
      std::fill(d.gradient.begin(), d.gradient.end(), 9.0f);
      call(d, attune::threads{3, 0}, d.x(), d.y(), d.g(), d.scratch(slots), {});
      CHECK((same_bits(d.values, values) && same_bits(d.gradient, gradient)));
    }
    std::vector<float> wide(5 * 40, 5.0f);  // a padded vocabulary
    call(d, attune::serial{}, d.x(), d.y(), as_view(wide.data(), 5, 40), d.scratch(), {});
    for (std::size_t i = 0; i < wide.size(); ++i) CHECK(wide[i] == (i % 40 < 33 ? gradient[i / 40 * 33 + i % 40] : 0));

    const std::vector<std::uint8_t> mask{1, 0, 1, 1, 1};
    std::fill(d.logits.begin() + 33, d.logits.begin() + 66, nan_f);
    d.logits[2 * 33 + 4] = nan_f;
    d.target[3 * 33 + 4] = inf_f;
    std::fill(d.logits.begin() + 4 * 33, d.logits.end(), -inf_f);
    const row_report found = call(d, attune::serial{}, d.x(), d.y(), d.g(), d.scratch(), mask);
    CHECK((found.rows == 5 && found.masked == 1 && found.non_finite == 3));
    CHECK((d.values[0] == values[0] && d.values[1] == 0));
    for (std::size_t i = 0; i < d.gradient.size(); ++i) {
      if (i / 33 == 0) CHECK(d.gradient[i] == gradient[i]);
      else if (i / 33 == 1) CHECK(d.gradient[i] == 0);
      else CHECK(std::isnan(d.gradient[i]));
    }
    for (std::size_t n = 2; n < 5; ++n) CHECK(std::isnan(d.values[n]));
    d.coefficients[0] = 0;
    call(d, attune::serial{}, d.x(), d.y(), d.g(), d.scratch(), mask);
    CHECK(std::all_of(d.gradient.begin(), d.gradient.begin() + 33, [](float x) { return x == 0; }));
    const auto before = allocations();
    call(d, attune::serial{}, d.x(), d.y(), d.g(), d.scratch(), {});
    CHECK(allocations() == before);
  };
  each([](auto& d, auto policy, auto x, auto y, auto g, auto scratch, view<const std::uint8_t> mask) {
    return adaptive_kl(policy, x, y, d.values, g, scratch, d.coefficients, {.divergence = {.mask = mask}});
  });
  each([](auto& d, auto policy, auto x, auto y, auto g, auto scratch, view<const std::uint8_t> mask) {
    return uld(policy, x, y, d.values, g, scratch, d.coefficients, {.mask = mask});
  });
}

TEST_CASE("adaptive_kl and uld: bad input is refused before anything is written") {
  problem<double> d(3, 4, 4);
  const auto refused = [&](const auto& call, const char* part) {
    INFO(part);
    CHECK(contains(error_text(call), part));
    CHECK((d.values == std::vector<double>(3, 7) && d.gradient == std::vector<double>(12, 7)));
  };
  for (double mu : {0.0, 1.1, std::nan("")}) refused([&] { d.adaptive({.head_mass = mu}); }, "head_mass");
  for (double t : {0.0, -1.0, std::nan("")}) {
    refused([&] { d.adaptive({.divergence = {.temperature = t}}); }, "temperature");
    refused([&] { d.sorted({.temperature = t}); }, "temperature");
  }
  const std::vector<std::uint8_t> two(2, 1);
  refused([&] { d.sorted({.mask = two}); }, "mask");
  const auto with = [&](view<ranked_class, 2> scratch) {
    refused([&] { uld(d.x(), d.y(), d.values, d.g(), scratch); }, "scratch");
    refused([&] { adaptive_kl(d.x(), d.y(), d.values, d.g(), scratch); }, "scratch");
  };
  with({});
  with(as_view(d.memory.data(), 1, 7));
  with(as_view(d.memory.data(), {1, 8}, {16, 2}));
  with(as_view(d.memory.data(), {2, 8}, {4, 1}));
  refused([&] { uld(d.x(), d.y(), d.values, d.y(), d.scratch()); }, "overlaps target_logits");
  std::vector<double> short_weights(2);
  refused([&] { adaptive_kl(d.x(), d.y(), d.values, d.g(), d.scratch(), {}, {}, short_weights); }, "forward_weights");
}
