// SPDX-License-Identifier: MIT
// The chunked LM head: the logits hidden weight^T of some rows at a time, in memory of the caller, used where they lie and multiplied back.
// The logits of a whole batch never exist. What multiplies matrices is the caller's: attune::eigen_gemm (backend/eigen.hpp),
// attune::cblas_gemm (backend/cblas.hpp), or any functor with the same call.
#pragma once

#include <attune/core/matrix.hpp>  // transposed
#include <attune/rows/fused_logits_gradient.hpp>

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

template <class T> constexpr view<T> rows_of(const view<T>& x, std::int64_t first, std::int64_t count) {
  return {x.data() + first * x.stride(0), {count}, x.strides()};
}
template <class T> constexpr view<T, 2> rows_of(const view<T, 2>& m, std::int64_t first, std::int64_t count) {
  return {m.data() + first * m.stride(0), {count, m.extent(1)}, m.strides()};
}

// ---- the checks

template <class T>
void require_matrix(const view<T, 2>& m, std::int64_t rows, std::int64_t columns, const char* name, const char* source) {
  if (m.absent() || (m.extent(0) == rows && m.extent(1) == columns)) return;
  throw error(std::string("attune: ") + name + " is " + quoted(m.extent(0)) + " x " + quoted(m.extent(1)) + "; expected " + quoted(rows) +
              " x " + quoted(columns) + ", like " + source);
}
inline void require_some(std::int64_t given, const char* what) {
  if (given < 1) throw error(std::string("attune: ") + what + " is " + quoted(given) + "; expected 1 or more");
}

/// [begin, end) of the addresses of a matrix that is not empty.
template <class T> std::array<std::uintptr_t, 2> addresses(const view<T, 2>& m) {
  std::int64_t low = 0, high = 0;
  for (int r = 0; r < 2; ++r) (m.stride(r) < 0 ? low : high) += (m.extent(r) - 1) * m.stride(r);
  return {reinterpret_cast<std::uintptr_t>(m.data() + low), reinterpret_cast<std::uintptr_t>(m.data() + high + 1)};
}
template <class T, class U> bool meet(const view<T, 2>& a, const view<U, 2>& b) {
  if constexpr (std::same_as<std::remove_const_t<T>, std::remove_const_t<U>>) {
    return overlap<std::remove_const_t<T>>(a, b);
  } else {
    if (a.size() == 0 || b.size() == 0) return false;
    const auto x = addresses(a), y = addresses(b);
    return x[0] < y[1] && y[0] < x[1];
  }
}
/// Throws if `out`, which is written, shares memory with one of the others.
template <class T, class... Others> void require_apart(const char* name, const view<T, 2>& out, const Others&... others) {
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
template <class Gemm, class C, class A, class B>
void show(Gemm& gemm, const view<C, 2>& c, const view<const A, 2>& a, const view<const B, 2>& b) {
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

// ---- the functions

/// The options for rows all of which are read.
inline row_options without_mask(const row_options& o) { return {.temperature = o.temperature, .softcap = o.softcap, .ignore_index = o.ignore_index}; }

template <class P, execution_policy Policy, class T, class Gemm, class Index>
row_report lm_head_logps(Policy policy, Gemm& gemm, const lm_head<T>& head, const view<const Index>& targets,
                         const view<arithmetic<T>>& logps, const view<row_state>& states, const row_options& o) {
  using A = arithmetic<T>;
  const std::int64_t rows = head.hidden.extent(0), classes = head.weight.extent(0);
  require_lm_head(head, gemm);
  require_tokens<A>(rows, classes, targets, o);
  require_extent(logps.extent(0), rows, "logps", "hidden's rows");
  if (!states.absent()) require_extent(states.extent(0), rows, "states", "hidden's rows");
  require_distinct(logps, "logps");
  require_distinct(states, "states");

  row_report report;
  const auto read = [&](std::int64_t n) { return is_read(o, targets, n); };
  visit_rows(head, gemm, read, [&](std::int64_t first, const view<A, 2>& logits) {
    const std::int64_t count = logits.extent(0);
    report += token_logps<P>(policy, view<const A, 2>(logits), rows_of(targets, first, count), rows_of(logps, first, count),
                             states.absent() ? states : rows_of(states, first, count), without_mask(o), {});
  });
  for (std::int64_t n = 0; n < rows; ++n) {
    if (read(n)) continue;
    ++report.rows, ++report.masked;
    logps(n) = 0;
    if (!states.absent()) states(n) = {};
  }
  return report;
}

template <class P, execution_policy Policy, class T, class Gemm, class Index>
row_report lm_head_gradient(Policy policy, Gemm& gemm, const lm_head<T>& head, const view<const Index>& targets,
                            const view<const row_state>& states, const view<const arithmetic<T>>& coefficients, const row_options& o) {
  using A = arithmetic<T>;
  const std::int64_t rows = head.hidden.extent(0), classes = head.weight.extent(0);
  require_lm_head(head, gemm);
  require_some_gradient(head.gradients);
  require_tokens<A>(rows, classes, targets, o);
  require_extent(states.extent(0), rows, "states", "hidden's rows");
  require_extent(coefficients.extent(0), rows, "coefficients", "hidden's rows");

  row_report report;
  const auto active = [&](std::int64_t n) { return is_read(o, targets, n) && coefficients(n) != 0; };
  visit_rows(head, gemm, active, [&](std::int64_t first, const view<A, 2>& logits) {
    const std::int64_t count = logits.extent(0);
    report += logits_gradient<P>(policy, view<const A, 2>(logits), rows_of(targets, first, count), rows_of(states, first, count),
                                 rows_of(coefficients, first, count), logits, without_mask(o), {});
  });
  for (std::int64_t n = 0; n < rows; ++n) report.masked += !is_read(o, targets, n);
  report.rows = rows;
  return report;
}

template <class P, execution_policy Policy, class T, class Gemm, class Index, class Coefficient>
row_report lm_head_fused(Policy policy, Gemm& gemm, const lm_head<T>& head, const view<const Index>& targets, Coefficient& coefficient_of,
                         const view<arithmetic<T>>& logps, const row_options& o) {
  using A = arithmetic<T>;
  const std::int64_t rows = head.hidden.extent(0), classes = head.weight.extent(0);
  require_lm_head(head, gemm);
  require_some_gradient(head.gradients);
  require_tokens<A>(rows, classes, targets, o);
  require_extent(logps.extent(0), rows, "logps", "hidden's rows");
  require_distinct(logps, "logps");

  row_report report;
  const auto read = [&](std::int64_t n) { return is_read(o, targets, n); };
  visit_rows(head, gemm, read, [&](std::int64_t first, const view<A, 2>& logits) {
    const std::int64_t count = logits.extent(0);
    const auto coefficient = [&](std::int64_t i, double logp) { return static_cast<double>(coefficient_of(first + i, static_cast<A>(logp))); };
    report += fused_logits_gradient<P>(policy, view<const A, 2>(logits), rows_of(targets, first, count), coefficient,
                                       rows_of(logps, first, count), logits, without_mask(o));
  });
  for (std::int64_t n = 0; n < rows; ++n) {
    if (read(n)) continue;
    ++report.rows, ++report.masked;
    logps(n) = 0;
  }
  return report;
}

template <class T, class Gemm, class Visitor>
void lm_head_visit(Gemm& gemm, const lm_head<T>& head, Visitor& visitor, const view<const std::uint8_t>& mask) {
  require_lm_head(head, gemm);
  if (!mask.absent()) require_extent(mask.extent(0), head.hidden.extent(0), "mask", "hidden's rows");
  visit_rows(head, gemm, [&](std::int64_t n) { return mask.absent() || mask(n) != 0; },
             [&](std::int64_t first, const view<arithmetic<T>, 2>& logits) { visitor(first, logits); });
}

template <class F, class A>
concept coefficient_function = requires(F& f, std::int64_t n, A logp) {
  static_cast<A>(f(n, logp));
};
template <class F, class A>
concept logits_visitor = requires(F& f, std::int64_t first, const view<A, 2>& logits) {
  f(first, logits);
};

}  // namespace detail

/// Stage 1 behind the LM head: log-probabilities of the target tokens from hidden states.
///
///   logps[n] = z_y - log sum_v e^{z_v},     z = weight hidden[n, :] / temperature [nat],  y = targets[n]
///
/// gemm: a matrix_product; hidden [N, H] and weight [V, H]: of one storage type T, any strides that gemm takes; targets [N]: int32 or int64,
/// already aligned with the rows; logps [N]: in the arithmetic type of T; states [N], optional: kept for lm_head_gradient; workspace: the
/// number of rows of its logits is the chunk. A padded vocabulary: give the V rows of weight that are real. A bias [V] is one more column of
/// weight, and of hidden a 1 in every row.
/// Values  of a row as token_logps has them for its logits. A row that is masked or whose target is ignore_index gives 0; its hidden state is
///         not read and takes part in no product: it costs nothing.
/// Order   the execution policy is for the rows; the product runs as gemm does. The same bits for any policy, position in the batch and (see
///         matrix_product) chunk. No allocation beside gemm's own.
/// Throws  attune::error, before anything is written: sizes that differ, matrices that share memory with one that is written, temperature or
///         softcap outside (0, inf), a target outside [0, V), operands that gemm.validate refuses.
template <execution_policy Policy, class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels,
          class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_logps(Policy policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                         view<detail::logit_arithmetic<Hidden>> logps, view<row_state> states,
                         const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  const detail::lm_head<detail::logit<Hidden>> head{detail::readable<2>(static_cast<Hidden&&>(hidden)), weight, {}, workspace};
  return detail::lm_head_logps<Pack>(policy, gemm, head, detail::readable<1>(static_cast<Labels&&>(targets)), logps, states, o);
}
template <class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels, class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_logps(Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                         view<detail::logit_arithmetic<Hidden>> logps, view<row_state> states,
                         const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  return attune::lm_head_logps(serial{}, gemm, static_cast<Hidden&&>(hidden), weight, static_cast<Labels&&>(targets), logps, states,
                               workspace, o);
}

/// Stage 3 behind the LM head: from d loss / d log-probability of every token to the gradients of hidden states and weight.
///
///   g[n, v]              = coefficients[n] / temperature (1[v = y] - softmax(z)_v)      as logits_gradient has it; z, y as above
///   gradients.hidden[n]  = sum_v g[n, v] weight[v]                                      written
///   gradients.weight[v] += sum_n g[n, v] hidden[n]                                      added, in the arithmetic type: calls add up
///
/// gemm, hidden, weight, targets, workspace, options as given to lm_head_logps; states [N] as it wrote them; coefficients [N] = d loss /
/// d logps[n], for every token its own. Every chunk's logits are made again: three products, against one of lm_head_logps. Where the
/// coefficient follows from the row's log-probability, lm_head_fused needs one less.
/// Values  rows that are masked or ignored, or have coefficient 0, take no part: gradients.hidden is exactly 0 there, their hidden states are
///         not read (NaN in them reaches nothing), and they cost nothing. A row whose state or coefficient is NaN or infinite makes NaN of
///         its gradients, and of all of gradients.weight, and is counted in the report.
/// Order   as lm_head_logps; gradients.weight is added chunk by chunk, so its last bits depend on the chunk.
/// Throws  attune::error, before anything is written: as lm_head_logps; neither of the gradients given.
template <execution_policy Policy, class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels,
          class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_gradient(Policy policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                            view<const row_state> states, view<const detail::logit_arithmetic<Hidden>> coefficients,
                            const lm_head_gradients<detail::logit<Hidden>>& gradients,
                            const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  const detail::lm_head<detail::logit<Hidden>> head{detail::readable<2>(static_cast<Hidden&&>(hidden)), weight, gradients, workspace};
  return detail::lm_head_gradient<Pack>(policy, gemm, head, detail::readable<1>(static_cast<Labels&&>(targets)), states, coefficients, o);
}
template <class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels, class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_gradient(Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                            view<const row_state> states, view<const detail::logit_arithmetic<Hidden>> coefficients,
                            const lm_head_gradients<detail::logit<Hidden>>& gradients,
                            const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  return attune::lm_head_gradient(serial{}, gemm, static_cast<Hidden&&>(hidden), weight, static_cast<Labels&&>(targets), states,
                                  coefficients, gradients, workspace, o);
}

/// Both in one visit, with one product of logits instead of two, where a token's coefficient follows from its own log-probability:
/// maximum likelihood, policy gradients with known advantages, distillation on sampled tokens.
///
///   logps[n] as lm_head_logps;     gradients as lm_head_gradient with coefficients[n] = coefficient_of(n, logps[n])
///
/// coefficient_of(n, logp) -> d loss / d logps[n]: called once for every row that is read, in no particular order and under `threads` from
/// several threads at once; it must not throw. (-1 / tokens: the mean negative log-likelihood.) The row is then still in the cache.
/// Values  as of the two. A row whose coefficient turns out to be 0 adds 0 times its hidden state to gradients.weight, so NaN there stays
///         visible; rows whose coefficient is 0 beforehand are better masked.
/// Order, Throws  as lm_head_gradient.
template <execution_policy Policy, class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels,
          detail::coefficient_function<detail::logit_arithmetic<Hidden>> Coefficient, class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_fused(Policy policy, Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                         Coefficient&& coefficient_of, view<detail::logit_arithmetic<Hidden>> logps,
                         const lm_head_gradients<detail::logit<Hidden>>& gradients,
                         const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  const detail::lm_head<detail::logit<Hidden>> head{detail::readable<2>(static_cast<Hidden&&>(hidden)), weight, gradients, workspace};
  return detail::lm_head_fused<Pack>(policy, gemm, head, detail::readable<1>(static_cast<Labels&&>(targets)), coefficient_of, logps, o);
}
template <class Gemm, detail::logits_matrix Hidden, detail::label_vector Labels,
          detail::coefficient_function<detail::logit_arithmetic<Hidden>> Coefficient, class Pack = detail::logit_pack<Hidden>>
  requires matrix_product<Gemm, detail::logit<Hidden>>
row_report lm_head_fused(Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Labels&& targets,
                         Coefficient&& coefficient_of, view<detail::logit_arithmetic<Hidden>> logps,
                         const lm_head_gradients<detail::logit<Hidden>>& gradients,
                         const lm_head_workspace<detail::logit<Hidden>>& workspace, const row_options& o = {}) {
  return attune::lm_head_fused(serial{}, gemm, static_cast<Hidden&&>(hidden), weight, static_cast<Labels&&>(targets), coefficient_of,
                               logps, gradients, workspace, o);
}

/// The general visit, for whatever else is made of rows of logits: distillation over the whole vocabulary (row_divergence), collision_logps,
/// several terms together.
///
///   visitor(first, logits): logits [count, V], view<A, 2> with A the arithmetic type of T, are those of rows first .. first + count - 1
///
/// It is called on this thread, in ascending order, for runs of at most R rows that together are the rows with mask[n] != 0 (absent: all). If
/// a gradient is given, it has to leave d loss / d logits in the place of the logits, every element of it; gradients as lm_head_gradient.
/// Throws  attune::error, before anything is written: sizes that differ, matrices that share memory with one that is written, operands that
///         gemm.validate refuses.
template <class Gemm, detail::logits_matrix Hidden, detail::logits_visitor<detail::logit_arithmetic<Hidden>> Visitor>
  requires matrix_product<Gemm, detail::logit<Hidden>>
void lm_head_visit(Gemm&& gemm, Hidden&& hidden, view<const detail::logit<Hidden>, 2> weight, Visitor&& visitor,
                   const lm_head_gradients<detail::logit<Hidden>>& gradients,
                   const lm_head_workspace<detail::logit<Hidden>>& workspace, view<const std::uint8_t> mask = {}) {
  const detail::lm_head<detail::logit<Hidden>> head{detail::readable<2>(static_cast<Hidden&&>(hidden)), weight, gradients, workspace};
  detail::lm_head_visit(gemm, head, visitor, mask);
}

}  // namespace attune
