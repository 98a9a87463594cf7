// SPDX-License-Identifier: MIT
// A C interface to what compare.py measures, in a shared library that is built with plain -O2. Tensors are dense and row-major; targets are
// 64-bit; threads = 1 is serial. A function returns 0, or -1 where attune refuses its arguments.
#include <attune/attune.hpp>

#include "../bandwidth.hpp"

#include <cstdio>
#include <map>

namespace {

using attune::bfloat16;
using attune::view;

std::map<int, attune::thread_pool> pools;  ///< one for each number of threads that was asked for

/// Calls work(policy) with a pool of so many threads. No exception leaves the library.
template <class Work> int run(int threads, const Work& work) {
  try {
    work(attune::on(pools.try_emplace(threads, threads).first->second));
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return -1;
  }
}

struct shape {
  std::int64_t rows, classes;
};
template <class T> view<T, 2> matrix(T* data, const shape& s) { return {data, {s.rows, s.classes}}; }
template <class T> view<T> vector(T* data, std::int64_t size) { return {data, {size}}; }

template <class T>
int token_logps(const T* logits, const std::int64_t* targets, float* logps, attune::row_state* states, const shape& s, int threads) {
  return run(threads, [&](auto policy) {
    attune::token_logps(policy, matrix(logits, s), vector(targets, s.rows), vector(logps, s.rows), vector(states, s.rows));
  });
}

template <class T>
int logits_gradient(const T* logits, const std::int64_t* targets, const attune::row_state* states, const float* coefficients, T* gradient,
                    const shape& s, int threads) {
  return run(threads, [&](auto policy) {
    attune::logits_gradient(policy, matrix(logits, s), vector(targets, s.rows), vector(states, s.rows), vector(coefficients, s.rows),
                            matrix(gradient, s));
  });
}

template <class T>
int fused(const T* logits, const std::int64_t* targets, const float* coefficients, float* logps, T* gradient, const shape& s, int threads) {
  return run(threads, [&](auto policy) {
    attune::fused_logits_gradient(policy, matrix(logits, s), vector(targets, s.rows), [&](std::int64_t n, double) { return double(coefficients[n]); },
                                  vector(logps, s.rows), matrix(gradient, s));
  });
}

/// gradient may be null: then only the values are computed.
template <class Generator, class T>
int row_divergence(const T* policy_logits, const T* target_logits, float* values, T* gradient, const shape& s, int threads) {
  return run(threads, [&](auto policy) {
    const auto p = matrix(policy_logits, s), t = matrix(target_logits, s);
    if (gradient)
      attune::row_divergence(policy, Generator{}, p, t, vector(values, s.rows), matrix(gradient, s));
    else
      attune::row_divergence(policy, Generator{}, p, t, vector(values, s.rows));
  });
}

template <class T>
int divergence_by_name(char name, const T* policy, const T* target, float* values, T* gradient, const shape& s, int threads) {
  switch (name) {
    case 'f':
      return row_divergence<attune::divergence::forward_kl>(policy, target, values, gradient, s, threads);
    case 'r':
      return row_divergence<attune::divergence::reverse_kl>(policy, target, values, gradient, s, threads);
    case 'j':
      return row_divergence<attune::divergence::jensen_shannon>(policy, target, values, gradient, s, threads);
    default:
      return -1;
  }
}

}  // namespace

#define PEERS_API extern "C" __attribute__((visibility("default")))

PEERS_API const char* peers_compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}
PEERS_API const char* peers_version() {
#define PEERS_TEXT(x) #x
#define PEERS_VERSION(a, b, c) PEERS_TEXT(a) "." PEERS_TEXT(b) "." PEERS_TEXT(c)
  return PEERS_VERSION(ATTUNE_VERSION_MAJOR, ATTUNE_VERSION_MINOR, ATTUNE_VERSION_PATCH);
}
PEERS_API std::int64_t peers_state_size() { return sizeof(attune::row_state); }

#define PEERS_ROWS(T, suffix)                                                                                                         \
  PEERS_API int peers_token_logps_##suffix(const T* logits, const std::int64_t* targets, float* logps, attune::row_state* states,     \
                                           std::int64_t rows, std::int64_t classes, int threads) {                                    \
    return token_logps(logits, targets, logps, states, {rows, classes}, threads);                                                     \
  }                                                                                                                                   \
  PEERS_API int peers_logits_gradient_##suffix(const T* logits, const std::int64_t* targets, const attune::row_state* states,         \
                                               const float* coefficients, T* gradient, std::int64_t rows, std::int64_t classes,       \
                                               int threads) {                                                                         \
    return logits_gradient(logits, targets, states, coefficients, gradient, {rows, classes}, threads);                                \
  }                                                                                                                                   \
  PEERS_API int peers_fused_##suffix(const T* logits, const std::int64_t* targets, const float* coefficients, float* logps, T* gradient,  \
                                     std::int64_t rows, std::int64_t classes, int threads) {                                          \
    return fused(logits, targets, coefficients, logps, gradient, {rows, classes}, threads);                                           \
  }                                                                                                                                   \
  PEERS_API int peers_divergence_##suffix(char name, const T* policy, const T* target, float* values, T* gradient, std::int64_t rows, \
                                          std::int64_t classes, int threads) {                                                        \
    return divergence_by_name(name, policy, target, values, gradient, {rows, classes}, threads);                                      \
  }
PEERS_ROWS(float, f32)
PEERS_ROWS(bfloat16, bf16)

/// DPO's mean loss, and its derivatives by the policy's log-probabilities of both completions.
PEERS_API int peers_dpo(double beta, const float* chosen, const float* rejected, const float* ref_chosen, const float* ref_rejected,
                        float* d_chosen, float* d_rejected, double* loss, std::int64_t pairs, int threads) {
  return run(threads, [&](auto policy) {
    const attune::pairs<float> batch{.chosen = vector(chosen, pairs),
                                     .rejected = vector(rejected, pairs),
                                     .ref_chosen = vector(ref_chosen, pairs),
                                     .ref_rejected = vector(ref_rejected, pairs)};
    const attune::pair_gradients<float> gradients{.chosen = vector(d_chosen, pairs), .rejected = vector(d_rejected, pairs)};
    *loss = attune::evaluate(policy, attune::dpo{.beta = beta}, batch, gradients).loss();
  });
}

/// PPO's clipped surrogate, mean over tokens [sequences, length], and its derivatives by the policy's log-probabilities.
PEERS_API int peers_ppo(double clip, const float* logp, const float* old_logp, const float* advantage, float* d_logp, double* loss,
                        std::int64_t sequences, std::int64_t length, int threads) {
  return run(threads, [&](auto policy) {
    const attune::tokens<float> batch{.logp = attune::as_view(logp, sequences, length), .old_logp = attune::as_view(old_logp, sequences, length),
                                      .advantage = vector(advantage, sequences)};
    const attune::token_gradients<float> gradients{.logp = attune::as_view(d_logp, sequences, length)};
    *loss = attune::evaluate(policy, attune::ppo{.low = clip, .high = clip}, batch, gradients).loss();
  });
}

PEERS_API int peers_soft_update_f32(float* reference, const float* policy_parameters, double policy_weight, std::int64_t size,
                                    int threads) {
  return run(threads,
             [&](auto policy) { attune::soft_update(policy, vector(reference, size), vector(policy_parameters, size), policy_weight); });
}
PEERS_API int peers_soft_update_master(float* master, const bfloat16* policy_parameters, bfloat16* copy, double policy_weight,
                                       std::int64_t size, int threads) {
  return run(threads, [&](auto policy) {
    attune::soft_update(policy, vector(master, size), vector(policy_parameters, size), policy_weight,
                        attune::rounded_copy{vector(copy, size)});
  });
}
PEERS_API int peers_soft_update_compensated(bfloat16* reference, const bfloat16* policy_parameters, bfloat16* residual,
                                            double policy_weight, std::int64_t size, int threads) {
  return run(threads, [&](auto policy) {
    attune::soft_update(policy, vector(reference, size), vector(policy_parameters, size), policy_weight,
                        attune::compensation{vector(residual, size)});
  });
}

/// The read ceiling: reads the buffer once with the fastest loop, which the first call for a number of threads finds. Returns the bytes
/// read.
PEERS_API std::int64_t peers_read(const void* data, std::int64_t bytes, int threads) {
  // A read loop needs lines of the cache, so that it starts at the first whole one.
  const auto address = reinterpret_cast<std::uintptr_t>(data), aligned = (address + 63) / 64 * 64;
  const std::int64_t skipped = std::int64_t(aligned - address);
  const bench::stream whole{reinterpret_cast<std::byte*>(aligned), nullptr, bytes - skipped};
  const bench::ceiling read(bench::traffic::read, whole, threads);
  read();
  return read.bytes();
}
