// SPDX-License-Identifier: MIT
#include <attune/rows/token_logps.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::error;
using attune::row_report;
using attune::row_state;
using attune::token_logps;

namespace {

template <class T> struct forward {
  std::vector<attune::arithmetic<T>> logps;
  std::vector<row_state> states;
  row_report report;
};
template <class T>
forward<T> run(const std::vector<T>& logits, std::int64_t classes, const std::vector<std::int32_t>& targets,
               const attune::row_options& o = {}) {
  forward<T> f{std::vector<attune::arithmetic<T>>(targets.size(), 7), std::vector<row_state>(targets.size(), {7, 7}), {}};
  f.report = token_logps(as_view(logits.data(), std::int64_t(targets.size()), classes), targets, f.logps, f.states, o);
  return f;
}

// Rounding of the result and of the sum's terms, |z| entering through (x - top)/temperature: a few roundings x (1 + |logp|).
template <class T> double tolerance(double logp) { return 4 * half_ulp<attune::arithmetic<T>>() * (1 + std::abs(logp)); }

template <class T> void check_textbook(std::int64_t classes, double spread, double temperature, double offset) {
  const std::int64_t rows = 5;
  const auto logits = normals<T>(rows * classes, spread, unsigned(classes), offset);
  const auto y = labels(rows, classes, 3);
  const auto f = run<T>(logits, classes, y, {.temperature = temperature});
  CHECK(f.report.rows == rows);
  CHECK(f.report.masked == 0);
  CHECK(f.report.non_finite == 0);
  for (std::size_t n = 0; n < y.size(); ++n) {
    INFO("V " << classes << " T " << temperature << " row " << n);
    const T* row = logits.data() + std::int64_t(n) * classes;
    const double expected = double(std::log(softmax(row, classes, temperature)[std::size_t(y[n])]));
    CHECK(std::abs(double(f.logps[n]) - expected) <= tolerance<T>(expected));
    CHECK(f.logps[n] <= 0);
    CHECK(f.states[n].sum >= 1);
    long double sum = 0;
    for (std::int64_t v = 0; v < classes; ++v) sum += std::exp(static_cast<long double>(from(row[v])) / temperature);
    const double lse = double(std::log(sum));
    CHECK(std::abs(f.states[n].log_sum_exp() - lse) <= tolerance<T>(0) + 4e-16 * std::abs(lse));
  }
}

}  // namespace

TEST_CASE("token_logps is the textbook formula at every size, type and temperature") {
  for (std::int64_t classes : {1, 7, 31, 32, 33, 64, 65, 1000, 2047, 2048, 2049, 32000, 50257}) {
    check_textbook<float>(classes, 3, 1, 0);
    check_textbook<double>(classes, 3, 1, 0);
    check_textbook<bfloat16>(classes, 3, 1, 0);
  }
  for (double temperature : {0.1, 0.5, 0.6, 2.0, 50.0}) {
    check_textbook<float>(1000, 3, temperature, 0);
    check_textbook<double>(1000, 3, temperature, 0);
    check_textbook<bfloat16>(1000, 3, temperature, 0);
  }
  check_textbook<float>(32000, 10, 1, 0);
}

TEST_CASE("token_logps: an offset common to a row costs nothing") {
  check_textbook<float>(1000, 2, 1, -1e4);
  check_textbook<float>(1000, 2, 1, 1e4);
  check_textbook<double>(1000, 2, 1, -1e4);
}

TEST_CASE("token_logps: 32000 equal bfloat16 logits (a bfloat16 accumulator would stop at 256)") {
  const std::vector<bfloat16> logits(32000);
  CHECK(run<bfloat16>(logits, 32000, {17}).logps[0] == Approx(-10.37349).margin(1e-5));
  CHECK(run<float>(std::vector<float>(128256, 0), 128256, {0}).logps[0] == Approx(-std::log(128256.0)).epsilon(2e-7));
}

TEST_CASE("token_logps: labels are int32 or int64, logits a view to const or not, states and options optional") {
  std::vector<float> logits{0, 1, 2, 3, 4, 5}, logps(2);
  const std::vector<std::int64_t> y{2, 0};
  CHECK(token_logps(as_view(logits.data(), 2, 3), y, logps).rows == 2);
  const std::vector<float> first = logps;
  const view<const float, 2> constant = as_view(logits.data(), 2, 3);
  token_logps(attune::serial{}, constant, y, logps, {}, {.temperature = 1});
  CHECK(same_bits(first, logps));
  CHECK(logps[0] == Approx(-0.40760596));
  CHECK(logps[1] == Approx(-2.40760596));
  const std::uint8_t mask[] = {1, 0};
  CHECK(token_logps(constant, y, logps, {}, {.mask = mask}).masked == 1);
}

TEST_CASE("token_logps: -inf is a class of probability 0, NaN, +inf and empty rows stay visible") {
  const float ninf = -inf_f;
  const auto excluded = run<float>({1, 0, ninf, 1, 0, ninf}, 3, {0, 2});
  CHECK(excluded.logps[0] == Approx(-0.31326169));
  CHECK(excluded.logps[1] == ninf);
  CHECK(excluded.report.non_finite == 0);
  CHECK(excluded.states[1].log_sum_exp() == Approx(1.31326169));

  const auto broken = run<float>({1, nan_f, 0, inf_f, 0, 0, ninf, ninf, ninf, 0, 0, 0, -nan_f, 0, 0}, 3, {0, 1, 2, 0, 2});
  for (std::size_t n : {0u, 1u, 2u, 4u}) {
    CHECK(std::isnan(broken.logps[n]));
    CHECK(std::isnan(broken.states[n].log_sum_exp()));
  }
  CHECK(broken.logps[3] == Approx(-1.0986123));
  CHECK(broken.report.rows == 5);
  CHECK(broken.report.non_finite == 4);

  // A NaN anywhere in a long row, and the largest finite numbers.
  for (std::size_t at : {0u, 63u, 64u, 2047u, 2048u, 4999u}) {
    std::vector<float> row(5000, 0.5f);
    row[at] = nan_f;
    CHECK(run<float>(row, 5000, {1}).report.non_finite == 1);
  }
  const float huge = std::numeric_limits<float>::max();
  const auto extreme = run<float>({huge, -huge, huge}, 3, {0});
  CHECK(extreme.logps[0] == Approx(-0.69314718));
}

TEST_CASE("token_logps: masked and ignored rows are not read and give 0, columns beyond V are never read") {
  for (double poison : {double(nan_f), 1e30, double(inf_f)}) {
    const std::int64_t rows = 4, classes = 33, stride = 40;
    const auto packed = normals<float>(rows * classes, 2, 5);
    placed<float> padded(packed, rows, classes, stride, 1, poison);
    for (std::int64_t v = 0; v < classes; ++v) padded.matrix(1, v) = padded.matrix(2, v) = float(poison);
    const std::vector<std::int32_t> y{4, 99999, -100, 32};
    const std::vector<std::uint8_t> mask{1, 0, 1, 255};
    std::vector<float> logps(4, 7);
    std::vector<row_state> states(4);
    const row_report report = token_logps(padded.matrix, y, logps, states, {.mask = mask});
    const auto clean = run<float>(packed, classes, {4, 0, 0, 32});
    CHECK(report.rows == 4);
    CHECK(report.masked == 2);
    CHECK(report.non_finite == 0);
    CHECK(logps == std::vector<float>{clean.logps[0], 0, 0, clean.logps[3]});
    CHECK(states[1].log_sum_exp() == 0);
  }
  CHECK(run<float>({0, 1}, 2, {1}, {.ignore_index = 1}).report.masked == 1);
}

TEST_CASE("token_logps: a strided matrix gives the bits of its packed copy") {
  const auto check = []<class T>(T, std::int64_t classes) {
    const std::int64_t rows = 3;
    const auto packed = normals<T>(rows * classes, 3, 11);
    const auto y = labels(rows, classes, 12);
    const auto expected = run<T>(packed, classes, y);
    for (const auto& [row_stride, column_stride] : strides(rows, classes)) {
      const placed<T> x(packed, rows, classes, row_stride, column_stride, nan_f);
      std::vector<attune::arithmetic<T>> logps(std::size_t(rows), 7);
      std::vector<row_state> states(static_cast<std::size_t>(rows));
      token_logps(x.matrix, y, logps, states);
      INFO("V " << classes << " strides " << row_stride << ", " << column_stride);
      CHECK(same_bits(logps, expected.logps));
      CHECK(same_bits(states, expected.states));
    }
  };
  for (std::int64_t classes : {7, 1000, 2048, 5000}) {
    check(float{}, classes);
    check(double{}, classes);
    check(bfloat16{}, classes);
  }
  const std::vector<float> row = normals<float>(100, 1, 4);  // one row seen four times
  std::vector<float> logps(4);
  const std::vector<int> same_label(4, 3);
  token_logps(as_view(row.data(), {4, 100}, {0, 1}), same_label, logps);
  CHECK(logps == std::vector<float>(4, run<float>(row, 100, {3}).logps[0]));
}

TEST_CASE("token_logps: a row's bits depend neither on its batch, nor its position, nor the threads") {
  const std::int64_t classes = 97;
  const auto many = normals<bfloat16>(4096 * classes, 4, 21);
  const auto y = labels(4096, classes, 22);
  const auto whole = run<bfloat16>(many, classes, y);
  for (std::size_t size : {1u, 7u}) {
    for (std::size_t first : {std::size_t{0}, std::size_t{2048}, 4096 - size}) {
      const std::vector<bfloat16> some(many.begin() + std::ptrdiff_t(first) * classes,
                                       many.begin() + std::ptrdiff_t(first + size) * classes);
      const auto part = run<bfloat16>(some, classes, {y.begin() + std::ptrdiff_t(first), y.begin() + std::ptrdiff_t(first + size)});
      CHECK(same_bits(part.logps, {whole.logps.begin() + std::ptrdiff_t(first), whole.logps.begin() + std::ptrdiff_t(first + size)}));
      CHECK(same_bits(part.states, {whole.states.begin() + std::ptrdiff_t(first), whole.states.begin() + std::ptrdiff_t(first + size)}));
    }
  }
  for (int count : {1, 2, 3, 7}) {
    forward<bfloat16> f{std::vector<float>(4096), std::vector<row_state>(4096), {}};
    f.report = token_logps(attune::threads{count, 0}, as_view(many.data(), 4096, classes), y, f.logps, f.states);
    CHECK(same_bits(f.logps, whole.logps));
    CHECK(same_bits(f.states, whole.states));
    CHECK(f.report.rows == 4096);
  }
}

TEST_CASE("token_logps is never above 0, a dominant logit included") {
  const auto largest = [](std::int64_t rows, std::int64_t classes) {
    auto logits = normals<bfloat16>(rows * classes, 2, unsigned(classes));
    const auto y = labels(rows, classes, 6);
    for (std::int64_t n = 0; n < rows; n += 2) logits[std::size_t(n * classes + y[std::size_t(n)])] = bfloat16(30.0f);
    float top = -inf_f;
    for (float logp : run<bfloat16>(logits, classes, y, {.temperature = rows % 3 == 0 ? 0.7 : 1.0}).logps) top = logp > top ? logp : top;
    return top;
  };
  for (std::int64_t rows : {100000, 100002}) CHECK(largest(rows, 2) <= 0);
  CHECK(largest(3000, 1000) <= 0);
  CHECK(largest(20, 128256) <= 0);
}

TEST_CASE("token_logps: small terms beside a dominant one are not lost") {
  // 1 - p = 5e-4 spread over 32000 classes of 1.6e-8 each: below half an ulp of a float sum that holds the 1.
  std::vector<float> logits(32001, std::log(5e-4f / 32000));
  logits[7] = 0;
  const double rest = 32000 * std::exp(double(logits[0]));
  CHECK(run<float>(logits, 32001, {7}).states[0].sum - 1 == Approx(rest).epsilon(1e-6));
  CHECK(run<float>(logits, 32001, {7}).logps[0] == Approx(-std::log1p(rest)).epsilon(2e-6));
}

TEST_CASE("token_logps: a label out of range names its row, and nothing is written") {
  const std::vector<float> logits(6, 0.0f);
  for (std::int32_t label : {3, 8, -1, -99, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
    std::vector<float> logps(2, 7);
    std::vector<row_state> states(2, {7, 7});
    const std::vector<std::int32_t> y{0, label};
    const std::string message = error_text([&] { token_logps(as_view(logits.data(), 2, 3), y, logps, states); });
    CHECK(contains(message, "row 1 is " + std::to_string(label) + "; expected a class in [0, 3)"));
    CHECK(logps == std::vector<float>(2, 7));
    CHECK(states[0].sum == 7);
  }
  CHECK(run<float>(logits, 3, {2, -100}).logps[1] == 0);
}

TEST_CASE("token_logps rejects arguments that do not fit, before writing") {
  const std::vector<float> logits(6, 0.0f);
  const auto x = as_view(logits.data(), 2, 3);
  const std::vector<std::int32_t> y{0, 1}, three{0, 1, 2};
  std::vector<float> logps(2, 7), short_logps(1, 7);
  std::vector<row_state> states(3);
  const std::vector<std::uint8_t> mask(3, 1);
  CHECK_THROWS_AS(token_logps(x, three, logps), error);
  CHECK_THROWS_AS(token_logps(x, y, short_logps), error);
  CHECK_THROWS_AS(token_logps(x, y, logps, states), error);
  CHECK_THROWS_AS(token_logps(x, y, logps, {}, {.mask = mask}), error);
  CHECK_THROWS_AS(token_logps(x, y, as_view(logps.data(), {2}, {0})), error);
  CHECK_THROWS_AS(token_logps(attune::threads{-1}, x, y, logps), error);
  for (double temperature : {0.0, -1.0, double(inf_f), double(nan_f), 1e-300}) {
    CHECK(contains(error_text([&] { token_logps(x, y, logps, {}, {.temperature = temperature}); }), "row_options.temperature is "));
  }
  CHECK(logps == std::vector<float>(2, 7));
}

TEST_CASE("token_logps: empty shapes and a single class") {
  const std::vector<std::int32_t> none;
  std::vector<float> logps;
  CHECK(token_logps(as_view(static_cast<const float*>(nullptr), 0, 5), none, logps).rows == 0);
  CHECK(run<float>({}, 0, {-100, -100}).report.masked == 2);
  CHECK_THROWS_AS(run<float>({}, 0, {0}), error);
  CHECK(run<float>({-3.5f}, 1, {0}).logps[0] == 0);
}

TEST_CASE("token_logps: a NaN among classes of probability 0 is not hidden, wherever it lies") {
  for (const std::size_t at : {0u, 10u, 2047u, 2048u, 4999u}) {
    std::vector<float> x(5000, -inf_f), logps(1);
    x[3000] = 1;
    x[at] = nan_f;
    const std::vector<std::int32_t> target{11};
    std::vector<attune::row_state> states(1);
    const auto report = attune::token_logps(as_view(x.data(), 1, 5000), target, logps, states);
    INFO(at);
    CHECK(std::isnan(logps[0]));
    CHECK(std::isnan(states[0].sum));
    CHECK(report.non_finite == 1);
  }
}
