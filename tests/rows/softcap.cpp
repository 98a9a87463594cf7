// SPDX-License-Identifier: MIT
#include <attune/rows/collision_logps.hpp>
#include <attune/rows/fused_logits_gradient.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::fused_logits_gradient;
using attune::logits_gradient;
using attune::row_options;
using attune::row_state;
using attune::token_logps;

namespace {

/// Softmax of c tanh(x / c) / T, in long double; classes of -inf stay excluded.
template <class T> std::vector<long double> capped_softmax(const T* x, std::int64_t classes, const row_options& o) {
  std::vector<long double> p;
  long double sum = 0;
  for (std::int64_t v = 0; v < classes; ++v) {
    const long double logit = static_cast<long double>(from(x[v]));
    p.push_back(std::isinf(logit) ? 0 : std::exp(o.softcap * std::tanh(logit / o.softcap) / o.temperature));
    sum += p.back();
  }
  for (auto& q : p) q /= sum;
  return p;
}

}  // namespace

TEST_CASE("softcap: log-probabilities, entropies and gradients are the textbook formula, excluded classes stay excluded") {
  const auto check = [&]<class T>(T, std::int64_t classes, double cap, double temperature) {
    using A = attune::arithmetic<T>;
    const row_options o{.temperature = temperature, .softcap = cap};
    auto logits = normals<T>(3 * classes, 4, 1);
    logits[1] = to<T>(-std::numeric_limits<double>::infinity());
    std::vector<std::int32_t> targets = labels(3, classes, 5);
    for (auto& y : targets) y = y == 1 ? 0 : y;
    std::vector<A> logps(3), entropies(3), coefficients{1, -2, A(0.5)}, entropy_coefficients{A(0.3), 0, -1};
    std::vector<row_state> states(3);
    std::vector<std::int64_t> argmax(3);
    std::vector<T> g(logits.size());
    const auto x = as_view(logits.data(), 3, classes);
    token_logps(x, targets, logps, states, o, {.entropies = entropies, .argmax = argmax});
    logits_gradient(x, targets, states, coefficients, as_view(g.data(), 3, classes), o,
                    {.entropies = entropies, .entropy_coefficients = entropy_coefficients});
    for (std::int64_t n = 0; n < 3; ++n) {
      const auto i = std::size_t(n);
      const T* row = logits.data() + n * classes;
      const auto p = capped_softmax(row, classes, o);
      long double entropy = 0;
      std::int64_t best = 0;
      for (std::int64_t v = 0; v < classes; ++v) {
        if (p[std::size_t(v)] > 0) entropy -= p[std::size_t(v)] * std::log(p[std::size_t(v)]);
        if (from(row[v]) > from(row[best])) best = v;
      }
      const double u = half_ulp<A>(), logp = double(std::log(p[std::size_t(targets[i])]));
      INFO("V " << classes << " cap " << cap << " T " << temperature << " row " << n);
      CHECK(std::abs(double(logps[i]) - logp) <= 32 * u * (1 + std::abs(logp) + cap / temperature));
      CHECK(std::abs(double(entropies[i]) - double(entropy)) <= 32 * u * (1 + double(entropy) + cap / temperature));
      if (cap > 20) CHECK(argmax[i] == best);  // beside a lower cap, different logits may become equal
      double worst = 0;
      for (std::int64_t v = 0; v < classes; ++v) {
        const long double q = p[std::size_t(v)], t = std::tanh(static_cast<long double>(from(row[v])) / cap), chain = q > 0 ? (1 - t * t) / temperature : 0;
        const long double level = q > 0 ? std::log(q) + entropy : 0;
        const double e = double(chain * (coefficients[i] * ((v == targets[i]) - q) - entropy_coefficients[i] * q * level));
        // Rounding of what multiplies the slope 1 - t^2, and of that: an absolute one, because t is.
        const double parts = double(std::abs(coefficients[i]) * q + std::abs(entropy_coefficients[i]) * q * (1 + std::abs(level)));
        const double target_part = v == targets[i] ? std::abs(double(coefficients[i])) : 0;
        const double allowed = half_ulp<T>() * std::abs(e) + 64 * u * double(chain) * (parts + target_part) * (1 + std::abs(double(level)) + cap / temperature) +
                               8 * u * parts / temperature + 1e-37;
        worst = attune::max(worst, std::abs(from(g[std::size_t(n * classes + v)]) - e) / allowed);
      }
      CHECK(worst <= 1);
    }
    CHECK(from(g[1]) == 0);
    std::vector<A> fused(3);
    auto in_place = logits;
    fused_logits_gradient(as_view(in_place.data(), 3, classes), targets, [&](std::int64_t n, double) { return double(coefficients[std::size_t(n)]); },
                          fused, as_view(in_place.data(), 3, classes), o);
    logits_gradient(x, targets, states, coefficients, as_view(g.data(), 3, classes), o);
    CHECK(same_bits(in_place, g));
    CHECK(same_bits(fused, logps));
  };
  for (std::int64_t classes : {7, 64, 5000}) {
    for (double cap : {3.0, 30.0}) {
      for (double temperature : {1.0, 0.7}) {
        check(float{}, classes, cap, temperature);
        check(double{}, classes, cap, temperature);
        check(bfloat16{}, classes, cap, temperature);
      }
    }
  }
}

TEST_CASE("softcap: padding is not lifted to -cap, broken rows stay visible, values outside the domain are refused") {
  std::vector<float> logits(32000, -5), logp(1), collision(1);
  std::vector<std::int32_t> target{7};
  std::vector<row_state> state(1);
  const auto x = as_view(logits.data(), 1, 32000);
  token_logps(x, target, logp, state, {.softcap = 1});
  CHECK(state[0].log_sum_exp() == Approx(9.373582).epsilon(1e-7));
  attune::collision_logps(x, collision, {.softcap = 1});
  CHECK(collision[0] == Approx(-std::log(32000.0)).epsilon(1e-6));
  token_logps(as_view(logits.data(), 1, 31), target, logp, state, {.softcap = 1});
  CHECK(state[0].log_sum_exp() == Approx(std::log(31.0) + std::tanh(-5.0)).epsilon(1e-7));
  for (float bad : {nan_f, inf_f}) {
    logits[100] = bad;
    CHECK(token_logps(x, target, logp, {}, {.softcap = 5}).non_finite == 1);
    CHECK(std::isnan(logp[0]));
  }
  for (double cap : {0.0, -1.0, double(nan_f)}) {
    CHECK(contains(error_text([&] { token_logps(x, target, logp, {}, {.softcap = cap}); }), "softcap"));
  }
}
