// SPDX-License-Identifier: MIT
// Thrust's systems for the host (CPP, OMP, TBB) give the same bits, since each gives those of CPP: one program for each of them.
#include "thrust_support.hpp"

#include <attune/divergence/jensen_shannon.hpp>

#include "support/catch.hpp"

#if THRUST_DEVICE_SYSTEM != THRUST_DEVICE_SYSTEM_CUDA

using namespace attune_test;
using attune::bfloat16;
using attune::row_report;
using attune::row_state;

namespace {

template <class T> void append(std::vector<std::byte>& bytes, const thrust::device_vector<T>& x) {
  const std::vector<T> y = on_host(x);
  const auto* begin = reinterpret_cast<const std::byte*>(y.data());
  bytes.insert(bytes.end(), begin, begin + y.size() * sizeof(T));
}

/// Everything that a step of training asks for, with many more rows than there are threads: all of the results.
std::vector<std::byte> bytes_of_a_step(const auto& policy) {
  constexpr std::int64_t rows = 120, classes = 1003, sequences = 12;
  std::vector<std::byte> result;
  device_matrix<bfloat16> distillation({}, rows, classes);
  device_matrix<bfloat16> logits(normals<bfloat16>(rows * classes, 3, 5), rows, classes);
  device_matrix<bfloat16> teacher(normals<bfloat16>(rows * classes, 3, 6), rows, classes);
  const auto y = labels(rows, classes, 7);
  const thrust::device_vector<std::int32_t> targets(y.begin(), y.end());
  std::vector<std::uint8_t> bytes(std::size_t(rows), 1);
  bytes[7] = bytes[50] = 0;
  const thrust::device_vector<std::uint8_t> mask(bytes.begin(), bytes.end());
  thrust::device_vector<std::byte> workspace(
      std::size_t(attune::token_logps_workspace<bfloat16>(rows, classes, true) + attune::row_divergence_workspace<bfloat16>(rows, classes)));
  thrust::device_vector<float> logps(rows), entropies(rows), values(rows), sums(sequences);
  thrust::device_vector<row_state> states(rows);
  thrust::device_vector<std::int64_t> argmax(rows);
  thrust::device_vector<row_report> report(1);
  attune::device_row_options o{.mask = mask, .workspace = workspace, .report = report, .checked = true};

  attune::token_logps(policy, logits.matrix(), targets, logps, states, o, {.entropies = entropies, .argmax = argmax});
  append(result, report);
  attune::sequence_logps(policy, as_view(logps.data(), sequences, rows / sequences), as_view(mask.data(), sequences, rows / sequences), sums);
  attune::row_divergence(policy, attune::divergence::jensen_shannon{}, logits.matrix(), teacher.matrix(), values, distillation.matrix(), {},
                         {.mask = mask, .workspace = workspace, .report = report});
  append(result, report);
  attune::logits_gradient(policy, logits.matrix(), targets, states, attune::sequence_coefficients<float>{.values = sums, .rows_per_sequence = rows / sequences},
                          logits.matrix(), o);
  attune::soft_update(policy, as_view(teacher.memory.data(), rows * classes), as_view(logits.memory.data(), rows * classes), 0.1, attune::stochastic_rounding{.seed = 3});
  append(result, logps), append(result, entropies), append(result, states), append(result, argmax), append(result, values), append(result, sums);
  append(result, report), append(result, logits.memory), append(result, teacher.memory), append(result, distillation.memory);
  return result;
}

}  // namespace

TEST_CASE("Thrust systems: the same bits on each, and again", "[thrust]") {
  const auto given = bytes_of_a_step(thrust::device);
  CHECK(given.size() > 480000);
  CHECK(given == bytes_of_a_step(thrust::device));
  CHECK(given == bytes_of_a_step(thrust::cpp::par));
}

#endif
