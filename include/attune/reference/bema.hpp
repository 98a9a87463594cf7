// SPDX-License-Identifier: MIT
#pragma once

#include <attune/reference/soft_update.hpp>

#include <cmath>

namespace attune {

/// Bias-corrected exponential moving average of a model, as a reference that follows the policy without lagging behind it. After optimiser
/// step t, for t = after + every, after + 2 every, ...:
///
///   average   <- average + b_t (policy - average)                  b_t = max( (rho + gamma t)^-kappa, min_weight ): the weight of the NEW policy
///   reference <- average + a_t (policy - start)                    a_t = (rho + gamma t)^-eta: the weight of the correction
///
/// start: the policy after step `after`, where the average begins too. The correction adds the way that the policy has gone, of which the
/// average lags behind; as t grows it fades. kappa, eta in [0, 1]; rho + gamma t >= 1, so that both weights are in (0, 1].
/// Source   Block et al. 2025, arXiv:2508.00180; the defaults are TRL's.
struct bema {
  double kappa = 0.5;       ///< decay of the weight of the new policy
  double eta = 0.2;         ///< decay of the correction
  double rho = 10;          ///< offset of the clock
  double gamma = 1;         ///< unit of the clock [1/step]
  double min_weight = 0;    ///< of the new policy
  std::int64_t every = 400; ///< steps
  std::int64_t after = 0;   ///< step at which the average begins

  double policy_weight(std::int64_t step) const { return max(std::pow(clock(step), -kappa), min_weight); }
  double correction_weight(std::int64_t step) const { return std::pow(clock(step), -eta); }
  /// Whether average and reference move after optimiser step `step`, counted from 1.
  bool due(std::int64_t step) const {
    require_valid(step);
    return step > after && (step - after) % every == 0;
  }

  /// Throws attune::error if a member is outside its domain.
  void require_valid(std::int64_t step) const {
    validate(*this);
    if (every < 1) throw error("attune: every is " + detail::text((long long)every) + "; expected a number of steps, 1 or more");
    if (after < 0) throw error("attune: after is " + detail::text((long long)after) + "; expected a step, 0 or more");
    if (step < 1) throw error("attune: step is " + detail::text((long long)step) + "; expected 1 or more: steps count from 1");
  }

  static constexpr auto parameters() {
    return std::array{parameter<bema>{"kappa", &bema::kappa, unit_interval, "decay exponent of the new policy's weight"},
                      parameter<bema>{"eta", &bema::eta, unit_interval, "decay exponent of the correction"},
                      parameter<bema>{"rho", &bema::rho, {.lower = 1, .includes_lower = true}, "offset of the clock"},
                      parameter<bema>{"gamma", &bema::gamma, nonnegative, "unit of the clock [1/step]"},
                      parameter<bema>{"min_weight", &bema::min_weight, unit_interval, "least weight of the new policy"}};
  }

 private:
  double clock(std::int64_t step) const {
    require_valid(step);
    return rho + gamma * static_cast<double>(step);
  }
};

namespace detail {

/// reference[i] = average[i] + weight (policy[i] - start[i])
template <class T, class P, class K>
struct correction {
  view<const T> average, start;
  view<const P> policy;
  view<K> reference;
  double weight;
};

struct correction_kernel {
  template <class S, class T, class P, class K>
  ATTUNE_PACK_FN static update_report run(const correction<T, P, K>* x, chunk_range range) {
    const bool dense = x->average.stride(0) == 1 && x->start.stride(0) == 1 && x->policy.stride(0) == 1 && x->reference.stride(0) == 1;
    const S weight(static_cast<T>(x->weight));
    update_report result{range.end - range.begin, 0, 0};
    for (std::int64_t tile = range.begin, end; tile < range.end; tile = end) {  // so short that a float counts exactly
      end = range.end - tile < (1 << 16) ? range.end : tile + (1 << 16);
      S non_finite(T(0));
      std::int64_t i = tile;
      for (; dense && i + lanes<S> <= end; i += lanes<S>) {
        step(x->average.data() + i, x->start.data() + i, x->policy.data() + i, x->reference.data() + i, weight, non_finite);
      }
      for (; i < end; i += lanes<S>) gathered_step(*x, i, end - i < lanes<S> ? static_cast<int>(end - i) : lanes<S>, weight, non_finite);
      for (T count : lane_buffer<S>(non_finite).lane) result.non_finite += static_cast<std::int64_t>(count);
    }
    return result;
  }

 private:
  template <class S, class T, class P, class K>
  static ATTUNE_PACK_FN void step(const T* average, const T* start, const P* policy, K* reference, const S& weight, S& non_finite) {
    const S x = widen<S>(average) + weight * (widen<S>(policy) - widen<S>(start));
    narrow(x, reference);
    non_finite = non_finite + select(finite(x), S(T(0)), S(T(1)));
  }
  /// n elements of any stride, as a whole pack: an element has the same bits wherever it lies.
  template <class S, class T, class P, class K>
  static ATTUNE_PACK_FN void gathered_step(const correction<T, P, K>& x, std::int64_t i, int n, const S& weight, S& non_finite) {
    T average[lanes<S>] = {}, start[lanes<S>] = {};
    P policy[lanes<S>] = {};
    K reference[lanes<S>] = {};
    for (int k = 0; k < n; ++k) average[k] = x.average(i + k), start[k] = x.start(i + k), policy[k] = x.policy(i + k);
    step(average, start, policy, reference, weight, non_finite);
    for (int k = 0; k < n; ++k) x.reference(i + k) = reference[k];
  }
};

}  // namespace detail

/// One update of a bias-corrected moving average, if it is due after optimiser step `step` (from 1); else writes nothing and reports 0 elements.
///
/// average    [n] float or double, begun as a copy of `start`; it is kept between updates
/// start      [n] of the average's type: the policy after step schedule.after; never written
/// policy     [n] float, double or 16-bit parameters, read only
/// reference  [n] float, double or 16-bit: what the reference model computes with; written only
/// The report counts elements of the reference that are not finite, and elements of the average that stall (see soft_update).
/// Throws attune::error, before anything is written, for sizes that differ, parameters outside their domains, or tensors that overlap.
template <execution_policy Execution, tensor Average, tensor Start, tensor Policy, tensor Reference>
update_report apply(Execution execution, const bema& schedule, std::int64_t step, Average&& average, Start&& start, Policy&& policy, Reference&& reference) {
  const auto mean = as_view<1>(static_cast<Average&&>(average));
  const auto from = detail::read_only(as_view<1>(static_cast<Start&&>(start)));
  const auto now = detail::read_only(as_view<1>(static_cast<Policy&&>(policy)));
  const auto to = as_view<1>(static_cast<Reference&&>(reference));
  using T = typename decltype(mean)::element;
  static_assert(real<T> && std::is_same_v<const T, typename decltype(from)::element>, "attune: the average and the start are of one type, float or double");
  const bool due = schedule.due(step);
  const auto model = detail::one_tensor(mean, now, detail::no_companion{});
  detail::check_model(detail::tensors(model));
  const auto require_length = [&](const auto& x, const char* name) { detail::require_extent(x.extent(0), mean.extent(0), name, "average"); };
  require_length(from, "start");
  require_length(to, "reference");
  detail::require_apart(mean, from, "average", "start", "");
  detail::require_apart(to, mean, "reference", "average", "");
  detail::require_apart(to, from, "reference", "start", "");
  detail::require_apart(to, now, "reference", "policy", ": the reference is the policy");
  if (!due) return {};

  const update_report averaged = soft_update(execution, mean, now, schedule.policy_weight(step));
  const detail::correction<T, std::remove_const_t<typename decltype(now)::element>, typename decltype(to)::element> correction{
      mean, from, now, to, schedule.correction_weight(step)};
  update_report total = detail::run_update(execution, detail::tensors(model), [&](const auto&, chunk_range range) {
    return detail::run_kernel<native_pack<T>, detail::correction_kernel>(&correction, range);
  });
  total.stalled = averaged.stalled;
  return total;
}
template <tensor Average, tensor Start, tensor Policy, tensor Reference>
update_report apply(const bema& schedule, std::int64_t step, Average&& average, Start&& start, Policy&& policy, Reference&& reference) {
  return apply(serial{}, schedule, step, static_cast<Average&&>(average), static_cast<Start&&>(start), static_cast<Policy&&>(policy),
               static_cast<Reference&&>(reference));
}

}  // namespace attune
