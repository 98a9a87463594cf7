// SPDX-License-Identifier: MIT
// attune::cuda. Where there is a GPU: the cases of kernel_cases.hpp on it, those of the emulated test. Under the substitute runtime (fake_runtime.cpp):
// what each call launches, and that it neither waits, allocates nor copies. Else 77: compiled and linked.
#include <attune/backend/cuda.hpp>

#include "kernel_cases.hpp"
#include "launch_budget.hpp"

namespace {

void require(cudaError_t status) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(status));
  std::exit(1);
}

struct gpu {
  static constexpr std::int64_t classes[] = {1000, 1003, 50257}, large[] = {20000, 32000, 128256, 151936, 170000};
  static inline cudaStream_t stream = nullptr;
  attune::cuda policy() const { return {stream}; }

  template <class T> class memory {
   public:
    explicit memory(const std::vector<T>& x) : size_(x.size()) {
      if (size_ > 0) require(cudaMalloc(reinterpret_cast<void**>(&data_), size_ * sizeof(T)));
      if (size_ > 0) require(cudaMemcpy(data_, x.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
    }
    memory(const memory&) = delete;
    ~memory() { cudaFree(data_); }
    T* data() { return data_; }
    std::size_t size() const { return size_; }
    std::vector<T> host() const {
      require(cudaStreamSynchronize(stream));
      std::vector<T> x(size_);
      if (size_ > 0) require(cudaMemcpy(x.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
      return x;
    }

   private:
    T* data_ = nullptr;
    std::size_t size_;
  };
};

using attune::device;
using attune::view;

template <class T> void count_launches(attune_test::launch_counter& counter, cudaStream_t stream) {
  using A = attune::arithmetic<T>;
  constexpr std::int64_t n = 4, v = 128256;
  const attune::cuda policy{stream};
  gpu::memory<T> logits(std::vector<T>(std::size_t(n * v))), teacher(std::vector<T>(std::size_t(n * v)));
  gpu::memory<A> numbers{std::vector<A>(std::size_t(n))};
  gpu::memory<attune::row_state> states{std::vector<attune::row_state>(std::size_t(n))};
  gpu::memory<std::int32_t> labels{std::vector<std::int32_t>(std::size_t(n))};
  gpu::memory<attune::row_report> report{std::vector<attune::row_report>(1)};
  const view<T, 2, device> x(logits.data(), {n, v}, {v, 1});
  const view<const T, 2, device> target(teacher.data(), {n, v});
  const view<A, 1, device> logps(numbers.data(), {n});
  const view<const A, 1, device> c(numbers.data(), {n});
  const view<attune::row_state, 1, device> state(states.data(), {n});
  const view<const std::int32_t, 1, device> y(labels.data(), {n});
  const attune::device_row_options reported{.report = view<attune::row_report, 1, device>(report.data(), {1})};
  const auto objective = attune::row_objective(attune::ppo{}, n, attune::token_rows<A>{.old_logp = c, .advantage = c});
  counter.expect("token_logps", {.launches = 1}, [&] { attune::token_logps(policy, x, y, logps, state); });
  counter.expect("token_logps with statistics and report", {.launches = 2}, [&] { attune::token_logps(policy, x, y, logps, state, reported, {.entropies = logps}); });
  counter.expect("logits_gradient in place", {.launches = 1}, [&] { attune::logits_gradient(policy, x, y, state, c, x); });
  counter.expect("logits_gradient, a coefficient a sequence", {.launches = 1}, [&] {
    attune::logits_gradient(policy, x, y, state, attune::sequence_coefficients<A>{.values = c, .rows_per_sequence = 1}, x);
  });
  std::vector<gpu::memory<float>*> masters;
  std::vector<gpu::memory<T>*> weights;
  std::vector<attune::device_model_tensor<float, T>> model;
  for (std::size_t i = 0; i < 100; ++i) {
    masters.push_back(new gpu::memory<float>(std::vector<float>(5))), weights.push_back(new gpu::memory<T>(std::vector<T>(5)));
    model.push_back({view<float, 1, device>(masters[i]->data(), {5}), view<const T, 1, device>(weights[i]->data(), {5})});
  }
  counter.expect("soft_update of a tensor", {.launches = 1}, [&] { attune::soft_update(policy, model[0].reference, model[0].policy, 0.5); });
  counter.expect("soft_update of 100 tensors", {.launches = 3}, [&] { attune::soft_update(policy, model, 0.5); });
  for (std::size_t i = 0; i < 100; ++i) delete masters[i], delete weights[i];
  counter.expect("row_divergence, value", {.launches = 1}, [&] { attune::row_divergence(policy, attune::divergence::forward_kl{}, x, target, logps); });
  counter.expect("row_divergence, value and gradient", {.launches = 1}, [&] { attune::row_divergence(policy, attune::divergence::forward_kl{}, x, target, logps, x, c); });
  counter.expect("fused_logits_gradient", {.launches = 1}, [&] { attune::fused_logits_gradient(policy, x, y, objective, logps, x); });
}

/// `checked` tells memory of the host, or of another device, from that of the current device.
void expect_memory_of_another_refused(cudaStream_t stream) {
  attune_test::situation = "memory of another";
  const auto refusal = [](cudaMemoryType type, int device, bool reads_host) {
    cudaPointerAttributes memory{};
    memory.type = type;
    memory.device = device;
    return attune::detail::refusal_of(memory, 0, reads_host);
  };
  for (const cudaMemoryType type : {cudaMemoryTypeDevice, cudaMemoryTypeManaged, cudaMemoryTypeHost}) ATTUNE_EXPECT(refusal(type, 0, false).empty());
  ATTUNE_EXPECT(refusal(cudaMemoryTypeManaged, 1, false).empty());
  ATTUNE_EXPECT(refusal(cudaMemoryTypeUnregistered, -2, true).empty());
  ATTUNE_EXPECT(refusal(cudaMemoryTypeUnregistered, -2, false) == "in the host's memory; expected memory of the current device");
  ATTUNE_EXPECT(refusal(cudaMemoryTypeDevice, 1, true) == "on device 1; expected memory of the current one, device 0");

  constexpr std::int64_t n = 2;
  gpu::memory<float> on_device{std::vector<float>(2 * n)};
  gpu::memory<std::int32_t> labels{std::vector<std::int32_t>(n)};
  gpu::memory<attune::row_state> states{std::vector<attune::row_state>(n)};
  gpu::memory<std::byte> workspace{std::vector<std::byte>(std::size_t(attune::evaluate_workspace(n)))};
  std::vector<float> on_host(2 * n);
  const auto numbers = [](float* x) { return view<float, 1, device>(x, {n}); };
  const view<float, 1, device> here = numbers(on_device.data()), elsewhere = numbers(on_host.data());
  const view<const float, 2, device> logits(on_device.data(), {n, 2}, {2, 1}), logits_elsewhere(on_host.data(), {n, 2}, {2, 1});
  const auto rows = [&](const view<const float, 2, device>& x, const view<float, 1, device>& logps, bool checked) {
    return attune_test::error_text([&] {
      attune::token_logps(attune::cuda{stream}, x, view<const std::int32_t, 1, device>(labels.data(), {n}), logps, view<attune::row_state, 1, device>(states.data(), {n}), {.checked = checked});
    });
  };
  const auto pairs = [&](const view<const float, 1, device>& chosen, const view<float, 1, device>& gradient) {
    return attune_test::error_text([&] {
      attune::evaluate(attune::cuda{stream}, attune::dpo{}, attune::pairs<float, device>{.chosen = chosen, .rejected = here, .ref_chosen = here, .ref_rejected = here}, {.chosen = gradient, .rejected = here},
                       {.workspace = view<std::byte, 1, device>(workspace.data(), {attune::evaluate_workspace(n)}), .checked = true});
    });
  };
  ATTUNE_EXPECT(attune_test::contains(rows(logits_elsewhere, here, true), "attune: logits lies in the host's memory; expected memory of the current device"));
  ATTUNE_EXPECT(attune_test::contains(rows(logits, elsewhere, true), "attune: logps lies in the host's memory"));
  ATTUNE_EXPECT(!attune_test::contains(rows(logits, here, true), "lies"));
  ATTUNE_EXPECT(!attune_test::contains(rows(logits, here, false), "lies"));
  ATTUNE_EXPECT(attune_test::contains(pairs(elsewhere, here), "attune: pairs.chosen lies in the host's memory"));
  ATTUNE_EXPECT(attune_test::contains(pairs(here, elsewhere), "attune: pair_gradients lies in the host's memory"));
}

int count_launches() {
  cudaStream_t stream = nullptr;
  cudaStreamCreate(&stream);
  attune_test::launch_counter counter(stream), wrong(stream, true);
  count_launches<float>(counter, stream);
  count_launches<attune::bfloat16>(counter, stream);
  wrong.expect("planted: the stream is not the call's", {.launches = 1}, [&] { attune::detail::launch(attune::cuda{}, 1, attune::detail::begin_report{}); });
  // A launch that CUDA refuses is an error that names the call; and rows that do not fit into a grid are refused before.
  const auto refusal = [&](const attune::detail::block_grid& grid) {
    return attune_test::error_text([&] { launch_blocks(attune::cuda{stream}, grid, attune::detail::token_logps_block<float, false>{}); });
  };
  attune_test::situation = "refused launches";
  ATTUNE_EXPECT(attune_test::contains(refusal({"token_logps", 1, 1, 2048, 1}), "attune: token_logps: cudaLaunchKernelEx: "));
  ATTUNE_EXPECT(attune_test::contains(refusal({"token_logps", std::int64_t{1} << 31, 1, 64, 1}), "was given 2147483648 rows; expected 2147483647 or fewer"));
  ATTUNE_EXPECT(wrong.failures() == 2);
  expect_memory_of_another_refused(stream);
  cudaStreamDestroy(stream);
  return counter.failures() + attune_test::failures;
}

}  // namespace

namespace {

/// `work` queued, and then replayed from a CUDA graph into the same memory: `result` has the same bits, also when what it reads has changed in between.
template <class Work, class T> void expect_same_from_graph(const char* name, gpu::memory<T>& given, const std::vector<T>& first, const std::vector<T>& second, const Work& work,
                                                           const gpu::memory<T>& result) {
  attune_test::situation = std::string("a CUDA graph of ") + name;
  const auto give = [&](const std::vector<T>& x) { require(cudaMemcpy(given.data(), x.data(), x.size() * sizeof(T), cudaMemcpyHostToDevice)); };
  std::vector<T> expected[2];
  for (const int k : {0, 1}) {
    give(k == 0 ? first : second);
    work();
    expected[k] = result.host();
  }
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t program = nullptr;
  require(cudaStreamBeginCapture(gpu::stream, cudaStreamCaptureModeGlobal));
  work();
  require(cudaStreamEndCapture(gpu::stream, &graph));
  require(cudaGraphInstantiate(&program, graph, 0));
  for (const int k : {0, 1}) {
    give(k == 0 ? first : second);
    require(cudaGraphLaunch(program, gpu::stream));
    ATTUNE_EXPECT(attune_test::same_bits(result.host(), expected[k]));
  }
  ATTUNE_EXPECT(!attune_test::same_bits(expected[0], expected[1]));
  cudaGraphExecDestroy(program);
  cudaGraphDestroy(graph);
}

/// A step of DPO, and the calls that run in clusters, from logits to their gradient in place.
void about_graphs() {
  constexpr std::int64_t pairs = 3, length = 5, rows = 2 * pairs * length, classes = 32000;
  const auto logits = [](unsigned seed) { return attune_test::normals<float>(rows * classes, 3, seed); };
  const std::vector<float> first = logits(1), second = logits(2);
  gpu::memory<float> x(first), teacher(logits(3)), logps{std::vector<float>(rows)}, references(std::vector<float>(2 * pairs, -50)), slopes{std::vector<float>(2 * pairs)};
  gpu::memory<float> coefficients(std::vector<float>(rows, 0.5f));
  gpu::memory<attune::row_state> states{std::vector<attune::row_state>(rows)};
  gpu::memory<std::int32_t> labels(std::vector<std::int32_t>(rows, 7));
  const view<float, 2, device> matrix(x.data(), {rows, classes});
  const view<const float, 2, device> target(teacher.data(), {rows, classes});
  const view<float, 1, device> l(logps.data(), {rows});
  const view<const float, 1, device> c(coefficients.data(), {rows});
  const view<attune::row_state, 1, device> s(states.data(), {rows});
  const view<const std::int32_t, 1, device> y(labels.data(), {rows});
  const auto half = [&](auto& all, int k) { return view<float, 1, device>(all.data() + k * pairs, {pairs}); };
  const attune::cuda policy{gpu::stream};
  expect_same_from_graph("a step of DPO", x, first, second, [&] {
    attune::token_logps(policy, matrix, y, l, s);
    attune::sequence_loss(policy, attune::dpo{}, view<const float, 2, device>(logps.data(), {2 * pairs, length}), {},
                          attune::pairs<float, device>{.ref_chosen = half(references, 0), .ref_rejected = half(references, 1)}, {.chosen = half(slopes, 0), .rejected = half(slopes, 1)});
    attune::logits_gradient(policy, matrix, y, s, attune::sequence_coefficients<float>{.values = view<const float, 1, device>(slopes.data(), {2 * pairs}), .rows_per_sequence = length}, matrix);
  }, x);
  expect_same_from_graph("row_divergence", x, first, second, [&] { attune::row_divergence(policy, attune::divergence::forward_kl{}, matrix, target, l, matrix, c); }, x);
  const auto objective = attune::row_objective(attune::ppo{}, rows, attune::token_rows<float>{.old_logp = c, .advantage = c});
  expect_same_from_graph("fused_logits_gradient", x, first, second, [&] { attune::fused_logits_gradient(policy, matrix, y, objective, l, matrix); }, x);
}

}  // namespace

/// With an argument: a part that a checker, which is slow, gets done.
int main(int arguments, char**) {
  if (attune_test::launch_counter(nullptr).counts()) return count_launches() == 0 ? 0 : 1;
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: compiled and linked; there is no GPU to run on");
    return 77;
  }
  require(cudaStreamCreate(&gpu::stream));
  if (arguments > 1) attune_test::kernel_cases<gpu, float>{}.about_rows_not_read(), attune_test::kernel_cases<gpu, attune::bfloat16>{}.about_fused_order();
  if (arguments == 1) about_graphs();
  const int failed = arguments > 1 ? attune_test::failures : attune_test::run_kernel_cases<gpu>();
  std::printf("%d failures\n", failed);
  return failed == 0 ? 0 : 1;
}
