// SPDX-License-Identifier: MIT
#pragma once

#include <attune/exec/policy.hpp>

namespace attune {

/// Threads that sleep until there is work: a program makes one pool and passes it to every call as its execution policy,
///
///   attune::thread_pool pool{8};
///   attune::evaluate(attune::on(pool), objective, batch, gradients);
///
/// count   threads that work, the calling one included; 0: one per online processor. At most max_chunks of them are of use.
/// Workers are started by the constructor (as many as the system grants: see size()) and joined by the destructor. After work they look for
/// more for some microseconds, then sleep. A call never waits for a worker to wake: what nobody has begun the calling thread does itself.
/// A pool serves one call at a time: a call while another one runs, from another thread or from inside its work, runs serially.
/// The pool must outlive its calls. No allocation. After fork() the child has no workers: there, make a pool of its own and leak this one.
/// Throws attune::error for count < 0.
class thread_pool {
 public:
  explicit thread_pool(int count = 0) {
    detail::require_threads("thread_pool", count, 0);
#if defined(__linux__)
    if (sched_getaffinity(0, sizeof allowed_, &allowed_) != 0) CPU_ZERO(&allowed_);
#endif
    const auto useful = static_cast<std::size_t>(detail::useful_threads(count, max_chunks, unknown_bytes, 0));
    while (workers_ + 1 < useful && pthread_create(&thread_[workers_], nullptr, &thread_pool::serve, this) == 0) ++workers_;
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() {
    pthread_mutex_lock(&mutex_);
    __atomic_store_n(&stopping_, true, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&wake_);
    pthread_mutex_unlock(&mutex_);
    for (std::size_t i = 0; i < workers_; ++i) pthread_join(thread_[i], nullptr);
    pthread_cond_destroy(&done_);
    pthread_cond_destroy(&wake_);
    pthread_mutex_destroy(&mutex_);
  }

  /// Threads that work, the calling one included.
  int size() const { return static_cast<int>(workers_) + 1; }

  /// Calls work(c) once for each c in [0, chunks), on at most `limit` threads, the calling one among them; work must not throw.
  template <class Work>
  void run(int chunks, int limit, Work& work) {
    const int helpers = (limit < size() ? limit : size()) - 1;
    if (helpers < 1 || __atomic_exchange_n(&busy_, true, __ATOMIC_ACQUIRE)) return run_chunks(serial{}, chunks, work);
    begin({detail::address(work), [](void* w, int c) { (*static_cast<Work*>(w))(c); }, chunks}, helpers);
    drain(task_);
    end();
    __atomic_store_n(&busy_, false, __ATOMIC_RELEASE);
  }

 private:
  struct task {
    void* work = nullptr;
    void (*call)(void* work, int chunk) = nullptr;
    int chunks = 0;
  };
  static constexpr int spins = 400;  ///< pauses before a thread sleeps: some 5 to 20 us, about what it costs to wake it

  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    asm volatile("pause");
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  void drain(const task& t) {
    for (int c; (c = __atomic_fetch_add(&next_, 1, __ATOMIC_RELAXED)) < t.chunks;) t.call(t.work, c);
  }
  bool idle() const { return __atomic_load_n(&wanted_, __ATOMIC_RELAXED) == 0 && !__atomic_load_n(&stopping_, __ATOMIC_RELAXED); }

  // Between begin and end workers may join. No worker is at work before begin and after end.
  void begin(const task& t, int helpers) {
    pthread_mutex_lock(&mutex_);
    task_ = t;
    __atomic_store_n(&next_, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&wanted_, helpers, __ATOMIC_RELAXED);
    const int asleep = helpers - (size() - 1 - sleeping_);  // the others are awake, and look
    pthread_mutex_unlock(&mutex_);
    if (asleep > 0) leave_processor();
    for (int i = 0; i < asleep; ++i) pthread_cond_signal(&wake_);
  }
  // Forbids the workers the processor of the calling thread. In a virtual machine Linux takes sleeping processors for busy ones, and wakes a
  // worker where the calling thread runs; there it waits until everything is done.
  void leave_processor() {
#if defined(__linux__)
    const int processor = sched_getcpu();
    if (processor == left_ || CPU_COUNT(&allowed_) < 2) return;
    left_ = processor;
    cpu_set_t others = allowed_;
    CPU_CLR(processor, &others);
    for (std::size_t i = 0; i < workers_; ++i) pthread_setaffinity_np(thread_[i], sizeof others, &others);
#endif
  }
  void end() {
    pthread_mutex_lock(&mutex_);
    __atomic_store_n(&wanted_, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&mutex_);
    for (int i = 0; i < spins && __atomic_load_n(&working_, __ATOMIC_ACQUIRE) > 0; ++i) pause();
    if (__atomic_load_n(&working_, __ATOMIC_ACQUIRE) == 0) return;
    pthread_mutex_lock(&mutex_);
    while (working_ > 0) pthread_cond_wait(&done_, &mutex_);
    pthread_mutex_unlock(&mutex_);
  }

  static void* serve(void* self) {
    static_cast<thread_pool*>(self)->serve();
    return nullptr;
  }
  void serve() {
    while (true) {
      for (int i = 0; i < spins && idle(); ++i) pause();
      pthread_mutex_lock(&mutex_);
      ++sleeping_;
      while (idle()) pthread_cond_wait(&wake_, &mutex_);
      --sleeping_;
      if (stopping_) break;
      __atomic_store_n(&wanted_, wanted_ - 1, __ATOMIC_RELAXED);
      __atomic_store_n(&working_, working_ + 1, __ATOMIC_RELAXED);
      const task t = task_;
      pthread_mutex_unlock(&mutex_);
      drain(t);
      pthread_mutex_lock(&mutex_);
      __atomic_store_n(&working_, working_ - 1, __ATOMIC_RELEASE);
      if (working_ == 0) pthread_cond_signal(&done_);
      pthread_mutex_unlock(&mutex_);
    }
    pthread_mutex_unlock(&mutex_);
  }

  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t wake_ = PTHREAD_COND_INITIALIZER, done_ = PTHREAD_COND_INITIALIZER;
  std::array<pthread_t, max_chunks> thread_{};
  std::size_t workers_ = 0;
#if defined(__linux__)
  cpu_set_t allowed_{};  ///< processors of the thread that made the pool; none where there are too many to tell
  int left_ = -1;        ///< the one that workers have left to the calling thread
#endif
  // Changed under the mutex; where a thread looks without it, changes and looks are atomic.
  task task_;
  int wanted_ = 0, working_ = 0, sleeping_ = 0;
  bool stopping_ = false;
  bool busy_ = false;
  alignas(64) int next_ = 0;  // a cache line of its own: every thread changes it all the time
};

/// The execution policy of a pool, which it refers to.
struct pool_policy {
  thread_pool* pool;
  std::int64_t grain = default_grain;
};
template <> inline constexpr bool is_execution_policy<pool_policy> = true;

/// Work on a pool. grain [bytes]: see default_grain; 0 wakes workers whatever there is to do.
inline pool_policy on(thread_pool& pool, std::int64_t grain = default_grain) { return {&pool, grain}; }

template <class Work>
void run_chunks(pool_policy policy, int chunks, Work&& work, std::int64_t bytes = unknown_bytes) {
  detail::require_threads("on", 0, policy.grain);
  policy.pool->run(chunks, detail::useful_threads(policy.pool->size(), chunks, bytes, policy.grain), work);
}

}  // namespace attune
