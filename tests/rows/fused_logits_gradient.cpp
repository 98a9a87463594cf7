// SPDX-License-Identifier: MIT
#include <attune/rows/fused_logits_gradient.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::fused_logits_gradient;
using attune::logits_gradient;
using attune::row_coefficients;
using attune::row_state;
using attune::token_logps;
using attune::token_row;

namespace {

template <class T> struct batch {
  using A = attune::arithmetic<T>;
  std::int64_t rows, classes;
  std::vector<T> logits;
  std::vector<std::int32_t> targets;
  std::vector<A> logps, entropies, coefficients, entropy_coefficients, log_sum_exp_coefficients;
  std::vector<std::int64_t> argmax;
  std::vector<row_state> states;

  batch(std::int64_t n, std::int64_t v, double spread = 2)
      : rows(n), classes(v), logits(normals<T>(n * v, spread, unsigned(v))), targets(labels(n, v, 5)), logps(std::size_t(n), A(7)),
        entropies(std::size_t(n), A(7)), coefficients(normals<A>(n, 1, 6)), entropy_coefficients(normals<A>(n, 1, 7)),
        log_sum_exp_coefficients(normals<A>(n, 1, 8)), argmax(std::size_t(n), 7), states(std::size_t(n)) {}

  view<T, 2> matrix() { return as_view(logits.data(), rows, classes); }
  attune::row_report forward(const attune::row_options& o = {}) {
    return token_logps(matrix(), targets, logps, states, o, {.entropies = entropies, .argmax = argmax});
  }
  attune::row_terms<A> terms() const {
    return {.entropies = entropies, .entropy_coefficients = entropy_coefficients, .log_sum_exp_coefficients = log_sum_exp_coefficients};
  }
  std::vector<T> gradient(const attune::row_options& o = {}) {
    std::vector<T> g(logits.size(), to<T>(7));
    logits_gradient(matrix(), targets, states, coefficients, as_view(g.data(), rows, classes), o, terms());
    return g;
  }
};

template <class T> void check_statistics(std::int64_t classes, double spread, double temperature) {
  batch<T> b(4, classes, spread);
  b.forward({.temperature = temperature});
  for (std::int64_t n = 0; n < b.rows; ++n) {
    const T* row = b.logits.data() + n * classes;
    const auto p = softmax(row, classes, temperature);
    long double entropy = 0;
    std::int64_t best = 0;
    for (std::int64_t v = 0; v < classes; ++v) {
      if (p[std::size_t(v)] > 0) entropy -= p[std::size_t(v)] * std::log(p[std::size_t(v)]);
      if (from(row[v]) > from(row[best])) best = v;
    }
    INFO("V " << classes << " T " << temperature << " spread " << spread << " row " << n);
    CHECK(std::abs(double(b.entropies[std::size_t(n)] - entropy)) <= 16 * half_ulp<attune::arithmetic<T>>() * (1 + double(entropy)));
    CHECK(b.entropies[std::size_t(n)] >= 0);
    CHECK(b.argmax[std::size_t(n)] == best);
  }
}

}  // namespace

TEST_CASE("token_logps: entropy and most likely class at every size, type, spread and temperature") {
  for (std::int64_t classes : {1, 2, 7, 63, 64, 65, 1000, 4096, 4097, 32000}) {
    for (double spread : {0.0, 0.3, 3.0, 40.0}) {
      check_statistics<float>(classes, spread, 1);
      check_statistics<double>(classes, spread, 0.7);
      check_statistics<bfloat16>(classes, spread, 2);
    }
  }
}

TEST_CASE("token_logps: statistics of rows that are not read, broken, tied or with excluded classes, logps do not depend on them") {
  const float ninf = -inf_f;
  for (const auto set : {attune::instruction_set::compiled, attune::instruction_set::avx2, attune::instruction_set::avx512}) {
    attune::limit_instruction_set(set);  // the last is none
    batch<float> b(6, 3);
    b.logits = {1, 5, 5, ninf, 0, ninf, nan_f, 0, 1, ninf, ninf, ninf, 2, 2, 2, 9, 9, 9};
    b.targets = {2, 1, 1, 0, 2, -100};
    const auto report = b.forward();
    CHECK(report.masked == 1);
    CHECK(report.non_finite == 2);
    CHECK(b.argmax == std::vector<std::int64_t>{1, 1, -1, -1, 0, -1});  // the first of equal ones
    CHECK(b.entropies[1] == 0);
    CHECK(std::isnan(b.entropies[2]));
    CHECK(std::isnan(b.entropies[3]));
    CHECK(b.entropies[4] == Approx(std::log(3.0)));
    CHECK(b.entropies[5] == 0);
  }

  batch<float> with(3, 9001), without(3, 9001);
  with.forward({.temperature = 0.8});
  token_logps(without.matrix(), without.targets, without.logps, without.states, {.temperature = 0.8});
  for (std::size_t n = 0; n < 3; ++n) CHECK(with.logps[n] == Approx(without.logps[n]).epsilon(1e-6));
  for (const auto& [row_stride, column_stride] : strides(3, 9001)) {
    const placed<float> x(with.logits, 3, 9001, row_stride, column_stride, nan_f);
    std::vector<float> logps(3), entropies(3);
    std::vector<std::int64_t> argmax(3);
    token_logps(x.matrix, with.targets, logps, {}, {.temperature = 0.8}, {.entropies = entropies, .argmax = argmax});
    CHECK(same_bits(logps, with.logps));
    CHECK(same_bits(entropies, with.entropies));
    CHECK(argmax == with.argmax);
  }
  std::vector<float> two(2);
  CHECK(contains(error_text([&] { token_logps(with.matrix(), with.targets, with.logps, {}, {}, {.entropies = two}); }), "entropies"));
}

TEST_CASE("logits_gradient with entropy and log-sum-exp terms is the textbook formula, excluded classes get none") {
  const auto check = [&]<class T>(T, std::int64_t classes, double temperature) {
    batch<T> b(3, classes);
    b.logits[1] = to<T>(-std::numeric_limits<double>::infinity());
    for (auto& y : b.targets) y = y == 1 ? 0 : y;
    b.forward({.temperature = temperature});
    const auto g = b.gradient({.temperature = temperature});
    for (std::int64_t n = 0; n < b.rows; ++n) {
      const auto i = std::size_t(n);
      const auto p = softmax(b.logits.data() + n * classes, classes, temperature);
      long double entropy = 0;
      for (long double q : p) entropy -= q > 0 ? q * std::log(q) : 0;
      for (std::int64_t v = 0; v < classes; ++v) {
        const long double q = p[std::size_t(v)], level = q > 0 ? std::log(q) + entropy : 0;
        const double of_logp = b.coefficients[i] * double((v == b.targets[i]) - q), of_entropy = -b.entropy_coefficients[i] * double(q * level);
        const double of_sum = b.log_sum_exp_coefficients[i] * double(q), expected = (of_logp + of_entropy + of_sum) / temperature;
        const double size = (std::abs(of_logp) + std::abs(b.entropy_coefficients[i] * double(q)) * (1 + std::abs(double(level))) + std::abs(of_sum)) / temperature;
        INFO("V " << classes << " T " << temperature << " row " << n << " class " << v);
        REQUIRE(std::abs(from(g[std::size_t(n * classes + v)]) - expected) <=
                half_ulp<T>() * std::abs(expected) + 40 * half_ulp<attune::arithmetic<T>>() * size * (1 + std::abs(double(level))) +
                    (sizeof(T) == 2 ? 2e-5 * size : 0) + 1e-37);
      }
    }
    CHECK(from(g[1]) == 0);
  };
  for (std::int64_t classes : {7, 64, 5000}) {
    for (double temperature : {0.6, 1.0, 1.7}) {
      check(float{}, classes, temperature);
      check(double{}, classes, temperature);
      check(bfloat16{}, classes, temperature);
    }
  }
  batch<float> b(3, 40);
  b.forward();
  std::vector<float> g(120, 7);
  const auto call = [&](const attune::row_terms<float>& terms) {
    return error_text([&] { logits_gradient(b.matrix(), b.targets, b.states, b.coefficients, as_view(g.data(), 3, 40), {}, terms); });
  };
  CHECK(contains(call({.entropy_coefficients = b.entropy_coefficients}), "entropies"));
  CHECK(contains(call({.entropies = b.entropies}), "entropy_coefficients"));
  std::vector<float> two(2);
  CHECK(contains(call({.log_sum_exp_coefficients = two}), "log_sum_exp_coefficients"));
  CHECK(g == std::vector<float>(120, 7));
}

TEST_CASE("fused_logits_gradient has the bits of token_logps and logits_gradient, at any stride, in place, with threads") {
  const auto check = [&]<class T>(T, std::int64_t rows, std::int64_t classes) {
    using A = attune::arithmetic<T>;
    batch<T> b(rows, classes);
    std::vector<std::uint8_t> mask(std::size_t(rows), 1);
    mask[1] = 0;
    b.targets[2] = -100;
    b.coefficients[0] = 0;
    const attune::row_options o{.temperature = 1.3, .mask = mask};
    token_logps(b.matrix(), b.targets, b.logps, b.states, o);
    std::vector<T> expected(b.logits.size(), to<T>(7));
    logits_gradient(b.matrix(), b.targets, b.states, b.coefficients, as_view(expected.data(), rows, classes), o);
    const auto coefficient = [&](std::int64_t n, double logp) {
      CHECK(A(logp) == b.logps[std::size_t(n)]);
      return double(b.coefficients[std::size_t(n)]);
    };
    for (const auto& [row_stride, column_stride] : strides(rows, classes)) {
      placed<T> x(b.logits, rows, classes, row_stride, column_stride, nan_f);
      std::vector<A> logps(std::size_t(rows), A(7));
      const auto report = fused_logits_gradient(x.matrix, b.targets, coefficient, logps, x.matrix, o);
      CHECK(report.masked == 2);
      CHECK(report.non_finite == 0);
      CHECK(same_bits(logps, b.logps));
      CHECK(same_bits(x.packed(), expected));
    }
    std::vector<A> logps(std::size_t(rows), A(7));
    const auto quiet = [&](std::int64_t n, double) { return double(b.coefficients[std::size_t(n)]); };
    fused_logits_gradient(attune::threads{3}, b.matrix(), b.targets, quiet, logps, b.matrix(), o);
    CHECK(same_bits(b.logits, expected));
  };
  check(float{}, 20, 67);
  check(double{}, 4, 67);
  check(bfloat16{}, 20, 5000);
}

TEST_CASE("fused_logits_gradient: a callback on the whole row, broken rows stay visible, errors change nothing") {
  batch<float> b(4, 50);
  b.forward();
  const auto expected = b.gradient();
  std::vector<float> logps(4, 7), g(200, 7);
  const auto gradient = as_view(g.data(), 4, 50);
  const auto coefficients = [&](const token_row& row) {
    const auto n = std::size_t(row.n);
    CHECK(float(row.entropy) == b.entropies[n]);
    CHECK(row.log_sum_exp == b.states[n].log_sum_exp());
    return row_coefficients{.logp = b.coefficients[n], .entropy = b.entropy_coefficients[n], .log_sum_exp = b.log_sum_exp_coefficients[n]};
  };
  fused_logits_gradient(b.matrix(), b.targets, coefficients, logps, gradient);
  CHECK(same_bits(logps, b.logps));
  for (std::size_t i = 0; i < g.size(); ++i) CHECK(g[i] == Approx(expected[i]).margin(1e-6));

  b.logits[55] = nan_f;
  const auto one = [](std::int64_t n, double) { return n == 2 ? double(inf_f) : 1.0; };
  CHECK(fused_logits_gradient(b.matrix(), b.targets, one, logps, gradient).non_finite == 2);
  CHECK(std::isnan(logps[1]));
  CHECK(std::isnan(g[50]));
  CHECK(std::isnan(g[100]));
  CHECK(!std::isnan(g[150]));

  g.assign(200, 7);
  std::vector<float> three(3, 7);
  CHECK(contains(error_text([&] { fused_logits_gradient(b.matrix(), b.targets, one, three, gradient); }), "logps"));
  b.targets[0] = 50;
  CHECK(contains(error_text([&] { fused_logits_gradient(b.matrix(), b.targets, one, logps, gradient); }), "target of row 0"));
  CHECK(g == std::vector<float>(200, 7));
}

TEST_CASE("a gradient written past the caches has the bits of one in place, wherever its memory begins") {
  const auto check = [&]<class T>(T, std::int64_t rows, std::int64_t classes) {
    batch<T> b(rows, classes);
    token_logps(b.matrix(), b.targets, b.logps, b.states);
    for (std::int64_t shift : {0, 1, 13}) {
      std::vector<T> memory(std::size_t(rows * classes + 40), to<T>(7));
      const auto g = as_view(memory.data() + shift, rows, classes);
      REQUIRE(g.size() * std::int64_t(sizeof(T)) >= (8 << 20));
      logits_gradient(attune::threads{2}, b.matrix(), b.targets, b.states, b.coefficients, g);
      batch<T> copy = b;
      logits_gradient(copy.matrix(), b.targets, b.states, b.coefficients, copy.matrix());
      CHECK(std::memcmp(g.data(), copy.logits.data(), copy.logits.size() * sizeof(T)) == 0);
      for (std::int64_t i = 0; i < shift; ++i) CHECK(from(memory[std::size_t(i)]) == 7);
      for (std::int64_t i = shift + g.size(); i < std::int64_t(memory.size()); ++i) CHECK(from(memory[std::size_t(i)]) == 7);
    }
  };
  // The part before the first cache line ends with the row, however wide the gradient is.
  std::vector<int> ends;
  attune::detail::for_blocks(3, 15, [&](std::int64_t first, int count) { ends.push_back(int(first) + count); });
  CHECK(ends == std::vector<int>{3});
  check(float{}, 300, 7001);
  check(double{}, 150, 7001);
  check(bfloat16{}, 600, 7001);
}
