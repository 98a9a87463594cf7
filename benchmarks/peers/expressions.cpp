// SPDX-License-Identifier: MIT
// What a user of Eigen or xtensor writes: row expressions. A library of its own, built with -O3 -march=native where the compiler knows it:
// these libraries choose their instructions when they are compiled, and are to be seen at their best. (In one library with attune, inline
// functions of the standard library compiled for this machine could have replaced those of the plain build.)
#include <array>
#include <cmath>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#define PEERS_API extern "C" __attribute__((visibility("default")))
#define PEERS_TEXT(x) #x
#define PEERS_VERSION(a, b, c) PEERS_TEXT(a) "." PEERS_TEXT(b) "." PEERS_TEXT(c)

namespace {

struct shape {
  std::int64_t rows, classes;
};

/// Calls work(row) for all rows, a contiguous run of them on each thread.
template <class Work> void for_rows(const shape& s, int threads, const Work& work) {
  const auto run = [&](int t) {
    for (std::int64_t n = s.rows * t / threads; n < s.rows * (t + 1) / threads; ++n) work(n);
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(run, t);
  run(0);
  for (std::thread& t : others) t.join();
}

}  // namespace

#if defined(PEERS_EIGEN)
#include <Eigen/Core>

namespace {

template <class T> auto eigen_row(T* x, std::int64_t size) {
  return Eigen::Map<Eigen::Array<std::remove_const_t<T>, Eigen::Dynamic, 1>>(x, size);
}
template <class T> auto eigen_row(const T* x, std::int64_t size) { return Eigen::Map<const Eigen::Array<T, Eigen::Dynamic, 1>>(x, size); }

/// log sum e^x.
template <class Row> float eigen_log_sum_exp(const Row& x) {
  const float top = x.maxCoeff();
  return top + std::log((x - top).exp().sum());
}

template <class T> void eigen_token_logps(const T* logits, const std::int64_t* targets, float* logps, const shape& s, int threads) {
  for_rows(s, threads, [&](std::int64_t n) {
    const auto x = eigen_row(logits + n * s.classes, s.classes).template cast<float>();
    logps[n] = x[targets[n]] - eigen_log_sum_exp(x);
  });
}

/// KL(target || policy), and where gradient is not null its derivative by the policy's logits.
template <class T> void eigen_forward_kl(const T* policy, const T* target, float* values, T* gradient, const shape& s, int threads) {
  for_rows(s, threads, [&](std::int64_t n) {
    const auto x = eigen_row(policy + n * s.classes, s.classes).template cast<float>();
    const auto y = eigen_row(target + n * s.classes, s.classes).template cast<float>();
    const float log_x = eigen_log_sum_exp(x), log_y = eigen_log_sum_exp(y);
    values[n] = ((y - log_y).exp() * (y - x)).sum() - (log_y - log_x);
    if (gradient) eigen_row(gradient + n * s.classes, s.classes) = ((x - log_x).exp() - (y - log_y).exp()).template cast<T>();
  });
}

}  // namespace

PEERS_API const char* peers_eigen_version() { return PEERS_VERSION(EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION); }

#define PEERS_ROWS(T, suffix)                                                                                                     \
  PEERS_API void peers_eigen_token_logps_##suffix(const T* logits, const std::int64_t* targets, float* logps, std::int64_t rows,  \
                                                  std::int64_t classes, int threads) {                                            \
    eigen_token_logps(logits, targets, logps, {rows, classes}, threads);                                                          \
  }                                                                                                                               \
  PEERS_API void peers_eigen_forward_kl_##suffix(const T* policy, const T* target, float* values, T* gradient, std::int64_t rows, \
                                                 std::int64_t classes, int threads) {                                             \
    eigen_forward_kl(policy, target, values, gradient, {rows, classes}, threads);                                                 \
  }
PEERS_ROWS(float, f32)
PEERS_ROWS(Eigen::bfloat16, bf16)
#endif

#if defined(PEERS_XTENSOR)
#include <xtensor/xadapt.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xnoalias.hpp>
#include <xtensor/xtensor_config.hpp>

namespace {

auto xtensor_row(const float* x, std::int64_t size) {
  // std::move: of a named pointer the adaptor would keep a reference.
  return xt::adapt(std::move(x), std::size_t(size), xt::no_ownership(), std::array<std::size_t, 1>{std::size_t(size)});
}

template <class Row> float xtensor_log_sum_exp(const Row& x) {
  const float top = xt::amax(x, xt::evaluation_strategy::immediate)();
  return top + std::log(xt::sum(xt::exp(x - top), xt::evaluation_strategy::immediate)());
}

}  // namespace

PEERS_API const char* peers_xtensor_version() { return PEERS_VERSION(XTENSOR_VERSION_MAJOR, XTENSOR_VERSION_MINOR, XTENSOR_VERSION_PATCH); }

PEERS_API void peers_xtensor_token_logps_f32(const float* logits, const std::int64_t* targets, float* logps, std::int64_t rows,
                                             std::int64_t classes, int threads) {
  for_rows({rows, classes}, threads, [&](std::int64_t n) {
    const auto x = xtensor_row(logits + n * classes, classes);
    logps[n] = x(std::size_t(targets[n])) - xtensor_log_sum_exp(x);
  });
}

PEERS_API void peers_xtensor_forward_kl_f32(const float* policy, const float* target, float* values, float* gradient, std::int64_t rows,
                                            std::int64_t classes, int threads) {
  for_rows({rows, classes}, threads, [&](std::int64_t n) {
    const auto x = xtensor_row(policy + n * classes, classes), y = xtensor_row(target + n * classes, classes);
    const float log_x = xtensor_log_sum_exp(x), log_y = xtensor_log_sum_exp(y);
    values[n] = xt::sum(xt::exp(y - log_y) * (y - x), xt::evaluation_strategy::immediate)() - (log_y - log_x);
    if (gradient) {
      auto out =
          xt::adapt(gradient + n * classes, std::size_t(classes), xt::no_ownership(), std::array<std::size_t, 1>{std::size_t(classes)});
      xt::noalias(out) = xt::exp(x - log_x) - xt::exp(y - log_y);
    }
  });
}
#endif
