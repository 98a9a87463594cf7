// SPDX-License-Identifier: MIT
#pragma once

#include <attune/distill/row_scratch.hpp>

#include <algorithm>

namespace attune::distill {

struct uld_options {
  double temperature = 1;           ///< divides the logits of both models, finite and > 0; the gradient carries 1/temperature
  view<const std::uint8_t> mask{};  ///< [N]; a row whose byte is 0 is not read. Absent: every row is read
};

namespace detail {

/// Ranks both rows and returns their distance.
inline double rank_distance(ranked_class* student, std::int64_t own, ranked_class* teacher, std::int64_t theirs) {
  std::sort(student, student + own, ranks_before);
  std::sort(teacher, teacher + theirs, ranks_before);
  double distance = 0;
  for (std::int64_t k = 0; k < (own > theirs ? own : theirs); ++k) {
    distance += std::abs((k < own ? student[k].p : 0) - (k < theirs ? teacher[k].p : 0));
  }
  return distance;
}

/// gradient_i = scale pi_i (s_i - sum_j pi_j s_j), s the sign of the difference at the rank of the class.
template <class T>
void write_rank_gradient(const ranked_class* student, std::int64_t own, const ranked_class* teacher, std::int64_t theirs, double scale,
                         const view<T>& gradient) {
  const auto sign = [&](std::int64_t k) {
    const double other = k < theirs ? teacher[k].p : 0;
    return double(student[k].p > other) - double(student[k].p < other);
  };
  double mean = 0;
  for (std::int64_t k = 0; k < own; ++k) mean += student[k].p * sign(k);
  for (std::int64_t k = 0; k < own; ++k) {
    gradient(student[k].index) = static_cast<T>(static_cast<arithmetic<T>>(scale * student[k].p * (sign(k) - mean)));
  }
}

template <execution_policy Policy, class T, class U, target_kind Kind>
row_report uld(Policy policy, const view<const T, 2>& logits, const target_rows<U, Kind>& given, const view<arithmetic<T>>& values,
               const view<T, 2>& gradient, const view<ranked_class, 2>& scratch, const view<const arithmetic<T>>& coefficients, const uld_options& o) {
  const view<const U, 2>& target = given.rows;
  const std::int64_t rows = logits.extent(0), own = logits.extent(1), theirs = target.extent(1);
  const divergence_options any_size{.temperature = o.temperature, .mask = o.mask, .classes = vocabulary::zero};
  attune::detail::require_divergence(logits, target, values, gradient, coefficients, any_size);
  require_scratch(scratch, rows, own + theirs);

  return for_rows_in_slots(policy, rows, 4 * (own + theirs), scratch.extent(0), [&](std::int64_t n, std::int64_t slot, row_report& report) {
    ++report.rows;
    const view<T> out = attune::detail::row_of(gradient, n);
    if (!o.mask.absent() && o.mask(n) == 0) {
      ++report.masked;
      values(n) = 0;
      return attune::detail::fill(out, 0, 0);
    }
    ranked_class *student = &scratch(slot, 0), *teacher = student + own;
    const double coefficient = coefficients.absent() ? 1 : static_cast<double>(coefficients(n));
    double value = not_a_number<double>;
    const bool valid = read_probabilities<target_kind::logits>(attune::detail::row_of(logits, n), o.temperature, student) &&
                       read_probabilities<Kind>(attune::detail::row_of(target, n), o.temperature, teacher);
    attune::detail::fill(out, 0, valid ? 0 : value);
    if (valid) {
      value = rank_distance(student, own, teacher, theirs);
      if (out.extent(0) > 0 && coefficient != 0) write_rank_gradient(student, own, teacher, theirs, coefficient / o.temperature, out);
    }
    if (!valid || !std::isfinite(coefficient)) ++report.non_finite;
    values(n) = static_cast<arithmetic<T>>(value);
  });
}

}  // namespace detail

/// Universal logit distillation (ULD), between models whose vocabularies have nothing in common: the distance of the sorted probabilities, row by
/// row, and its gradient with respect to the policy's logits.
///
///   values[n]      = sum_k |S_(k) - T_(k)|            S_(k), T_(k): the k-th largest probability of student and teacher, 0 beyond a shorter row
///   gradient[n, i] = coefficients[n] / temperature pi_i (s_i - sum_j pi_j s_j),     s_i = sign(S_(k) - T_(k)) at the rank k of class i
///
/// It says which ranks should be more likely, not which tokens: it goes with a loss on the labels. One row for each pair of aligned tokens, which
/// the caller aligns. policy_logits [N, V]; target [N, V'], any V': logits, log_probabilities(x) or probabilities(x), of any type; values [N] in
/// [0, 2]; gradient [N, Vp], optional, maybe in place; coefficients [N], optional; scratch [K, V + V'] or larger, of consecutive elements a row,
/// K >= 1: as many rows as are worked on at a time (K: the number of threads).
/// Limits  the distance has kinks. At S_(k) = T_(k) the sign is 0, so equal rows have value and gradient 0; of equally likely classes the first
///         has the first rank: one of the subgradients. A class with a -inf logit has probability 0 and gradient 0.
/// Values  computed in double, rounded once. A masked row gives 0 and is not read; a row with coefficient 0 has gradient 0; a row with a NaN or
///         +inf on either side, or without mass, gives NaN and is counted. Time O(V log V), no allocation, the same bits for any policy.
/// Throws  attune::error, before anything is written: numbers of rows that differ, a temperature that is not > 0, scratch that is too small, a
///         gradient whose elements overlap, or that overlaps logits in part or a target at all.
/// Source  Boizard et al. 2024, arXiv:2402.12030, whose Wasserstein distance with uniform costs this is.
template <execution_policy Policy, attune::detail::logits_matrix Logits, attune::detail::divergence_target Target>
row_report uld(Policy policy, Logits&& policy_logits, Target&& target, view<attune::detail::logit_arithmetic<Logits>> values,
               view<attune::detail::logit<Logits>, 2> gradient, view<ranked_class, 2> scratch,
               view<const attune::detail::logit_arithmetic<Logits>> coefficients = {}, const uld_options& o = {}) {
  using given = attune::detail::target_of<Target>;
  return detail::uld(policy, attune::detail::readable<2>(static_cast<Logits&&>(policy_logits)),
                     detail::target_rows<typename given::element, given::kind>{given::rows(static_cast<Target&&>(target))}, values, gradient, scratch,
                     coefficients, o);
}
template <attune::detail::logits_matrix Logits, attune::detail::divergence_target Target>
row_report uld(Logits&& policy_logits, Target&& target, view<attune::detail::logit_arithmetic<Logits>> values,
               view<attune::detail::logit<Logits>, 2> gradient, view<ranked_class, 2> scratch,
               view<const attune::detail::logit_arithmetic<Logits>> coefficients = {}, const uld_options& o = {}) {
  return distill::uld(serial{}, static_cast<Logits&&>(policy_logits), static_cast<Target&&>(target), values, gradient, scratch, coefficients, o);
}

}  // namespace attune::distill
