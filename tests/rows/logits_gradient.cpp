// SPDX-License-Identifier: MIT
#include <attune/rows/logits_gradient.hpp>

#include <attune/rows/sequence.hpp>
#include <attune/rows/token_logps.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

#include <sys/mman.h>

using namespace attune_test;
using attune::error;
using attune::logits_gradient;
using attune::row_report;
using attune::row_state;
using attune::token_logps;

namespace {

template <class T> struct sample {
  std::int64_t rows, classes;
  std::vector<T> logits;
  std::vector<std::int32_t> targets;
  std::vector<attune::arithmetic<T>> coefficients, logps;
  std::vector<row_state> states;

  sample(std::int64_t n, std::int64_t v, double spread, double offset = 0, const attune::row_options& o = {})
      : rows(n), classes(v), logits(normals<T>(n * v, spread, unsigned(v), offset)), targets(labels(n, v, 5)),
        coefficients(normals<attune::arithmetic<T>>(n, 1, 6)), logps(std::size_t(n)), states(std::size_t(n)) {
    forward(o);
  }
  void forward(const attune::row_options& o = {}) { token_logps(matrix(), targets, logps, states, o); }
  view<const T, 2> matrix() const { return as_view(logits.data(), rows, classes); }
  std::vector<T> gradient(const attune::row_options& o = {}) const {
    std::vector<T> g(logits.size(), to<T>(7));
    logits_gradient(matrix(), targets, states, coefficients, as_view(g.data(), rows, classes), o);
    return g;
  }
};

// Every element relative to itself: p = e^{z - top} / sum carries a few roundings and that of z, amplified by |z - top| ~ |log p|.
// The target's, 1 - p_y, is the sum of the others over a sum in double: the same, and an absolute 2^-53.
template <class T> void check_textbook(std::int64_t classes, double spread, double temperature, double offset = 0) {
  const attune::row_options o{.temperature = temperature};
  const sample<T> s(4, classes, spread, offset, o);
  const auto g = s.gradient(o);
  const double arithmetic = half_ulp<attune::arithmetic<T>>(), rounding = half_ulp<T>();
  for (std::int64_t n = 0; n < s.rows; ++n) {
    const auto y = std::size_t(s.targets[std::size_t(n)]);
    const auto p = softmax(s.logits.data() + n * classes, classes, temperature);
    const long double scale = s.coefficients[std::size_t(n)] / static_cast<long double>(temperature);
    long double others = 0, others_log = 0;
    for (std::size_t v = 0; v < p.size(); ++v) {
      if (v == y) continue;
      others += p[v];
      others_log -= p[v] * std::log(p[v]);
    }
    double worst = 0;
    for (std::size_t v = 0; v < p.size(); ++v) {
      const double expected = double(scale * (v == y ? others : -p[v])), log_p = double(v == y ? others_log / others : -std::log(p[v]));
      const double allowed =
          std::abs(expected) * (rounding + arithmetic * (8 + 2 * log_p)) + 1e-38 + (v == y ? std::abs(double(scale)) * 0x1p-52 : 0);
      worst = attune::max(worst, std::abs(from(g[std::size_t(n * classes) + v]) - expected) / allowed);
    }
    INFO("V " << classes << " T " << temperature << " row " << n);
    CHECK(worst <= 1);
  }
}

}  // namespace

TEST_CASE("logits_gradient is the textbook formula at every size, type and temperature, to relative accuracy in every element") {
  for (std::int64_t classes : {2, 7, 31, 32, 33, 1000, 2048, 2049, 32000, 50257}) {
    check_textbook<float>(classes, 3, 1);
    check_textbook<double>(classes, 3, 1);
    check_textbook<bfloat16>(classes, 3, 1);
  }
  for (double temperature : {0.1, 0.5, 0.6, 2.0}) {
    check_textbook<float>(1000, 3, temperature);
    check_textbook<double>(1000, 3, temperature);
    check_textbook<bfloat16>(1000, 3, temperature);
  }
}

TEST_CASE("logits_gradient: an offset of -1e4 does not cost accuracy, and a state of one number (lse, 1) is as good") {
  check_textbook<float>(1000, 2, 1, -1e4);
  sample<float> s(3, 1000, 2, -1e4);
  const auto g = s.gradient();
  for (auto& state : s.states) state = {state.log_sum_exp(), 1};
  const auto same = s.gradient();
  for (std::size_t i = 0; i < g.size(); ++i) {
    CHECK(std::abs(g[i] - same[i]) <= 1e-6 * std::abs(g[i]) + 1e-12);
  }
  double worst = 0;
  for (std::int64_t n = 0; n < 3; ++n) {
    const auto p = softmax(s.logits.data() + n * 1000, 1000);
    for (std::size_t v = 0; v < 1000; ++v) {
      const double one = std::int32_t(v) == s.targets[std::size_t(n)] ? 1 : 0;
      worst = attune::max(worst, std::abs(g[std::size_t(n) * 1000 + v] - s.coefficients[std::size_t(n)] * (one - double(p[v]))));
    }
  }
  CHECK(worst <= 1e-6);
}

TEST_CASE("logits_gradient: a confident token keeps its gradient in bfloat16") {
  for (double p : {0.9, 0.99, 0.999, 0.9995, 0.99999}) {
    // The target's logit on bfloat16's coarse grid, the others near 0 where the grid is fine: p(y) is p to about 1e-4 of 1 - p.
    const std::int64_t classes = 32000;
    const double apart = std::log((classes - 1) * p / (1 - p));
    const bfloat16 confident(static_cast<float>(apart)), other(static_cast<float>(confident - apart));
    std::vector<bfloat16> logits(static_cast<std::size_t>(classes), other);
    logits[9] = confident;
    const std::vector<std::int32_t> y{9};
    std::vector<float> logp(1);
    std::vector<row_state> state(1);
    const std::vector<float> nll{-1};
    token_logps(as_view(logits.data(), 1, classes), y, logp, state);
    logits_gradient(as_view(logits.data(), 1, classes), y, state, nll, as_view(logits.data(), 1, classes));
    CHECK(std::abs(float(logits[9]) + (1 - p)) <= (1 - p) * (0x1p-8 + 3e-4));
    CHECK(float(logits[8]) == Approx((1 - p) / (classes - 1)).epsilon(0x1p-8));
  }
  // Nearer to 1 than float can tell: 1 - p = 1e-9.
  std::vector<float> two{0, std::log(1e-9f)}, logp(1), g(2);
  const std::vector<std::int32_t> y{0};
  std::vector<row_state> state(1);
  const std::vector<float> nll{-1};
  token_logps(as_view(two.data(), 1, 2), y, logp, state);
  logits_gradient(as_view(two.data(), 1, 2), y, state, nll, as_view(g.data(), 1, 2));
  CHECK(g[0] == Approx(-1e-9).epsilon(1e-5));
  CHECK(g[1] == Approx(1e-9).epsilon(1e-5));
}

TEST_CASE("logits_gradient in place gives the bits of the one out of place") {
  const auto check = []<class T>(T, std::int64_t classes) {
    sample<T> s(3, classes, 3);
    s.coefficients[1] = 0;
    const auto expected = s.gradient();
    logits_gradient(as_view(s.logits.data(), s.rows, classes), s.targets, s.states, s.coefficients,
                    as_view(s.logits.data(), s.rows, classes));
    CHECK(same_bits(s.logits, expected));
  };
  for (std::int64_t classes : {1, 7, 2048, 5000}) {
    check(float{}, classes);
    check(double{}, classes);
    check(bfloat16{}, classes);
  }
}

TEST_CASE("logits_gradient: strided logits and gradients give the bits of packed ones") {
  const auto check = []<class T>(T, std::int64_t classes) {
    const sample<T> s(3, classes, 3);
    const auto expected = s.gradient();
    for (const auto& [row_stride, column_stride] : strides(s.rows, classes)) {
      placed<T> x(s.logits, s.rows, classes, row_stride, column_stride, nan_f);
      placed<T> g(s.logits, s.rows, classes, row_stride, -column_stride, nan_f);
      const std::vector<T> before = x.memory;
      logits_gradient(x.matrix, s.targets, s.states, s.coefficients, g.matrix);
      CHECK(same_bits(g.packed(), expected));
      CHECK(same_bits(x.memory, before));
      logits_gradient(x.matrix, s.targets, s.states, s.coefficients, x.matrix);
      CHECK(same_bits(x.packed(), expected));
      for (const auto& [m, name] : {std::pair{&x.memory, "x"}, std::pair{&g.memory, "g"}}) {  // what lies between rows is untouched
        INFO(name);
        CHECK(std::isnan(from(m->front())));
        CHECK(std::isnan(from(m->back())));
      }
    }
  };
  for (std::int64_t classes : {7, 2500}) {
    check(float{}, classes);
    check(double{}, classes);
    check(bfloat16{}, classes);
  }
  // One coefficient for all rows: stride 0.
  sample<float> s(3, 40, 2);
  s.coefficients.assign(3, 0.25f);
  std::vector<float> g(120);
  const float quarter = 0.25f;
  logits_gradient(s.matrix(), s.targets, s.states, as_view(&quarter, {3}, {0}), as_view(g.data(), 3, 40));
  CHECK(same_bits(g, s.gradient()));
}

TEST_CASE("logits_gradient: masked rows, ignored rows, coefficient 0 and padded columns are exactly 0, whatever lies there") {
  const std::int64_t rows = 5, classes = 33, padded_classes = 40;
  for (double poison : {double(nan_f), 1e30}) {
    const auto packed = normals<float>(rows * classes, 2, 5);
    placed<float> x(packed, rows, classes, padded_classes, 1, poison);
    for (std::int64_t v = 0; v < classes; ++v) x.matrix(1, v) = x.matrix(2, v) = x.matrix(4, v) = float(poison);
    const std::vector<std::int32_t> y{4, 99999, -100, 32, 3};
    const std::vector<std::uint8_t> mask{1, 0, 1, 1, 1};
    std::vector<float> logps(5), coefficients{-1, nan_f, nan_f, 2, 0};
    std::vector<row_state> states(5);
    CHECK(token_logps(x.matrix, y, logps, states, {.mask = mask}).non_finite == (std::isnan(poison) ? 1 : 0));  // row 4 is active
    const view<float, 2> whole(x.matrix.data(), {rows, padded_classes}, x.matrix.strides());
    const row_report report = logits_gradient(x.matrix, y, states, coefficients, whole, {.mask = mask});
    CHECK(report.rows == 5);
    CHECK(report.masked == 2);
    CHECK(report.non_finite == 0);
    for (std::int64_t n = 0; n < rows; ++n) {
      double sum = 0;
      int nonzero = 0;
      for (std::int64_t v = 0; v < padded_classes; ++v) {
        sum += double{whole(n, v)};
        nonzero += whole(n, v) != 0;
      }
      CHECK(nonzero == (n == 0 || n == 3 ? classes : 0));
      CHECK(std::abs(sum) <= 1e-6);
      for (std::int64_t v = classes; v < padded_classes; ++v) CHECK(whole(n, v) == 0);
    }
  }
}

TEST_CASE("logits_gradient: -inf logits have gradient 0, non-finite rows stay visible") {
  const float ninf = -inf_f;
  const std::vector<float> logits{1, 0, ninf, 1, 0, ninf, 1, nan_f, 0, 0, 0, 0, ninf, ninf, ninf};
  const std::vector<std::int32_t> y{0, 2, 1, 1, 0};
  std::vector<float> logps(5), g(15, 7), coefficients{1, 1, 1, inf_f, 1};
  std::vector<row_state> states(5);
  token_logps(as_view(logits.data(), 5, 3), y, logps, states);
  const row_report report = logits_gradient(as_view(logits.data(), 5, 3), y, states, coefficients, as_view(g.data(), 5, 3));
  CHECK(report.non_finite == 3);
  CHECK(g[0] == Approx(0.26894142));
  CHECK(g[1] == Approx(-0.26894142));
  CHECK(g[2] == 0);
  CHECK(g[3] == Approx(-0.73105858));
  CHECK(g[5] == 0);
  for (std::size_t i = 6; i < 15; ++i) CHECK(std::isnan(g[i]));
}

TEST_CASE("logits_gradient: a row's bits depend neither on its batch, nor its position, nor the threads") {
  const sample<bfloat16> s(4096, 97, 4);
  const auto whole = s.gradient();
  for (std::int64_t size : {1, 7}) {
    for (std::int64_t first : {std::int64_t{0}, std::int64_t{2048}, 4096 - size}) {
      std::vector<bfloat16> g(static_cast<std::size_t>(size * 97));
      logits_gradient(as_view(s.logits.data() + first * 97, size, 97), as_view(s.targets.data() + first, size),
                      as_view(s.states.data() + first, size), as_view(s.coefficients.data() + first, size), as_view(g.data(), size, 97));
      CHECK(same_bits(g, {whole.begin() + first * 97, whole.begin() + (first + size) * 97}));
    }
  }
  for (int count : {1, 2, 3, 7}) {
    std::vector<bfloat16> g = s.logits;
    logits_gradient(attune::threads{count, 0}, as_view(g.data(), 4096, 97), s.targets, s.states, s.coefficients, as_view(g.data(), 4096, 97));
    CHECK(same_bits(g, whole));
  }
}

TEST_CASE("logits_gradient rejects what does not fit, before writing") {
  sample<float> s(2, 3, 1);
  std::vector<float> g(12, 7);
  const auto out = as_view(g.data(), 2, 3);
  const std::vector<std::int32_t> wrong{0, 3};
  const auto call = [&](const auto& x, const auto& y, const auto& states, const auto& coefficients, const view<float, 2>& gradient,
                        const attune::row_options& o = {}) {
    return error_text([&] { logits_gradient(x, y, states, coefficients, gradient, o); });
  };
  const std::vector<row_state> three_states(3);
  const std::vector<float> three(3);
  CHECK(contains(call(s.matrix(), wrong, s.states, s.coefficients, out), "row 1 is 3"));
  CHECK(contains(call(s.matrix(), s.targets, three_states, s.coefficients, out), "states"));
  CHECK(contains(call(s.matrix(), s.targets, view<const row_state>{}, s.coefficients, out), "states"));
  CHECK(contains(call(s.matrix(), s.targets, s.states, three, out), "coefficients"));
  CHECK(contains(call(s.matrix(), s.targets, s.states, s.coefficients, as_view(g.data(), 3, 3)), "gradient"));
  CHECK(contains(call(s.matrix(), s.targets, s.states, s.coefficients, as_view(g.data(), 2, 2)), "columns"));
  CHECK(contains(call(s.matrix(), s.targets, s.states, s.coefficients, as_view(g.data(), {2, 3}, {0, 1})), "strides"));
  CHECK(contains(call(s.matrix(), s.targets, s.states, s.coefficients, out, {.temperature = 0}), "temperature"));
  CHECK(g == std::vector<float>(12, 7));

  // Two matrices in one buffer: partial overlap is refused, side by side and interleaved are fine.
  const auto overlapping = [&](view<const float, 2> x, view<float, 2> gradient) {
    return call(x, s.targets, s.states, s.coefficients, gradient);
  };
  std::vector<float> buffer(24);
  float* b = buffer.data();
  CHECK(contains(overlapping(as_view(b, 2, 3), as_view(b + 1, 2, 3)), "overlaps"));
  CHECK(contains(overlapping(as_view(b, 2, 3), as_view(b + 3, 2, 3)), "overlaps"));
  CHECK(contains(overlapping(as_view(b, 2, 3), as_view(b, {2, 3}, {4, 1})), "overlaps"));
  CHECK(contains(overlapping(as_view(b + 3, {2, 3}, {-3, 1}), as_view(b, 2, 3)), "overlaps"));
  CHECK(contains(overlapping(as_view(b, {2, 3}, {6, 1}), as_view(b + 2, {2, 3}, {6, 1})), "overlaps"));
  CHECK(overlapping(as_view(b, {2, 3}, {6, 1}), as_view(b + 3, {2, 3}, {6, 1})) == "");
  CHECK(overlapping(as_view(b, {2, 3}, {6, 2}), as_view(b + 1, {2, 3}, {6, 2})) == "");
  CHECK(overlapping(as_view(b, 2, 3), as_view(b + 6, 2, 3)) == "");
}

TEST_CASE("logits_gradient: empty shapes and a single class") {
  const std::vector<std::int32_t> none, zero{0};
  const std::vector<row_state> no_states;
  const std::vector<float> no_coefficients, coefficient{3};
  std::vector<float> g(1, 7), logp(1);
  CHECK(logits_gradient(as_view(g.data(), 0, 1), none, no_states, no_coefficients, as_view(g.data(), 0, 1)).rows == 0);
  std::vector<row_state> state(1);
  token_logps(as_view(g.data(), 1, 1), zero, logp, state);
  logits_gradient(as_view(g.data(), 1, 1), zero, state, coefficient, as_view(g.data(), 1, 1));
  CHECK(g[0] == 0);
}

TEST_CASE("offsets beyond 2^31 elements: the last row gives what it gives alone") {
  // 4.3 GB of addresses, of which only the touched pages exist.
  const std::int64_t stride = (std::int64_t{1} << 31) + 131072, classes = 1000;
  const std::size_t bytes = std::size_t(stride + classes) * sizeof(bfloat16);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  auto* data = static_cast<bfloat16*>(memory);
  const sample<bfloat16> s(2, classes, 3);
  const auto check = [&](const view<bfloat16, 2>& x) {
    for (std::int64_t n = 0; n < 2; ++n) {
      for (std::int64_t v = 0; v < classes; ++v) x(n, v) = s.logits[std::size_t(n * classes + v)];
    }
    std::vector<float> logps(2);
    std::vector<row_state> states(2);
    token_logps(x, s.targets, logps, states);
    CHECK(same_bits(logps, s.logps));
    logits_gradient(x, s.targets, states, s.coefficients, x);
    const auto expected = s.gradient();
    int differing = 0;
    for (std::int64_t n = 0; n < 2; ++n) {
      for (std::int64_t v = 0; v < classes; ++v) differing += x(n, v).bits != expected[std::size_t(n * classes + v)].bits;
    }
    CHECK(differing == 0);
  };
  check(as_view(data, {2, classes}, {stride, 1}));
  check(as_view(data + stride, {2, classes}, {-stride, 1}));
  check(as_view(data, {2, classes}, {1, stride / classes}));  // column offsets up to 2^31
  munmap(memory, bytes);
}

TEST_CASE("from logits to a sequence loss and back: finite differences over every logit, at T in {.5, 1, 2}") {
  const std::int64_t sequences = 2, steps = 3, classes = 5;
  const std::vector<std::int32_t> y{0, 4, 2, 3, 1, 77};
  const std::vector<std::uint8_t> mask{1, 1, 0, 1, 1, 0};
  const std::vector<double> logits = normals<double>(sequences * steps * classes, 2, 1);
  for (double temperature : {0.5, 1.0, 2.0}) {
    const attune::row_options o{.temperature = temperature, .mask = mask};
    std::vector<double> logps(6), sequence_logps(2), lengths(2);
    std::vector<row_state> states(6);
    const auto loss = [&](const std::vector<double>& x) {  // mean over the sequences of -(mean log-probability)^3, to have a curved one
      token_logps(as_view(x.data(), 6, classes), y, logps, states, o);
      attune::sequence_logps(as_view(logps.data(), sequences, steps), as_view(mask.data(), sequences, steps), sequence_logps, lengths);
      double sum = 0;
      for (std::size_t b = 0; b < 2; ++b) sum -= std::pow(sequence_logps[b] / lengths[b], 3);
      return sum / 2;
    };
    loss(logits);
    std::vector<double> d_sequence(2), d_token(6), gradient(30);
    for (std::size_t b = 0; b < 2; ++b) d_sequence[b] = -3 * std::pow(sequence_logps[b] / lengths[b], 2) / lengths[b] / 2;
    attune::token_coefficients(d_sequence, as_view(mask.data(), sequences, steps), as_view(d_token.data(), sequences, steps));
    logits_gradient(as_view(logits.data(), 6, classes), y, states, d_token, as_view(gradient.data(), 6, classes), o);
    CHECK(gradient_error(loss, logits, gradient) <= 1e-9);
    for (std::size_t i : {10u, 14u, 25u, 29u}) CHECK(gradient[i] == 0);

    // The check rejects planted errors: the sign, one element, the factor 1/temperature.
    auto wrong = gradient;
    for (double& g : wrong) g = -g;
    CHECK(gradient_error(loss, logits, wrong) > 1e-2);
    wrong = gradient;
    wrong[3] *= 1.001;
    CHECK(gradient_error(loss, logits, wrong) > 1e-7);
    if (temperature != 1) {
      wrong = gradient;
      for (double& g : wrong) g *= temperature;
      CHECK(gradient_error(loss, logits, wrong) > 1e-2);
    }
    wrong = gradient;
    wrong[0] = double(nan_f);
    CHECK(!(gradient_error(loss, logits, wrong) <= 1e-9));
  }
}
