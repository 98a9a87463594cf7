// SPDX-License-Identifier: MIT
// What an operation may cost on a device, held to by counting what it asks of the runtime. For programs that run under fake_runtime.cpp.
#pragma once

#include "fake_runtime.hpp"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstdio>
#include <string>

namespace attune_test {

/// Calls that an operation makes, exactly: fewer launches are a mistake, too.
struct budget {
  std::int64_t launches = 0, syncs = 0, allocations = 0, copies = 0, sets = 0;
  bool any_stream = false;  ///< else all its work is on the stream that it was given
};

class launch_counter {
 public:
  /// stream: where operations are told to work; their launches, copies and memsets anywhere else are mistakes.
  explicit launch_counter(cudaStream_t stream, bool quiet = false) : stream_(stream), quiet_(quiet) {
    find(counts_, "attune_fake_cuda_counts");
    find(work_count_, "attune_fake_cuda_work_count");
    find(work_, "attune_fake_cuda_work");
  }
  /// Whether the program runs under the substitute; else nothing may be asked of this object.
  bool counts() const { return counts_ != nullptr && work_count_ != nullptr && work_ != nullptr; }
  int failures() const { return failures_; }
  std::int64_t launches() const { return counts_()->launches; }
  std::string last_kernel() const { return work_count_() == 0 ? "" : work_(work_count_() - 1).name; }

  /// Runs the operation twice, each time within the budget: what it does at its first call only, or at later ones, is seen.
  template <class Operation> void expect(const char* name, const budget& wanted, const Operation& operation) {
    for (int time = 1; time <= 2; ++time) {
      const attune_fake_cuda_counts_t before = *counts_();
      const std::int64_t first = work_count_();
      operation();
      const attune_fake_cuda_counts_t after = *counts_();
      const budget found{after.launches - before.launches, after.syncs - before.syncs, after.allocations - before.allocations,
                         after.copies - before.copies, after.sets - before.sets};
      std::string complaint;
      const auto same = [&](const char* what, std::int64_t got, std::int64_t expected) {
        if (got != expected) complaint += std::string(" ") + what + " " + std::to_string(got) + ", expected " + std::to_string(expected) + ".";
      };
      same("launches", found.launches, wanted.launches);
      same("syncs", found.syncs, wanted.syncs);
      same("allocations", found.allocations, wanted.allocations);
      same("copies", found.copies, wanted.copies);
      same("memsets", found.sets, wanted.sets);
      same("freed", after.frees - before.frees, found.allocations);
      same("launches, copies and memsets on another stream", wanted.any_stream ? 0 : elsewhere(first), 0);
      if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) complaint += std::string(" ") + cudaGetErrorName(error) + ".";
      print(name, time, found, complaint, first);
      failures_ += !complaint.empty();
    }
  }

 private:
  template <class F> static void find(F*& function, const char* name) { function = reinterpret_cast<F*>(dlsym(RTLD_DEFAULT, name)); }
  std::int64_t elsewhere(std::int64_t first) const {
    std::int64_t n = 0;
    for (std::int64_t i = first; i < work_count_(); ++i) n += work_(i).stream != static_cast<const void*>(stream_);
    return n;
  }
  void print(const char* name, int time, const budget& b, const std::string& complaint, std::int64_t first) const {
    if (quiet_) return;
    const auto n = [](std::int64_t x) { return static_cast<long long>(x); };
    if (time == 1 && complaint.empty()) {
      std::printf("%-58s launches %lld  syncs %lld  allocations %lld  copies %lld  memsets %lld\n", name, n(b.launches), n(b.syncs), n(b.allocations),
                  n(b.copies), n(b.sets));
    }
    if (complaint.empty()) return;
    std::printf("%s, call %d:%s It was:\n", name, time, complaint.c_str());
    for (std::int64_t i = first; i < work_count_(); ++i) {
      const attune_fake_cuda_work_t w = work_(i);
      std::printf("  %s <<<(%u,%u,%u), (%u,%u,%u), %llu>>> on stream %p\n", w.name, w.grid[0], w.grid[1], w.grid[2], w.block[0], w.block[1], w.block[2],
                  static_cast<unsigned long long>(w.shared), w.stream);
    }
  }

  cudaStream_t stream_;
  bool quiet_;
  int failures_ = 0;
  decltype(&attune_fake_cuda_counts) counts_ = nullptr;
  decltype(&attune_fake_cuda_work_count) work_count_ = nullptr;
  decltype(&attune_fake_cuda_work) work_ = nullptr;
};

}  // namespace attune_test
