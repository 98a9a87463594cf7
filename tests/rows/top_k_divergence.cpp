// SPDX-License-Identifier: MIT
#include <attune/rows/top_k_divergence.hpp>

#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/reverse_kl.hpp>
#include <attune/rows/row_divergence.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

#include <algorithm>
#include <numeric>

using namespace attune_test;
using attune::top_k_divergence;
using attune::divergence::forward_kl;
using attune::divergence::jensen_shannon;
using attune::divergence::reverse_kl;

namespace {

template <class F> void for_generators(const F& f) {
  f(forward_kl{});
  f(reverse_kl{});
  f(jensen_shannon{});
}

template <class T> struct distillation {
  using A = attune::arithmetic<T>;
  std::int64_t rows, size, listed;
  std::vector<T> logits, target;
  std::vector<std::int32_t> classes;
  std::vector<A> logps;

  distillation(std::int64_t n, std::int64_t v, std::int64_t k, double temperature = 1)
      : rows(n), size(v), listed(k), logits(normals<T>(n * v, 2, 1)), target(normals<T>(n * v, 2, 2)) {
    for (std::int64_t i = 0; i < n; ++i) {
      const T* row = target.data() + i * v;
      const auto p = softmax(row, v, temperature);
      std::vector<std::int32_t> order(static_cast<std::size_t>(v));
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(), [&](auto a, auto b) { return p[std::size_t(a)] > p[std::size_t(b)]; });
      for (std::int64_t j = 0; j < k; ++j) {
        classes.push_back(order[std::size_t(j)]);
        logps.push_back(A(std::log(p[std::size_t(order[std::size_t(j)])])));
      }
    }
  }
  view<T, 2> matrix() { return as_view(logits.data(), rows, size); }
  view<const std::int32_t, 2> lists() const { return as_view(classes.data(), rows, listed); }
  view<const A, 2> target_logps() const { return as_view(logps.data(), rows, listed); }
};

/// The textbook: both distributions over the listed classes, and the rest as one more.
struct textbook {
  long double value = 0;
  std::vector<long double> gradient, size;  // and the sum of its parts' sizes
};
template <class G, class T>
textbook exact(const G& generator, const distillation<T>& d, std::int64_t n, double temperature, attune::tail rest) {
  const auto pi = softmax(d.logits.data() + n * d.size, d.size, temperature);
  std::vector<long double> p(pi.size(), -1), q, r;
  long double given = 0, used = 0;
  for (std::int64_t k = 0; k < d.listed; ++k) {
    const auto i = std::size_t(n * d.listed + k);
    p[std::size_t(d.classes[i])] = std::exp(static_cast<long double>(d.logps[i]));
    given += p[std::size_t(d.classes[i])];
    used += pi[std::size_t(d.classes[i])];
  }
  const bool bucket = rest == attune::tail::bucket;
  const long double scale_pi = bucket ? 1 : used, scale_p = bucket ? 1 : given;
  textbook t;
  long double w = 0;
  const auto slope = [&](long double a, long double b) { return static_cast<long double>(generator.slope(double(std::log(a / b)))); };
  const auto add = [&](long double a, long double b) {
    t.value += b * static_cast<long double>(generator.value(double(std::log(a / b))));
    w += a * slope(a, b);
  };
  for (std::size_t v = 0; v < pi.size(); ++v) {
    if (p[v] >= 0) add(pi[v] / scale_pi, p[v] / scale_p);
  }
  long double others = 0;
  for (std::size_t v = 0; v < pi.size(); ++v) others += p[v] < 0 ? pi[v] : 0;
  if (bucket && others > 0) add(others, 1 - given);
  for (std::size_t v = 0; v < pi.size(); ++v) {
    const bool listed = p[v] >= 0;
    const long double mass = listed ? pi[v] / scale_pi : bucket ? pi[v] : 0, f = listed ? slope(mass, p[v] / scale_p) : bucket ? slope(others, 1 - given) : 0;
    t.gradient.push_back(mass * (f - w) / temperature);
    // A probability carries the rounding of its logarithm.
    t.size.push_back(mass > 0 ? mass * (1 + std::abs(f) + std::abs(w)) * (1 + std::abs(std::log(pi[v]))) / temperature : 0);
  }
  return t;
}

}  // namespace

TEST_CASE("top_k_divergence is the textbook formula, value and gradient, with a tail bucket and renormalised") {
  const auto check = [&]<class T>(T, auto generator, std::int64_t size, std::int64_t listed, double temperature, attune::tail rest) {
    using A = attune::arithmetic<T>;
    distillation<T> d(3, size, listed, temperature);
    std::vector<A> values(3, A(7));
    std::vector<T> g(d.logits.size(), to<T>(7));
    top_k_divergence(generator, d.matrix(), d.lists(), d.target_logps(), values, as_view(g.data(), 3, size), {},
                     {.temperature = temperature, .rest = rest});
    for (std::int64_t n = 0; n < 3; ++n) {
      const textbook t = exact(generator, d, n, temperature, rest);
      INFO("V " << size << " K " << listed << " T " << temperature << " row " << n);
      CHECK(double(values[std::size_t(n)]) == Approx(double(t.value)).epsilon(100 * half_ulp<A>()).margin(100 * half_ulp<A>()));
      double worst = 0;
      for (std::int64_t v = 0; v < size; ++v) {
        const double e = double(t.gradient[std::size_t(v)]), coarse = sizeof(T) == 2 ? 2e-5 * std::abs(e) : 0;
        const double allowed = half_ulp<T>() * std::abs(e) + coarse + 8 * half_ulp<A>() * double(t.size[std::size_t(v)]) + 1e-37;
        worst = attune::max(worst, std::abs(from(g[std::size_t(n * size + v)]) - e) / allowed);
      }
      CHECK(worst <= 1);
    }
  };
  for_generators([&](auto generator) {
    for (attune::tail rest : {attune::tail::bucket, attune::tail::renormalise}) {
      for (auto [size, listed] : {std::array<std::int64_t, 2>{10, 3}, {10, 1}, {5000, 64}, {9000, 2}}) {
        for (double temperature : {1.0, 0.7}) {
          check(float{}, generator, size, listed, temperature, rest);
          check(double{}, generator, size, listed, temperature, rest);
          check(bfloat16{}, generator, size, listed, temperature, rest);
        }
      }
    }
  });
}

TEST_CASE("top_k_divergence: a list of all classes is the whole divergence, a list of some never more") {
  for_generators([&](auto generator) {
    distillation<double> d(3, 40, 40);
    std::vector<double> values(3), expected(3), part(3), g(120), whole(120);
    top_k_divergence(generator, d.matrix(), d.lists(), d.target_logps(), values, as_view(g.data(), 3, 40));
    attune::row_divergence(generator, d.matrix(), as_view(d.target.data(), 3, 40), expected, as_view(whole.data(), 3, 40));
    for (std::size_t n = 0; n < 3; ++n) CHECK(values[n] == Approx(expected[n]).epsilon(1e-12));
    for (std::size_t i = 0; i < g.size(); ++i) CHECK(g[i] == Approx(whole[i]).margin(1e-14));
    double last = 0;
    for (std::int64_t k : {1, 5, 20, 39}) {
      distillation<double> some(3, 40, k);
      top_k_divergence(generator, some.matrix(), some.lists(), some.target_logps(), part);
      for (std::size_t n = 0; n < 3; ++n) CHECK(part[n] <= expected[n] * (1 + 1e-12));
      CHECK(part[0] >= last);
      last = part[0];
    }
  });
}

TEST_CASE("top_k_divergence: lists that sum to 1 but for roundings, a sure policy, given tails") {
  std::vector<double> logits{3, 1, 0, -2, 0.5}, value(1), g(5);
  const std::vector<std::int64_t> ids{0, 2};
  const auto call = [&](auto generator, std::vector<double> p, const attune::top_k_options<double>& o = {}) {
    for (double& q : p) q = std::log(q);
    const auto r = top_k_divergence(generator, as_view(logits.data(), 1, 5), as_view(ids.data(), 1, 2), as_view(p.data(), 1, 2), value,
                                    as_view(g.data(), 1, 5), {}, o);
    return r.non_finite;
  };
  const double below = (call(forward_kl{}, {0.75, 0.25 - 1e-9}), value[0]), above = (call(forward_kl{}, {0.75, 0.25 + 1e-7}), value[0]);
  CHECK(below == Approx(above).margin(1e-6));
  CHECK(call(forward_kl{}, {0.75, 0.25}) == 0);
  for (double x : g) CHECK(std::isfinite(x));
  CHECK(call(reverse_kl{}, {0.75, 0.25 + 1e-7}) == 1);  // mass where the target has none
  CHECK(value[0] == std::numeric_limits<double>::infinity());
  CHECK(g[1] == std::numeric_limits<double>::infinity());
  CHECK(g[0] == -std::numeric_limits<double>::infinity());
  const std::vector<double> tail{std::log(1e-6)};
  CHECK(call(reverse_kl{}, {0.75, 0.25}, {.tail_logps = tail}) == 0);
  CHECK(std::isfinite(value[0]));
  // The rest has probability 1e-13: a difference would have lost it.
  logits = {30, 0, 29, 0, 0};
  CHECK(call(reverse_kl{}, {0.7, 0.2}) == 0);
  const double rest = 3 * std::exp(-30.0) / (1 + std::exp(-1.0));
  CHECK(g[1] + g[3] + g[4] == Approx(rest * (std::log(rest / 0.1) - value[0])).epsilon(1e-9));
}

TEST_CASE("top_k_divergence: masks, broken rows, strides, threads, in place, errors") {
  distillation<float> d(12, 5000, 20);
  std::vector<float> values(12, 7), again(12, 7), g(d.logits.size(), 7);
  std::vector<std::uint8_t> mask(12, 1);
  mask[3] = 0;
  d.classes[60] = d.classes[61];  // a row that is not read is not checked
  d.logits[5 * 5000 + 17] = nan_f;
  const attune::top_k_options<float> o{.mask = mask};
  const auto report = top_k_divergence(forward_kl{}, d.matrix(), d.lists(), d.target_logps(), values, as_view(g.data(), 12, 5000), {}, o);
  CHECK(report.masked == 1);
  CHECK(report.non_finite == 1);
  CHECK(values[3] == 0);
  CHECK(g[3 * 5000] == 0);
  CHECK(std::isnan(values[5]));
  CHECK(std::isnan(g[5 * 5000]));
  placed<float> x(d.logits, 12, 5000, 10003, 2, nan_f);
  top_k_divergence(attune::threads{3}, forward_kl{}, x.matrix, d.lists(), d.target_logps(), again, x.matrix, {}, o);
  CHECK(same_bits(values, again));
  CHECK(same_bits(x.packed(), g));

  distillation<float> e(2, 50, 5);
  std::vector<float> v(2, 7), h(100, 7);
  const auto call = [&](const attune::top_k_options<float>& options = {}) {
    return error_text([&] { top_k_divergence(forward_kl{}, e.matrix(), e.lists(), e.target_logps(), v, as_view(h.data(), 2, 50), {}, options); });
  };
  const std::vector<float> tails{-1, -1};
  CHECK(contains(call({.rest = attune::tail::renormalise, .tail_logps = tails}), "tail_logps"));
  CHECK(contains(call({.temperature = 0}), "temperature"));
  e.classes[7] = e.classes[5];
  CHECK(contains(call(), "twice"));
  e.classes[7] = 50;
  CHECK(contains(call(), "classes(1, 2)"));
  CHECK(v == std::vector<float>(2, 7));
  CHECK(h == std::vector<float>(100, 7));
}
