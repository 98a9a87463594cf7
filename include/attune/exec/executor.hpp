// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/policy.hpp>

namespace attune {

/// The parts of a region of parallel work: work(i) does part i. May be copied, and called from any thread.
class chunk_work {
 public:
  template <class Work>
  chunk_work(Work& work, int* done) : work_(detail::address(work)), call_([](void* w, int i) { (*static_cast<Work*>(w))(i); }), done_(done) {}
  void operator()(int i) const {
    call_(work_, i);
    __atomic_fetch_add(done_, 1, __ATOMIC_RELEASE);
  }

 private:
  void* work_;
  void (*call_)(void*, int);
  int* done_;
};

/// The execution policy of a program that has threads of its own (OpenMP, TBB, a trainer's pool), and wants no others beside them:
///
///   const attune::executor openmp{[](int count, auto work) {
///     #pragma omp parallel for schedule(dynamic)
///     for (int i = 0; i < count; ++i) work(i);
///   }};
///   attune::evaluate(openmp, objective, batch, gradients);
///
/// run     called as run(count, work) with an attune::chunk_work: calls work(i) once for every i in [0, count), on any threads in any order, and
///         returns when all are done. It is copied into the call. count is at most max_chunks, and work does not throw.
/// grain   [bytes] see default_grain: it is called only where two threads have that much to do each, else the work is done serially.
/// Throws attune::error if `run` returned before all work was done, in which case results are incomplete; what `run` throws passes.
template <class F>
struct executor {
  F run;
  std::int64_t grain = default_grain;
};
template <class F> executor(F) -> executor<F>;
template <class F> executor(F, std::int64_t) -> executor<F>;
template <class F> inline constexpr bool is_execution_policy<executor<F>> = true;

template <class F, class Work>
void run_chunks(const executor<F>& policy, int chunks, Work&& work, std::int64_t bytes = unknown_bytes) {
  detail::require_threads("executor", 0, policy.grain);
  if (detail::useful_threads(chunks, chunks, bytes, policy.grain) == 1) return run_chunks(serial{}, chunks, work);
  int done = 0;
  policy.run(chunks, chunk_work(work, &done));
  const int finished = __atomic_load_n(&done, __ATOMIC_ACQUIRE);
  if (finished != chunks) {
    throw error("attune::executor: run returned after " + detail::text((long long)finished) + " of " + detail::text((long long)chunks) +
                " calls of work(i); expected one for every i, all done before it returns");
  }
}

}  // namespace attune
