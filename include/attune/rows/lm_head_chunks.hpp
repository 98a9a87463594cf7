// SPDX-License-Identifier: MIT
// What the chunked LM head (lm_head.hpp) is given, its checks, and the walk over chunks of rows.
#pragma once

#include <attune/core/matrix.hpp>  // transposed
#include <attune/rows/arguments.hpp>  // require_extent, overlap

#include <cstring>  // memcpy

namespace attune {

/// A matrix product on views, for hidden states and weights of type T, which are read, and results in the arithmetic type A of T:
///
///   gemm(c, a, b, accumulate)     c = a b, or c += a b if `accumulate` is true;     c [M, N], a [M, K], b [K, N];  M, N, K >= 1
///
/// a and b are view<const T, 2> or, for a gradient with respect to logits, view<const A, 2>; c is view<A, 2>. A transposed factor is a view
/// with exchanged strides (blas_layout_of tells which way it lies). The functor has to
/// - add in A or better, also where T is a 16-bit type;
/// - not read c unless `accumulate` is true: workspaces hold anything, also NaN;
/// - give every row of c from the same row of a alone. If its bits do not depend on M either, as those of a plain loop, neither do attune's
///   on the size of a chunk; those of optimised libraries do, in the last places;
/// - read all its operands before it returns, and keep no view.
/// It may have a member `validate(c, a, b)` that throws attune::error for operands it cannot take. It is called for every kind of product
/// (with the extents and strides of its largest one) before anything is written. What gemm itself throws passes through.
template <class G, class T>
concept matrix_product = storage<T> && requires(G& gemm, const view<arithmetic<T>, 2>& c, const view<const T, 2>& a,
                                                const view<const T, 2>& b, const view<const arithmetic<T>, 2>& gradient) {
  gemm(c, a, b, false);
  gemm(c, gradient, b, true);
};

/// The memory in which an LM head works. T: the type of the hidden states. R rows at a time, in a batch with N rows: the logits take R / N of
/// the memory of all of them, and no function here needs more than these two and what gemm itself allocates.
template <storage T> struct lm_head_workspace {
  view<arithmetic<T>, 2> logits;  ///< [R, V], R >= 1: logits of R rows, then their gradient. R is the M of products: some hundreds, for speed
  /// [R, H], optional: where rows that take no part lie between others, the hidden states of R that do are gathered here, so that products
  /// keep their size (a copy of R H elements beside 2 R H V operations). Without it, a chunk ends at the first row that takes no part.
  view<T, 2> hidden{};
};

/// Where an LM head's gradients go. What is left out is not computed: `weight` for a frozen head.
template <storage T> struct lm_head_gradients {
  view<arithmetic<T>, 2> hidden{};  ///< [N, H]: d loss / d hidden, written; exactly 0 in rows that take no part
  view<arithmetic<T>, 2> weight{};  ///< [V, H]: d loss / d weight, added to what is there. Set it to 0 before the first call of a step
};

namespace detail {

template <class T> struct lm_head {
  using A = arithmetic<T>;
  view<const T, 2> hidden, weight;
  lm_head_gradients<T> gradients;
  lm_head_workspace<T> workspace;
};

template <class T, class Space> constexpr view<T, 1, Space> rows_of(const view<T, 1, Space>& x, std::int64_t first, std::int64_t count) {
  return {x.data() + first * x.stride(0), {count}, x.strides()};
}
template <class T, class Space> constexpr view<T, 2, Space> rows_of(const view<T, 2, Space>& m, std::int64_t first, std::int64_t count) {
  return {m.data() + first * m.stride(0), {count, m.extent(1)}, m.strides()};
}

// ---- the checks

template <class T, class Space>
void require_matrix(const view<T, 2, Space>& m, std::int64_t rows, std::int64_t columns, const char* name, const char* source) {
  if (m.absent() || (m.extent(0) == rows && m.extent(1) == columns)) return;
  throw error(std::string("attune: ") + name + " is " + quoted(m.extent(0)) + " x " + quoted(m.extent(1)) + "; expected " + quoted(rows) +
              " x " + quoted(columns) + ", like " + source);
}
inline void require_some(std::int64_t given, const char* what) {
  if (given < 1) throw error(std::string("attune: ") + what + " is " + quoted(given) + "; expected 1 or more");
}

/// [begin, end) of the addresses of a matrix that is not empty.
template <class T, class Space> std::array<std::uintptr_t, 2> addresses(const view<T, 2, Space>& m) {
  std::int64_t low = 0, high = 0;
  for (int r = 0; r < 2; ++r) (m.stride(r) < 0 ? low : high) += (m.extent(r) - 1) * m.stride(r);
  return {reinterpret_cast<std::uintptr_t>(m.data() + low), reinterpret_cast<std::uintptr_t>(m.data() + high + 1)};
}
template <class T, class U, class Space> bool meet(const view<T, 2, Space>& a, const view<U, 2, Space>& b) {
  if constexpr (std::same_as<std::remove_const_t<T>, std::remove_const_t<U>>) {
    return overlap<std::remove_const_t<T>, Space>(a, b);
  } else {
    if (a.size() == 0 || b.size() == 0) return false;
    const auto x = addresses(a), y = addresses(b);
    return x[0] < y[1] && y[0] < x[1];
  }
}
/// Throws if `out`, which is written, shares memory with one of the others.
template <class T, class Space, class... Others> void require_apart(const char* name, const view<T, 2, Space>& out, const Others&... others) {
  require_distinct(out, name);
  if ((meet(out, others) || ...)) {
    throw error(std::string("attune: ") + name + " shares memory with another matrix of the LM head; expected memory of its own");
  }
}

template <class T> void require_shapes(const lm_head<T>& head) {
  const auto &hidden = head.hidden, &weight = head.weight;
  const auto& gradients = head.gradients;
  const auto& workspace = head.workspace;
  const std::int64_t features = weight.extent(1), classes = weight.extent(0);
  require_some(features, "the number of weight's columns");
  require_some(classes, "the number of weight's rows (classes)");
  require_some(workspace.logits.extent(0), "the number of rows of lm_head_workspace.logits");
  require_extent(hidden.extent(1), features, "hidden (in columns)", "weight");
  require_extent(workspace.logits.extent(1), classes, "lm_head_workspace.logits (in columns)", "weight's rows");
  require_matrix(workspace.hidden, workspace.logits.extent(0), features, "lm_head_workspace.hidden", "a chunk of hidden");
  require_matrix(gradients.hidden, hidden.extent(0), features, "lm_head_gradients.hidden", "hidden");
  require_matrix(gradients.weight, classes, features, "lm_head_gradients.weight", "weight");
  require_apart("lm_head_workspace.logits", workspace.logits, hidden, weight, workspace.hidden, gradients.hidden, gradients.weight);
  require_apart("lm_head_workspace.hidden", workspace.hidden, hidden, weight, gradients.hidden, gradients.weight);
  require_apart("lm_head_gradients.hidden", gradients.hidden, hidden, weight, gradients.weight);
  require_apart("lm_head_gradients.weight", gradients.weight, hidden, weight);
}

/// Shows a product to gemm's validate, if it has one. (Not in a generic lambda: nvcc 13 mistakes the requires-expression there.)
template <class Gemm, class C, class A, class B, class Space>
void show(Gemm& gemm, const view<C, 2, Space>& c, const view<const A, 2, Space>& a, const view<const B, 2, Space>& b) {
  if constexpr (requires { gemm.validate(c, a, b); }) gemm.validate(c, a, b);
}

/// Shows gemm the largest product of each kind.
template <class T, class Gemm> void require_products(const lm_head<T>& head, Gemm& gemm) {
  using A = arithmetic<T>;
  const auto &hidden = head.hidden, &weight = head.weight;
  const auto& gradients = head.gradients;
  const auto& workspace = head.workspace;
  const std::int64_t rows = hidden.extent(0), most = workspace.logits.extent(0), count = rows < most ? rows : most;
  const view<A, 2> logits = rows_of(workspace.logits, 0, count);
  const auto show_hidden = [&](const view<const T, 2>& h) {
    show(gemm, logits, h, transposed(weight));
    if (!gradients.weight.absent()) show(gemm, gradients.weight, transposed(view<const A, 2>(logits)), h);
  };
  if (rows == 0) return;
  show_hidden(rows_of(hidden, 0, count));
  if (!workspace.hidden.absent()) show_hidden(rows_of(workspace.hidden, 0, count));
  if (!gradients.hidden.absent()) show(gemm, rows_of(gradients.hidden, 0, count), view<const A, 2>(logits), weight);
}

template <class T, class Gemm> void require_lm_head(const lm_head<T>& head, Gemm& gemm) {
  require_shapes(head);
  require_products(head, gemm);
}
template <class T> void require_some_gradient(const lm_head_gradients<T>& gradients) {
  if (gradients.hidden.absent() && gradients.weight.absent()) {
    throw error("attune: lm_head_gradients has neither hidden nor weight; expected one or both");
  }
}
template <class A, class Index>
void require_tokens(std::int64_t rows, std::int64_t classes, const view<const Index>& targets, const row_options& o) {
  require_row_options<A>(o);
  require_extent(targets.extent(0), rows, "targets", "hidden's rows");
  if (!o.mask.absent()) require_extent(o.mask.extent(0), rows, "row_options.mask", "hidden's rows");
  require_labels(targets, classes, o);
}

// ---- chunks

/// Rows begin .. end - 1 of the batch, of which `count` are active, in `runs` runs of neighbours.
struct row_chunk {
  std::int64_t begin, end, count, runs;
};

/// The chunk from row `begin` on: as many rows as have `most` active ones among them, and no second run unless `gather`.
template <class Active> row_chunk next_chunk(std::int64_t begin, std::int64_t rows, std::int64_t most, bool gather, const Active& active) {
  row_chunk chunk{begin, begin, 0, 0};
  bool inside = false;
  for (; chunk.end < rows; ++chunk.end) {
    const bool now = active(chunk.end), starts = now && !inside;
    if (now && chunk.count == most) break;
    if (starts && chunk.runs == 1 && !gather) break;
    chunk.count += now;
    chunk.runs += starts;
    inside = now;
  }
  return chunk;
}

/// Calls work(first, count, position) for every run of a chunk; position: active rows of the chunk before it.
template <class Active, class Work> void for_runs(const row_chunk& chunk, const Active& active, const Work& work) {
  for (std::int64_t n = chunk.begin, position = 0; n < chunk.end; ++n) {
    const std::int64_t first = n;
    while (n < chunk.end && active(n)) ++n;
    if (n > first) work(first, n - first, position);
    position += n - first;
  }
}

template <class T> void copy_row(const view<const T>& from, const view<T>& to) {
  if (from.stride(0) == 1 && to.stride(0) == 1) {
    std::memcpy(to.data(), from.data(), static_cast<std::size_t>(to.extent(0)) * sizeof(T));
  } else {
    for (std::int64_t i = 0; i < to.extent(0); ++i) to(i) = from(i);
  }
}

/// The chunk's active rows of hidden, one after another: where they lie, if they are neighbours, else copied.
template <class T, class Active>
view<const T, 2> active_rows(const view<const T, 2>& hidden, const view<T, 2>& gathered, const row_chunk& chunk, const Active& active) {
  view<const T, 2> result = rows_of(gathered, 0, chunk.runs > 1 ? chunk.count : 0);
  for_runs(chunk, active, [&](std::int64_t first, std::int64_t count, std::int64_t position) {
    if (chunk.runs == 1) result = rows_of(hidden, first, count);
    for (std::int64_t i = 0; i < count && chunk.runs > 1; ++i) copy_row(row_of(hidden, first + i), row_of(gathered, position + i));
  });
  return result;
}

/// Moves the chunk's active rows, which lie at its begin, to their places, and sets the others to 0. From the last one on, so that none is
/// overwritten before it was moved.
template <class A, class Active> void spread_rows(const view<A, 2>& m, const row_chunk& chunk, const Active& active) {
  std::int64_t left = chunk.count;
  for (std::int64_t n = chunk.end - 1; n >= chunk.begin; --n) {
    if (!active(n)) {
      fill(row_of(m, n), 0, 0);
    } else if (--left != n - chunk.begin) {
      copy_row<A>(row_of(m, chunk.begin + left), row_of(m, n));
    }
  }
}

/// Calls work(first, logits) for runs of active rows, where logits [count, V] belong to the rows from `first` on. If there are gradients,
/// work leaves d loss / d logits in their place.
template <class T, class Gemm, class Active, class Work>
void visit_rows(const lm_head<T>& head, Gemm& gemm, const Active& active, const Work& work) {
  using A = arithmetic<T>;
  const auto &hidden = head.hidden, &weight = head.weight;
  const auto& gradients = head.gradients;
  const auto& workspace = head.workspace;
  const std::int64_t rows = hidden.extent(0), most = workspace.logits.extent(0);
  for (std::int64_t begin = 0; begin < rows;) {
    const row_chunk chunk = next_chunk(begin, rows, most, !workspace.hidden.absent(), active);
    if (chunk.count > 0) {
      const view<A, 2> logits = rows_of(workspace.logits, 0, chunk.count);
      const view<const A, 2> gradient = logits;
      const view<const T, 2> h = active_rows(hidden, workspace.hidden, chunk, active);
      gemm(logits, h, transposed(weight), false);
      for_runs(chunk, active, [&](std::int64_t first, std::int64_t count, std::int64_t position) {
        work(first, rows_of(logits, position, count));
      });
      if (!gradients.weight.absent()) gemm(gradients.weight, transposed(gradient), h, true);
      if (!gradients.hidden.absent()) gemm(rows_of(gradients.hidden, chunk.begin, chunk.count), gradient, weight, false);
    }
    if (!gradients.hidden.absent()) spread_rows(gradients.hidden, chunk, active);
    begin = chunk.end;
  }
}

}  // namespace detail
}  // namespace attune
