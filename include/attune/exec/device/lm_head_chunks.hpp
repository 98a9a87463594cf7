// SPDX-License-Identifier: MIT
// What the LM head on a device (exec/device/lm_head.hpp) is given: the product, memory, which rows in which chunks; and what a visitor of chunks gets.
//
// How many rows. A chunk reads the weight once for each of its products, whatever its number R of rows; with 2 R H V operations beside b H V bytes, a product
// is as long in arithmetic as in memory at R = b/2 (operations per second) / (bytes per second): 270 rows of 16-bit weights on an H100. Far below, the whole
// takes as long as that reading, N/R times. The weight's gradient is read and written in float, 8 bytes an element, by every chunk: that is as long as its
// product at some 1,000 rows, and a quarter of it at 4,096. Above, memory is all that grows.
#pragma once

#include <attune/exec/device/row_sums.hpp>  // lanes_log2, lane_sum
#include <attune/rows/lm_head_chunks.hpp>   // rows_of
#include <attune/rows/row_state.hpp>

#include <span>

namespace attune {

/// A matrix product on views of device memory: gemm(c, a, b, accumulate) is c = a b, or c += a b, as a matrix_product of the host (rows/lm_head_chunks.hpp),
/// whose rules hold; but both factors are of type T, the gradient with respect to logits too, as the matrix units of devices take them. It queues its work
/// on the stream of the policy beside it, and need not have done it when it returns. T: of hidden states and weight. L: of a chunk's logits.
///   logits           c L, of T and T
///   hidden gradient  c T, of T and T
///   weight gradient  c float (double for double), of T and T, accumulated
/// Members that it may have: validate(c, a, b), as on the host; require_stream(stream), which throws if it works on another one than the policy, where that
/// is known (attune::cuda, thrust::cuda's).
template <class G, class T, class L = T>
concept device_matrix_product = storage<T> && storage<L> &&
                                requires(G& gemm, const view<L, 2, device>& logits, const view<const T, 2, device>& factor, const view<T, 2, device>& hidden,
                                         const view<arithmetic<T>, 2, device>& weight) {
                                  gemm(logits, factor, factor, false);
                                  gemm(hidden, factor, factor, false);
                                  gemm(weight, factor, factor, true);
                                };

/// Where an LM head's gradients go on a device. What is left out is not computed.
template <storage T> struct device_lm_head_gradients {
  view<T, 2, device> hidden{};              ///< [N, H]: d loss / d hidden, written, in the type in which the layers below go on
  view<arithmetic<T>, 2, device> weight{};  ///< [V, H]: d loss / d weight, added to what is there. Set it to 0 before the first call of a step
};

/// The memory in which an LM head works on a device. L: what a chunk's logits are stored in, the type T of the hidden states or its arithmetic type. 16-bit
/// logits have a relative error of 2^-9 (bfloat16; float16: 2^-12, infinite beyond 65504) each, so log-probabilities are good to some 1e-2; float ones take,
/// with a gradient, three times the memory, because its factor is rounded to T beside them.
template <storage L> struct device_lm_head_workspace {
  std::int64_t rows;                  ///< R >= 1, rows of a chunk; lm_head_chunk_rows advises
  view<std::byte, 1, device> memory;  ///< contiguous, aligned to 16 bytes, of device_lm_head_bytes<T, L>(R, V) or more
};

/// Rows first .. first + count - 1.
struct row_run {
  std::int64_t first, count;
};

/// Which rows an LM head on a device visits and where its chunks may end, which the host has to know: masks in device memory it cannot read. Left at its
/// defaults, all N rows, anywhere.
struct lm_head_rows {
  std::span<const row_run> runs{};             ///< in ascending order, apart; none: all rows. Nothing of other rows is read or written. Each begins a chunk
  std::int64_t rows_per_sequence = 1;          ///< so many rows of a run stay together: a sequence; for losses of pairs both sequences, side by side
  std::span<const std::int64_t> offsets{};     ///< or, instead of both: rows offsets[s] .. offsets[s + 1] - 1 stay together; none outside are visited
};

/// The bytes of device_lm_head_workspace.memory for chunks of that many rows: the logits, lines begun at multiples of 16 bytes; what token_logps needs for
/// them; a state and a coefficient each; if T is not L, their gradient rounded to T (not needed by lm_head_logps, nor where no gradient is wanted).
template <storage T, storage L = T> std::int64_t device_lm_head_bytes(std::int64_t rows, std::int64_t classes, bool with_gradient = true);

/// Advice for the rows of a chunk of a batch of `rows` rows: 4096, or as many as have logits of type L within `room` bytes, in multiples of 128; but 1024 or
/// more (see above), and no more than there are. A visitor of sequences needs whole ones: round up to a multiple of theirs.
template <storage L> std::int64_t lm_head_chunk_rows(std::int64_t rows, std::int64_t classes, std::int64_t room = 1'100'000'000) {
  const std::int64_t fitting = room / (std::int64_t(sizeof(L)) * (classes > 0 ? classes : 1)) / 128 * 128;
  const std::int64_t advised = fitting < 1024 ? 1024 : fitting < 4096 ? fitting : 4096;
  return rows < 1 ? 1 : rows < advised ? rows : advised;
}

/// A chunk as lm_head_visit shows it. Everything is on the device, and may be used by what is queued on the policy's stream during the visit.
template <storage L> struct lm_head_chunk {
  std::int64_t first, count;               ///< rows first .. first + count - 1 of the batch
  view<L, 2, device> logits;               ///< [count, V]; where a gradient is wanted, the visitor leaves d loss / d logits there, every element of it
  view<row_state, 1, device> states;       ///< [count], for token_logps to write and logits_gradient to read
  view<std::byte, 1, device> workspace;    ///< for token_logps on these logits (device_row_options.workspace), without statistics

  /// Of [N] numbers, or one for every rows_each rows: those of this chunk.
  template <tensor X> auto of(X&& x, std::int64_t rows_each = 1) const {
    return detail::rows_of(as_view(static_cast<X&&>(x)), first / rows_each, count / rows_each);
  }
  /// Of [N] numbers those of this chunk, as sequences [count / length, length].
  template <tensor X> auto sequences(X&& x, std::int64_t length) const {
    const auto each = of(static_cast<X&&>(x));
    return view<typename decltype(each)::element, 2, device>(each.data(), {count / length, length}, {length * each.stride(0), each.stride(0)});
  }
};

namespace detail {

constexpr std::int64_t in_words(std::int64_t bytes) { return (bytes + 15) / 16 * 16; }

/// What of the workspace of an LM head lies where.
template <class T, class L> struct chunk_memory {
  using A = arithmetic<T>;
  static_assert(std::same_as<L, T> || std::same_as<L, A>, "attune: logits of an LM head are of the type of its hidden states, or of its arithmetic type");
  std::int64_t logits_line, factor_line, logits, factor, lanes, states, coefficients, bytes;  // bytes, and bytes from the begin

  chunk_memory(std::int64_t rows, std::int64_t classes, bool with_gradient)
      : logits_line(in_words(classes * std::int64_t(sizeof(L)))),
        factor_line(std::same_as<T, L> || !with_gradient ? 0 : in_words(classes * std::int64_t(sizeof(T)))),
        logits(0),
        factor(logits + rows * logits_line),
        lanes(factor + rows * factor_line),
        states(lanes + lanes_bytes(rows, classes)),
        coefficients(states + in_words(rows * std::int64_t(sizeof(row_state)))),
        bytes(coefficients + in_words(rows * std::int64_t(sizeof(A))) + report_bytes) {}

  static constexpr std::int64_t report_bytes = in_words(sizeof(row_report));
  /// As token_logps_workspace<L>.
  static std::int64_t lanes_bytes(std::int64_t rows, std::int64_t classes) {
    return in_words((rows << lanes_log2(classes, sizeof(L))) * std::int64_t(sizeof(lane_sum<A>)));
  }
};

}  // namespace detail

template <storage T, storage L> std::int64_t device_lm_head_bytes(std::int64_t rows, std::int64_t classes, bool with_gradient) {
  return detail::chunk_memory<T, L>(rows, classes, with_gradient).bytes;
}

}  // namespace attune
