// SPDX-License-Identifier: MIT
#pragma once

#include <attune/distill/row_scratch.hpp>
#include <attune/rows/fused_logits_gradient.hpp>

namespace attune::distill {

struct hard_soft_options {
  double hard = 0.5;                ///< weight of the label's negative log-likelihood, >= 0; a part with weight 0 is not computed
  double soft = 0.5;                ///< weight of the divergence from the teacher, >= 0
  bool times_temperature_squared = false;  ///< whether the divergence is multiplied by its temperature^2, so that its gradient keeps its size
  double hard_temperature = 1;      ///< of the logits in the log-likelihood
  std::int64_t ignore_index = -100; ///< a row with this label is treated like a masked one
  divergence_options divergence{};  ///< temperature, mask and vocabularies of the divergence, as in row_divergence
};

/// What hard_soft also writes where a view is given: both parts [N] before weights and factors [nat].
template <real A> struct hard_soft_parts {
  view<A> hard{};
  view<A> soft{};
};

namespace detail {

inline void require_parts(double hard, double soft) {
  const auto weight = [](double w) { return w >= 0 && w < infinity<double>; };
  if (weight(hard) && weight(soft) && hard + soft > 0) return;
  throw error("attune: hard_soft_options is {.hard = " + attune::detail::text(hard) + ", .soft = " + attune::detail::text(soft) +
              "}; expected finite weights >= 0, one of them > 0");
}

template <class T> void add_row(const T* x, const view<T>& row, std::int64_t size) {
  using A = arithmetic<T>;
  for (std::int64_t v = 0; v < size; ++v) row(v) = static_cast<T>(static_cast<A>(row(v)) + static_cast<A>(x[v]));
}

/// The parts of one row. Each is a call on this row alone.
template <class P, class G, class T, class U, target_kind Kind, class Index> class hard_soft_row {
  using A = arithmetic<T>;

 public:
  hard_soft_row(const G& generator, const hard_soft_options& o)
      : generator_(generator), hard_(o.hard), read_{.temperature = o.hard_temperature}, soft_(o.divergence) {
    soft_.mask = {};
    soft_weight_ = o.soft * (o.times_temperature_squared ? o.divergence.temperature * o.divergence.temperature : 1);
  }
  double value(A hard, A soft) const { return (hard_ > 0 ? hard_ * double(hard) : 0) + (soft_weight_ > 0 ? soft_weight_ * double(soft) : 0); }
  bool has_both() const { return hard_ > 0 && soft_weight_ > 0; }

  /// -log pi(label); d/dlogits times its weight and the coefficient into `gradient`.
  A hard(const view<const T, 2>& logits, const view<const Index>& label, double coefficient, const view<T, 2>& gradient) const {
    A logp = 0;
    const view<A> out(&logp, {1});
    if (hard_ == 0) return 0;
    const auto slope = [&](std::int64_t, double) { return -hard_ * coefficient; };
    if (gradient.absent()) attune::detail::token_logps<P>(serial{}, logits, label, out, view<row_state>{}, read_, row_statistics<A>{});
    else attune::detail::fused_logits_gradient<P>(serial{}, logits, label, slope, out, gradient, read_);
    return -logp;
  }
  A soft(const view<const T, 2>& logits, const target_rows<U, Kind>& target, double coefficient, const view<T, 2>& gradient) const {
    A value = 0;
    const A scaled = static_cast<A>(soft_weight_ * coefficient);
    if (soft_weight_ == 0) return 0;
    attune::detail::row_divergence<P>(serial{}, generator_, logits, target, view<A>(&value, {1}), gradient, view<const A>(&scaled, {1}), soft_);
    return value;
  }

 private:
  G generator_;
  double hard_, soft_weight_;
  row_options read_;
  divergence_options soft_;
};

template <class P, execution_policy Policy, class G, class T, class U, target_kind Kind, class Index>
row_report hard_soft(Policy policy, const G& generator, const view<const T, 2>& logits, const target_rows<U, Kind>& target,
                     const view<const Index>& labels, const view<arithmetic<T>>& values, const view<T, 2>& gradient, const view<T, 2>& scratch,
                     const view<const arithmetic<T>>& coefficients, const hard_soft_options& o, const hard_soft_parts<arithmetic<T>>& parts) {
  using A = arithmetic<T>;
  using attune::detail::require_rows_if_given;
  const std::int64_t rows = logits.extent(0), classes = logits.extent(1);
  const row_options labelled{.mask = o.divergence.mask, .ignore_index = o.ignore_index};
  validate(generator);
  require_parts(o.hard, o.soft);
  attune::detail::require_divergence(logits, target.rows, values, gradient, coefficients, o.divergence);
  attune::detail::require_temperature<A>(o.hard_temperature);
  attune::detail::require_rows(labels, rows, "labels");
  attune::detail::require_labels(labels, classes, labelled);
  require_rows_if_given(parts.hard, rows, "hard_soft_parts.hard");
  require_rows_if_given(parts.soft, rows, "hard_soft_parts.soft");
  attune::detail::require_distinct(parts.hard, "hard_soft_parts.hard");
  attune::detail::require_distinct(parts.soft, "hard_soft_parts.soft");
  const hard_soft_row<P, G, T, U, Kind, Index> row(generator, o);
  const bool added = row.has_both() && !gradient.absent();
  if (added) require_scratch(scratch, rows, classes);

  const std::int64_t slots = added ? scratch.extent(0) : max_chunks;
  return for_rows_in_slots(policy, rows, classes, slots, [&](std::int64_t n, std::int64_t slot, row_report& report) {
    ++report.rows;
    const view<T, 2> out = row_as_matrix(gradient, n);
    const bool read = attune::detail::is_read(labelled, labels, n);
    A hard = 0, soft = 0;
    if (read) {
      const double coefficient = coefficients.absent() ? 1 : static_cast<double>(coefficients(n));
      const view<const T, 2> x = row_as_matrix(logits, n);
      T* beside = added ? &scratch(slot, 0) : nullptr;  // the log-likelihood's gradient, first: the divergence's may replace the logits
      hard = row.hard(x, element_as_vector(labels, n), coefficient, added ? view<T, 2>(beside, {1, classes}) : out);
      soft = row.soft(x, {row_as_matrix(target.rows, n)}, coefficient, out);
      if (added) add_row(beside, attune::detail::row_of(gradient, n), classes);
      if (!std::isfinite(row.value(hard, soft)) || !std::isfinite(coefficient)) ++report.non_finite;
    } else {
      ++report.masked;
      attune::detail::fill(attune::detail::row_of(gradient, n), 0, 0);
    }
    values(n) = static_cast<A>(row.value(hard, soft));
    if (!parts.hard.absent()) parts.hard(n) = hard;
    if (!parts.soft.absent()) parts.soft(n) = soft;
  });
}

}  // namespace detail

/// Distillation from labels and a teacher together, row by row, and its gradient with respect to the policy's logits, in one buffer:
///
///   values[n]      = hard (-log pi(y_n)) + soft k D_f(pi^(T) || p^(T)) [nat],     k = T^2 with times_temperature_squared, else 1
///   gradient[n, i] = coefficients[n] (hard / hard_temperature (pi_i - 1[i = y_n]) + soft k d D_f / d logits_i)
///
/// y = labels; pi at hard_temperature; D_f, pi^(T) and p^(T) those of row_divergence at options.divergence.temperature = T. The gradient of D_f falls
/// like 1/T^2 for large T: with k = T^2 the parts keep their balance. Weights: a trainer's ratio w is {.hard = 1 - w, .soft = w}.
/// policy_logits [N, V], target, values [N], gradient [N, Vp] (optional, maybe in place): as in row_divergence. labels [N]: int32 or int64.
/// scratch [K, V] of the logits' type, consecutive elements a row, K >= 1: as many rows as are worked on at a time; only where both weights are > 0
/// and there is a gradient. coefficients [N], optional: d loss / d values[n], so the weights of positions. parts, optional: both parts by themselves.
/// Values  as token_logps, logits_gradient and row_divergence give them; both gradients are rounded to the logits' type before they are added. Rows
///         that are masked, or whose label is ignore_index, give 0 and are not read. The report counts rows whose value is NaN or infinite.
/// Throws  attune::error, before anything is written: as row_divergence and token_logps; weights that are negative or both 0; too little scratch.
///         No allocation; the same bits for any policy.
/// Source  Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2 (the sum, and T^2).
template <execution_policy Policy, divergence::generator G, attune::detail::logits_matrix Logits, attune::detail::divergence_target Target,
          attune::detail::label_vector Labels, class Pack = attune::detail::logit_pack<Logits>>
row_report hard_soft(Policy policy, const G& generator, Logits&& policy_logits, Target&& target, Labels&& labels,
                     view<attune::detail::logit_arithmetic<Logits>> values, view<attune::detail::logit<Logits>, 2> gradient = {},
                     view<attune::detail::logit<Logits>, 2> scratch = {}, view<const attune::detail::logit_arithmetic<Logits>> coefficients = {},
                     const hard_soft_options& o = {}, const hard_soft_parts<attune::detail::logit_arithmetic<Logits>>& parts = {}) {
  using given = attune::detail::target_of<Target>;
  static_assert(std::same_as<attune::detail::logit_arithmetic<Logits>, arithmetic<typename given::element>>,
                "attune: policy_logits and target are computed with in different types; expected both double, or neither");
  return detail::hard_soft<Pack>(policy, generator, attune::detail::readable<2>(static_cast<Logits&&>(policy_logits)),
                                 detail::target_rows<typename given::element, given::kind>{given::rows(static_cast<Target&&>(target))},
                                 attune::detail::readable<1>(static_cast<Labels&&>(labels)), values, gradient, scratch, coefficients, o, parts);
}
template <divergence::generator G, attune::detail::logits_matrix Logits, attune::detail::divergence_target Target,
          attune::detail::label_vector Labels, class Pack = attune::detail::logit_pack<Logits>>
row_report hard_soft(const G& generator, Logits&& policy_logits, Target&& target, Labels&& labels,
                     view<attune::detail::logit_arithmetic<Logits>> values, view<attune::detail::logit<Logits>, 2> gradient = {},
                     view<attune::detail::logit<Logits>, 2> scratch = {}, view<const attune::detail::logit_arithmetic<Logits>> coefficients = {},
                     const hard_soft_options& o = {}, const hard_soft_parts<attune::detail::logit_arithmetic<Logits>>& parts = {}) {
  return distill::hard_soft(serial{}, generator, static_cast<Logits&&>(policy_logits), static_cast<Target&&>(target), static_cast<Labels&&>(labels),
                            values, gradient, scratch, coefficients, o, parts);
}

}  // namespace attune::distill
