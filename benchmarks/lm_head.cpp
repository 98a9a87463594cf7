// SPDX-License-Identifier: MIT
// The chunked LM head beside the bare matrix products that it consists of.
//
// A sample is, chunk after chunk: the products that the operation cannot do without, by the same functor on the same memory, and the operation
// itself, in turns. `vs_product` is the operation's time over the products'; `cpu_vs_product` the same of processor time, which others on the
// machine disturb less; medians over the samples. Results are checked before they are timed, against plain loops in double precision.
//
// Options: --rows=512 (timed in a sample), --chunk=256, --features=2048, --classes=32000, --batch=8192 (rows, for memory_ratio), --threads=1
// (of attune; those of the product are its library's affair), --samples=9, --retries=18, --ungated=1; and Google Benchmark's own.
#include <attune/attune.hpp>

#if defined(BENCH_EIGEN)
#include <attune/backend/eigen.hpp>
#endif
#if defined(BENCH_CBLAS)
#include <attune/backend/cblas.hpp>
#endif

#include "harness.hpp"

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <random>
#include <string>

namespace {

using attune::as_view;
using attune::view;

struct sizes {
  int rows = 512, chunk = 256, features = 2048, classes = 32000, batch = 8192, threads = 1;
};
sizes size;

using matrix = view<float, 2>;
using constant = view<const float, 2>;

/// Hidden states, a weight that makes logits of standard deviation 3 of them, and room for results; once for all benchmarks.
struct problem {
  std::int64_t rows = size.rows, chunk = size.chunk, features = size.features, classes = size.classes;
  std::vector<float> hidden = numbers(rows * features, 1), weight = numbers(classes * features, 3 / std::sqrt(float(features)));
  std::vector<float> logits = std::vector<float>(std::size_t(chunk * classes)), gathered = std::vector<float>(std::size_t(chunk * features));
  std::vector<float> d_hidden = std::vector<float>(hidden.size()), d_weight = std::vector<float>(weight.size());
  std::vector<float> logps = std::vector<float>(std::size_t(rows)), coefficients = std::vector<float>(std::size_t(rows));
  std::vector<std::int32_t> targets = std::vector<std::int32_t>(std::size_t(rows));
  std::vector<std::uint8_t> mask = std::vector<std::uint8_t>(std::size_t(rows), 1);
  std::vector<attune::row_state> states = std::vector<attune::row_state>(std::size_t(rows));

  problem() {
    std::mt19937 random(3);
    for (std::size_t n = 0; n < logps.size(); ++n) {
      targets[n] = std::int32_t(random() % std::uint32_t(classes));
      coefficients[n] = n % 2 == 0 ? 0.75f : -0.5f;
    }
  }
  constant h(std::int64_t first, std::int64_t count) const { return as_view(hidden.data() + first * features, count, features); }
  constant w() const { return as_view(weight.data(), classes, features); }
  matrix z(std::int64_t count) { return as_view(logits.data(), count, classes); }
  attune::lm_head_workspace<float> workspace() { return {.logits = z(chunk), .hidden = as_view(gathered.data(), chunk, features)}; }
  attune::lm_head_gradients<float> gradients(std::int64_t first, std::int64_t count) {
    return {.hidden = as_view(d_hidden.data() + first * features, count, features), .weight = as_view(d_weight.data(), classes, features)};
  }
  template <class T> static auto part(std::vector<T>& x, std::int64_t first, std::int64_t count) { return as_view(x.data() + first, count); }

 private:
  /// Four uniform numbers of 16 bits added: nearly normal.
  static std::vector<float> numbers(std::int64_t count, float deviation) {
    std::mt19937_64 random(std::uint64_t(count) + 1);
    std::vector<float> x(static_cast<std::size_t>(count));
    for (float& value : x) {
      const std::uint64_t bits = random();
      const auto sum = (bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48);
      value = deviation * (float(sum) / 65536.0f - 2.0f) * std::sqrt(3.0f);
    }
    return x;
  }
};
problem& data() {
  static problem all;
  return all;
}

// ---- the operations, on `count` rows from `first` on, and the products that they consist of

enum class operation { forward, forward_every_other_row, gradient, fused };

template <class Gemm> void run(operation what, const Gemm& gemm, std::int64_t first, std::int64_t count) {
  problem& p = data();
  const attune::threads policy{size.threads};
  const auto of = [&](auto& x) { return problem::part(x, first, count); };
  attune::row_options o;
  if (what == operation::forward_every_other_row) o.mask = of(p.mask);
  switch (what) {
    case operation::forward:
    case operation::forward_every_other_row:
      attune::lm_head_logps(policy, gemm, p.h(first, count), p.w(), of(p.targets), of(p.logps), of(p.states), p.workspace(), o);
      break;
    case operation::gradient:
      attune::lm_head_gradient(policy, gemm, p.h(first, count), p.w(), of(p.targets), of(p.states), of(p.coefficients),
                               p.gradients(first, count), p.workspace());
      break;
    case operation::fused:
      attune::lm_head_fused(policy, gemm, p.h(first, count), p.w(), of(p.targets),
                            [&](std::int64_t n, float) { return p.coefficients[std::size_t(first + n)]; }, of(p.logps),
                            p.gradients(first, count), p.workspace());
  }
}
template <class Gemm> void run_products(operation what, const Gemm& gemm, std::int64_t first, std::int64_t count) {
  problem& p = data();
  const std::int64_t active = what == operation::forward_every_other_row ? count / 2 : count;
  gemm(p.z(active), p.h(first, active), attune::transposed(p.w()), false);
  if (what != operation::gradient && what != operation::fused) return;
  const auto g = p.gradients(first, count);
  gemm(g.weight, attune::transposed(constant(p.z(count))), p.h(first, count), true);
  gemm(g.hidden, constant(p.z(count)), p.w(), false);
}
int products(operation what) { return what == operation::gradient || what == operation::fused ? 3 : 1; }

// ---- the checks: plain loops in double

using verdict = std::optional<std::string>;  ///< what is wrong

verdict differs(const char* what, std::int64_t row, double got, double expected) {
  return std::string(what) + " of row " + std::to_string(row) + " is " + std::to_string(got) + "; expected " + std::to_string(expected);
}
double dot(const float* x, const float* y, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += double(x[i]) * double(y[i]);
  return sum;
}
double logit(std::int64_t n, std::int64_t v) {
  const problem& p = data();
  return dot(p.hidden.data() + n * p.features, p.weight.data() + v * p.features, p.features);
}
std::vector<double> log_softmax(std::int64_t n) {
  std::vector<double> z(std::size_t(data().classes));
  for (std::size_t v = 0; v < z.size(); ++v) z[v] = logit(n, std::int64_t(v));
  const double top = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (double x : z) sum += std::exp(x - top);
  for (double& x : z) x -= top + std::log(sum);
  return z;
}

verdict check_row(std::int64_t n, bool gradient) {
  const problem& p = data();
  const std::vector<double> logp = log_softmax(n);
  const std::size_t row = std::size_t(n), y = std::size_t(p.targets[row]);
  if (!(std::abs(double(p.logps[row]) - logp[y]) <= 1e-4)) return differs("log-probability", n, double(p.logps[row]), logp[y]);
  std::vector<double> expected(std::size_t(p.features), 0.0);
  for (std::size_t v = 0; gradient && v < logp.size(); ++v) {
    const double g = double(p.coefficients[row]) * ((v == y) - std::exp(logp[v]));
    for (std::size_t h = 0; h < expected.size(); ++h) expected[h] += g * double(p.weight[v * expected.size() + h]);
  }
  for (std::size_t h = 0; gradient && h < expected.size(); ++h) {
    const double got = double(p.d_hidden[row * expected.size() + h]);
    if (!(std::abs(got - expected[h]) <= 1e-5)) return differs("gradient by hidden", n, got, expected[h]);
  }
  return {};
}

/// Row v of the weight's gradient, from the log-probabilities of the targets: log p_v = z_v - z_y + log p_y.
verdict check_weight(std::int64_t v) {
  const problem& p = data();
  const std::size_t features = std::size_t(p.features);
  std::vector<double> expected(features, 0.0);
  for (std::size_t n = 0; n < p.logps.size(); ++n) {
    const std::int64_t row = std::int64_t(n), y = p.targets[n];
    const double pi = std::exp(logit(row, v) - logit(row, y) + double(p.logps[n])), g = double(p.coefficients[n]) * ((v == y) - pi);
    for (std::size_t h = 0; h < features; ++h) expected[h] += g * double(p.hidden[n * features + h]);
  }
  for (std::size_t h = 0; h < features; ++h) {
    const double got = double(p.d_weight[std::size_t(v) * features + h]);
    if (!(std::abs(got - expected[h]) <= 1e-5 * (1 + std::abs(expected[h])))) return differs("gradient by weight", v, got, expected[h]);
  }
  return {};
}

/// All rows in one call, chunk after chunk.
template <class Gemm> verdict check(operation what, const Gemm& gemm) {
  problem& p = data();
  const bool gradient = products(what) == 3;
  if (what == operation::gradient) run(operation::forward, gemm, 0, p.rows);
  std::fill(p.d_weight.begin(), p.d_weight.end(), 0.0f);
  run(what, gemm, 0, p.rows);
  for (std::int64_t n : {std::int64_t{0}, p.rows / 2 / 2 * 2, (p.rows - 1) / 2 * 2}) {  // even ones: no mask hides them
    if (verdict wrong = check_row(n, gradient)) return wrong;
  }
  for (std::int64_t v : {std::int64_t{0}, std::int64_t(p.targets[1]), p.classes - 1}) {
    if (verdict wrong = gradient ? check_weight(v) : verdict{}) return wrong;
  }
  return {};
}

// ---- the sample

struct times {
  double wall = 0, processor = 0;
  template <class Work> void add(const Work& work) {
    const auto begin = std::chrono::steady_clock::now();
    const std::clock_t ticks = std::clock();
    work();
    processor += double(std::clock() - ticks) / CLOCKS_PER_SEC;
    wall += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
};

template <class Gemm> void time(benchmark::State& state, operation what, const Gemm& gemm) {
  problem& p = data();
  if (const verdict wrong = check(what, gemm)) return state.SkipWithError(wrong->c_str());
  struct sample {
    times bare, ours;
  };
  const auto take = [&] {
    sample s;
    for (std::int64_t first = 0; first + p.chunk <= p.rows; first += p.chunk) {
      const auto bare = [&] { s.bare.add([&] { run_products(what, gemm, first, p.chunk); }); };
      const bool bare_first = first / p.chunk % 2 == 0;
      if (bare_first) bare();
      s.ours.add([&] { run(what, gemm, first, p.chunk); });
      if (!bare_first) bare();
    }
    return s;
  };
  bench::quiet_gate gate;
  std::vector<double> ratios, processor_ratios, bare_times;
  for (auto _ : state) {
    const sample s = gate(take);
    state.SetIterationTime(s.ours.wall);
    ratios.push_back(s.ours.wall / s.bare.wall);
    processor_ratios.push_back(s.ours.processor / s.bare.processor);
    bare_times.push_back(s.bare.wall);
  }
  const std::int64_t timed = p.rows / p.chunk * p.chunk, active = what == operation::forward_every_other_row ? timed / 2 : timed;
  const double operations = 2e-9 * products(what) * double(active) * double(p.features) * double(p.classes);
  const double workspace = double(p.chunk) * double(p.classes + p.features);
  state.counters["vs_product"] = bench::median(ratios);
  state.counters["cpu_vs_product"] = bench::median(processor_ratios);
  state.counters["product_GFLOP_per_s"] = operations / bench::median(bare_times);
  state.counters["memory_ratio"] = double(size.batch) * double(p.classes) / workspace;
  state.counters["rejected"] = gate.rejected();
  state.counters["noisy"] = gate.noisy();
}

template <class Gemm> void add(const std::string& library, const Gemm& gemm) {
  const auto add_one = [&](const char* name, operation what) {
    const std::string full = std::string("lm_head/") + name + "/" + library + "/H=" + std::to_string(size.features) +
                             "/V=" + std::to_string(size.classes) + "/chunk=" + std::to_string(size.chunk) +
                             "/threads=" + std::to_string(size.threads);
    benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) { time(state, what, gemm); })
        ->UseManualTime()
        ->Iterations(bench::options.samples)
        ->Unit(benchmark::kMillisecond);
  };
  add_one("forward", operation::forward);
  add_one("forward_every_other_row", operation::forward_every_other_row);
  add_one("gradient", operation::gradient);
  add_one("fused", operation::fused);
}

}  // namespace

int main(int argc, char** argv) {
  bench::take_option(argc, argv, "--rows", size.rows);
  bench::take_option(argc, argv, "--chunk", size.chunk);
  bench::take_option(argc, argv, "--features", size.features);
  bench::take_option(argc, argv, "--classes", size.classes);
  bench::take_option(argc, argv, "--batch", size.batch);
  bench::take_option(argc, argv, "--threads", size.threads);
  size.chunk = std::max(size.chunk, 2);
  size.rows = std::max(size.rows, size.chunk);
  size.features = std::max(size.features, 1);
  size.classes = std::max(size.classes, 2);
  for (const char* name : {"OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"}) {
    const char* value = std::getenv(name);
    benchmark::AddCustomContext(name, value ? value : "not set");
  }
  return bench::run_program(argc, argv, [] {
    for (std::size_t n = 1; n < data().mask.size(); n += 2) data().mask[n] = 0;
#if defined(BENCH_EIGEN)
    add("eigen", attune::eigen_gemm{});
#endif
#if defined(BENCH_CBLAS)
    add("cblas", attune::cblas_gemm{});
#endif
  });
}
