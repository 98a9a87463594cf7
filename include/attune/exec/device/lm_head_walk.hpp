// SPDX-License-Identifier: MIT
// The walk over the chunks of an LM head on a device.
#pragma once

#include <attune/exec/device/element_group.hpp>
#include <attune/exec/device/lm_head_checks.hpp>

namespace attune::detail {

/// Rounds the elements of a matrix to another type, four of a row a thread.
template <class From, class To> struct round_elements {
  strided_rows<From> from;
  strided_rows<To> to;
  std::int64_t groups;  ///< of a row

  ATTUNE_FN void operator()(std::int64_t i) const {
    const std::int64_t n = i / groups;
    const int first = static_cast<int>(i % groups) * 4, left = from.columns - first, count = left < 4 ? left : 4;
    element_group<From, 4> x;
    element_group<To, 4> y;
    x.read({from.row(n).data, from.column_stride}, first, count);
    for (int k = 0; k < 4; ++k) y.x[k] = static_cast<To>(x.x[k]);
    y.write({to.row(n).data, to.column_stride}, first, count);
  }
};

/// Calls work(first, count) for the chunks, in ascending order: as long as they may be.
template <class Work> void for_chunks(const lm_head_rows& visited, std::int64_t rows, std::int64_t most, const Work& work) {
  const std::span<const std::int64_t> offsets = visited.offsets;
  for (std::size_t s = 0; s + 1 < offsets.size();) {
    const std::int64_t first = offsets[s];
    while (s + 1 < offsets.size() && offsets[s + 1] - first <= most) ++s;  // at least once: no sequence is longer
    if (offsets[s] > first) work(first, offsets[s] - first);
  }
  if (!offsets.empty()) return;
  const row_run all{0, rows};
  const std::int64_t step = most / visited.rows_per_sequence * visited.rows_per_sequence;
  for (const auto [first, count] : visited.runs.empty() ? std::span<const row_run>(&all, 1) : visited.runs) {
    for (std::int64_t done = 0; done < count; done += step) work(first + done, count - done < step ? count - done : step);
  }
}

/// d loss / d logits as a factor of products, rounded to T if it is of another type.
template <class Policy, class T, class L>
view<const T, 2, device> factor_of(const Policy& policy, const device_lm_head<T, L>& head, const view<L, 2, device>& gradient) {
  const view<T, 2, device> factor = head.factor(gradient.extent(0));
  if constexpr (!std::same_as<T, L>) {
    const int classes = static_cast<int>(head.classes());
    const std::int64_t groups = (classes + 3) / 4;
    launch(policy, gradient.extent(0) * groups,
           round_elements<L, T>{{gradient.data(), gradient.stride(0), 1, classes}, {factor.data(), factor.stride(0), 1, classes}, groups});
  }
  return factor;
}

/// Calls work(chunk) for every chunk, between the product that makes its logits and those of the gradients.
template <class Policy, class T, class L, class Gemm, class Work>
void visit_chunks(const Policy& policy, Gemm& gemm, const device_lm_head<T, L>& head, const Work& work) {
  const auto& gradients = head.gradients;
  for_chunks(head.visited, head.rows(), head.workspace.rows, [&](std::int64_t first, std::int64_t count) {
    const lm_head_chunk<L> chunk = head.chunk(first, count);
    const view<const T, 2, device> h = rows_of(head.hidden, first, count);
    gemm(chunk.logits, h, transposed(head.weight), false);
    work(chunk);
    if (!head.with_gradient()) return;
    const view<const T, 2, device> g = factor_of(policy, head, chunk.logits);
    if (!gradients.weight.absent()) gemm(gradients.weight, transposed(g), h, true);
    if (!gradients.hidden.absent()) gemm(rows_of(gradients.hidden, first, count), g, head.weight, false);
  });
}

}  // namespace attune::detail
