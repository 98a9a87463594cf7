// SPDX-License-Identifier: MIT
// Rows of logits on Thrust's device, whatever it is, against the host's functions in double.
#include "thrust_support.hpp"

#include "support/catch.hpp"

using namespace attune_test;
using attune::row_state;
using attune::row_report;

namespace {

template <class T> constexpr double logp_tolerance = sizeof(T) == 8 ? 1e-12 : 1e-5;

/// What token_logps gives.
template <class A> struct summary {
  std::vector<A> logps, entropies;
  std::vector<row_state> states;
  std::vector<std::int64_t> argmax;
  std::vector<row_report> report;
};

template <class T> summary<attune::arithmetic<T>> device_summary(const auto& policy, device_matrix<T>& logits, const std::vector<std::int32_t>& targets,
                                                                 double temperature = 1, double softcap = inf_f, const std::vector<std::uint8_t>& mask = {},
                                                                 std::int64_t ignore_index = -100, bool checked = false) {
  using A = attune::arithmetic<T>;
  const auto rows = std::size_t(logits.rows);
  const thrust::device_vector<std::int32_t> labels(targets.begin(), targets.end());
  const thrust::device_vector<std::uint8_t> bytes(mask.begin(), mask.end());
  thrust::device_vector<A> logps(rows, A(777)), entropies(rows, A(777));
  thrust::device_vector<row_state> states(rows, row_state{777, 777});
  thrust::device_vector<std::int64_t> argmax(rows, 777);
  thrust::device_vector<row_report> report(1, row_report{777, 777, 777});
  thrust::device_vector<std::byte> workspace(std::size_t(attune::token_logps_workspace<T>(logits.rows, logits.columns, true)), std::byte{0xff});
  attune::device_row_options o{.temperature = temperature, .softcap = softcap, .ignore_index = ignore_index, .workspace = workspace, .report = report,
                               .checked = checked};
  if (!mask.empty()) o.mask = bytes;
  attune::token_logps(policy, logits.matrix(), labels, logps, states, o, {.entropies = entropies, .argmax = argmax});
  summary<A> result{on_host(logps), on_host(entropies), on_host(states), on_host(argmax), on_host(report)};
  // Without statistics: the same bits.
  thrust::fill(logps.begin(), logps.end(), A(777));
  attune::token_logps(policy, logits.matrix(), labels, logps, {}, o);
  CHECK(same_bits(on_host(logps), result.logps));
  return result;
}

template <class T> summary<double> host_summary(const device_matrix<T>& logits, const std::vector<std::int32_t>& targets, double temperature = 1,
                                                double softcap = inf_f, const std::vector<std::uint8_t>& mask = {}, std::int64_t ignore_index = -100) {
  const std::vector<double> x = as_doubles(logits.packed());
  const auto rows = std::size_t(logits.rows);
  summary<double> result{std::vector<double>(rows), std::vector<double>(rows), std::vector<row_state>(rows), std::vector<std::int64_t>(rows), {}};
  attune::row_options o{.temperature = temperature, .softcap = softcap, .ignore_index = ignore_index};
  if (!mask.empty()) o.mask = mask;
  result.report.push_back(attune::token_logps(as_view(x.data(), logits.rows, logits.columns), targets, result.logps, result.states, o,
                                              {.entropies = result.entropies, .argmax = result.argmax}));
  return result;
}

template <class A> void require_close(const summary<A>& given, const summary<double>& expected, double tolerance) {
  CHECK(largest_error(given.logps, expected.logps) <= tolerance);
  CHECK(largest_error(given.entropies, expected.entropies) <= 4 * tolerance);
  std::vector<double> lse, expected_lse;
  for (std::size_t n = 0; n < given.states.size(); ++n) {
    lse.push_back(given.states[n].log_sum_exp());
    expected_lse.push_back(expected.states[n].log_sum_exp());
  }
  CHECK(largest_error(lse, expected_lse) <= tolerance);
  CHECK(given.argmax == expected.argmax);
  CHECK(std::memcmp(given.report.data(), expected.report.data(), sizeof(row_report)) == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("Thrust rows: log-probabilities are those of the host", "[thrust]", float, double, attune::bfloat16, attune::float16) {
  using T = TestType;
  struct layout {
    std::int64_t rows, columns, row_stride, column_stride, offset;
  };
  // Aligned; a stride that is not a multiple of 16 bytes; an unaligned start; both; every other column; transposed; few and many lanes.
  for (const layout& l : {layout{5, 1000, 1000, 1, 0}, layout{6, 1003, 1003, 1, 0}, layout{4, 4099, 4112, 1, 1}, layout{5, 257, 261, 1, 3}, layout{3, 100, 200, 2, 1},
                          layout{4, 33, 1, 4, 0}, layout{3, 1, 1, 1, 2}, layout{3, 7, 9, 1, 1}, layout{2, 40000, 40008, 1, 0}}) {
    INFO(l.rows << " x " << l.columns << ", strides " << l.row_stride << ", " << l.column_stride << ", offset " << l.offset);
    device_matrix<T> logits(normals<T>(l.rows * l.columns, 3, 5), l.rows, l.columns, l.row_stride, l.column_stride, l.offset);
    const auto targets = labels(l.rows, l.columns, 7);
    require_close(device_summary(on_thrust, logits, targets), host_summary(logits, targets), logp_tolerance<T>);
    require_close(device_summary(on_thrust, logits, targets, 0.7), host_summary(logits, targets, 0.7), logp_tolerance<T>);
    require_close(device_summary(on_thrust, logits, targets, 1.5, 2.5), host_summary(logits, targets, 1.5, 2.5), logp_tolerance<T>);
  }
}

TEMPLATE_TEST_CASE("Thrust rows: hard rows", "[thrust]", float, double, attune::bfloat16, attune::float16) {
  using T = TestType;
  const std::int64_t rows = 10, classes = 2051;
  std::vector<T> x = normals<T>(rows * classes, 3, 5);
  auto targets = labels(rows, classes, 7);
  const auto set = [&](std::int64_t n, std::int64_t v, double value) { x[std::size_t(n * classes + v)] = to<T>(value); };
  set(0, targets[0], 60);                                                      // peaked at the target, and elsewhere
  set(1, (targets[1] + 9) % classes, 60);
  for (std::int64_t v = 0; v < classes; ++v) set(2, v, v == targets[2] ? 1.5 : -double(inf_f));  // all -inf but the target, or another
  for (std::int64_t v = 0; v < classes; ++v) set(3, v, v == 1026 ? 1.5 : -double(inf_f));
  targets[3] = 17;
  for (std::int64_t v = 0; v < classes; ++v) set(4, v, -1e4 + from(x[std::size_t(4 * classes + v)]));
  for (std::int64_t v = 0; v < classes; ++v) set(5, v, v % 2 == 0 ? 1e4 : -1e4);
  set(6, 2050, double(nan_f));                                                 // no distribution: NaN, +inf, nothing
  set(7, 3, double(inf_f));
  for (std::int64_t v = 0; v < classes; ++v) set(8, v, -double(inf_f));
  for (std::int64_t v = 0; v < classes; ++v) set(9, v, std::isinf(from(to<T>(3e38))) ? -65504 : -3e38);  // the least numbers: uniform
  for (const std::int64_t offset : {0, 1}) {
    device_matrix<T> logits(x, rows, classes, 0, 1, offset);
    const auto given = device_summary(on_thrust, logits, targets);
    require_close(given, host_summary(logits, targets), logp_tolerance<T>);
    CHECK(given.report[0].non_finite == 3);
    // What a confident row leaves for the others keeps its size: exactly it, not a rounded 1 - 1.
    const auto exact = softmax(x.data(), classes);
    const double rest = double(1 - exact[std::size_t(targets[0])]);
    CHECK(std::abs((given.states[0].sum - 1) / given.states[0].sum - rest) <= 1e-5 * rest);
  }
}

TEMPLATE_TEST_CASE("Thrust rows: rows that are not read, and labels out of range", "[thrust]", float, attune::bfloat16) {
  using T = TestType;
  const std::int64_t rows = 6, classes = 517;
  std::vector<T> x = normals<T>(rows * classes, 3, 5);
  for (std::int64_t v = 0; v < classes; ++v) x[std::size_t(v)] = x[std::size_t(classes + v)] = to<T>(double(nan_f));
  const std::vector<std::uint8_t> mask{0, 1, 1, 1, 1, 2};
  std::vector<std::int32_t> targets{1 << 30, -7, 3, 516, 0, 12};
  device_matrix<T> logits(x, rows, classes, classes + 3);
  const auto given = device_summary(on_thrust, logits, targets, 1, inf_f, mask, -7, true);
  require_close(given, host_summary(logits, targets, 1, inf_f, mask, -7), logp_tolerance<T>);
  CHECK(given.report[0].masked == 2);
  CHECK(given.logps[0] == 0);
  CHECK(given.argmax[1] == -1);

  for (const std::int32_t bad : {517, -1, 1 << 30, -(1 << 30)}) {
    targets[4] = bad;
    const auto wrong = device_summary(on_thrust, logits, targets, 1, inf_f, mask, -7);
    CHECK(wrong.logps[4] != wrong.logps[4]);
    CHECK(wrong.states[4].shift != wrong.states[4].shift);
    CHECK(wrong.argmax[4] == -1);
    CHECK(wrong.report[0].non_finite == 1);
    CHECK(wrong.logps[3] == given.logps[3]);
    const std::string host = error_text([&] { host_summary(logits, targets, 1, inf_f, mask, -7); });
    CHECK_FALSE(host.empty());
    CHECK(error_text([&] { device_summary(on_thrust, logits, targets, 1, inf_f, mask, -7, true); }) == host);
  }
}

TEMPLATE_TEST_CASE("Thrust rows: a row's bits depend on nothing but the row", "[thrust]", float, attune::bfloat16, attune::float16) {
  using T = TestType;
  const std::int64_t rows = 9, classes = 5003;
  const std::vector<T> x = normals<T>(rows * classes, 3, 5);
  const auto targets = labels(rows, classes, 7);
  device_matrix<T> all(x, rows, classes);
  const auto expected = device_summary(on_thrust, all, targets);
  const auto again = device_summary(on_thrust, all, targets);
  CHECK(same_bits(again.logps, expected.logps));
  CHECK(same_bits(again.states, expected.states));
  CHECK(same_bits(again.entropies, expected.entropies));
  for (std::int64_t n = 0; n < rows; n += 4) {
    const std::vector<T> row(x.begin() + n * classes, x.begin() + (n + 1) * classes);
    for (const std::int64_t offset : {0, 1, 5}) {
      device_matrix<T> one(row, 1, classes, 0, offset == 5 ? 2 : 1, offset);
      const auto alone = device_summary(on_thrust, one, {targets[std::size_t(n)]});
      CHECK(alone.logps[0] == expected.logps[std::size_t(n)]);
      CHECK(std::memcmp(&alone.states[0], &expected.states[std::size_t(n)], sizeof(row_state)) == 0);
      CHECK(alone.entropies[0] == expected.entropies[std::size_t(n)]);
    }
  }
}

TEST_CASE("Thrust rows: bad arguments of token_logps", "[thrust]") {
  device_matrix<float> logits(normals<float>(3 * 100, 1, 2), 3, 100);
  const thrust::device_vector<std::int32_t> targets(3, 1);
  thrust::device_vector<float> logps(3, 777.0f);
  thrust::device_vector<float> few(2);
  thrust::device_vector<std::byte> workspace(std::size_t(attune::token_logps_workspace<float>(3, 100)));
  thrust::device_vector<row_report> reports(2);
  const auto refusal = [&](view<float, 1, device> out, attune::device_row_options o) {
    return error_text([&] { attune::token_logps(on_thrust, logits.matrix(), targets, out, {}, o); });
  };
  CHECK(refusal(logps, {.workspace = workspace}).empty());
  thrust::fill(logps.begin(), logps.end(), 777.0f);
  const std::string small = refusal(logps, {});
  CHECK(contains(small, "token_logps was given a workspace of 0 bytes; expected " + std::to_string(workspace.size()) + " or more"));
  CHECK(contains(refusal(logps, {.workspace = as_view(workspace.data() + 1, workspace.size() - 1)}), "bytes; expected"));
  thrust::device_vector<std::byte> more(workspace.size() + 1);
  CHECK(contains(refusal(logps, {.workspace = as_view(more.data() + 1, workspace.size())}), "a multiple of 16"));
  CHECK(contains(refusal(few, {.workspace = workspace}), "logps has 2 elements; expected 3"));
  CHECK(contains(refusal(logps, {.temperature = 0, .workspace = workspace}), "row_options.temperature is 0"));
  CHECK(contains(refusal(logps, {.softcap = -1, .workspace = workspace}), "row_options.softcap is -1"));
  CHECK(contains(refusal(logps, {.workspace = workspace, .report = reports}), "report has 2 elements; expected 1"));
  CHECK(on_host(logps) == std::vector<float>(3, 777.0f));
}

TEST_CASE("Thrust rows: a batch without rows", "[thrust]") {
  const view<const float, 2, device> logits(nullptr, {0, 10}, {10, 1});
  const thrust::device_vector<std::int64_t> targets;
  thrust::device_vector<float> logps;
  thrust::device_vector<row_report> report(1, row_report{5, 5, 5});
  attune::token_logps(on_thrust, logits, targets, logps, {}, {.report = report, .checked = true});
  CHECK(on_host(report)[0].rows == 0);
  CHECK(on_host(report)[0].masked == 0);
}
