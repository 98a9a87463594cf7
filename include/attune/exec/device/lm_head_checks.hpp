// SPDX-License-Identifier: MIT
// An LM head on a device with its memory, and the checks of what it is given.
#pragma once

#include <attune/exec/device/lm_head_chunks.hpp>

namespace attune::detail {

template <class T, class L> struct device_lm_head {
  using A = arithmetic<T>;
  view<const T, 2, device> hidden, weight;
  device_lm_head_gradients<T> gradients;
  device_lm_head_workspace<L> workspace;
  lm_head_rows visited;

  std::int64_t rows() const { return hidden.extent(0); }
  std::int64_t classes() const { return weight.extent(0); }
  bool with_gradient() const { return !gradients.hidden.absent() || !gradients.weight.absent(); }
  chunk_memory<T, L> layout() const { return {workspace.rows, classes(), with_gradient()}; }

  template <class X> X* at(std::int64_t byte) const { return reinterpret_cast<X*>(workspace.memory.data() + byte); }
  view<L, 2, device> logits(std::int64_t count) const { return lines<L>(layout().logits, layout().logits_line, count); }
  /// d loss / d logits in the type of the weight: where it lies, or beside it.
  view<T, 2, device> factor(std::int64_t count) const {
    if constexpr (std::same_as<T, L>) return logits(count);
    else return lines<T>(layout().factor, layout().factor_line, count);
  }
  view<A, 1, device> coefficients(std::int64_t count) const { return {at<A>(layout().coefficients), {count}}; }
  view<row_report, 1, device> report() const { return {at<row_report>(layout().bytes - layout().report_bytes), {1}}; }
  lm_head_chunk<L> chunk(std::int64_t first, std::int64_t count) const {
    const chunk_memory<T, L> m = layout();
    return {first, count, logits(count), {at<row_state>(m.states), {count}}, {at<std::byte>(m.lanes), {m.states - m.lanes}}};
  }

 private:
  template <class X> view<X, 2, device> lines(std::int64_t begin, std::int64_t line, std::int64_t count) const {
    return {at<X>(begin), {count, classes()}, {line / std::int64_t(sizeof(X)), 1}};
  }
};

// ---- the checks

inline void require_runs(std::span<const row_run> runs, std::int64_t rows, std::int64_t together) {
  std::int64_t end = 0;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const auto [first, count] = runs[r];
    if (first < end || count < 0 || count > rows - first || count % together != 0) {
      throw error("attune: lm_head_rows.runs[" + quoted(std::int64_t(r)) + "] is rows from " + quoted(first) + " on, " + quoted(count) +
                  " of them; expected runs in ascending order, apart, within hidden's " + quoted(rows) + " rows, each of whole sequences of " +
                  quoted(together) + " rows");
    }
    end = first + count;
  }
}
inline void require_offsets(std::span<const std::int64_t> offsets, std::int64_t rows, std::int64_t most) {
  for (std::size_t s = 0; s < offsets.size(); ++s) {
    const std::int64_t before = s == 0 ? 0 : offsets[s - 1];
    if (offsets[s] < before || offsets[s] > rows || (s > 0 && offsets[s] - before > most)) {
      throw error("attune: lm_head_rows.offsets[" + quoted(std::int64_t(s)) + "] is " + quoted(offsets[s]) + ", after " + quoted(before) +
                  "; expected ascending ones up to hidden's " + quoted(rows) + " rows, with at most the workspace's " + quoted(most) +
                  " rows from one to the next");
    }
  }
}
inline void require_visited(const lm_head_rows& visited, std::int64_t rows, std::int64_t most) {
  const std::int64_t together = visited.rows_per_sequence;
  if (!visited.offsets.empty()) {
    if (!visited.runs.empty() || together != 1) {
      throw error("attune: lm_head_rows.offsets comes with runs or rows_per_sequence; expected offsets alone, or these");
    }
    return require_offsets(visited.offsets, rows, most);
  }
  if (together < 1 || together > most) {
    throw error("attune: lm_head_rows.rows_per_sequence is " + quoted(together) + "; expected 1 to the workspace's " + quoted(most) + " rows");
  }
  if (visited.runs.empty() && rows % together != 0) {
    throw error("attune: hidden has " + quoted(rows) + " rows; expected a multiple of lm_head_rows.rows_per_sequence = " + quoted(together));
  }
  require_runs(visited.runs, rows, together);
}

template <class T, class L> void require_shapes(const device_lm_head<T, L>& head) {
  const auto &hidden = head.hidden, &weight = head.weight;
  const auto& gradients = head.gradients;
  const auto& memory = head.workspace.memory;
  const std::int64_t features = weight.extent(1), classes = weight.extent(0);
  require_some(features, "the number of weight's columns");
  require_some(classes, "the number of weight's rows (classes)");
  require_some(head.workspace.rows, "device_lm_head_workspace.rows");
  if (classes > std::int64_t{1} << 30) throw error("attune: weight has " + quoted(classes) + " rows (classes); expected 2^30 or fewer");
  require_extent(hidden.extent(1), features, "hidden (in columns)", "weight");
  require_matrix(gradients.hidden, hidden.extent(0), features, "device_lm_head_gradients.hidden", "hidden");
  require_matrix(gradients.weight, classes, features, "device_lm_head_gradients.weight", "weight");
  const std::int64_t bytes = head.layout().bytes;
  if (memory.extent(0) < bytes || misalignment(memory.data()) != 0 || (memory.extent(0) > 1 && memory.stride(0) != 1)) {
    throw error("attune: device_lm_head_workspace.memory has " + quoted(memory.extent(0)) + " bytes; expected " + quoted(bytes) +
                " or more, as device_lm_head_bytes says, contiguous and begun at a multiple of 16");
  }
  const view<std::byte, 2, device> used(memory.data(), {1, bytes});
  require_apart("device_lm_head_workspace.memory", used, hidden, weight, gradients.hidden, gradients.weight);
  require_apart("device_lm_head_gradients.hidden", gradients.hidden, hidden, weight, gradients.weight);
  require_apart("device_lm_head_gradients.weight", gradients.weight, hidden, weight);
}

/// The argument by which stream_of(policy, policy_stream{}) is found for policies of any library.
struct policy_stream {};
template <class P>
  requires requires(const P& policy) { policy.stream; }
auto stream_of(const P& policy, policy_stream) { return policy.stream; }

template <class Policy, class Gemm> void require_stream(const Policy& policy, const Gemm& gemm) {
  if constexpr (requires { gemm.require_stream(stream_of(policy, policy_stream{})); }) gemm.require_stream(stream_of(policy, policy_stream{}));
}
/// Shows gemm the largest product of each kind.
template <class T, class L, class Gemm> void require_products(const device_lm_head<T, L>& head, Gemm& gemm) {
  const std::int64_t count = head.rows() < head.workspace.rows ? head.rows() : head.workspace.rows;
  if (count == 0) return;
  const view<const T, 2, device> h = rows_of(head.hidden, 0, count), g = head.factor(count);
  show(gemm, head.logits(count), h, transposed(head.weight));
  if (!head.gradients.weight.absent()) show(gemm, head.gradients.weight, transposed(g), h);
  if (!head.gradients.hidden.absent()) show(gemm, rows_of(head.gradients.hidden, 0, count), g, head.weight);
}
template <class Policy, class T, class L, class Gemm> void require_lm_head(const Policy& policy, const device_lm_head<T, L>& head, Gemm& gemm) {
  require_shapes(head);
  require_visited(head.visited, head.rows(), head.workspace.rows);
  require_stream(policy, gemm);
  require_products(head, gemm);
}

}  // namespace attune::detail
