// SPDX-License-Identifier: MIT
// Row divergences on Thrust's device, whatever it is, against the host's in double.
#include "thrust_support.hpp"

#include <attune/divergence/alpha_t.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/reverse_kl.hpp>
#include <attune/divergence/total_variation.hpp>

#include "support/catch.hpp"

using namespace attune_test;
using attune::row_report;
using attune::vocabulary;
namespace divergence = attune::divergence;

namespace {

struct task {
  double temperature = 1;
  std::vector<std::uint8_t> mask{};
  vocabulary classes = vocabulary::equal;
  std::vector<double> coefficients{};
};
template <class T> struct outcome {
  std::vector<attune::arithmetic<T>> values;
  std::vector<T> gradient;
  row_report report;
};

template <class T, class U, class G>
outcome<double> host_outcome(const G& generator, const device_matrix<T>& policy, const device_matrix<U>& target, const task& t) {
  const std::vector<double> x = as_doubles(policy.packed()), y = as_doubles(target.packed());
  attune::divergence_options o{.temperature = t.temperature, .classes = t.classes};
  if (!t.mask.empty()) o.mask = t.mask;
  outcome<double> r{std::vector<double>(std::size_t(policy.rows)), std::vector<double>(x.size()), {}};
  const view<const double> coefficients = t.coefficients.empty() ? view<const double>{} : view<const double>(t.coefficients);
  r.report = attune::row_divergence(generator, as_view(x.data(), policy.rows, policy.columns), as_view(y.data(), target.rows, target.columns), r.values,
                                    as_view(r.gradient.data(), policy.rows, policy.columns), coefficients, o);
  return r;
}
template <class T, class U, class G>
outcome<T> on_device(const auto& execution, const G& generator, device_matrix<T> policy, device_matrix<U> target, const task& t, device_matrix<T>* apart = nullptr) {
  using A = attune::arithmetic<T>;
  const thrust::device_vector<std::uint8_t> bytes(t.mask.begin(), t.mask.end());
  const std::vector<A> given(t.coefficients.begin(), t.coefficients.end());
  const thrust::device_vector<A> coefficients(given.begin(), given.end());
  thrust::device_vector<A> values(std::size_t(policy.rows), A(777));
  thrust::device_vector<row_report> report(1, row_report{7, 7, 7});
  const std::int64_t columns = policy.columns > target.columns ? policy.columns : target.columns;
  thrust::device_vector<std::byte> workspace(std::size_t(attune::row_divergence_workspace<T>(policy.rows, columns)), std::byte{0xff});
  attune::device_divergence_options o{.temperature = t.temperature, .classes = t.classes, .workspace = workspace, .report = report};
  if (!t.mask.empty()) o.mask = bytes;
  attune::row_divergence(execution, generator, policy.matrix(), target.matrix(), values, o);
  const std::vector<A> alone = attune_test::on_host(values);
  const auto gradient = apart != nullptr ? apart->matrix() : policy.matrix();
  attune::row_divergence(execution, generator, policy.matrix(), target.matrix(), values, gradient,
                         t.coefficients.empty() ? view<const A, 1, device>{} : view<const A, 1, device>(coefficients), o);
  CHECK(same_bits(alone, attune_test::on_host(values)));
  return {attune_test::on_host(values), apart != nullptr ? apart->packed() : policy.packed(), attune_test::on_host(report)[0]};
}

template <class T> bool are_values(const std::vector<T>& x, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double a = from(x[i]), b = expected[i], tolerance = sizeof(T) == 8 ? 1e-12 : 1e-5;
    if (!(a == b || (a != a && b != b) || std::abs(a - b) <= tolerance * (1 + std::abs(b)))) return false;
  }
  return x.size() == expected.size();
}
template <class T, class U, class G> void require_host(const G& generator, const device_matrix<T>& policy, const device_matrix<U>& target, const task& t = {}) {
  const auto expected = host_outcome(generator, policy, target, t);
  const auto given = on_device(on_thrust, generator, policy, target, t);
  CHECK(are_values(given.values, expected.values));
  CHECK(norm_error(given.gradient, expected.gradient) <= (sizeof(T) == 2 ? 3e-3 : sizeof(T) == 4 ? 1e-5 : 1e-12));
  CHECK((given.report.rows == expected.report.rows && given.report.masked == expected.report.masked && given.report.non_finite == expected.report.non_finite));
  // A gradient of its own, of another alignment, and wider: the same numbers, and zeros.
  device_matrix<T> apart(std::vector<T>(), policy.rows, policy.columns + 3, policy.columns + 4, 1, 1, 777);
  on_device(on_thrust, generator, policy, target, t, &apart);
  const std::vector<T> all = apart.packed();
  std::vector<T> inside;
  bool zero = true;
  for (std::int64_t n = 0; n < apart.rows; ++n) {
    for (std::int64_t v = 0; v < apart.columns; ++v) {
      const T element = all[std::size_t(n * apart.columns + v)];
      if (v < policy.columns) inside.push_back(element);
      else zero = zero && from(element) == 0;
    }
  }
  CHECK(zero);
  CHECK(largest_error(inside, given.gradient) == 0);
}
/// One whose value is known after two launches, and one whose value takes four; in float, others.
template <class T, class F> void for_generators(const F& f) {
  f(divergence::forward_kl{});
  f(divergence::jensen_shannon{});
  if constexpr (std::is_same_v<T, float>) {
    f(divergence::reverse_kl{});
    f(divergence::total_variation{});
    f(divergence::alpha_t{.alpha = 0.5});
  }
}

}  // namespace

TEMPLATE_TEST_CASE("Thrust divergence: values and gradients are those of the host", "[thrust]", float, double, attune::bfloat16) {
  using T = TestType;
  struct layout {
    std::int64_t rows, columns, row_stride, column_stride, offset;
  };
  for_generators<T>([](const auto& generator) {
    for (const layout& l : {layout{4, 1000, 1000, 1, 0}, layout{3, 1003, 1005, 1, 1}, layout{2, 9000, 9000, 1, 0}, layout{3, 50, 100, 2, 1}}) {
      INFO(l.rows << " x " << l.columns << ", strides " << l.row_stride << ", " << l.column_stride << ", offset " << l.offset);
      const device_matrix<T> policy(normals<T>(l.rows * l.columns, 2, 5), l.rows, l.columns, l.row_stride, l.column_stride, l.offset);
      const device_matrix<T> target(normals<T>(l.rows * l.columns, 2, 6), l.rows, l.columns, l.row_stride + 1, l.column_stride, 2);
      require_host(generator, policy, target);
      require_host(generator, policy, target, {.temperature = 1.75, .coefficients = std::vector<double>(std::size_t(l.rows), -0.5)});
    }
  });
}

TEMPLATE_TEST_CASE("Thrust divergence: hard rows", "[thrust]", float, attune::bfloat16) {
  using T = TestType;
  const std::int64_t rows = 9, classes = 1029;
  std::vector<T> x = normals<T>(rows * classes, 2, 5), y = normals<T>(rows * classes, 2, 6);
  const auto set = [&](std::vector<T>& m, std::int64_t n, std::int64_t v, double value) { m[std::size_t(n * classes + v)] = to<T>(value); };
  const auto none = -double(inf_f);
  for (std::int64_t v = 0; v < classes; ++v) {
    set(y, 0, v, from(x[std::size_t(v)]));                                            // equal rows
    set(x, 1, v, -1e4 + from(x[std::size_t(classes + v)]));                           // far from 0
    set(y, 1, v, 1e4 + from(y[std::size_t(classes + v)]));
    if (v < 700) set(x, 2, v, none), set(y, 2, v, none);                              // excluded in both: whole vectors, lanes and single classes
    if (v % 3 == 1) set(x, 2, v, none), set(y, 2, v, none);
    if (v % 2 == 0) set(x, 3, v, none);                                               // in the policy only, in the target only
    if (v % 5 == 0) set(y, 4, v, none);
    set(x, 5, v, none);                                                               // nothing at all
    set(x, 8, v, v == 77 ? 3 : none), set(y, 8, v, v == 77 ? -2 : none);              // certain, both of the same
  }
  set(y, 6, 1028, double(nan_f));
  set(x, 7, 5, double(inf_f));
  for_generators<T>([&](const auto& generator) {
    const device_matrix<T> policy(x, rows, classes), target(y, rows, classes);
    const auto expected = host_outcome(generator, policy, target, {});
    const auto given = on_device(on_thrust, generator, policy, target, {});
    CHECK(are_values(given.values, expected.values));
    CHECK(given.values[0] == 0);
    CHECK(given.report.non_finite == expected.report.non_finite);
    for (std::int64_t n = 0; n < rows; ++n) {
      INFO("row " << n);
      double error = 0, norm = 0;
      bool same_kind = true;
      for (std::int64_t v = 0; v < classes; ++v) {
        const double a = from(given.gradient[std::size_t(n * classes + v)]), b = expected.gradient[std::size_t(n * classes + v)];
        same_kind = same_kind && (std::isfinite(b) ? std::isfinite(a) : a == b || (a != a && b != b));
        if (std::isfinite(b)) error += (a - b) * (a - b), norm += b * b;
      }
      CHECK(same_kind);
      CHECK(std::sqrt(error) <= (sizeof(T) == 2 ? 3e-3 : 1e-5) * std::sqrt(norm) + 1e-9);
    }
  });
}

TEST_CASE("Thrust divergence: nearly equal rows", "[thrust]") {
  const std::vector<float> x = normals<float>(2 * 5000, 2, 5), noise = normals<float>(2 * 5000, 1e-3, 6);
  std::vector<float> y = x;
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += noise[i];
  for_generators<float>([&](const auto& generator) {
    const device_matrix<float> policy(x, 2, 5000), target(y, 2, 5000);
    const auto expected = host_outcome(generator, policy, target, {}), given = [&] {
      const auto r = on_device(on_thrust, generator, policy, target, {});
      return outcome<double>{as_doubles(r.values), as_doubles(r.gradient), r.report};
    }();
    CHECK(largest_error(given.values, expected.values) <= 1e-5);
    for (double value : given.values) CHECK(value >= 0);
    CHECK(norm_error(given.gradient, expected.gradient) <= 1e-3);  // relative to gradients a thousandth of the probabilities
  });
}

TEST_CASE("Thrust divergence: rows that are not read, vocabularies, mixed types", "[thrust]") {
  const std::int64_t rows = 4;
  std::vector<float> x = normals<float>(rows * 700, 2, 5), y = normals<float>(rows * 800, 2, 6);
  for (std::size_t v = 0; v < 700; ++v) x[v] = nan_f;
  const device_matrix<float> policy(x, rows, 700), target(y, rows, 800);
  const task t{.mask = {0, 1, 2, 1}, .classes = vocabulary::common, .coefficients = {1, 2, 0, -1}};
  require_host(divergence::forward_kl{}, policy, target, t);
  require_host(divergence::jensen_shannon{}, policy, target, t);
  require_host(divergence::jensen_shannon{}, policy, target, {.mask = t.mask, .classes = vocabulary::zero});
  require_host(divergence::forward_kl{}, target, device_matrix<float>(normals<float>(rows * 700, 2, 8), rows, 700), {.classes = vocabulary::zero});
  require_host(divergence::reverse_kl{}, device_matrix<attune::float16>(normals<attune::float16>(rows * 800, 2, 5), rows, 800), target);
}

TEST_CASE("Thrust divergence: a row's bits depend on nothing but the row", "[thrust]") {
  using T = attune::bfloat16;
  const std::int64_t rows = 5, classes = 5003;
  const std::vector<T> x = normals<T>(rows * classes, 2, 5), y = normals<T>(rows * classes, 2, 6);
  for_generators<T>([&](const auto& generator) {
    const device_matrix<T> policy(x, rows, classes), target(y, rows, classes);
    const auto expected = on_device(on_thrust, generator, policy, target, {}), again = on_device(on_thrust, generator, policy, target, {});
    CHECK(same_bits(expected.values, again.values));
    CHECK(same_bits(expected.gradient, again.gradient));
    const device_matrix<T> one({x.begin() + 3 * classes, x.begin() + 4 * classes}, 1, classes, 0, 1, 3);
    const device_matrix<T> other({y.begin() + 3 * classes, y.begin() + 4 * classes}, 1, classes);
    const auto alone = on_device(on_thrust, generator, one, other, {});
    CHECK(alone.values[0] == expected.values[3]);
    CHECK(same_bits(alone.gradient, std::vector<T>(expected.gradient.begin() + 3 * classes, expected.gradient.begin() + 4 * classes)));
  });
}

TEST_CASE("Thrust divergence: bad arguments", "[thrust]") {
  device_matrix<float> policy(normals<float>(300, 2, 5), 3, 100), target(normals<float>(300, 2, 6), 3, 100), longer(normals<float>(303, 2, 6), 3, 101);
  thrust::device_vector<float> values(3, 777.0f), two(2);
  thrust::device_vector<std::byte> workspace(std::size_t(attune::row_divergence_workspace<float>(3, 101)));
  const auto refusal = [&](device_matrix<float>& other, view<float, 1, device> out, const attune::device_divergence_options& o) {
    return error_text([&] { attune::row_divergence(on_thrust, divergence::forward_kl{}, policy.matrix(), other.matrix(), out, o); });
  };
  CHECK(contains(refusal(target, values, {}), "row_divergence was given a workspace of 0 bytes"));
  CHECK(contains(refusal(longer, values, {.workspace = workspace}), "target_logits (in columns) has 101 elements; expected 100"));
  CHECK(contains(refusal(target, two, {.workspace = workspace}), "values has 2 elements; expected 3"));
  CHECK(contains(refusal(target, values, {.temperature = -1, .workspace = workspace}), "temperature is -1"));
  CHECK(contains(error_text([&] {
          attune::row_divergence(on_thrust, divergence::forward_kl{}, policy.matrix(), target.matrix(), values, target.matrix(), {}, {.workspace = workspace});
        }), "gradient overlaps target_logits"));
  CHECK(on_host(values) == std::vector<float>(3, 777.0f));
}
