// SPDX-License-Identifier: MIT
// attune's functions on a GPU behind a C interface, for measure.py: raw device pointers, contiguous rows, a stream. `path` chooses attune's kernels (0)
// or Thrust (1). Every function returns null, or what went wrong (until the next call).
#include <attune/backend/cublas.hpp>
#include <attune/backend/cuda.hpp>
#include <attune/backend/thrust.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/reverse_kl.hpp>
#include <attune/policy/surrogate/clip.hpp>
#include <attune/preference/dpo.hpp>

#include <string>

using attune::as_view, attune::bfloat16, attune::device, attune::row_state, attune::view;
using i64 = std::int64_t;

template <class T> static view<T, 1, device> vector(T* data, i64 n) { return {data, {n}}; }
template <class T> static view<T, 2, device> matrix(T* data, i64 rows, i64 columns) { return {data, {rows, columns}}; }

/// What a call is given in common: where it runs, and its scratch memory.
struct call {
  int path;
  cudaStream_t stream;
  std::byte* workspace;
  i64 bytes;

  template <class Work> void run(const Work& work) const {
    if (path == 0) work(attune::cuda{stream});
    else work(thrust::cuda::par_nosync.on(stream));
  }
  view<std::byte, 1, device> scratch() const { return vector(workspace, bytes); }
};

namespace {

template <class Work> const char* guarded(const Work& work) {
  static thread_local std::string message;
  try {
    work();
    return nullptr;
  } catch (const std::exception& e) {
    message = e.what();
    return message.c_str();
  }
}
/// work(T{}) with the element type: 0 float, 1 bfloat16.
template <class Work> const char* typed(int type, const Work& work) {
  return guarded([&] { type == 0 ? work(float{}) : work(bfloat16{}); });
}
/// work(generator) of 0 forward_kl, 1 reverse_kl, 2 jensen_shannon.
template <class Work> void with_divergence(int which, const Work& work) {
  if (which == 0) work(attune::divergence::forward_kl{});
  else if (which == 1) work(attune::divergence::reverse_kl{});
  else work(attune::divergence::jensen_shannon{});
}

/// d loss / d logps[n] of PPO, a mean over rows (clip 0.2), as the LM head asks for it.
struct ppo_coefficient {
  const float *old_logps, *advantages;
  float share;  ///< 1 / rows

  ATTUNE_FN float operator()(i64 n, float logp) const {
    attune::token<attune::dual<float, 1>> x;
    x.log_ratio = attune::dual<float, 1>::variable(logp - old_logps[n], 0);
    x.advantage = advantages[n];
    return share * attune::ppo{}(x).grad[0];
  }
};
/// cuBLAS on the call's stream.
cublasHandle_t cublas_on(cudaStream_t stream) {
  static cublasHandle_t handle = [] {
    cublasHandle_t made = nullptr;
    if (cublasCreate(&made) != CUBLAS_STATUS_SUCCESS) throw attune::error("cublasCreate");
    return made;
  }();
  if (cublasSetStream(handle, stream) != CUBLAS_STATUS_SUCCESS) throw attune::error("cublasSetStream");
  return handle;
}

}  // namespace

extern "C" {

/// Bytes that no call needs more of.
i64 attune_workspace(i64 rows, i64 classes) {
  const i64 logps = attune::token_logps_workspace<float>(rows, classes), divergence = attune::row_divergence_workspace<float>(rows, classes);
  return (logps > divergence ? logps : divergence) + attune::evaluate_workspace(rows);
}

const char* attune_token_logps(call c, int type, const void* logits, i64 rows, i64 classes, const i64* targets, float* logps, row_state* states) {
  return typed(type, [&](auto t) {
    using T = decltype(t);
    c.run([&](const auto& policy) {
      attune::token_logps(policy, matrix(static_cast<const T*>(logits), rows, classes), vector(targets, rows), vector(logps, rows), vector(states, rows),
                          {.workspace = c.scratch()});
    });
  });
}

const char* attune_logits_gradient(call c, int type, void* logits, i64 rows, i64 classes, const i64* targets, const row_state* states, const float* coefficients) {
  return typed(type, [&](auto t) {
    const auto x = matrix(static_cast<decltype(t)*>(logits), rows, classes);
    c.run([&](const auto& policy) {
      attune::logits_gradient(policy, x, vector(targets, rows), vector(states, rows), vector(coefficients, rows), x, {.workspace = c.scratch()});
    });
  });
}

/// PPO's loss, a mean over rows, from logits to their gradient in one read and one write. Kernels only.
const char* attune_ppo(call c, int type, void* logits, i64 rows, i64 classes, const i64* targets, const float* old_logps, const float* advantages, float* logps,
                       float* losses) {
  return typed(type, [&](auto t) {
    const auto x = matrix(static_cast<decltype(t)*>(logits), rows, classes);
    const auto loss = attune::row_objective(attune::ppo{}, rows, attune::token_rows<float>{.old_logp = vector(old_logps, rows), .advantage = vector(advantages, rows),
                                                                                        .normalizer = double(rows)});
    attune::fused_logits_gradient(attune::cuda{c.stream}, x, vector(targets, rows), loss, vector(logps, rows), x, {}, {.losses = vector(losses, rows)});
  });
}

/// D(policy, target) of rows; with its gradient in the policy's logits where coefficients are given.
const char* attune_row_divergence(call c, int which, int type, void* policy_logits, const void* target_logits, i64 rows, i64 classes, float* values, const float* coefficients) {
  return typed(type, [&](auto t) {
    using T = decltype(t);
    const auto x = matrix(static_cast<T*>(policy_logits), rows, classes);
    const auto y = matrix(static_cast<const T*>(target_logits), rows, classes);
    with_divergence(which, [&](const auto& generator) {
      c.run([&](const auto& policy) {
        if (coefficients == nullptr) attune::row_divergence(policy, generator, x, y, vector(values, rows), {.workspace = c.scratch()});
        else attune::row_divergence(policy, generator, x, y, vector(values, rows), x, vector(coefficients, rows), {.workspace = c.scratch()});
      });
    });
  });
}

/// DPO on sequence log-probabilities: value and gradients. [4, pairs]: chosen, rejected, and those of the reference; [2, pairs] derivatives.
const char* attune_dpo(call c, const float* logps, i64 pairs, float* slopes, attune::report* report) {
  return guarded([&] {
    const auto row = [&](const float* x, int k) { return vector(x + k * pairs, pairs); };
    c.run([&](const auto& policy) {
      attune::device_options o{.workspace = c.scratch()};
      if (report != nullptr) o.report = vector(report, 1);
      attune::evaluate(policy, attune::dpo{.beta = 0.1}, attune::pairs<float, device>{.chosen = row(logps, 0), .rejected = row(logps, 1), .ref_chosen = row(logps, 2), .ref_rejected = row(logps, 3)},
                       {.chosen = vector(slopes, pairs), .rejected = vector(slopes + pairs, pairs)}, o);
    });
  });
}

/// A step of DPO from the policy's logits [2 pairs length, classes] to their gradient in place.
const char* attune_dpo_step(call c, int type, void* logits, i64 pairs, i64 length, i64 classes, const i64* targets, const float* reference, float* logps, row_state* states, float* sums,
                            float* slopes) {
  return typed(type, [&](auto t) {
    const i64 rows = 2 * pairs * length;
    const auto x = matrix(static_cast<decltype(t)*>(logits), rows, classes);
    c.run([&](const auto& policy) {
      attune::token_logps(policy, x, vector(targets, rows), vector(logps, rows), vector(states, rows), {.workspace = c.scratch()});
      const auto tokens = matrix(static_cast<const float*>(logps), 2 * pairs, length);
      const attune::pairs<float, device> references{.ref_chosen = vector(reference, pairs), .ref_rejected = vector(reference + pairs, pairs)};
      const attune::pair_gradients<float, device> gradients{.chosen = vector(slopes, pairs), .rejected = vector(slopes + pairs, pairs)};
      if constexpr (std::same_as<std::remove_cvref_t<decltype(policy)>, attune::cuda>) {
        attune::sequence_loss(policy, attune::dpo{.beta = 0.1}, tokens, {}, references, gradients);
      } else {
        attune::sequence_logps(policy, tokens, {}, vector(sums, 2 * pairs));
        attune::pairs<float, device> batch = references;
        batch.chosen = vector(static_cast<const float*>(sums), pairs), batch.rejected = vector(static_cast<const float*>(sums) + pairs, pairs);
        attune::evaluate(policy, attune::dpo{.beta = 0.1}, batch, gradients);
      }
      attune::logits_gradient(policy, x, vector(targets, rows), vector(static_cast<const row_state*>(states), rows),
                              attune::sequence_coefficients<float>{.values = vector(static_cast<const float*>(slopes), 2 * pairs), .rows_per_sequence = length}, x,
                              {.workspace = c.scratch()});
    });
  });
}

/// Bytes of a chunk of so many rows of bf16 logits behind an LM head.
i64 attune_lm_head_workspace(i64 chunk, i64 classes) { return attune::device_lm_head_bytes<bfloat16>(chunk, classes); }

/// Log-probabilities of the targets from hidden states [rows, width] and the head's weight [classes, width], both bf16, in chunks.
const char* attune_lm_head_logps(call c, const bfloat16* hidden, const bfloat16* weight, i64 rows, i64 width, i64 classes, i64 chunk, const i64* targets, float* logps,
                                 row_state* states) {
  return guarded([&] {
    const attune::cublas_gemm gemm{cublas_on(c.stream)};
    c.run([&](const auto& policy) {
      attune::lm_head_logps(policy, gemm, matrix(hidden, rows, width), matrix(weight, classes, width), vector(targets, rows), vector(logps, rows), vector(states, rows),
                            attune::device_lm_head_workspace<bfloat16>{chunk, c.scratch()});
    });
  });
}

/// PPO's gradient in hidden states (bf16) and weight (float, added to what is there): forward and backward in chunks.
const char* attune_lm_head_ppo(call c, const bfloat16* hidden, const bfloat16* weight, i64 rows, i64 width, i64 classes, i64 chunk, const i64* targets, const float* old_logps,
                               const float* advantages, float* logps, bfloat16* d_hidden, float* d_weight) {
  return guarded([&] {
    const attune::cublas_gemm gemm{cublas_on(c.stream)};
    c.run([&](const auto& policy) {
      attune::lm_head_fused(policy, gemm, matrix(hidden, rows, width), matrix(weight, classes, width), vector(targets, rows),
                            ppo_coefficient{old_logps, advantages, 1 / float(rows)}, vector(logps, rows),
                            {.hidden = matrix(d_hidden, rows, width), .weight = matrix(d_weight, classes, width)}, attune::device_lm_head_workspace<bfloat16>{chunk, c.scratch()});
    });
  });
}

/// reference <- reference + weight (policy - reference), rounded at random where it is bf16.
const char* attune_soft_update(call c, int type, void* reference, const void* policy_parameters, i64 size, double weight, std::uint64_t seed) {
  return guarded([&] {
    c.run([&](const auto& policy) {
      if (type == 0) attune::soft_update(policy, vector(static_cast<float*>(reference), size), vector(static_cast<const float*>(policy_parameters), size), weight);
      else attune::soft_update(policy, vector(static_cast<bfloat16*>(reference), size), vector(static_cast<const bfloat16*>(policy_parameters), size), weight,
                               attune::stochastic_rounding{.seed = seed});
    });
  });
}

}  // extern "C"
