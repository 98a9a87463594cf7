// SPDX-License-Identifier: MIT
#include <attune/rows/collision_logps.hpp>
#include <attune/rows/token_logps.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::collision_logps;
using attune::row_report;

namespace {

template <class T> struct collisions {
  std::vector<attune::arithmetic<T>> values;
  row_report report;
};
template <class T> collisions<T> run(const std::vector<T>& logits, std::int64_t rows, const attune::row_options& o = {}) {
  collisions<T> c{std::vector<attune::arithmetic<T>>(std::size_t(rows), 7), {}};
  c.report = collision_logps(as_view(logits.data(), rows, std::int64_t(logits.size()) / rows), c.values, o);
  return c;
}

/// log sum_v p_v^2, as it is written.
template <class T> double textbook(const T* row, std::int64_t classes, double temperature) {
  long double sum = 0;
  for (long double p : softmax(row, classes, temperature)) sum += p * p;
  return double(std::log(sum));
}

template <class T> void check_textbook(std::int64_t classes, double spread, double temperature, double offset = 0) {
  const std::int64_t rows = 5;
  const auto logits = normals<T>(rows * classes, spread, unsigned(classes), offset);
  const auto c = run<T>(logits, rows, {.temperature = temperature});
  CHECK(c.report.rows == rows);
  CHECK(c.report.non_finite == 0);
  for (std::int64_t n = 0; n < rows; ++n) {
    const double expected = textbook(logits.data() + n * classes, classes, temperature);
    INFO("V " << classes << " T " << temperature << " spread " << spread << " row " << n);
    CHECK(std::abs(double(c.values[std::size_t(n)]) - expected) <= 4 * half_ulp<attune::arithmetic<T>>() * (1 + std::abs(expected)));
    CHECK(c.values[std::size_t(n)] <= 0);
  }
}

}  // namespace

TEST_CASE("collision_logps is the textbook formula at every size, type and temperature") {
  for (std::int64_t classes : {1, 2, 7, 31, 33, 64, 65, 1000, 2047, 2049, 32000}) {
    check_textbook<float>(classes, 3, 1);
    check_textbook<double>(classes, 3, 1);
    check_textbook<bfloat16>(classes, 3, 1);
  }
  for (double temperature : {0.1, 0.6, 2.0, 50.0}) {
    check_textbook<float>(1000, 3, temperature);
    check_textbook<double>(1000, 3, temperature);
    check_textbook<bfloat16>(1000, 3, temperature);
  }
  check_textbook<float>(32000, 10, 1);
  check_textbook<float>(1000, 2, 1, -1e4);  // an offset common to a row costs nothing
  check_textbook<double>(1000, 2, 1, 1e4);
}

TEST_CASE("collision_logps: by hand: equal logits, one class, p = (1/2, 1/4, 1/4), logits whose double overflows a half (P38)") {
  CHECK(run<bfloat16>(std::vector<bfloat16>(32000), 1).values[0] == Approx(-std::log(32000.0)).epsilon(2e-7));
  CHECK(run<double>({3.5}, 1).values[0] == 0);
  CHECK(run<double>({std::log(2.0), 0, 0}, 1).values[0] == Approx(std::log(0.375)).epsilon(1e-15));
  CHECK(run<bfloat16>({bfloat16(40000.0f), bfloat16(40000.0f), bfloat16(-40000.0f)}, 1).values[0] == Approx(-std::log(2.0)).epsilon(1e-7));
  const float huge = std::numeric_limits<float>::max();
  CHECK(run<float>({huge, -huge, huge}, 1).values[0] == Approx(-std::log(2.0)).epsilon(1e-7));
}

TEST_CASE("collision_logps keeps relative accuracy in a confident row: log sum p^2 = -2 (1 - p) to first order") {
  for (double rest : {1e-3, 1e-9, 1e-17, 1e-30}) {
    const double e = rest / 3, first = 3 * e, second = 3 * e * e;
    const double expected = std::log1p(second) - 2 * std::log1p(first);
    const auto d = run<double>({std::log(e), 0, std::log(e), std::log(e)}, 1);
    CHECK(d.values[0] == Approx(expected).epsilon(1e-13));
    const auto f = run<float>({float(std::log(e)), 0, float(std::log(e)), float(std::log(e))}, 1);
    CHECK(double(f.values[0]) == Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("collision_logps: -inf is no class, broken rows stay visible, masked rows are not read") {
  const auto c = run<float>({1, -inf_f, 1, nan_f, 0, 0, inf_f, 0, 0, -inf_f, -inf_f, -inf_f, -inf_f, 2, -inf_f}, 5);
  CHECK(c.values[0] == Approx(-std::log(2.0)).epsilon(1e-7));
  for (std::size_t n : {1u, 2u, 3u}) CHECK(std::isnan(c.values[n]));
  CHECK(c.values[4] == 0);
  CHECK(c.report.non_finite == 3);

  for (double poison : {double(nan_f), 1e30, double(inf_f)}) {
    const auto packed = normals<float>(3 * 33, 2, 5);
    placed<float> padded(packed, 3, 33, 40, 1, poison);  // columns beyond V are never read
    for (std::int64_t v = 0; v < 33; ++v) padded.matrix(1, v) = float(poison);
    const std::vector<std::uint8_t> mask{1, 0, 1};
    std::vector<float> values(3, 7);
    const row_report report = collision_logps(padded.matrix, values, {.mask = mask});
    const auto clean = run<float>(packed, 3);
    CHECK(values == std::vector<float>{clean.values[0], 0, clean.values[2]});
    CHECK(report.masked == 1);
    CHECK(report.non_finite == 0);
  }
}

TEST_CASE("collision_logps: the same bits for any strides, batch, position in it and threads") {
  const auto check = []<class T>(T, std::int64_t classes) {
    const auto packed = normals<T>(3 * classes, 3, 11);
    const auto expected = run<T>(packed, 3);
    for (const auto& [row_stride, column_stride] : strides(3, classes)) {
      const placed<T> x(packed, 3, classes, row_stride, column_stride, nan_f);
      std::vector<attune::arithmetic<T>> values(3, 7);
      collision_logps(x.matrix, values);
      CHECK(same_bits(values, expected.values));
    }
  };
  for (std::int64_t classes : {7, 2048, 5000}) {
    check(float{}, classes);
    check(double{}, classes);
    check(bfloat16{}, classes);
  }
  const std::int64_t classes = 97;
  const auto many = normals<float>(4096 * classes, 4, 21);
  const auto whole = run<float>(many, 4096);
  const auto part = run<float>({many.begin() + 2048 * classes, many.begin() + 2055 * classes}, 7);
  CHECK(same_bits(part.values, {whole.values.begin() + 2048, whole.values.begin() + 2055}));
  for (int count : {1, 2, 3, 7}) {
    std::vector<float> values(4096, 7);
    CHECK(collision_logps(attune::threads{count, 0}, as_view(many.data(), 4096, classes), values).rows == 4096);
    CHECK(same_bits(values, whole.values));
  }
}

TEST_CASE("collision_logps rejects arguments that do not fit, before writing") {
  const std::vector<float> logits(6, 0.0f);
  std::vector<float> two(2, 7), three(3, 7);
  const std::vector<std::uint8_t> mask(3, 1);
  const auto x = as_view(logits.data(), 2, 3);
  CHECK(contains(error_text([&] { collision_logps(x, three); }), "values"));
  CHECK(contains(error_text([&] { collision_logps(x, two, {.mask = mask}); }), "mask"));
  CHECK(contains(error_text([&] { collision_logps(x, as_view(two.data(), {2}, {0})); }), "stride 0"));
  for (double temperature : {0.0, -1.0, double(nan_f), double(inf_f)}) {
    CHECK(contains(error_text([&] { collision_logps(x, two, {.temperature = temperature}); }), "temperature"));
  }
  CHECK(two == std::vector<float>(2, 7));
  std::vector<float> none;
  CHECK(collision_logps(as_view(static_cast<const float*>(nullptr), 0, 5), none).rows == 0);
}
