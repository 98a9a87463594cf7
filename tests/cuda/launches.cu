// SPDX-License-Identifier: MIT
// How many kernels an operation launches, and that it neither waits nor allocates, counted under the substitute runtime (fake_runtime.cpp), so
// without a GPU. First the counter itself, on calls of Thrust and CUB whose cost is known; it is seen to reject planted budgets.
//
// An operation is one line: counter.expect(name, {.launches = ..., .syncs = ..., .allocations = ..., .copies = ...}, callable).
#include "launch_budget.hpp"

#include <attune/backend/cuda.hpp>
#include <attune/backend/thrust.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/policy/surrogate/clip.hpp>
#include <attune/preference/dpo.hpp>

#include <cub/device/device_reduce.cuh>
#include <cub/device/device_segmented_reduce.cuh>
#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/for_each.h>
#include <thrust/functional.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/transform_reduce.h>

namespace {

struct doubled {
  float* x;
  __host__ __device__ void operator()(int i) const { x[i] *= 2; }
};
struct square {
  __host__ __device__ float operator()(float v) const { return v * v; }
};
__global__ void one_kernel(float* x) { x[threadIdx.x] = 1; }
__global__ void clustered(float* x) { x[threadIdx.x] = 2; }

/// Device memory, allocated before and freed after what is counted.
template <class T> struct memory {
  T* data = nullptr;
  explicit memory(std::size_t n) { cudaMalloc(reinterpret_cast<void**>(&data), n * sizeof(T)); }
  ~memory() { cudaFree(data); }
  memory(const memory&) = delete;
};

void known_costs(attune_test::launch_counter& counter, cudaStream_t stream) {
  constexpr int n = 64;
  const memory<float> x(65536), out(n);
  const memory<int> offsets(n + 1);
  const memory<char> scratch(1 << 20);
  const auto nosync = thrust::cuda::par_nosync.on(stream);
  const auto first = thrust::make_counting_iterator(0);
  const auto sum_of_squares = [&](int count) {
    return thrust::transform_reduce(nosync, x.data, x.data + count, square{}, 0.0f, thrust::plus<float>());
  };
  const auto device_sum_of_squares = [&](int count) {
    std::size_t bytes = 1 << 20;
    cub::DeviceReduce::TransformReduce(scratch.data, bytes, x.data, out.data, count, thrust::plus<float>(), square{}, 0.0f, stream);
  };
  const auto segment_sums = [&] {
    std::size_t bytes = 1 << 20;
    cub::DeviceSegmentedReduce::Sum(scratch.data, bytes, x.data, out.data, n, offsets.data, offsets.data + 1, stream);
  };
  const auto in_clusters = [&] {
    cudaLaunchAttribute cluster{};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = 8, cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
    cudaLaunchConfig_t launch{};
    launch.gridDim = 16, launch.blockDim = 256, launch.stream = stream, launch.attrs = &cluster, launch.numAttrs = 1;
    cudaLaunchKernelEx(&launch, clustered, x.data);
  };
  float on_host[n];

  counter.expect("a kernel", {.launches = 1}, [&] { one_kernel<<<1, n, 0, stream>>>(x.data); });
  counter.expect("a kernel in clusters", {.launches = 1}, in_clusters);
  counter.expect("thrust::for_each_n(par_nosync)", {.launches = 1}, [&] { thrust::for_each_n(nosync, first, n, doubled{x.data}); });
  counter.expect("thrust::for_each_n(par)", {.launches = 1, .syncs = 1},
                 [&] { thrust::for_each_n(thrust::cuda::par.on(stream), first, n, doubled{x.data}); });
  counter.expect("thrust::transform_reduce(par_nosync), 64 numbers", {.launches = 1, .syncs = 2, .allocations = 1, .copies = 1},
                 [&] { sum_of_squares(n); });
  counter.expect("thrust::transform_reduce(par_nosync), 65536 numbers", {.launches = 2, .syncs = 2, .allocations = 1, .copies = 1},
                 [&] { sum_of_squares(65536); });
  counter.expect("thrust::device_vector(n)", {.launches = 1, .syncs = 1, .allocations = 1, .any_stream = true},
                 [&] { thrust::device_vector<float> v(n); });
  counter.expect("cub::DeviceReduce::TransformReduce, 64 numbers", {.launches = 1}, [&] { device_sum_of_squares(n); });
  counter.expect("cub::DeviceReduce::TransformReduce, 65536 numbers", {.launches = 2}, [&] { device_sum_of_squares(65536); });
  counter.expect("cub::DeviceSegmentedReduce::Sum", {.launches = 1}, segment_sums);
  counter.expect("cudaMemcpyAsync", {.copies = 1}, [&] { cudaMemcpyAsync(on_host, x.data, sizeof on_host, cudaMemcpyDeviceToHost, stream); });
  counter.expect("cudaMemcpy, which waits", {.syncs = 1, .copies = 1, .any_stream = true},
                 [&] { cudaMemcpy(on_host, x.data, sizeof on_host, cudaMemcpyDeviceToHost); });
  counter.expect("cudaMemsetAsync", {.sets = 1}, [&] { cudaMemsetAsync(x.data, 0, n, stream); });
}

/// Device memory as a view.
template <class T> attune::view<T, 1, attune::device> seen(const memory<T>& x, std::int64_t n) { return {x.data, {n}}; }
template <class T> attune::view<T, 2, attune::device> seen(const memory<T>& x, std::int64_t rows, std::int64_t columns) { return {x.data, {rows, columns}}; }

/// In the place of cuBLAS, which the substitute does not carry: a product that is one kernel.
struct counted_gemm {
  cudaStream_t stream;
  template <class C, class T>
  void operator()(const attune::view<C, 2, attune::device>&, const attune::view<const T, 2, attune::device>&, const attune::view<const T, 2, attune::device>&, bool) const {
    one_kernel<<<1, 32, 0, stream>>>(nullptr);
  }
  void require_stream(cudaStream_t given) const {
    if (given != stream) throw attune::error("another stream");
  }
};
struct minus_one {
  ATTUNE_FN float operator()(std::int64_t, float) const { return -1; }
};

/// The LM head, three chunks of a batch: of each 1 or 3 products, and what is between them.
void lm_head(attune_test::launch_counter& counter, cudaStream_t stream) {
  using attune::bfloat16;
  constexpr std::int64_t rows = 10, chunk = 4, classes = 1000, features = 8;
  const memory<bfloat16> hidden(rows * features), weight(classes * features), d_hidden(rows * features);
  const memory<float> d_weight(classes * features), logps(rows);
  const memory<std::int32_t> targets(rows);
  const memory<attune::row_state> states(rows);
  const std::int64_t bytes = attune::device_lm_head_bytes<bfloat16>(chunk, classes);
  const memory<std::byte> scratch(static_cast<std::size_t>(bytes));
  const auto policy = thrust::cuda::par_nosync.on(stream);
  const attune::device_lm_head_workspace<bfloat16> workspace{.rows = chunk, .memory = seen(scratch, bytes)};
  const attune::device_lm_head_gradients<bfloat16> gradients{.hidden = seen(d_hidden, rows, features), .weight = seen(d_weight, classes, features)};
  const auto h = seen(hidden, rows, features), w = seen(weight, classes, features);
  const auto y = seen(targets, rows);
  const auto l = seen(logps, rows);
  const auto s = seen(states, rows);
  counter.expect("lm_head_logps, 3 chunks", {.launches = 3 * (1 + 2)}, [&] { attune::lm_head_logps(policy, counted_gemm{stream}, h, w, y, l, s, workspace); });
  counter.expect("lm_head_gradient, 3 chunks", {.launches = 3 * (3 + 1)}, [&] { attune::lm_head_gradient(policy, counted_gemm{stream}, h, w, y, s, l, gradients, workspace); });
  counter.expect("lm_head_fused, 3 chunks", {.launches = 3 * (3 + 4)}, [&] { attune::lm_head_fused(policy, counted_gemm{stream}, h, w, y, minus_one{}, l, gradients, workspace); });
}
/// Whether a product on another stream than the policy's is refused.
bool refuses_another_stream(cudaStream_t stream) {
  const memory<float> x(64);
  const memory<std::byte> scratch(1 << 12);
  const auto m = seen(x, 8, 8);
  const auto nothing = [](const attune::lm_head_chunk<float>&) {};
  try {
    attune::lm_head_visit(thrust::cuda::par_nosync.on(stream), counted_gemm{nullptr}, m, m, nothing, {},
                          attune::device_lm_head_workspace<float>{.rows = 2, .memory = seen(scratch, 1 << 12)});
  } catch (const attune::error& e) {
    return std::string(e.what()) == "another stream";
  }
  return false;
}

/// Whether a checked call on each kind of policy refuses memory of the host.
bool refuses_memory_of_the_host(const auto& policy) {
  const memory<attune::bfloat16> logits(64);
  const memory<std::int32_t> targets(8);
  const memory<attune::row_state> states(8);
  const memory<std::byte> scratch(1 << 12);
  float on_host[8];
  try {
    attune::token_logps(policy, seen(logits, 8, 8), seen(targets, 8), attune::view<float, 1, attune::device>(on_host, {8}), seen(states, 8),
                        {.workspace = seen(scratch, 1 << 12), .checked = true});
  } catch (const attune::error& e) {
    return std::string(e.what()) == "attune: logps lies in the host's memory; expected memory of the current device";
  }
  return false;
}

/// attune's functions on a stream, and a whole step of DPO on the policy's logits: what their documentation says, and nothing that waits.
void library(attune_test::launch_counter& counter, cudaStream_t stream) {
  using attune::bfloat16;
  constexpr std::int64_t rows = 8, classes = 1000, pairs = 2;
  const memory<bfloat16> logits(rows * classes), reference(rows * classes);
  const memory<std::int32_t> targets(rows);
  const memory<float> logps(rows), values(rows), sums(2 * pairs), slopes(2 * pairs);
  const memory<attune::row_state> states(rows);
  const memory<std::byte> workspace(1 << 20);
  const memory<attune::report> report(1);
  const memory<attune::policy_report> token_report(1);
  const auto policy = thrust::cuda::par_nosync.on(stream);
  const attune::device_row_options o{.workspace = seen(workspace, 1 << 20)};
  const auto matrix = seen(logits, rows, classes);

  const auto token_logps = [&] { attune::token_logps(policy, matrix, seen(targets, rows), seen(logps, rows), seen(states, rows), o); };
  const auto evaluate_pairs = [&](const attune::device_options& how) {
    const auto half = [&](const memory<float>& x, int which) { return attune::view<float, 1, attune::device>(x.data + which * pairs, {pairs}); };
    attune::evaluate(policy, attune::dpo{}, attune::pairs<float, attune::device>{.chosen = half(sums, 0), .rejected = half(sums, 1), .ref_chosen = half(values, 0), .ref_rejected = half(values, 1)},
                     {.chosen = half(slopes, 0), .rejected = half(slopes, 1)}, how);
  };
  const auto sequence_sums = [&] { attune::sequence_logps(policy, seen(logps, 2 * pairs, rows / (2 * pairs)), {}, seen(sums, 2 * pairs)); };
  const auto gradient = [&] {
    attune::logits_gradient(policy, matrix, seen(targets, rows), seen(states, rows),
                            attune::sequence_coefficients<float>{.values = seen(slopes, 2 * pairs), .rows_per_sequence = rows / (2 * pairs)}, matrix, o);
  };
  counter.expect("token_logps", {.launches = 2}, token_logps);
  counter.expect("evaluate on pairs, and its report", {.launches = 3}, [&] { evaluate_pairs({.workspace = seen(workspace, 1 << 20), .report = seen(report, 1)}); });
  counter.expect("a step of DPO: logits to logits", {.launches = 5}, [&] { token_logps(), sequence_sums(), evaluate_pairs({}), gradient(); });
  counter.expect("row_divergence, value", {.launches = 2}, [&] {
    attune::row_divergence(policy, attune::divergence::forward_kl{}, matrix, seen(reference, rows, classes), seen(values, rows), {}, {}, {.workspace = seen(workspace, 1 << 20)});
  });
  counter.expect("soft_update", {.launches = 1}, [&] { attune::soft_update(policy, seen(values, rows), seen(logps, rows), 0.01); });
  counter.expect("evaluate on tokens, and its report", {.launches = 6}, [&] {
    attune::evaluate(policy, attune::ppo{}, attune::tokens<float, attune::device>{.logp = seen(logps, 2, rows / 2), .old_logp = seen(values, 2, rows / 2), .advantage = seen(sums, 2)},
                     {.logp = seen(values, 2, rows / 2)}, {.workspace = seen(workspace, 1 << 20), .report = seen(token_report, 1)});
  });
}

/// The same step by attune's own kernels.
void kernels(attune_test::launch_counter& counter, cudaStream_t stream) {
  using attune::bfloat16;
  constexpr std::int64_t rows = 8, classes = 128256, pairs = 2, length = rows / (2 * pairs);
  const memory<bfloat16> logits(rows * classes);
  const memory<std::int32_t> targets(rows);
  const memory<float> logps(rows), reference(2 * pairs), slopes(2 * pairs);
  const memory<attune::row_state> states(rows);
  const memory<std::byte> workspace(1 << 16);
  const memory<attune::report> report(1);
  const attune::cuda policy{stream};
  const auto matrix = seen(logits, rows, classes);
  const auto half = [&](const memory<float>& x, int which) { return attune::view<float, 1, attune::device>(x.data + which * pairs, {pairs}); };

  const auto token_logps = [&] { attune::token_logps(policy, matrix, seen(targets, rows), seen(logps, rows), seen(states, rows)); };
  const auto loss = [&](const attune::device_options& how) {
    attune::sequence_loss(policy, attune::dpo{}, seen(logps, 2 * pairs, length), {}, {.ref_chosen = half(reference, 0), .ref_rejected = half(reference, 1)},
                          {.chosen = half(slopes, 0), .rejected = half(slopes, 1)}, how);
  };
  const auto gradient = [&] {
    attune::logits_gradient(policy, matrix, seen(targets, rows), seen(states, rows),
                            attune::sequence_coefficients<float>{.values = seen(slopes, 2 * pairs), .rows_per_sequence = length}, matrix);
  };
  counter.expect("sequence_loss, and its report", {.launches = 3}, [&] { loss({.workspace = seen(workspace, 1 << 16), .report = seen(report, 1)}); });
  counter.expect("a step of DPO by kernels", {.launches = 3}, [&] { token_logps(), loss({}), gradient(); });
}

/// Budgets that are not kept: every one must fail, in both calls. Returns how many failures that makes.
int planted(attune_test::launch_counter& counter, cudaStream_t stream) {
  const memory<float> x(32);
  const auto nosync = thrust::cuda::par_nosync.on(stream);
  const auto first = thrust::make_counting_iterator(0);
  const auto kernel = [&] { one_kernel<<<1, 32, 0, stream>>>(x.data); };
  void* leaked[2];
  int leaks = 0;
  counter.expect("none", {}, kernel);
  counter.expect("two", {.launches = 2}, kernel);
  counter.expect("another stream", {.launches = 1}, [&] { one_kernel<<<1, 32>>>(x.data); });
  counter.expect("par waits", {.launches = 1}, [&] { thrust::for_each_n(thrust::cuda::par.on(stream), first, 32, doubled{x.data}); });
  counter.expect("transform_reduce waits and allocates", {.launches = 1},
                 [&] { thrust::transform_reduce(nosync, x.data, x.data + 32, square{}, 0.0f, thrust::plus<float>()); });
  counter.expect("an event waits", {.launches = 1}, [&] { kernel(), cudaEventSynchronize(nullptr); });
  counter.expect("not freed", {.allocations = 1}, [&] { cudaMalloc(&leaked[leaks++], 64); });
  counter.expect("too many threads", {.launches = 1}, [&] { one_kernel<<<1, 2048, 0, stream>>>(x.data); });
  counter.expect("too many rows", {.launches = 1}, [&] { one_kernel<<<dim3(1, 65536), 32, 0, stream>>>(x.data); });
  counter.expect("too much shared memory", {.launches = 1}, [&] { one_kernel<<<1, 32, 49 << 10, stream>>>(x.data); });
  counter.expect("nothing to do", {.launches = 1}, [&] { one_kernel<<<0, 32, 0, stream>>>(x.data); });
  while (leaks > 0) cudaFree(leaked[--leaks]);
  return 2 * 11;
}

bool failed(const char* what) { return std::printf("FAILED: %s\n", what) > 0; }

}  // namespace

int main() {
  cudaStream_t stream = nullptr;
  cudaStreamCreate(&stream);
  attune_test::launch_counter counter(stream), wrong(stream, true);
  if (!counter.counts()) return failed("the substitute runtime is not there; expected LD_PRELOAD to name it");
  known_costs(counter, stream);
  library(counter, stream);
  kernels(counter, stream);
  lm_head(counter, stream);
  bool bad = counter.failures() > 0;
  if (!refuses_another_stream(stream)) bad = failed("a product on another stream was accepted");
  if (!refuses_memory_of_the_host(thrust::cuda::par_nosync.on(stream)) || !refuses_memory_of_the_host(attune::cuda{stream})) bad = failed("memory of the host was accepted");
  const int expected = planted(wrong, stream);
  if (wrong.failures() != expected) bad = failed("a planted budget was accepted");
  one_kernel<<<1, 1, 0, stream>>>(nullptr);
  if (counter.last_kernel().find("one_kernel(float") == std::string::npos) bad = failed("the kernel's name is not its own");
  cudaStreamDestroy(stream);
  std::printf("%d of %d planted calls rejected\n", wrong.failures(), expected);
  return bad;
}
