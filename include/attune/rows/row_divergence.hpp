// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/parameter.hpp>  // validate
#include <attune/divergence/generator.hpp>
#include <attune/rows/arguments.hpp>
#include <attune/rows/divergence_kernels.hpp>
#include <attune/rows/row_pair.hpp>

namespace attune {

/// What divides two models whose vocabularies have different sizes. Class v is the same token in both, for v below the smaller size.
enum class vocabulary {
  equal,   ///< sizes that differ are an error
  common,  ///< only the classes that both have are looked at: each model's probabilities are those given that the token is one of them
  zero,    ///< a class that one model lacks has probability 0 there
};

/// divergence_options of the host, and device_divergence_options for tensors on a device.
template <class Space> struct basic_divergence_options;
using divergence_options = basic_divergence_options<host>;
using device_divergence_options = basic_divergence_options<device>;

template <> struct basic_divergence_options<host> {
  double temperature = 1;           ///< divides the logits of both models, finite and > 0; the gradient carries 1/temperature
  view<const std::uint8_t> mask{};  ///< [N]; a row whose byte is 0 is not read. Absent: every row is read
  vocabulary classes = vocabulary::equal;
};
/// The same on a device; see device_row_options (rows/options.hpp).
template <> struct basic_divergence_options<device> {
  double temperature = 1;
  view<const std::uint8_t, 1, device> mask{};
  vocabulary classes = vocabulary::equal;
  view<std::byte, 1, device> workspace{};  ///< scratch memory, aligned to 16 bytes, of the size that row_divergence_workspace says
  view<row_report, 1, device> report{};    ///< [1], optional: written by the call
};

namespace detail {

enum class target_kind { logits, log_probabilities, probabilities };
template <class T, target_kind Kind> struct target_rows {
  view<const T, 2> rows;
};

}  // namespace detail

/// A target of row_divergence that is given by its log-probabilities [nat]: of the temperature at which it is wanted, so none is applied to them.
template <detail::logits_matrix X> auto log_probabilities(X&& x) {
  return detail::target_rows<detail::logit<X>, detail::target_kind::log_probabilities>{detail::readable<2>(static_cast<X&&>(x))};
}
/// A target of row_divergence that is given by its probabilities, or by any numbers >= 0 proportional to them. As above.
template <detail::logits_matrix X> auto probabilities(X&& x) {
  return detail::target_rows<detail::logit<X>, detail::target_kind::probabilities>{detail::readable<2>(static_cast<X&&>(x))};
}

namespace detail {

template <class X> struct target_of {};
template <logits_matrix X> struct target_of<X> {
  using element = logit<X>;
  static constexpr target_kind kind = target_kind::logits;
  static view<const element, 2> rows(X&& x) { return readable<2>(static_cast<X&&>(x)); }
};
template <class X, class T, target_kind Kind> struct tagged_target {
  using element = T;
  static constexpr target_kind kind = Kind;
  static view<const element, 2> rows(const target_rows<T, Kind>& x) { return x.rows; }
};
template <class T, target_kind Kind> struct target_of<target_rows<T, Kind>> : tagged_target<void, T, Kind> {};
template <class T, target_kind Kind> struct target_of<target_rows<T, Kind>&> : tagged_target<void, T, Kind> {};
template <class T, target_kind Kind> struct target_of<const target_rows<T, Kind>&> : tagged_target<void, T, Kind> {};
template <class X>
concept divergence_target = requires { typename target_of<X>::element; };

struct block_log {
  template <class P> ATTUNE_PACK_FN static void run(lane_of<P>* x, int size) {
    for (int i = 0; i < size; i += lanes<P>) write_pack<P>(x + i, log(read_pack<P>(x + i)));
  }
};

/// A row, block by block, as logits: -inf beyond its end.
template <class P, class T, class K, target_kind Kind = target_kind::logits> class logit_blocks {
 public:
  explicit logit_blocks(const view<const T>& row) : row_(row) {}

  const K* at(std::int64_t first, int count) {
    const std::int64_t left = row_.extent(0) - first;
    const int given = left < count ? (left > 0 ? static_cast<int>(left) : 0) : count;
    if (given == count && Kind != target_kind::probabilities) return load_block(row_, first, count, buffer_);
    copy_block(row_, first, given, buffer_);
    if constexpr (Kind == target_kind::probabilities) {
      static_assert(!std::same_as<K, bfloat16>, "logarithms are not rounded to 16 bits");
      run_kernel<P, block_log>(buffer_.values + 0, padded(given));
    }
    for (int i = given; i < padded(count); ++i) buffer_.values[i] = static_cast<K>(-infinity<arithmetic<K>>);
    return buffer_.values;
  }

 private:
  view<const T> row_;
  block_buffer<K> buffer_;
};

/// One row of row_divergence: what is the same for all rows, and the work on a pair of them.
template <class P, class G, class T, class U, target_kind Kind> class divergence_row {
  using A = lane_of<P>;
  using TK = std::conditional_t<Kind == target_kind::probabilities, arithmetic<U>, kernel_type<U>>;
  using K = std::conditional_t<std::same_as<kernel_type<T>, TK>, TK, A>;  // both rows as one type: bfloat16 only if both are
  static constexpr bool with_weights = !divergence::power_generator<G>;  // of the others, the value gives their sum

 public:
  divergence_row(const G& generator, double temperature, bool streamed)
      : generator_(generator), on_classes_(generator), temperature_(temperature), target_temperature_(Kind == target_kind::logits ? temperature : 1), streamed_(streamed) {}

  double operator()(const view<const T>& policy, const view<const U>& target, double scale, const view<T>& gradient) const {
    const std::int64_t classes = policy.extent(0) > target.extent(0) ? policy.extent(0) : target.extent(0);
    logit_blocks<P, T, K> x(policy);
    logit_blocks<P, U, K, Kind> y(target);
    const pair_sum pair = sums(x, y, classes);
    const row_state policy_state = state(pair.policy, temperature_), target_state = state(pair.target, target_temperature_);
    if (!(policy_state.sum > 0 && target_state.sum > 0)) {
      fill(gradient, 0, not_a_number<double>);
      return not_a_number<double>;
    }
    const row_pair_scale<A> scales = scales_of<row_exp>(policy_state, target_state, 1, 0);
    divergence_sums sum;
    if (!known(pair, sum.term)) {
      sum.term = 0;
      for_blocks(classes, [&](std::int64_t first, int count) {
        const auto part = run_kernel<P, block_divergence<with_weights>>(on_classes_, &scales, x.at(first, count), y.at(first, count), padded(count));
        sum.term += part.term;
        sum.weight += part.weight;
      });
    }
    if constexpr (divergence::power_generator<G>) sum.weight = generator_.power() == 0 ? 0 : generator_.power() * sum.term;
    if (scale == 0) {
      fill(gradient, 0, 0);
    } else if (gradient.extent(0) > 0) {
      row_writer<T, K> write(gradient, streamed_);
      const auto run = [&]<class Kernel>(Kernel, auto... parameters) {
        for_blocks(policy.extent(0), write.head(), [&](std::int64_t first, int count) {
          K* out = write.place(first, count);
          const bool past_caches = write.is_streamed(out);
          run_kernel<P, Kernel>(parameters..., x.at(first, count), y.at(first, count), out, padded(count), past_caches);
          write.written(first, count, out);
        });
      };
      const double curvature = static_cast<double>(generator_.curvature(0.0));
      if (power() == 0) {
        const auto scaled = scales_of_result(policy_state, target_state, scale * curvature, 0);
        run(block_difference{}, &scaled);
      } else if (power() == 1 && std::isfinite(sum.term)) {
        const auto scaled = scales_of_result(policy_state, target_state, scale * curvature, sum.term / curvature);
        run(block_log_ratio{}, &scaled);
      } else {
        run(block_divergence_gradient{}, on_classes_, &scales, static_cast<A>(sum.weight), static_cast<A>(scale));
      }
      write.end();
      fill(gradient, policy.extent(0), 0);
    }
    return sum.term;
  }

 private:
  static row_state state(const block_sum& sum, double temperature) {
    if (!std::isfinite(sum.top) || sum.sum != sum.sum) return {not_a_number<double>, not_a_number<double>};
    return {sum.top / temperature, sum.sum > 1 ? sum.sum : 1};
  }
  /// Probabilities times `factor`, their log-ratios less `value`.
  template <template <class> class Exp>
  row_pair_scale<A, Exp> scales_of(const row_state& policy, const row_state& target, double factor, double value) const {
    const row_scale<A> x = scale_of<A>(policy, temperature_), y = scale_of<A>(target, target_temperature_);
    const auto mass = [&](const row_state& state, double temperature, const row_scale<A>& z) {
      return factor * scale_correction(state, temperature, z) / state.sum;
    };
    return {{x, mass(policy, temperature_, x)}, {y, mass(target, target_temperature_, y)}, x.inverse_temperature,
            static_cast<A>(temperature_ / target_temperature_), static_cast<A>(std::log(target.sum) - std::log(policy.sum) - value)};
  }
  auto scales_of_result(const row_state& policy, const row_state& target, double factor, double value) const {
    if constexpr (half_storage<K>) return scales_of<coarse_row_exp>(policy, target, factor, value);
    else return scales_of<row_exp>(policy, target, factor, value);
  }
  double power() const {
    if constexpr (divergence::power_generator<G>) return generator_.power();
    else return not_a_number<double>;
  }
  template <class X, class Y> pair_sum sums(X& x, Y& y, std::int64_t classes) const {
    if (power() == 0) return sums<cross_term::forward>(x, y, classes);
    if (power() == 1) return sums<cross_term::reverse>(x, y, classes);
    if (power() > 0 && power() < 1) return sums<cross_term::mean>(x, y, classes);
    return sums<cross_term::none>(x, y, classes);
  }
  template <cross_term Cross, class X, class Y> pair_sum sums(X& x, Y& y, std::int64_t classes) const {
    if constexpr (Cross == cross_term::none || divergence::power_generator<G>) {
      running_pair<Cross, A> total(temperature_, target_temperature_, power());
      for_blocks(classes, [&](std::int64_t first, int count) {
        const K* policy = x.at(first, count);
        const K* target = y.at(first, count);
        const auto top = [&](const K* row) { return block_sum{.top = static_cast<double>(run_kernel<P, block_max>(row, padded(count)))}; };
        total.add_block([&] { return pair_sum{top(policy), top(target)}; },
                        [&](A policy_top, A target_top) {
                          return run_kernel<P, block_pair_sum<Cross>>(
                              policy, target, padded(count), term_scale<A>(static_cast<double>(policy_top), 1 / temperature_),
                              term_scale<A>(static_cast<double>(target_top), 1 / target_temperature_), static_cast<A>(power()));
                        });
      });
      return total.value();
    } else {
      return {};
    }
  }

  /// The divergence from the sums of one sweep, if its generator is a power and little of it is lost to cancellation: rows that nearly agree
  /// need the terms of the generator, which have none.
  bool known(const pair_sum& pair, double& value) const {
    if constexpr (divergence::power_generator<G>) {
      const double a = power(), log_ratio = std::log(pair.policy.sum) - std::log(pair.target.sum);
      double size = 1;  // of what is subtracted
      if (a == 0 || a == 1) {
        const double mean = pair.cross / (a == 0 ? pair.target.sum : pair.policy.sum);
        value = a == 0 ? mean + log_ratio : mean - log_ratio;
        size += std::abs(mean);
      } else if (a > 0 && a < 1) {
        const double unit = static_cast<double>(generator_.curvature(0.0)) / (a * (1 - a));
        value = unit * (1 - pair.cross / (pair.target.sum * std::exp(a * log_ratio)));
        size = unit;
      } else {
        return false;
      }
      constexpr double enough = 0.01;
      return value >= enough * size * size && std::isfinite(value);
    } else {
      return false;
    }
  }

  G generator_;
  divergence::class_generator<A, G> on_classes_;
  double temperature_, target_temperature_;
  bool streamed_;
};

/// What row_divergence and the distillation losses made of it refuse.
template <class T, class U, class Space>
void require_divergence(const view<const T, 2, Space>& policy_logits, const view<const U, 2, Space>& target, const view<arithmetic<T>, 1, Space>& values,
                        const view<T, 2, Space>& gradient, const view<const arithmetic<T>, 1, Space>& coefficients, const basic_divergence_options<Space>& o) {
  const std::int64_t rows = policy_logits.extent(0);
  require_temperature<arithmetic<T>>(o.temperature);
  require_rows(target, rows, "target_logits");
  if (o.classes == vocabulary::equal) require_extent(target.extent(1), policy_logits.extent(1), "target_logits (in columns)", "policy_logits");
  require_rows(values, rows, "values");
  require_rows_if_given(coefficients, rows, "coefficients");
  require_rows_if_given(o.mask, rows, "divergence_options.mask");
  require_distinct(values, "values");
  if (!gradient.absent()) {
    require_gradient(gradient, policy_logits);
    if constexpr (std::same_as<T, U>) {
      if (overlap<T, Space>(gradient, target)) throw error("attune: gradient overlaps target_logits; expected memory of its own");
    }
  }
}

template <class P, execution_policy Policy, divergence::generator G, class T, class U, target_kind Kind>
row_report row_divergence(Policy policy, const G& generator, const view<const T, 2>& policy_logits, const target_rows<U, Kind>& given,
                          const view<arithmetic<T>>& values, const view<T, 2>& gradient, const view<const arithmetic<T>>& coefficients,
                          const divergence_options& o) {
  const view<const U, 2>& target = given.rows;
  const std::int64_t rows = policy_logits.extent(0), classes = policy_logits.extent(1);
  validate(generator);
  require_divergence(policy_logits, target, values, gradient, coefficients, o);
  const divergence_row<P, G, T, U, Kind> on_row(generator, o.temperature, is_streamed(gradient, policy_logits.data()));
  const auto looked_at = [&](const auto& row) {
    const std::int64_t common = classes < target.extent(1) ? classes : target.extent(1);
    return o.classes == vocabulary::common ? std::remove_cvref_t<decltype(row)>(row.data(), {common}, {row.stride(0)}) : row;
  };

  return for_rows(policy, rows, classes, [&](std::int64_t n, row_report& report) {
    const view<T> out = row_of(gradient, n);
    double value = 0;
    if (o.mask.absent() || o.mask(n) != 0) {
      const double coefficient = coefficients.absent() ? 1 : static_cast<double>(coefficients(n));
      value = on_row(looked_at(row_of(policy_logits, n)), looked_at(row_of(target, n)), coefficient / o.temperature, out);
      if (!std::isfinite(value) || !std::isfinite(coefficient)) ++report.non_finite;
    } else {
      ++report.masked;
      fill(out, 0, 0);
    }
    values(n) = static_cast<arithmetic<T>>(value);
  });
}

}  // namespace detail

/// f-divergence between two models, row by row, over the whole vocabulary, and its gradient with respect to the policy's logits.
///
///   values[n]      = D_f(policy || target) = sum_v p_v f(pi_v / p_v) [nat]
///   gradient[n, i] = coefficients[n] / temperature pi_i (f'(t_i) - sum_j pi_j f'(t_j)),     t = pi / p
///
/// pi, p: softmax of policy_logits[n, :] / temperature and target_logits[n, :] / temperature, both [N, V] and of the same arithmetic type.
/// The target may also be given as log_probabilities(x) or probabilities(x); what is given is normalised again, so rounded or truncated rows are
/// distributions. Vocabularies of different sizes need an explicit option, see `vocabulary`; with `common` the gradient of the policy's other
/// classes is 0. generator: forward_kl = KL(target || policy), reverse_kl = KL(policy || target), jensen_shannon (twice the one with halves), or any
/// other; values [N]; gradient [N, Vp], Vp >= V, optional: columns from V on become 0, may be the memory of policy_logits (in place);
/// coefficients [N], optional: d loss / d values[n], 1 if absent.
/// Values  >= 0, and exactly 0 with gradient 0 for equal rows; in the input's arithmetic (16-bit logits: float), sums carried in double.
///         A class with -inf in both rows contributes 0 to both. Mass of one model where the other has none costs f(0) or f'(inf) a
///         unit: +inf under forward_kl where the policy has none and under reverse_kl where the target has none, never NaN. Then the
///         gradient is its limit: finite under forward_kl (pi - p); under reverse_kl +inf on the classes that the target excludes and
///         -inf on the others that the policy uses.
///         A masked row gives 0 and is not read; a row with coefficient 0 has gradient exactly 0. A row with a NaN or +inf, or without a
///         finite logit on either side, gives NaN. The report counts rows whose value or coefficient is NaN or infinite.
/// Order   results have the same bits for any policy, batch, position in it and strides, in place or not. No allocation.
/// Throws  attune::error, before anything is written: sizes that differ, temperature outside (0, inf), a gradient whose elements overlap,
///         or that overlaps policy_logits in part or target_logits at all.
/// Source  f-DPG, arXiv:2302.08215, theorem 1; the gradient is that theorem with d log pi_j / d z_i = (1[i = j] - pi_i) / temperature.
template <execution_policy Policy, divergence::generator G, detail::logits_matrix Logits, detail::divergence_target Target,
          class Pack = detail::logit_pack<Logits>>
row_report row_divergence(Policy policy, const G& generator, Logits&& policy_logits, Target&& target,
                          view<detail::logit_arithmetic<Logits>> values, view<detail::logit<Logits>, 2> gradient,
                          view<const detail::logit_arithmetic<Logits>> coefficients = {}, const divergence_options& o = {}) {
  using given = detail::target_of<Target>;
  static_assert(std::same_as<detail::logit_arithmetic<Logits>, arithmetic<typename given::element>>,
                "attune: policy_logits and target are computed with in different types; expected both double, or neither");
  return detail::row_divergence<Pack>(policy, generator, detail::readable<2>(static_cast<Logits&&>(policy_logits)),
                                      detail::target_rows<typename given::element, given::kind>{given::rows(static_cast<Target&&>(target))},
                                      values, gradient, coefficients, o);
}
template <execution_policy Policy, divergence::generator G, detail::logits_matrix Logits, detail::divergence_target Target,
          class Pack = detail::logit_pack<Logits>>
row_report row_divergence(Policy policy, const G& generator, Logits&& policy_logits, Target&& target,
                          view<detail::logit_arithmetic<Logits>> values, const divergence_options& o = {}) {
  return attune::row_divergence(policy, generator, static_cast<Logits&&>(policy_logits), static_cast<Target&&>(target), values,
                                view<detail::logit<Logits>, 2>{}, {}, o);
}
template <divergence::generator G, detail::logits_matrix Logits, detail::divergence_target Target,
          class Pack = detail::logit_pack<Logits>>
row_report row_divergence(const G& generator, Logits&& policy_logits, Target&& target,
                          view<detail::logit_arithmetic<Logits>> values, view<detail::logit<Logits>, 2> gradient,
                          view<const detail::logit_arithmetic<Logits>> coefficients = {}, const divergence_options& o = {}) {
  return attune::row_divergence(serial{}, generator, static_cast<Logits&&>(policy_logits), static_cast<Target&&>(target),
                                values, gradient, coefficients, o);
}
template <divergence::generator G, detail::logits_matrix Logits, detail::divergence_target Target,
          class Pack = detail::logit_pack<Logits>>
row_report row_divergence(const G& generator, Logits&& policy_logits, Target&& target,
                          view<detail::logit_arithmetic<Logits>> values, const divergence_options& o = {}) {
  return attune::row_divergence(serial{}, generator, static_cast<Logits&&>(policy_logits), static_cast<Target&&>(target),
                                values, o);
}

}  // namespace attune
