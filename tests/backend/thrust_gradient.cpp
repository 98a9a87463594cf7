// SPDX-License-Identifier: MIT
// Gradients with respect to logits on Thrust's device, whatever it is, against the host's in double.
#include "thrust_support.hpp"

#include "support/catch.hpp"

using namespace attune_test;
using attune::row_report;
using attune::row_state;

namespace {

/// What a gradient is made of, on the host. Empty vectors: absent.
struct task {
  std::vector<std::int32_t> targets;
  std::vector<double> coefficients;
  double temperature = 1, softcap = inf_f;
  std::vector<std::uint8_t> mask{};
  std::int64_t ignore_index = -100;
  std::vector<double> entropy_coefficients{}, log_sum_exp_coefficients{};
};
template <class A> thrust::device_vector<A> to_device(const std::vector<double>& x) {
  std::vector<A> y(x.begin(), x.end());
  return thrust::device_vector<A>(y.begin(), y.end());
}

struct host_result {
  std::vector<double> gradient, entropies;
  std::vector<row_state> states;
  row_report report;
};
template <class T> host_result host_gradient(const device_matrix<T>& logits, const task& t) {
  const std::vector<double> x = as_doubles(logits.packed());
  const auto rows = std::size_t(logits.rows);
  const auto matrix = as_view(x.data(), logits.rows, logits.columns);
  attune::row_options o{.temperature = t.temperature, .softcap = t.softcap, .ignore_index = t.ignore_index};
  if (!t.mask.empty()) o.mask = t.mask;
  host_result r{std::vector<double>(x.size()), std::vector<double>(rows), std::vector<row_state>(rows), {}};
  std::vector<double> logps(rows);
  attune::token_logps(matrix, t.targets, logps, r.states, o, {.entropies = r.entropies});
  attune::row_terms<double> terms;
  if (!t.entropy_coefficients.empty()) terms = {.entropies = r.entropies, .entropy_coefficients = t.entropy_coefficients};
  if (!t.log_sum_exp_coefficients.empty()) terms.log_sum_exp_coefficients = t.log_sum_exp_coefficients;
  r.report = attune::logits_gradient(matrix, t.targets, r.states, t.coefficients, as_view(r.gradient.data(), logits.rows, logits.columns), o, terms);
  return r;
}

/// Into `gradient`, with the states and entropies of token_logps on the device.
template <class T> row_report device_gradient(const auto& policy, device_matrix<T>& logits, const task& t, view<T, 2, device> gradient,
                                              const attune::sequence_coefficients<attune::arithmetic<T>>* sequences = nullptr, bool checked = false) {
  using A = attune::arithmetic<T>;
  const auto rows = std::size_t(logits.rows);
  const thrust::device_vector<std::int32_t> labels(t.targets.begin(), t.targets.end());
  const thrust::device_vector<std::uint8_t> bytes(t.mask.begin(), t.mask.end());
  const auto coefficients = to_device<A>(t.coefficients), entropy = to_device<A>(t.entropy_coefficients), lse = to_device<A>(t.log_sum_exp_coefficients);
  thrust::device_vector<A> logps(rows), entropies(rows);
  thrust::device_vector<row_state> states(rows);
  thrust::device_vector<row_report> report(1, row_report{777, 777, 777});
  thrust::device_vector<std::byte> workspace(std::size_t(attune::token_logps_workspace<T>(logits.rows, logits.columns, true)));
  attune::device_row_options o{.temperature = t.temperature, .softcap = t.softcap, .ignore_index = t.ignore_index, .workspace = workspace};
  if (!t.mask.empty()) o.mask = bytes;
  attune::token_logps(policy, logits.matrix(), labels, logps, states, o, {.entropies = entropies});
  o.workspace = {};
  o.report = report;
  o.checked = checked;
  attune::row_terms<A, device> terms;
  if (!t.entropy_coefficients.empty()) terms = {.entropies = entropies, .entropy_coefficients = entropy};
  if (!t.log_sum_exp_coefficients.empty()) terms.log_sum_exp_coefficients = lse;
  if (sequences != nullptr) attune::logits_gradient(policy, logits.matrix(), labels, states, *sequences, gradient, o, terms);
  else attune::logits_gradient(policy, logits.matrix(), labels, states, coefficients, gradient, o, terms);
  return on_host(report)[0];
}

bool same_report(const row_report& a, const row_report& b) { return a.rows == b.rows && a.masked == b.masked && a.non_finite == b.non_finite; }

/// In place, and out of place with other alignments and padding columns: right, every element written, and the same bits.
template <class T> void require_gradient(const device_matrix<T>& logits, const task& t) {
  const host_result expected = host_gradient(logits, t);
  device_matrix<T> in_place = logits;
  CHECK(same_report(device_gradient(on_thrust, in_place, t, in_place.matrix()), expected.report));
  const std::vector<T> given = in_place.packed();
  CHECK(is_gradient(given, expected.gradient));
  for (const std::int64_t shift : {0, 1, 2, 3}) {
    const std::int64_t padded = logits.columns + 3 * shift, spread = shift == 3 ? 2 : 1;
    device_matrix<T> from = logits, out(std::vector<T>(), logits.rows, padded, spread * padded + shift, spread, shift, 777);
    device_gradient(on_thrust, from, t, out.matrix());
    std::vector<T> inside;
    bool zero = true;
    const std::vector<T> all = out.packed();
    for (std::int64_t n = 0; n < logits.rows; ++n) {
      for (std::int64_t v = 0; v < padded; ++v) {
        const T element = all[std::size_t(n * padded + v)];
        if (v < logits.columns) inside.push_back(element);
        else zero = zero && attune_test::from(element) == 0;
      }
    }
    CHECK(zero);
    CHECK(largest_error(inside, given) == 0);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("Thrust gradient: it is that of the host", "[thrust]", float, double, attune::bfloat16, attune::float16) {
  using T = TestType;
  struct layout {
    std::int64_t rows, columns, row_stride, column_stride, offset;
  };
  for (const layout& l : {layout{5, 1000, 1000, 1, 0}, layout{4, 1003, 1003, 1, 0}, layout{3, 9000, 9008, 1, 1}, layout{3, 100, 200, 2, 1}, layout{3, 1, 1, 1, 0},
                          layout{3, 7, 9, 1, 2}}) {
    INFO(l.rows << " x " << l.columns << ", strides " << l.row_stride << ", " << l.column_stride << ", offset " << l.offset);
    const device_matrix<T> logits(normals<T>(l.rows * l.columns, 3, 5), l.rows, l.columns, l.row_stride, l.column_stride, l.offset);
    task t{.targets = labels(l.rows, l.columns, 7), .coefficients = {}};
    for (std::int64_t n = 0; n < l.rows; ++n) t.coefficients.push_back(n == 2 ? 0 : 0.75 - double(n));
    require_gradient(logits, t);
    t.temperature = 0.75;
    for (std::int64_t n = 0; n < l.rows; ++n) t.log_sum_exp_coefficients.push_back(0.125 * double(n));
    require_gradient(logits, t);
    for (std::int64_t n = 0; n < l.rows; ++n) t.entropy_coefficients.push_back(n == 1 ? 0 : -0.5);
    if (sizeof(T) == 8) require_gradient(logits, t);  // of an entropy term, elements may cancel
    t.log_sum_exp_coefficients = t.entropy_coefficients = {};
    t.softcap = 4;
    require_gradient(logits, t);
  }
}

TEST_CASE("Thrust gradient: terms of entropy", "[thrust]") {
  const device_matrix<float> logits(normals<float>(4 * 1000, 3, 5), 4, 1000);
  const task t{.targets = labels(4, 1000, 7), .coefficients = {1, 0, -1, 0.5}, .temperature = 1.25, .entropy_coefficients = {0.25, -1, 0, 2},
               .log_sum_exp_coefficients = {0, 1, 0.5, 0}};
  const host_result expected = host_gradient(logits, t);
  device_matrix<float> x = logits;
  device_gradient(on_thrust, x, t, x.matrix());
  CHECK(norm_error(x.packed(), expected.gradient) <= 1e-5);
}

TEMPLATE_TEST_CASE("Thrust gradient: hard rows", "[thrust]", float, attune::bfloat16, attune::float16) {
  using T = TestType;
  const std::int64_t rows = 6, classes = 2051;
  std::vector<T> x = normals<T>(rows * classes, 3, 5);
  task t{.targets = labels(rows, classes, 7), .coefficients = std::vector<double>(rows, -1)};
  const auto set = [&](std::int64_t n, std::int64_t v, double value) { x[std::size_t(n * classes + v)] = to<T>(value); };
  set(0, t.targets[0], 14);
  for (std::int64_t v = 0; v < classes; ++v) set(1, v, v == t.targets[1] ? 1.5 : -double(inf_f));
  for (std::int64_t v = 0; v < classes; ++v) set(2, v, v % 3 == 0 ? 1.5 : -double(inf_f));
  for (std::int64_t v = 0; v < classes; ++v) set(3, v, -1e4 + from(x[std::size_t(3 * classes + v)]));
  for (std::int64_t v = 0; v < classes; ++v) set(4, v, v % 2 == 0 ? 1e4 : -1e4);
  set(5, 5, double(nan_f));
  const device_matrix<T> logits(x, rows - 1, classes);
  require_gradient(logits, task{.targets = {t.targets.begin(), t.targets.end() - 1}, .coefficients = std::vector<double>(rows - 1, -1)});
  // The confident token's own element, 1 - p_y, is exact also by itself.
  device_matrix<T> confident = logits;
  device_gradient(on_thrust, confident, task{.targets = {t.targets.begin(), t.targets.end() - 1}, .coefficients = std::vector<double>(rows - 1, -1)},
                  confident.matrix());
  const double exact = -double(1 - softmax(x.data(), classes)[std::size_t(t.targets[0])]);
  const double given = from(confident.packed()[std::size_t(t.targets[0])]);
  CHECK(std::abs(given - exact) <= (sizeof(T) == 2 ? 4e-3 : 1e-5) * std::abs(exact));

  device_matrix<T> broken(x, rows, classes);  // a row without a distribution becomes NaN, its neighbours do not
  const row_report report = device_gradient(on_thrust, broken, t, broken.matrix());
  CHECK(report.non_finite == 1);
  const std::vector<T> all = broken.packed(), before = confident.packed();
  for (std::int64_t v = 0; v < classes; ++v) {
    if (from(all[std::size_t(5 * classes + v)]) == from(all[std::size_t(5 * classes + v)])) FAIL("a number in row 5");
  }
  CHECK(largest_error(std::vector<T>(all.begin(), all.begin() + 5 * classes), before) == 0);
}

TEMPLATE_TEST_CASE("Thrust gradient: rows that are not read, and labels out of range", "[thrust]", float, attune::bfloat16) {
  using T = TestType;
  const std::int64_t rows = 5, classes = 517;
  std::vector<T> x = normals<T>(rows * classes, 3, 5);
  for (std::int64_t v = 0; v < classes; ++v) x[std::size_t(v)] = x[std::size_t(classes + v)] = to<T>(double(nan_f));
  task t{.targets = {1 << 30, -7, 3, 516, 0}, .coefficients = {1, 1, 1, -2, 1}, .mask = {0, 1, 1, 1, 2}, .ignore_index = -7};
  const device_matrix<T> logits(x, rows, classes, classes + 3);
  const auto row_is = [&](const std::vector<T>& all, std::int64_t n, auto what) {
    bool all_are = true;
    for (std::int64_t v = 0; v < classes; ++v) all_are = all_are && what(from(all[std::size_t(n * classes + v)]));
    return all_are;
  };
  device_matrix<T> out(std::vector<T>(), rows, classes, 0, 1, 1, 777), from_logits = logits;
  const row_report report = device_gradient(on_thrust, from_logits, t, out.matrix());
  CHECK((report.rows == 5 && report.masked == 2 && report.non_finite == 0));
  CHECK(row_is(out.packed(), 0, [](double g) { return g == 0; }));
  CHECK(row_is(out.packed(), 1, [](double g) { return g == 0; }));
  CHECK(row_is(out.packed(), 2, [](double g) { return g == g && g != 777; }));
  for (const std::int32_t bad : {517, -1, 1 << 30}) {
    t.targets[4] = bad;
    CHECK(device_gradient(on_thrust, from_logits, t, out.matrix()).non_finite == 1);
    CHECK(row_is(out.packed(), 4, [](double g) { return g != g; }));
    const std::string refusal = error_text([&] { device_gradient(on_thrust, from_logits, t, out.matrix(), nullptr, true); });
    CHECK(contains(refusal, "the target of row 4 is " + std::to_string(bad)));
  }
  t.targets[4] = 0;
  t.coefficients[3] = double(inf_f);  // stays visible
  CHECK(device_gradient(on_thrust, from_logits, t, out.matrix()).non_finite == 1);
  CHECK(row_is(out.packed(), 3, [](double g) { return g != g; }));
}

TEST_CASE("Thrust gradient: coefficients of sequences", "[thrust]") {
  const std::int64_t rows = 6, classes = 100;
  const device_matrix<float> logits(normals<float>(rows * classes, 3, 5), rows, classes);
  task t{.targets = labels(rows, classes, 7), .coefficients = {0.5, 0.5, -2, -2, 0, 0}};
  device_matrix<float> expected = logits;
  device_gradient(on_thrust, expected, t, expected.matrix());
  const thrust::device_vector<float> values = to_device<float>({0.5, -2, 0});
  std::vector<std::int32_t> sequence{0, 0, 1, 1, 2, 2};
  thrust::device_vector<std::int32_t> map(sequence.begin(), sequence.end());
  const attune::sequence_coefficients<float> padded{.values = values, .rows_per_sequence = 2}, mapped{.values = values, .sequence_of_row = map};
  for (const auto* given : {&padded, &mapped}) {
    device_matrix<float> x = logits;
    device_gradient(on_thrust, x, t, x.matrix(), given);
    CHECK(same_bits(x.packed(), expected.packed()));
  }
  const auto refusal = [&](const attune::sequence_coefficients<float>& c, bool checked = false) {
    device_matrix<float> x = logits;
    return error_text([&] { device_gradient(on_thrust, x, t, x.matrix(), &c, checked); });
  };
  CHECK(contains(refusal({.values = values}), "rows_per_sequence is 0"));
  CHECK(contains(refusal({.values = values, .rows_per_sequence = 3}), "3 sequences of 3 rows; expected the logits' 6 rows"));
  sequence[3] = 3;
  thrust::copy(sequence.begin(), sequence.end(), map.begin());
  CHECK(contains(refusal({.values = values, .sequence_of_row = map}, true), "the sequence of row 3 is 3; expected one in [0, 3)"));
  device_matrix<float> x = logits;
  CHECK(device_gradient(on_thrust, x, t, x.matrix(), &mapped).non_finite == 1);
  CHECK(x.packed()[3 * 100] != x.packed()[3 * 100]);
}

TEST_CASE("Thrust gradient: the same bits again", "[thrust]") {
  const device_matrix<attune::bfloat16> logits(normals<attune::bfloat16>(5 * 5003, 3, 5), 5, 5003);
  const task t{.targets = labels(5, 5003, 7), .coefficients = {1, -1, 0.5, 2, 3}, .entropy_coefficients = {1, 2, 3, 4, 5}};
  device_matrix<attune::bfloat16> a = logits, b = logits;
  device_gradient(on_thrust, a, t, a.matrix());
  device_gradient(on_thrust, b, t, b.matrix());
  CHECK(same_bits(a.packed(), b.packed()));
}

TEST_CASE("Thrust gradient: bad arguments", "[thrust]") {
  device_matrix<float> logits(normals<float>(3 * 100, 3, 5), 3, 100);
  const task t{.targets = {1, 2, 3}, .coefficients = {1, 1, 1}};
  const std::vector<float> before = logits.packed();
  const auto refusal = [&](view<float, 2, device> gradient) { return error_text([&] { device_gradient(on_thrust, logits, t, gradient); }); };
  device_matrix<float> narrow({}, 3, 99), few({}, 2, 100);
  CHECK(contains(refusal(narrow.matrix()), "gradient has 99 columns; expected the logits' 100 or more"));
  CHECK(contains(refusal(few.matrix()), "gradient has 2 elements; expected 3"));
  CHECK(contains(refusal(as_view(logits.memory.data(), {3, 100}, {0, 1})), "overlap"));
  device_matrix<float> inside(normals<float>(3 * 100, 3, 5), 3, 100, 101);
  CHECK(contains(error_text([&] { device_gradient(on_thrust, inside, t, as_view(inside.memory.data() + 1, {3, 100}, {101, 1})); }),
                 "gradient overlaps the logits in part"));
  CHECK(same_bits(logits.packed(), before));
}
