// SPDX-License-Identifier: MIT
#pragma once

#include <attune/distill/row_scratch.hpp>
#include <attune/divergence/mixed_kl.hpp>

#include <algorithm>

namespace attune::distill {

struct adaptive_kl_options {
  double head_mass = 0.5;           ///< in (0, 1]: the head is the teacher's most likely classes that have at least this mass together
  divergence_options divergence{};  ///< temperature, mask and vocabularies, as in row_divergence
};

namespace detail {

/// The share of the head in the distance of both distributions: the weight of the forward KL. The scratch holds both rows.
template <target_kind Kind, class T, class U>
double forward_weight(const view<T>& policy, const view<U>& target, const adaptive_kl_options& o, ranked_class* scratch) {
  const std::int64_t own = policy.extent(0), given = target.extent(0);
  ranked_class *teacher = scratch, *student = scratch + given;
  if (!read_probabilities<Kind>(target, o.divergence.temperature, teacher)) return not_a_number<double>;
  if (!read_probabilities<target_kind::logits>(policy, o.divergence.temperature, student)) return not_a_number<double>;
  const auto gap = [&](const ranked_class& c) { return std::abs(c.p - (c.index < own ? student[c.index].p : 0)); };
  const auto least_first = [](const ranked_class& a, const ranked_class& b) { return ranks_before(b, a); };

  std::make_heap(teacher, teacher + given, least_first);
  ranked_class* rest = teacher + given;  // the heap's end; behind it the head
  double mass = 0, head = 0, tail = 0;
  while (mass < o.head_mass && rest > teacher) {
    std::pop_heap(teacher, rest, least_first);
    --rest;
    mass += rest->p;
    head += gap(*rest);
  }
  for (const ranked_class* c = teacher; c < rest; ++c) tail += gap(*c);
  for (std::int64_t v = given; v < own; ++v) tail += student[v].p;
  return head + tail > 0 ? head / (head + tail) : 0.5;
}

template <class P, execution_policy Policy, class T, class U, target_kind Kind>
row_report adaptive_kl(Policy policy, const view<const T, 2>& logits, const target_rows<U, Kind>& given, const view<arithmetic<T>>& values,
                       const view<T, 2>& gradient, const view<ranked_class, 2>& scratch, const view<const arithmetic<T>>& coefficients,
                       const adaptive_kl_options& o, const view<arithmetic<T>>& weights) {
  const view<const U, 2>& target = given.rows;
  const std::int64_t rows = logits.extent(0), own = logits.extent(1), theirs = target.extent(1), common = own < theirs ? own : theirs;
  attune::detail::require_divergence(logits, target, values, gradient, coefficients, o.divergence);
  if (!(o.head_mass > 0 && o.head_mass <= 1)) {
    throw error("attune: adaptive_kl_options.head_mass is " + attune::detail::text(o.head_mass) + "; expected a value in (0, 1]");
  }
  attune::detail::require_rows_if_given(weights, rows, "forward_weights");
  attune::detail::require_distinct(weights, "forward_weights");
  require_scratch(scratch, rows, own + theirs);
  divergence_options of_row = o.divergence;
  of_row.mask = {};
  const auto looked_at = [&](auto row) {
    return o.divergence.classes == vocabulary::common ? decltype(row)(row.data(), {common}, row.strides()) : row;
  };

  return for_rows_in_slots(policy, rows, own + theirs, scratch.extent(0), [&](std::int64_t n, std::int64_t slot, row_report& report) {
    double weight = 0;
    if (o.divergence.mask.absent() || o.divergence.mask(n) != 0) {
      weight = forward_weight<Kind>(looked_at(attune::detail::row_of(logits, n)), looked_at(attune::detail::row_of(target, n)), o, &scratch(slot, 0));
      const divergence::mixed_kl f{.forward = weight == weight ? weight : 0.5};  // NaN: the row is NaN whatever the weight
      report += attune::detail::row_divergence<P>(serial{}, f, row_as_matrix(logits, n), target_rows<U, Kind>{row_as_matrix(target, n)},
                                                  element_as_vector(values, n), row_as_matrix(gradient, n), element_as_vector(coefficients, n), of_row);
    } else {
      report += row_report{.rows = 1, .masked = 1};
      values(n) = 0;
      attune::detail::fill(attune::detail::row_of(gradient, n), 0, 0);
    }
    if (!weights.absent()) weights(n) = static_cast<arithmetic<T>>(weight);
  });
}

}  // namespace detail

/// Adaptive KL divergence (AKL), row by row, and its gradient with respect to the policy's logits: the forward KL where the models differ on what the
/// teacher finds likely, the reverse KL where they differ on the rest.
///
///   values[n]      = a KL(T || S) + (1 - a) KL(S || T) [nat],       a = head gap / (head gap + tail gap),     gap = sum |T_v - S_v| over the classes
///   gradient[n, :] = that of mixed_kl{.forward = a}, a a constant of the step (no gradient goes through it)
///
/// The head is the smallest set of the teacher's most likely classes (of equally likely ones the first) whose mass reaches head_mass = mu. Equal rows
/// have a = 1/2, value and gradient 0. (The paper's definition. Its code leaves the class with which the mass passes mu to the tail, unless it is the
/// first.)
/// policy_logits [N, V] (S), target [N, V'] (T: logits, log_probabilities(x), probabilities(x)), values [N], gradient [N, Vp], optional and maybe in
/// place, coefficients [N], optional, options.divergence: as in row_divergence, with its values, limits and errors. scratch [K, V + V'] or larger, of
/// consecutive elements a row, K >= 1: as many rows as are worked on at a time, so K is the number of threads; forward_weights [N], optional: a.
/// Throws attune::error, before anything is written: also for head_mass outside (0, 1] and scratch that is too small. Time O(V), and O(log V) for
/// every class of the head. No allocation; the same bits for any policy.
/// Source   Wu et al. 2024, arXiv:2404.02657 (mu 0.5).
template <execution_policy Policy, attune::detail::logits_matrix Logits, attune::detail::divergence_target Target,
          class Pack = attune::detail::logit_pack<Logits>>
row_report adaptive_kl(Policy policy, Logits&& policy_logits, Target&& target, view<attune::detail::logit_arithmetic<Logits>> values,
                       view<attune::detail::logit<Logits>, 2> gradient, view<ranked_class, 2> scratch,
                       view<const attune::detail::logit_arithmetic<Logits>> coefficients = {}, const adaptive_kl_options& o = {},
                       view<attune::detail::logit_arithmetic<Logits>> forward_weights = {}) {
  using given = attune::detail::target_of<Target>;
  static_assert(std::same_as<attune::detail::logit_arithmetic<Logits>, arithmetic<typename given::element>>,
                "attune: policy_logits and target are computed with in different types; expected both double, or neither");
  return detail::adaptive_kl<Pack>(policy, attune::detail::readable<2>(static_cast<Logits&&>(policy_logits)),
                                   detail::target_rows<typename given::element, given::kind>{given::rows(static_cast<Target&&>(target))}, values,
                                   gradient, scratch, coefficients, o, forward_weights);
}
template <attune::detail::logits_matrix Logits, attune::detail::divergence_target Target, class Pack = attune::detail::logit_pack<Logits>>
row_report adaptive_kl(Logits&& policy_logits, Target&& target, view<attune::detail::logit_arithmetic<Logits>> values,
                       view<attune::detail::logit<Logits>, 2> gradient, view<ranked_class, 2> scratch,
                       view<const attune::detail::logit_arithmetic<Logits>> coefficients = {}, const adaptive_kl_options& o = {},
                       view<attune::detail::logit_arithmetic<Logits>> forward_weights = {}) {
  return distill::adaptive_kl(serial{}, static_cast<Logits&&>(policy_logits), static_cast<Target&&>(target), values, gradient, scratch, coefficients,
                              o, forward_weights);
}

}  // namespace attune::distill
