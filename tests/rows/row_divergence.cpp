// SPDX-License-Identifier: MIT
#include <attune/rows/row_divergence.hpp>

#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/reverse_kl.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::divergence_options;
using attune::row_divergence;
using attune::row_report;
using attune::divergence::forward_kl;
using attune::divergence::jensen_shannon;
using attune::divergence::reverse_kl;
using real = long double;

namespace {

// Textbook values from probabilities, and their gradients with respect to the logits z of pi (derived by hand, not through f).
real kl(real a, real b) { return a == 0 ? 0 : a * std::log(a / b); }

struct textbook {
  real value = 0;
  std::vector<real> gradient;
};
using probabilities = std::vector<real>;

textbook exact(forward_kl, const probabilities& pi, const probabilities& p) {  // KL(p || pi): pi - p
  textbook t;
  for (std::size_t i = 0; i < p.size(); ++i) {
    t.value += kl(p[i], pi[i]);
    t.gradient.push_back(pi[i] - p[i]);
  }
  return t;
}
textbook exact(reverse_kl, const probabilities& pi, const probabilities& p) {  // KL(pi || p): pi (log(pi/p) - KL)
  textbook t;
  for (std::size_t i = 0; i < p.size(); ++i) t.value += kl(pi[i], p[i]);
  for (std::size_t i = 0; i < p.size(); ++i) t.gradient.push_back(kl(pi[i], p[i]) - pi[i] * t.value);
  return t;
}
textbook exact(jensen_shannon, const probabilities& pi, const probabilities& p) {  // KL(pi || m) + KL(p || m): pi (log(pi/m) - KL(pi || m))
  textbook t;
  real policy = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const real m = (pi[i] + p[i]) / 2;
    policy += kl(pi[i], m);
    t.value += kl(pi[i], m) + kl(p[i], m);
  }
  for (std::size_t i = 0; i < p.size(); ++i) t.gradient.push_back(kl(pi[i], (pi[i] + p[i]) / 2) - pi[i] * policy);
  return t;
}

template <class T> struct divergences {
  std::vector<attune::arithmetic<T>> values;
  std::vector<T> gradient;
  row_report report;
};
template <class T, class G>
divergences<T> run(const G& generator, const std::vector<T>& policy, const std::vector<T>& target, std::int64_t rows,
                   const divergence_options& o = {}, const std::vector<attune::arithmetic<T>>& coefficients = {}) {
  const std::int64_t classes = std::int64_t(policy.size()) / rows;
  divergences<T> d{std::vector<attune::arithmetic<T>>(std::size_t(rows), 7), std::vector<T>(policy.size(), to<T>(7)), {}};
  const auto x = as_view(policy.data(), rows, classes), y = as_view(target.data(), rows, classes);
  const auto c = coefficients.empty() ? view<const attune::arithmetic<T>>{} : as_view(coefficients);
  d.report = row_divergence(generator, x, y, d.values, as_view(d.gradient.data(), rows, classes), c, o);
  std::vector<attune::arithmetic<T>> values_only(std::size_t(rows), 7);
  row_divergence(generator, x, y, values_only, o);
  CHECK(same_bits(d.values, values_only));
  return d;
}

// A few roundings x (1 + |log p| of the classes that matter, ~ 20), of the sum of |terms| for the value and of pi + p for a gradient.
template <class T, class G> void check_textbook(const G& generator, std::int64_t classes, double apart, double temperature) {
  const std::int64_t rows = 3;
  const auto policy = normals<T>(rows * classes, 2, 1);
  auto target = normals<T>(rows * classes, apart, 2);
  for (std::size_t i = 0; i < target.size(); ++i) target[i] = to<T>(from(policy[i]) + from(target[i]));
  const std::vector<attune::arithmetic<T>> coefficients{1, -2, attune::arithmetic<T>(0.25)};
  const auto d = run<T>(generator, policy, target, rows, {.temperature = temperature}, coefficients);
  CHECK(d.report.rows == rows);
  CHECK(d.report.non_finite == 0);
  const double u = half_ulp<attune::arithmetic<T>>(), rounding = half_ulp<T>();
  for (std::int64_t n = 0; n < rows; ++n) {
    const auto pi = softmax(policy.data() + n * classes, classes, temperature),
               p = softmax(target.data() + n * classes, classes, temperature);
    const textbook expected = exact(generator, pi, p);
    const double scale = std::abs(double(coefficients[std::size_t(n)])) / temperature;
    double worst = 0;
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double g = double(coefficients[std::size_t(n)] / real(temperature) * expected.gradient[i]);
      const double size = double(pi[i] + p[i]) * (1 + std::abs(double(std::log(pi[i] / p[i]))));
      const double log_p = std::abs(double(std::log(pi[i]))) + std::abs(double(std::log(p[i])));
      const double allowed = rounding * std::abs(g) + 8 * u * scale * size * (1 + log_p) + 1e-37;
      worst = attune::max(worst, std::abs(from(d.gradient[std::size_t(n) * p.size() + i]) - g) / allowed);
    }
    INFO("V " << classes << " T " << temperature << " apart " << apart << " row " << n << " value " << double(expected.value));
    CHECK(worst <= 1);
    CHECK(std::abs(double(d.values[std::size_t(n)]) - double(expected.value)) <=
          40 * u * std::sqrt(double(expected.value)) * (1 + std::sqrt(double(expected.value))));
    CHECK(d.values[std::size_t(n)] >= 0);
  }
}

template <class F> void for_generators(const F& f) {
  f(forward_kl{});
  f(reverse_kl{});
  f(jensen_shannon{});
}

}  // namespace

TEST_CASE("row_divergence is the textbook formula, value and gradient, at every size, type, temperature and distance") {
  for_generators([](auto generator) {
    for (std::int64_t classes : {2, 7, 31, 33, 1000, 2049, 32000}) {
      check_textbook<float>(generator, classes, 1, 1);
      check_textbook<double>(generator, classes, 1, 1);
      check_textbook<bfloat16>(generator, classes, 1, 1);
    }
    for (double apart : {1e-3, 0.05, 5.0}) {
      check_textbook<float>(generator, 1000, apart, 1);
      check_textbook<double>(generator, 1000, apart, 1);
    }
    for (double temperature : {0.5, 0.9, 2.0}) {
      check_textbook<float>(generator, 1000, 1, temperature);
      check_textbook<double>(generator, 1000, 1, temperature);
      check_textbook<bfloat16>(generator, 1000, 1, temperature);
    }
  });
}

TEST_CASE("row_divergence: directions and scale, by hand") {
  const std::vector<double> policy{0, 0}, target{std::log(0.9), std::log(0.1)};
  CHECK(run(reverse_kl{}, policy, target, 1).values[0] == Approx(0.510826).epsilon(1e-6));  // KL(policy || target)
  CHECK(run(forward_kl{}, policy, target, 1).values[0] == Approx(0.368064).epsilon(1e-6));  // KL(target || policy)
  CHECK(run(jensen_shannon{}, policy, target, 1).values[0] == Approx(2 * 0.101749).epsilon(1e-5));
  CHECK(run(jensen_shannon{}, target, policy, 1).values[0] == Approx(2 * 0.101749).epsilon(1e-5));
  CHECK(run(reverse_kl{}, target, policy, 1).values[0] == Approx(0.368064).epsilon(1e-6));
}

TEST_CASE("row_divergence: the gradient is that of the value (finite differences), planted errors are rejected") {
  const std::int64_t rows = 2, classes = 5;
  const auto policy = normals<double>(rows * classes, 2, 3), target = normals<double>(rows * classes, 2, 4);
  const std::vector<double> coefficients{0.5, -3};
  for_generators([&](auto generator) {
    for (double temperature : {0.5, 1.0, 2.0}) {
      const divergence_options o{.temperature = temperature};
      const auto loss = [&](const std::vector<double>& x) {
        std::vector<double> values(2);
        row_divergence(generator, as_view(x.data(), rows, classes), as_view(target.data(), rows, classes), values, o);
        return coefficients[0] * values[0] + coefficients[1] * values[1];
      };
      const auto gradient = run(generator, policy, target, rows, o, coefficients).gradient;
      CHECK(gradient_error(loss, policy, gradient) <= 1e-9);
      auto wrong = gradient;
      for (double& g : wrong) g = -g;
      CHECK(gradient_error(loss, policy, wrong) > 1e-2);
      if (temperature != 1) {
        wrong = gradient;
        for (double& g : wrong) g *= temperature;
        CHECK(gradient_error(loss, policy, wrong) > 1e-2);
      }
    }
  });
}

TEST_CASE("row_divergence is 0 with gradient 0 for equal rows and never negative, however close they are") {
  for_generators([](auto generator) {
    const auto check = [&]<class T>(T) {
      const auto policy = normals<T>(4 * 3000, 3, 8);
      const auto equal = run(generator, policy, policy, 4, {.temperature = 0.7});
      for (auto x : equal.values) CHECK(x == 0);
      int nonzero = 0;
      for (T g : equal.gradient) nonzero += from(g) != 0;
      CHECK(nonzero == 0);
      for (double apart : {1e-7, 1e-6, 1e-4, 1e-2, 1.0, 30.0, 300.0}) {
        auto target = normals<T>(4 * 3000, apart, 9);
        for (std::size_t i = 0; i < target.size(); ++i) target[i] = to<T>(from(policy[i]) + from(target[i]));
        for (auto x : run(generator, policy, target, 4).values) CHECK((x >= 0 && x < 1e4));
      }
    };
    check(float{});
    check(double{});
    check(bfloat16{});
  });
}

TEST_CASE("row_divergence: classes of probability 0 on one side or both") {
  const float ninf = -inf_f;
  // Both: {1, 0, -inf} and {0, 1, -inf} differ as the rows of two classes do.
  for_generators([&](auto generator) {
    const auto three = run<float>(generator, {1, 0, ninf}, {0, 1, ninf}, 1), two = run<float>(generator, {1, 0}, {0, 1}, 1);
    CHECK(three.values[0] == two.values[0]);
    CHECK(three.gradient[0] == two.gradient[0]);
    CHECK(three.gradient[1] == two.gradient[1]);
    CHECK(three.gradient[2] == 0);
    CHECK(three.report.non_finite == 0);
  });
  CHECK(run<float>(reverse_kl{}, {1, 0, ninf}, {0, 1, ninf}, 1).values[0] == Approx(0.462117).epsilon(1e-6));

  const float third = std::log(1.0f / 3), half = std::log(0.5f);
  const std::vector<float> uniform{third, third, third}, excluding{half, half, ninf};
  {  // policy > 0 where the target has none: infinite reverse KL, finite others
    const auto reverse = run<float>(reverse_kl{}, uniform, excluding, 1);
    CHECK(reverse.values[0] == inf_f);
    CHECK(reverse.gradient == std::vector<float>{ninf, ninf, inf_f});
    CHECK(reverse.report.non_finite == 1);
    CHECK(run<float>(reverse_kl{}, uniform, excluding, 1, {}, {-2}).gradient == std::vector<float>{inf_f, inf_f, ninf});
    CHECK(run<float>(reverse_kl{}, uniform, excluding, 1, {}, {0}).gradient == std::vector<float>{0, 0, 0});
    const auto forward = run<float>(forward_kl{}, uniform, excluding, 1);
    CHECK(forward.values[0] == Approx(std::log(1.5)).epsilon(1e-6));
    CHECK(forward.gradient[0] == Approx(1.0 / 3 - 0.5).epsilon(1e-6));
    CHECK(forward.gradient[2] == Approx(1.0 / 3).epsilon(1e-6));
  }
  {  // target > 0 where the policy has none: infinite forward KL whose gradient is still pi - p
    const auto forward = run<float>(forward_kl{}, excluding, uniform, 1);
    CHECK(forward.values[0] == inf_f);
    CHECK(forward.report.non_finite == 1);
    CHECK(forward.gradient[0] == Approx(0.5 - 1.0 / 3).epsilon(1e-6));
    CHECK(forward.gradient[2] == Approx(-1.0 / 3).epsilon(1e-6));
    const auto reverse = run<float>(reverse_kl{}, excluding, uniform, 1);
    CHECK(reverse.values[0] == Approx(std::log(1.5)).epsilon(1e-6));
    CHECK(std::abs(reverse.gradient[0]) <= 1e-7);
    CHECK(reverse.gradient[2] == 0);
  }
  // Jensen-Shannon is bounded: disjoint supports give 2 log 2.
  CHECK(run<float>(jensen_shannon{}, {0, ninf}, {ninf, 0}, 1).values[0] == Approx(2 * std::log(2.0)).epsilon(1e-6));
  const auto js = exact(jensen_shannon{}, {real(1) / 3, real(1) / 3, real(1) / 3}, {0.5, 0.5, 0});
  const auto measured = run<float>(jensen_shannon{}, uniform, excluding, 1);
  CHECK(measured.values[0] == Approx(double(js.value)).epsilon(1e-6));
  for (std::size_t i = 0; i < 3; ++i) CHECK(measured.gradient[i] == Approx(double(js.gradient[i])).epsilon(1e-5));
  // Mass that underflows beside mass that does not: finite logits give finite, right values.
  CHECK(run<float>(reverse_kl{}, {0, 0}, {0, -500}, 1).values[0] == Approx(250 - std::log(2.0)).epsilon(1e-6));
  CHECK(run<float>(forward_kl{}, {0, -500}, {0, 0}, 1).values[0] == Approx(250 - std::log(2.0)).epsilon(1e-6));
  CHECK(run<float>(forward_kl{}, {0, ninf}, {0, -500}, 1).values[0] == inf_f);
  for_generators([&](auto generator) {
    CHECK(run<float>(generator, {0, -500, -600}, {0, -600, -500}, 1).values[0] == 0);
    CHECK(run<float>(generator, {0, -1e38f}, {-1e38f, 0}, 1).report.rows == 1);
  });
}

TEST_CASE("row_divergence: broken rows stay visible, masked rows and columns beyond V are not read, their gradient is 0") {
  const float ninf = -inf_f;
  const std::vector<float> policy{nan_f, 0, ninf, ninf, inf_f, 0, 0, 1, nan_f, nan_f};
  const std::vector<float> target{0, 0, 0, 0, 0, 0, nan_f, 1, 1e30f, nan_f};
  const std::vector<std::uint8_t> mask{1, 1, 1, 1, 0};
  const auto d = run<float>(reverse_kl{}, policy, target, 5, {.mask = mask});
  for (std::size_t n = 0; n < 4; ++n) {
    CHECK(std::isnan(d.values[n]));
    CHECK(std::isnan(d.gradient[2 * n]));
    CHECK(std::isnan(d.gradient[2 * n + 1]));
  }
  CHECK(d.values[4] == 0);
  CHECK(d.gradient[8] == 0);
  CHECK(d.gradient[9] == 0);
  CHECK(d.report.rows == 5);
  CHECK(d.report.masked == 1);
  CHECK(d.report.non_finite == 4);
  CHECK(run<float>(reverse_kl{}, {0, 1}, {1, 0}, 1, {}, {nan_f}).report.non_finite == 1);

  const std::int64_t rows = 3, classes = 33, wide = 40;
  const auto x = normals<float>(rows * classes, 2, 1), y = normals<float>(rows * classes, 2, 2);
  const auto expected = run(jensen_shannon{}, x, y, rows);
  placed<float> px(x, rows, classes, wide, 1, 1e30), py(y, rows, classes, wide, 1, nan_f);
  std::vector<float> values(3);
  const view<float, 2> whole(px.matrix.data(), {rows, wide}, px.matrix.strides());
  row_divergence(jensen_shannon{}, px.matrix, py.matrix, values, whole);
  CHECK(same_bits(values, expected.values));
  CHECK(same_bits(px.packed(), expected.gradient));
  for (std::int64_t n = 0; n < rows; ++n) {
    for (std::int64_t v = classes; v < wide; ++v) CHECK(whole(n, v) == 0);
  }
}

TEST_CASE("row_divergence: strides, in place, batch, position and threads do not change a bit") {
  for_generators([](auto generator) {
    const auto check = [&]<class T>(T, std::int64_t classes) {
      const std::int64_t rows = 3;
      const auto x = normals<T>(rows * classes, 2, 1), y = normals<T>(rows * classes, 2, 2);
      const auto expected = run(generator, x, y, rows);
      for (const auto& [row_stride, column_stride] : strides(rows, classes)) {
        placed<T> px(x, rows, classes, row_stride, column_stride, nan_f);
        const placed<T> py(y, rows, classes, -row_stride, column_stride, nan_f);
        std::vector<attune::arithmetic<T>> values(std::size_t(rows), 7);
        row_divergence(generator, px.matrix, py.matrix, values, px.matrix);
        CHECK(same_bits(values, expected.values));
        CHECK(same_bits(px.packed(), expected.gradient));
      }
    };
    for (std::int64_t classes : {7, 2500}) {
      check(float{}, classes);
      check(double{}, classes);
      check(bfloat16{}, classes);
    }
    const std::int64_t rows = 4096, classes = 67;
    const auto x = normals<float>(rows * classes, 3, 1), y = normals<float>(rows * classes, 3, 2);
    const auto whole = run(generator, x, y, rows);
    for (std::int64_t size : {1, 7}) {
      for (std::int64_t first : {std::int64_t{0}, std::int64_t{2048}, rows - size}) {
        const auto cut = [&](const std::vector<float>& m) {
          return std::vector<float>(m.begin() + first * classes, m.begin() + (first + size) * classes);
        };
        const auto part = run(generator, cut(x), cut(y), size);
        CHECK(same_bits(part.gradient, cut(whole.gradient)));
        CHECK(same_bits(part.values, {whole.values.begin() + first, whole.values.begin() + first + size}));
      }
    }
    for (int count : {1, 2, 3, 7}) {
      std::vector<float> values(std::size_t(rows), 7), gradient = x;
      row_divergence(attune::threads{count, 0}, generator, as_view(gradient.data(), rows, classes), as_view(y.data(), rows, classes), values,
                     as_view(gradient.data(), rows, classes));
      CHECK(same_bits(values, whole.values));
      CHECK(same_bits(gradient, whole.gradient));
    }
  });
}

TEST_CASE("row_divergence: a float teacher and a bfloat16 student, one that rejects what does not fit") {
  const auto student = normals<bfloat16>(2 * 50, 2, 1);
  const auto teacher = normals<float>(2 * 50, 2, 2);
  std::vector<float> values(2, 7), three(3, 7), as_float, expected(2), g(100, 7);
  for (bfloat16 x : student) as_float.push_back(float(x));
  row_divergence(forward_kl{}, as_view(student.data(), 2, 50), as_view(teacher.data(), 2, 50), values);
  row_divergence(forward_kl{}, as_view(as_float.data(), 2, 50), as_view(teacher.data(), 2, 50), expected);
  CHECK(same_bits(values, expected));

  values.assign(2, 7);
  const auto x = as_view(as_float.data(), 2, 50), out = as_view(g.data(), 2, 50);
  const auto y = as_view(teacher.data(), 2, 50);
  CHECK(contains(error_text([&] { row_divergence(forward_kl{}, x, as_view(teacher.data(), 2, 49), values); }), "target_logits"));
  CHECK(contains(error_text([&] { row_divergence(forward_kl{}, x, as_view(teacher.data(), 1, 50), values); }), "target_logits"));
  CHECK(contains(error_text([&] { row_divergence(forward_kl{}, x, y, three); }), "values"));
  CHECK(contains(error_text([&] { row_divergence(forward_kl{}, x, y, values, out, three); }), "coefficients"));
  CHECK(contains(error_text([&] { row_divergence(forward_kl{}, x, y, values, as_view(g.data(), 2, 49)); }), "columns"));
  CHECK(contains(error_text([&] { row_divergence(forward_kl{}, x, out, values, out); }), "overlaps target_logits"));
  CHECK(contains(error_text([&] { row_divergence(forward_kl{}, as_view(g.data(), 2, 40), y, values, as_view(g.data() + 1, 2, 40)); }),
                 "target_logits"));
  CHECK(contains(error_text([&] {
                   row_divergence(forward_kl{}, as_view(g.data(), 2, 40), as_view(teacher.data(), 2, 40), values,
                                  as_view(g.data() + 1, 2, 40));
                 }),
                 "overlaps the logits"));
  for (double temperature : {0.0, -1.0, double(nan_f), double(inf_f)}) {
    CHECK(contains(error_text([&] { row_divergence(forward_kl{}, x, y, values, {.temperature = temperature}); }), "temperature"));
  }
  const std::vector<std::uint8_t> mask(3, 1);
  CHECK(contains(error_text([&] { row_divergence(forward_kl{}, x, y, values, {.mask = mask}); }), "mask"));
  CHECK(values == std::vector<float>(2, 7));
  CHECK(g == std::vector<float>(100, 7));

  std::vector<float> none, one(1, 7);
  CHECK(row_divergence(forward_kl{}, as_view(g.data(), 0, 5), as_view(g.data(), 0, 5), none).rows == 0);
  CHECK(run<float>(forward_kl{}, {3}, {-2}, 1).values[0] == 0);
}

TEST_CASE("row_divergence: targets given as log-probabilities and probabilities are not scaled by the temperature") {
  const std::int64_t rows = 3, classes = 5000;
  const auto policy = normals<float>(rows * classes, 2, 1), target = normals<float>(rows * classes, 2, 2);
  std::vector<float> log_p(target.size()), p(target.size());
  for (std::int64_t n = 0; n < rows; ++n) {
    const auto exact_p = softmax(target.data() + n * classes, classes, 0.7);
    for (std::int64_t v = 0; v < classes; ++v) {
      const auto i = std::size_t(n * classes + v);
      p[i] = float(exact_p[std::size_t(v)]);
      log_p[i] = float(std::log(exact_p[std::size_t(v)]));
    }
  }
  const auto x = as_view(policy.data(), rows, classes);
  const auto rows_of = [&](const std::vector<float>& m) { return as_view(m.data(), rows, classes); };
  const divergence_options o{.temperature = 0.7};
  for_generators([&](auto generator) {
    const auto expected = run<float>(generator, policy, target, rows, o);
    std::vector<float> values(3), g(policy.size());
    const auto close = [&] {
      for (std::size_t n = 0; n < 3; ++n) CHECK(values[n] == Approx(expected.values[n]).epsilon(1e-5));
      double worst = 0;
      for (std::size_t i = 0; i < g.size(); ++i) worst = attune::max(worst, std::abs(double(g[i]) - double(expected.gradient[i])));
      CHECK(worst <= 1e-6);
    };
    row_divergence(generator, x, attune::log_probabilities(rows_of(log_p)), values, as_view(g.data(), rows, classes), {}, o);
    close();
    row_divergence(generator, x, attune::probabilities(rows_of(p)), values, as_view(g.data(), rows, classes), {}, o);
    close();
    // A class of probability 0, and numbers that are only proportional to probabilities.
    auto some = p;
    for (std::size_t i = 0; i < some.size(); i += 3) some[i] = 0;
    for (float& q : some) q *= 4;
    auto log_some = some;
    for (float& q : log_some) q = std::log(q);
    std::vector<float> by_logs(3);
    row_divergence(generator, x, attune::probabilities(rows_of(some)), values, o);
    row_divergence(generator, x, attune::log_probabilities(rows_of(log_some)), by_logs, o);
    for (std::size_t n = 0; n < 3; ++n) CHECK((values[n] == by_logs[n] || values[n] == Approx(by_logs[n]).epsilon(1e-5)));
    some[7] = -1;
    CHECK(row_divergence(generator, x, attune::probabilities(rows_of(some)), values, o).non_finite >= 1);
    CHECK(std::isnan(values[0]));
  });
}

TEST_CASE("row_divergence: vocabularies of different sizes are an error, or what the option says") {
  const std::vector<double> five{1, 2, 0, -1, 0.5}, seven{0, 1, 1, 0, 2, 3, -1};
  const double excluded = -std::numeric_limits<double>::infinity();
  const std::vector<double> first{seven.begin(), seven.begin() + 5}, widened{1, 2, 0, -1, 0.5, excluded, excluded};
  const auto row = [](const std::vector<double>& x) { return as_view(x.data(), 1, std::int64_t(x.size())); };
  for_generators([&](auto generator) {
    std::vector<double> value(1, 7), expected(1), g(7, 7), expected_g(7, 7);
    const auto into = [](std::vector<double>& x, std::int64_t size) { return as_view(x.data(), 1, size); };
    CHECK(contains(error_text([&] { row_divergence(generator, row(five), row(seven), value); }), "columns"));
    CHECK(value[0] == 7);
    const divergence_options common{.classes = attune::vocabulary::common}, zero{.classes = attune::vocabulary::zero};
    // A teacher with more classes.
    row_divergence(generator, row(five), row(seven), value, into(g, 5), {}, common);
    row_divergence(generator, row(five), row(first), expected, into(expected_g, 5));
    CHECK(value == expected);
    CHECK(g == expected_g);
    row_divergence(generator, row(five), row(seven), value, into(g, 5), {}, zero);
    row_divergence(generator, row(widened), row(seven), expected, into(expected_g, 7));
    CHECK(value == expected);
    CHECK(std::vector<double>(g.begin(), g.begin() + 5) == std::vector<double>(expected_g.begin(), expected_g.begin() + 5));
    // A student with more classes: none of its gradient goes to those that are not looked at.
    row_divergence(generator, row(seven), row(five), value, into(g, 7), {}, common);
    row_divergence(generator, row(first), row(five), expected, into(expected_g, 5));
    CHECK(value == expected);
    CHECK(std::vector<double>(g.begin(), g.begin() + 5) == std::vector<double>(expected_g.begin(), expected_g.begin() + 5));
    CHECK((g[5] == 0 && g[6] == 0));
    row_divergence(generator, row(seven), row(five), value, into(g, 7), {}, zero);
    row_divergence(generator, row(seven), row(widened), expected, into(expected_g, 7));
    CHECK(value == expected);
    CHECK(g == expected_g);
  });
}
