// SPDX-License-Identifier: MIT
// What the benchmark programs share: options, the gate that keeps noisy samples out, and what is recorded beside every figure.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace bench {

struct settings {
  int mib = 256;      ///< size of one matrix of logits, or of a float reference model
  int samples = 9;    ///< accepted samples of a benchmark; its figures are their medians
  int retries = 18;   ///< samples that may be rejected before the gate gives up
  bool gated = true;  ///< whether the gate is closed to noisy samples at all
};
inline settings options;

// ---- the gate

/// Processor time [s] since some moment: of the machine, and of this process.
struct processor_time {
  double all = 0, own = 0;
  std::chrono::steady_clock::time_point at{};
  bool known = false;  ///< false where the system does not say

  static processor_time now() {
    processor_time t;
    t.at = std::chrono::steady_clock::now();
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& x) { return double(x.tv_sec) + 1e-6 * double(x.tv_usec); };
    t.own = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    if (std::FILE* file = std::fopen("/proc/stat", "r")) {
      long long user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft_irq = 0, stolen = 0;
      t.known = std::fscanf(file, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system, &idle, &wait, &irq, &soft_irq,
                            &stolen) == 8;
      // Time stolen by other guests disturbs as much as that of other processes.
      t.all = double(user + nice + system + irq + soft_irq + stolen) / double(sysconf(_SC_CLK_TCK));
      std::fclose(file);
    }
    return t;
  }
};

/// Whether others than this process used more than 20 ms and more than 3 % of the processors' time between two moments. The kernel counts
/// in ticks of 10 ms, on every processor by itself: less than 20 ms cannot be told from nothing.
inline bool is_noisy(const processor_time& begin, const processor_time& end) {
  if (!begin.known || !end.known) return false;
  const double others = (end.all - begin.all) - (end.own - begin.own);
  const double whole = std::chrono::duration<double>(end.at - begin.at).count() * double(sysconf(_SC_NPROCESSORS_ONLN));
  return others > std::max(0.020, 0.03 * whole);
}

/// Accepts samples taken on a quiet machine. One taken on a noisy one is thrown away and taken again, after a pause, until `retries` have
/// been spent; from then on everything is accepted, and the share of noisy samples is reported. It never waits without bound.
class quiet_gate {
 public:
  template <class Take> auto operator()(const Take& take) {
    while (true) {
      const processor_time begin = processor_time::now();
      const auto sample = take();
      const bool noisy = is_noisy(begin, processor_time::now());
      if (!noisy || !options.gated || rejected_ >= options.retries) {
        ++accepted_;
        accepted_noisy_ += noisy;
        return sample;
      }
      ++rejected_;
      wait();
    }
  }
  double noisy() const { return accepted_ > 0 ? double(accepted_noisy_) / double(accepted_) : 0; }
  double rejected() const { return rejected_; }

 private:
  /// Until a tenth of a second was quiet, or one second has gone.
  static void wait() {
    for (int i = 0; i < 10; ++i) {
      const processor_time begin = processor_time::now();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      if (!is_noisy(begin, processor_time::now())) return;
    }
  }

  int accepted_ = 0, accepted_noisy_ = 0, rejected_ = 0;
};

inline double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  const std::size_t n = x.size();
  return n == 0 ? 0 : (x[n / 2] + x[(n - 1) / 2]) / 2;
}

// ---- the program

/// Takes `--name=number` out of the arguments if it is there.
inline void take_option(int& argc, char** argv, std::string_view name, int& value) {
  const auto given = [&](std::string_view argument) {
    if (!argument.starts_with(name) || argument.size() == name.size() || argument[name.size()] != '=') return false;
    const std::string_view number = argument.substr(name.size() + 1);
    return std::from_chars(number.data(), number.data() + number.size(), value).ec == std::errc{} && value >= 0;
  };
  argc = int(std::remove_if(argv + 1, argv + argc, [&](const char* a) { return given(a); }) - argv);
}

inline std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "g++ " __VERSION__;
#else
  return "unknown";
#endif
}

/// The name of the processor, which Google Benchmark does not record.
inline std::string processor() {
  std::string result = "unknown";
  if (std::FILE* file = std::fopen("/proc/cpuinfo", "r")) {
    char line[512];
    while (std::fgets(line, sizeof line, file)) {
      const std::string_view text(line);
      if (!text.starts_with("model name")) continue;
      const std::size_t colon = text.find(": ");
      if (colon != text.npos) result = text.substr(colon + 2, text.find('\n') - colon - 2);
      break;
    }
    std::fclose(file);
  }
  return result;
}

/// A benchmark program: reads the options, registers the benchmarks, runs them.
template <class Register> int run_program(int argc, char** argv, const Register& register_benchmarks) {
  benchmark::Initialize(&argc, argv);
  int ungated = 0;
  take_option(argc, argv, "--mib", options.mib);
  take_option(argc, argv, "--samples", options.samples);
  take_option(argc, argv, "--retries", options.retries);
  take_option(argc, argv, "--ungated", ungated);
  options.gated = ungated == 0;
  options.mib = std::max(options.mib, 1);
  options.samples = std::max(options.samples, 1);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("compiler", compiler());
#if defined(ATTUNE_BENCHMARK_FLAGS)
  benchmark::AddCustomContext("flags", ATTUNE_BENCHMARK_FLAGS);
#endif
  benchmark::AddCustomContext("processor", processor());
  register_benchmarks();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace bench
