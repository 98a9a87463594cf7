// SPDX-License-Identifier: MIT
// Every operation on rows of logits, and the soft update, against what the memory can do.
//
// A sample is: the loop that is the ceiling, then the operation, in turns, until a tenth of a second has gone. Its ratio is the operation's
// bytes per second over the ceiling's; `bandwidth_ratio` is the median over the samples. The bytes are those that the operation must move
// at least once; which these are is said where it is registered, and in the benchmark's label. Results are checked before they are timed,
// against plain loops in double precision.
//
// Options: --mib=256 (one matrix of logits), --samples=9, --retries=18, --ungated=1; and Google Benchmark's own.
// (DoNotOptimize is not needed: results go to memory that is checked. With a mutable reference it has been seen to corrupt them.)
#include <attune/attune.hpp>

#include "bandwidth.hpp"
#include "harness.hpp"

#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>  // madvise
#endif

namespace {

using attune::bfloat16;
using attune::view;
using bench::ceiling;
using bench::stream;
using bench::traffic;

/// The policy of all operations: a pool for each number of threads.
attune::pool_policy on_threads(int count) {
  static std::map<int, attune::thread_pool> pools;
  return attune::on(pools.try_emplace(count, count).first->second);
}

// ---- memory and data, the same for all benchmarks

/// Buffers that are allocated once, so that no benchmark pays for fresh pages.
class memory {
 public:
  enum slot { policy, target, work, extra, slots };

  static std::byte* at(slot s) {
    static memory all;
    return all.buffer_[s].get();
  }
  static std::int64_t bytes() { return std::int64_t{bench::options.mib} << 20; }

 private:
  struct release {
    void operator()(std::byte* p) const { std::free(p); }
  };
  memory() {
    constexpr std::size_t huge_page = std::size_t{2} << 20;
    const std::size_t size = (std::size_t(bytes()) + huge_page - 1) / huge_page * huge_page;
    for (auto& b : buffer_) {
      b.reset(static_cast<std::byte*>(std::aligned_alloc(huge_page, size)));
      if (!b) throw std::bad_alloc();
#if defined(__linux__)
      madvise(b.get(), size, MADV_HUGEPAGE);
#endif
      std::memset(b.get(), 0, size);
    }
  }
  std::unique_ptr<std::byte, release> buffer_[slots];
};

template <class T> T* elements(memory::slot s) { return reinterpret_cast<T*>(memory::at(s)); }
template <class T> std::int64_t capacity() { return memory::bytes() / std::int64_t(sizeof(T)); }

/// Nearly normal numbers, a function of their index alone.
class noise {
 public:
  explicit noise(std::uint64_t seed) : seed_(seed) {}
  std::uint64_t bits(std::int64_t i) const {
    std::uint64_t z = (seed_ << 40) + std::uint64_t(i) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// Four uniform numbers of 16 bits added: mean 0, standard deviation 1.
  float normal(std::int64_t i) const {
    const std::uint64_t z = bits(i);
    const auto sum = (z & 0xffff) + ((z >> 16) & 0xffff) + ((z >> 32) & 0xffff) + (z >> 48);
    return (float(sum) / 65536.0f - 2.0f) * std::sqrt(3.0f);
  }

 private:
  std::uint64_t seed_;
};

template <class T> void fill(memory::slot s, std::uint64_t seed, float deviation) {
  const noise random(seed);
  T* x = elements<T>(s);
  for (std::int64_t i = 0; i < capacity<T>(); ++i) x[i] = T(deviation * random.normal(i));
}

/// Makes data only where other data were before: what = a name for them.
template <class Make> void hold(const std::string& what, const Make& make) {
  static std::string held;
  if (held == what) return;
  make();
  held = what;
}

template <class T> inline constexpr const char* type_name = std::same_as<T, float> ? "float" : "bfloat16";
/// What rounding a result to T may cost, and what arithmetic in float costs.
template <class T> inline constexpr double rounding = std::same_as<T, float> ? 0.0 : 0x1p-8;
inline constexpr double float_arithmetic = 2e-5;

struct scenario {
  std::int64_t classes;
  int threads;
};

/// Logits of two models with standard deviation 3, targets, and room for results.
template <class T> class problem {
 public:
  explicit problem(const scenario& s)
      : classes(s.classes), rows(std::max<std::int64_t>(1, capacity<T>() / s.classes)), logps(size()), values(size()), coefficients(size()),
        targets(size()), states(size()) {
    hold(std::string("logits of ") + type_name<T>, [] {
      fill<T>(memory::policy, 1, 3);
      fill<T>(memory::target, 2, 3);
    });
    const noise random(3);
    for (std::int64_t n = 0; n < rows; ++n) {
      targets[std::size_t(n)] = std::int64_t(random.bits(n) % std::uint64_t(classes));
      coefficients[std::size_t(n)] = n % 2 == 0 ? 0.75f : -0.5f;
    }
  }
  view<const T, 2> policy() const { return matrix(memory::policy); }
  view<const T, 2> target() const { return matrix(memory::target); }
  view<T, 2> work() const { return matrix(memory::work); }
  void restore_work() const { std::memcpy(memory::at(memory::work), memory::at(memory::policy), std::size_t(bytes())); }

  std::int64_t bytes() const { return rows * classes * std::int64_t(sizeof(T)); }
  stream work_stream() const { return {memory::at(memory::work), nullptr, bytes()}; }
  stream policy_stream() const { return {memory::at(memory::policy), memory::at(memory::work), bytes()}; }

  std::int64_t classes, rows;
  std::vector<float> logps, values, coefficients;
  std::vector<std::int64_t> targets;
  std::vector<attune::row_state> states;

 private:
  std::size_t size() const { return std::size_t(rows); }
  view<T, 2> matrix(memory::slot s) const { return {elements<T>(s), {rows, classes}}; }
};

// ---- the sample

struct goal {
  traffic limit;         ///< the loop that is the ceiling
  stream buffers;        ///< that it runs on
  std::int64_t bytes;    ///< that the operation must move at least once
  const char* counting;  ///< which bytes these are
};

/// How often the ceiling and the operation are repeated in a sample, so that it is long beside the ticks of the gate.
int repeats_in_sample(double seconds) { return !bench::options.gated ? 1 : std::clamp(int(std::ceil(0.1 / seconds)), 1, 1000); }

template <class Prepare, class Run>
void time_beside_ceiling(benchmark::State& state, int threads, const goal& g, const Prepare& prepare, const Run& run) {
  struct sample {
    double limit = 0, ours = 0;
  };
  const ceiling limit(g.limit, g.buffers, threads);
  const auto take = [&](int repeats) {
    sample s;
    for (int i = 0; i < repeats; ++i) {
      prepare();
      s.limit += bench::seconds_of(limit) / repeats;
      s.ours += bench::seconds_of(run) / repeats;
    }
    return s;
  };
  const sample first = take(1);
  const int repeats = repeats_in_sample(first.limit + first.ours);
  bench::quiet_gate gate;
  std::vector<double> ratios, limits, times;
  for (auto _ : state) {
    const sample s = gate([&] { return take(repeats); });
    state.SetIterationTime(s.ours);
    times.push_back(s.ours);
    limits.push_back(double(limit.bytes()) / s.limit);
    ratios.push_back(double(g.bytes) / s.ours / limits.back());
  }
  state.counters["bandwidth_ratio"] = bench::median(ratios);
  state.counters["GB_per_s"] = 1e-9 * double(g.bytes) / bench::median(times);
  state.counters["ceiling_GB_per_s"] = 1e-9 * bench::median(limits);
  state.counters["rejected"] = gate.rejected();
  state.counters["noisy"] = gate.noisy();
  state.SetLabel(std::string(g.counting) + ", of " + name_of(g.limit));
}

constexpr auto nothing_to_prepare = [] {};

// ---- the checks: plain loops in double

using verdict = std::optional<std::string>;  ///< what is wrong

verdict differs(const char* what, std::int64_t row, double got, double expected) {
  return std::string(what) + " of row " + std::to_string(row) + " is " + std::to_string(got) + "; expected " + std::to_string(expected);
}
bool within(double got, double expected, double tolerance) { return std::abs(got - expected) <= tolerance; }  // false for NaN

/// Calls check(row) for some rows, the first and the last among them.
template <class Check> verdict for_some_rows(std::int64_t rows, const Check& check) {
  for (std::int64_t n : {std::int64_t{0}, rows / 3, 2 * rows / 3, rows - 1}) {
    if (verdict wrong = check(n)) return wrong;
  }
  return {};
}

/// Log-probabilities of all classes.
template <class T> std::vector<double> log_softmax(const view<const T, 2>& logits, std::int64_t row) {
  std::vector<double> z(std::size_t(logits.extent(1)));
  for (std::size_t v = 0; v < z.size(); ++v) z[v] = double(float(logits(row, std::int64_t(v))));
  const double top = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (double x : z) sum += std::exp(x - top);
  for (double& x : z) x -= top + std::log(sum);
  return z;
}

template <class T> verdict check_logps(const problem<T>& p) {
  return for_some_rows(p.rows, [&](std::int64_t n) -> verdict {
    const double expected = log_softmax(p.policy(), n)[std::size_t(p.targets[std::size_t(n)])], got = double(p.logps[std::size_t(n)]);
    if (!within(got, expected, 1e-5)) return differs("log-probability", n, got, expected);
    return {};
  });
}

template <class T> verdict check_collisions(const problem<T>& p) {
  return for_some_rows(p.rows, [&](std::int64_t n) -> verdict {
    double sum = 0;
    for (double l : log_softmax(p.policy(), n)) sum += std::exp(2 * l);
    const double got = double(p.values[std::size_t(n)]);
    if (!within(got, std::log(sum), 1e-5)) return differs("collision log-probability", n, got, std::log(sum));
    return {};
  });
}

template <class T> verdict check_gradient(const problem<T>& p) {
  return for_some_rows(p.rows, [&](std::int64_t n) -> verdict {
    const std::vector<double> logp = log_softmax(p.policy(), n);
    for (std::int64_t v = 0; v < p.classes; ++v) {
      const double is_target = v == p.targets[std::size_t(n)] ? 1 : 0;
      const double expected = double(p.coefficients[std::size_t(n)]) * (is_target - std::exp(logp[std::size_t(v)]));
      const double got = double(float(p.work()(n, v))), tolerance = (float_arithmetic + rounding<T>)*std::abs(expected) + 1e-12;
      if (!within(got, expected, tolerance)) return differs("gradient", n, got, expected);
    }
    return {};
  });
}

/// The textbook formula of a divergence: f and f' at t = policy/target.
struct textbook {
  double (*f)(double t);
  double (*slope)(double t);
};

template <class T> verdict check_divergence(const problem<T>& p, const textbook& d, bool gradient) {
  return for_some_rows(p.rows, [&](std::int64_t n) -> verdict {
    const std::vector<double> policy = log_softmax(p.policy(), n), target = log_softmax(p.target(), n);
    std::vector<double> slope(policy.size());
    double value = 0, weight = 0, size = 0;
    for (std::size_t v = 0; v < policy.size(); ++v) {
      const double t = std::exp(policy[v] - target[v]), pi = std::exp(policy[v]);
      slope[v] = d.slope(t);
      value += std::exp(target[v]) * d.f(t);
      weight += pi * slope[v];
      size += pi * std::abs(slope[v]);
    }
    const double got = double(p.values[std::size_t(n)]);
    if (!within(got, value, 1e-5 * (1 + value))) return differs("divergence", n, got, value);
    for (std::size_t v = 0; gradient && v < policy.size(); ++v) {
      const double pi = std::exp(policy[v]), expected = pi * (slope[v] - weight), found = double(float(p.work()(n, std::int64_t(v))));
      const double tolerance = (float_arithmetic + rounding<T>)*pi * (std::abs(slope[v]) + size) + 1e-12;
      if (!within(found, expected, tolerance)) return differs("gradient of the divergence", n, found, expected);
    }
    return {};
  });
}

/// Whether the benchmark may go on; if not it ends with the error.
bool passes(benchmark::State& state, const verdict& wrong) {
  if (wrong) state.SkipWithError(wrong->c_str());
  return !wrong;
}

// ---- the operations on rows

template <class T> void time_token_logps(benchmark::State& state, const scenario& s) {
  problem<T> p(s);
  const auto run = [&] { attune::token_logps(on_threads(s.threads), p.policy(), p.targets, p.logps, p.states); };
  run();
  if (!passes(state, check_logps(p))) return;
  const goal g{traffic::read, p.policy_stream(), p.bytes(), "logits read"};
  time_beside_ceiling(state, s.threads, g, nothing_to_prepare, run);
}

template <class T> void time_collision_logps(benchmark::State& state, const scenario& s) {
  problem<T> p(s);
  const auto run = [&] { attune::collision_logps(on_threads(s.threads), p.policy(), p.values); };
  run();
  if (!passes(state, check_collisions(p))) return;
  const goal g{traffic::read, p.policy_stream(), p.bytes(), "logits read"};
  time_beside_ceiling(state, s.threads, g, nothing_to_prepare, run);
}

template <class T> void time_gradient_in_place(benchmark::State& state, const scenario& s) {
  problem<T> p(s);
  attune::token_logps(on_threads(s.threads), p.policy(), p.targets, p.logps, p.states);
  const auto run = [&] { attune::logits_gradient(on_threads(s.threads), p.work(), p.targets, p.states, p.coefficients, p.work()); };
  p.restore_work();
  run();
  if (!passes(state, check_gradient(p))) return;
  const goal g{traffic::update, p.work_stream(), 2 * p.bytes(), "logits read, gradient written in their place"};
  time_beside_ceiling(
      state, s.threads, g, [&] { p.restore_work(); }, run);
}

template <class T> void time_gradient_out_of_place(benchmark::State& state, const scenario& s) {
  problem<T> p(s);
  attune::token_logps(on_threads(s.threads), p.policy(), p.targets, p.logps, p.states);
  const auto run = [&] { attune::logits_gradient(on_threads(s.threads), p.policy(), p.targets, p.states, p.coefficients, p.work()); };
  run();
  if (!passes(state, check_gradient(p))) return;
  const goal g{traffic::copy, p.policy_stream(), 2 * p.bytes(), "logits read, gradient written"};
  time_beside_ceiling(state, s.threads, g, nothing_to_prepare, run);
}

/// What a sequence objective needs: two calls, in place. Its ratio is to one read of the logits, although they are read twice and written
/// once: so it can be compared with a fused visit, whose floor is that read.
template <class T> void time_forward_backward(benchmark::State& state, const scenario& s) {
  problem<T> p(s);
  const auto run = [&] {
    attune::token_logps(on_threads(s.threads), p.work(), p.targets, p.logps, p.states);
    attune::logits_gradient(on_threads(s.threads), p.work(), p.targets, p.states, p.coefficients, p.work());
  };
  p.restore_work();
  run();
  if (!passes(state, check_logps(p)) || !passes(state, check_gradient(p))) return;
  const goal g{traffic::read, p.policy_stream(), p.bytes(), "logits read (second read and write not counted)"};
  time_beside_ceiling(
      state, s.threads, g, [&] { p.restore_work(); }, run);
}

/// The same in one visit of each row, for a coefficient that is known there.
template <class T> void time_fused(benchmark::State& state, const scenario& s) {
  problem<T> p(s);
  const auto run = [&] {
    attune::fused_logits_gradient(
        attune::threads{s.threads}, p.work(), p.targets, [&](std::int64_t n, double) { return double(p.coefficients[std::size_t(n)]); }, p.logps, p.work());
  };
  p.restore_work();
  run();
  if (!passes(state, check_logps(p)) || !passes(state, check_gradient(p))) return;
  const goal g{traffic::read, p.policy_stream(), p.bytes(), "logits read (write not counted)"};
  time_beside_ceiling(
      state, s.threads, g, [&] { p.restore_work(); }, run);
}

template <class T, class Generator> void time_divergence_value(benchmark::State& state, const scenario& s, const textbook& formula) {
  problem<T> p(s);
  const auto run = [&] { attune::row_divergence(on_threads(s.threads), Generator{}, p.policy(), p.target(), p.values); };
  run();
  if (!passes(state, check_divergence(p, formula, false))) return;
  const goal g{traffic::read, p.policy_stream(), 2 * p.bytes(), "both logits read"};
  time_beside_ceiling(state, s.threads, g, nothing_to_prepare, run);
}

/// The ratio is to reading both matrices of logits, although a third is written: there is no simpler loop with that traffic, and the
/// distance to the value alone shows what the gradient costs.
template <class T, class Generator> void time_divergence_gradient(benchmark::State& state, const scenario& s, const textbook& formula) {
  problem<T> p(s);
  const auto run = [&] { attune::row_divergence(on_threads(s.threads), Generator{}, p.policy(), p.target(), p.values, p.work()); };
  run();
  if (!passes(state, check_divergence(p, formula, true))) return;
  const goal g{traffic::read, p.policy_stream(), 2 * p.bytes(), "both logits read (write not counted)"};
  time_beside_ceiling(state, s.threads, g, nothing_to_prepare, run);
}

template <class T, class Generator> void time_divergence_in_place(benchmark::State& state, const scenario& s, const textbook& formula) {
  problem<T> p(s);
  const auto run = [&] { attune::row_divergence(on_threads(s.threads), Generator{}, p.work(), p.target(), p.values, p.work()); };
  p.restore_work();
  run();
  if (!passes(state, check_divergence(p, formula, true))) return;
  const goal g{traffic::read, p.policy_stream(), 2 * p.bytes(), "both logits read (write not counted)"};
  time_beside_ceiling(
      state, s.threads, g, [&] { p.restore_work(); }, run);
}

// ---- the soft update, on as many parameters as a matrix has floats

constexpr double policy_weight = 0.01;

/// Reference, policy and companion; the ceiling averages two float buffers of their own size.
template <class Reference, class Policy> struct model {
  std::int64_t size = capacity<float>();
  view<Reference> reference{elements<Reference>(memory::work), {size}};
  view<const Policy> policy{elements<Policy>(memory::policy), {size}};
  view<bfloat16> companion{elements<bfloat16>(memory::extra), {size}};  ///< rounded copy, or residual
  stream averaged{memory::at(memory::target), memory::at(memory::policy), memory::bytes()};

  model() {
    hold(std::string("parameters of ") + type_name<Reference> + type_name<Policy>, [] {
      fill<Policy>(memory::policy, 4, 1);
      fill<float>(memory::target, 5, 1);
      fill<Reference>(memory::work, 6, 1);
    });
    std::memset(memory::at(memory::extra), 0, std::size_t(memory::bytes()));
  }
};

/// Runs the update once and compares some elements: the reference moved as far as it should, to within `ulp` of the larger number.
template <class Model, class Run, class Result> verdict check_update(const Model& m, double ulp, const Run& run, const Result& result) {
  const std::int64_t step = m.size / 1000 + 1;
  std::vector<double> before;
  for (std::int64_t i = 0; i < m.size; i += step) before.push_back(double(float(m.reference(i))));
  run();
  for (std::int64_t i = 0; i < m.size; i += step) {
    const double old = before[std::size_t(i / step)], policy = double(float(m.policy(i))), expected = old + policy_weight * (policy - old);
    if (!within(result(i), expected, ulp * std::max(std::abs(old), std::abs(policy)))) return differs("parameter", i, result(i), expected);
  }
  return {};
}

void time_soft_update_float(benchmark::State& state, int threads) {
  model<float, float> m;
  const auto run = [&] { attune::soft_update(on_threads(threads), m.reference, m.policy, policy_weight); };
  if (!passes(state, check_update(m, 1e-6, run, [&](std::int64_t i) { return double(m.reference(i)); }))) return;
  const goal g{traffic::lerp, m.averaged, 12 * m.size, "reference read and written, policy read"};
  time_beside_ceiling(state, threads, g, nothing_to_prepare, run);
}

void time_soft_update_master(benchmark::State& state, int threads) {
  model<float, bfloat16> m;
  const auto run = [&] {
    attune::soft_update(on_threads(threads), m.reference, m.policy, policy_weight, attune::rounded_copy{m.companion});
  };
  if (!passes(state, check_update(m, 0x1p-8, run, [&](std::int64_t i) { return double(float(m.companion(i))); }))) return;
  const goal g{traffic::lerp, m.averaged, 12 * m.size, "master read and written, bfloat16 policy read, bfloat16 copy written"};
  time_beside_ceiling(state, threads, g, nothing_to_prepare, run);
}

void time_soft_update_compensated(benchmark::State& state, int threads) {
  model<bfloat16, bfloat16> m;
  const auto run = [&] {
    attune::soft_update(on_threads(threads), m.reference, m.policy, policy_weight, attune::compensation{m.companion});
  };
  const auto average = [&](std::int64_t i) { return double(float(m.reference(i))) + double(float(m.companion(i))); };
  if (!passes(state, check_update(m, 0x1p-14, run, average))) return;
  const goal g{traffic::lerp, m.averaged, 10 * m.size, "bfloat16 reference and residual read and written, policy read"};
  time_beside_ceiling(state, threads, g, nothing_to_prepare, run);
}

/// To within one unit in the last place of the 16 bits: up or down.
void time_soft_update_stochastic(benchmark::State& state, int threads) {
  model<bfloat16, bfloat16> m;
  std::uint64_t step = 0;
  const auto run = [&] {
    attune::soft_update(on_threads(threads), m.reference, m.policy, policy_weight, attune::stochastic_rounding{.seed = 1, .step = ++step});
  };
  if (!passes(state, check_update(m, 0x1p-7, run, [&](std::int64_t i) { return double(float(m.reference(i))); }))) return;
  const goal g{traffic::lerp, m.averaged, 6 * m.size, "bfloat16 reference read and written, policy read"};
  time_beside_ceiling(state, threads, g, nothing_to_prepare, run);
}

// ---- the list

constexpr int thread_counts[] = {1, 2};

template <class Run> void add(const std::string& name, const Run& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->UseManualTime()->Iterations(bench::options.samples)->Unit(benchmark::kMillisecond);
}

template <class T, class Run> void add_rows(const std::string& operation, const Run& run) {
  for (std::int64_t classes : {1024, 32000, 151936}) {
    for (int threads : thread_counts) {
      const std::string name = operation + "/" + type_name<T> + "/V=" + std::to_string(classes) + "/threads=" + std::to_string(threads);
      add(name, [=](benchmark::State& state) { run(state, scenario{classes, threads}); });
    }
  }
}

template <class T, class Generator> void add_divergence(const std::string& name, const textbook& formula) {
  const std::string operation = "row_divergence/" + name;
  add_rows<T>(operation + "/value", [=](auto& state, const scenario& s) { time_divergence_value<T, Generator>(state, s, formula); });
  add_rows<T>(operation + "/gradient", [=](auto& state, const scenario& s) { time_divergence_gradient<T, Generator>(state, s, formula); });
  add_rows<T>(operation + "/gradient_in_place",
              [=](auto& state, const scenario& s) { time_divergence_in_place<T, Generator>(state, s, formula); });
}

template <class T> void add_operations() {
  add_rows<T>("token_logps", time_token_logps<T>);
  add_rows<T>("logits_gradient/in_place", time_gradient_in_place<T>);
  add_rows<T>("logits_gradient/out_of_place", time_gradient_out_of_place<T>);
  add_rows<T>("forward_backward/in_place", time_forward_backward<T>);
  add_rows<T>("fused/in_place", time_fused<T>);
  add_rows<T>("collision_logps", time_collision_logps<T>);
  add_divergence<T, attune::divergence::forward_kl>("forward_kl",
                                                    {[](double t) { return t - 1 - std::log(t); }, [](double t) { return 1 - 1 / t; }});
  add_divergence<T, attune::divergence::reverse_kl>(
      "reverse_kl", {[](double t) { return t * std::log(t) - t + 1; }, [](double t) { return std::log(t); }});
  add_divergence<T, attune::divergence::jensen_shannon>(
      "jensen_shannon",
      {[](double t) { return t * std::log(2 * t / (1 + t)) + std::log(2 / (1 + t)); }, [](double t) { return std::log(2 * t / (1 + t)); }});
  add_divergence<T, attune::divergence::generalized_jensen_shannon>(  // beta = 1/2
      "generalized_jensen_shannon", {[](double t) { return (t * std::log(2 * t / (1 + t)) + std::log(2 / (1 + t))) / 2; }, [](double t) { return std::log(2 * t / (1 + t)) / 2; }});
  add_divergence<T, attune::divergence::squared_hellinger>(
      "squared_hellinger",
      {[](double t) { return (std::sqrt(t) - 1) * (std::sqrt(t) - 1); }, [](double t) { return 1 - 1 / std::sqrt(t); }});
}

void add_soft_updates() {
  const auto add_for_threads = [](const std::string& variant, void (*run)(benchmark::State&, int)) {
    for (int threads : thread_counts) {
      add("soft_update/" + variant + "/threads=" + std::to_string(threads), [=](benchmark::State& state) { run(state, threads); });
    }
  };
  add_for_threads("float", time_soft_update_float);
  add_for_threads("bfloat16_with_master", time_soft_update_master);
  add_for_threads("bfloat16_with_compensation", time_soft_update_compensated);
  add_for_threads("bfloat16_stochastic", time_soft_update_stochastic);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, [] {
    add_operations<float>();
    add_operations<bfloat16>();
    add_soft_updates();
  });
}
