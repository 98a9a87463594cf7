// SPDX-License-Identifier: MIT
#pragma once

#include <attune/reference/hard_update.hpp>

#include <charconv>  // from_chars
#include <string_view>

namespace attune {

/// When the reference model follows the policy, and how far: at every step t = every, 2 every, 3 every, ...
///
///   reference <- reference + a (policy - reference),   a = policy_weight in [0, 1], the weight of the NEW policy
///
///   frozen()       a = 0            the reference of DPO, IPO, KTO, ...
///   soft(a, every) 0 < a < 1        TR-DPO, soft (the defaults, a = 0.6 at every step, are the paper's)
///   hard(every)    a = 1            TR-DPO, hard (every 512 steps in the paper)
///
/// A reference that moves puts back the gradient weight that DPO loses as its margin grows. The price: unless the labels are balanced the
/// policy then has no finite fixed point; training ends by its own schedule only.
/// Source   Gorbatovski et al. 2024, arXiv:2404.09656.
struct reference_schedule {
  double policy_weight = 0.6;
  std::int64_t every = 1;

  static constexpr reference_schedule frozen() { return {0, 1}; }
  static constexpr reference_schedule soft(double policy_weight = 0.6, std::int64_t every = 1) { return {policy_weight, every}; }
  static constexpr reference_schedule hard(std::int64_t every = 512) { return {1, every}; }

  /// Whether the reference moves after optimiser step `step`, counted from 1.
  bool due(std::int64_t step) const {
    require_valid();
    if (step < 1) throw error("attune: step is " + detail::text((long long)step) + "; expected 1 or more: steps count from 1");
    return policy_weight > 0 && step % every == 0;
  }

  /// Throws attune::error if a member is outside its domain.
  void require_valid() const {
    if (!unit_interval.contains(policy_weight)) {
      throw error("attune: policy_weight is " + detail::text(policy_weight) + "; expected a value in " + unit_interval.text());
    }
    if (every < 1) throw error("attune: every is " + detail::text((long long)every) + "; expected a number of steps, 1 or more");
  }

  /// "frozen", "soft:0.6", "soft:0.6:32" or "hard:512", as on a command line; parse(x.text()) is x.
  static reference_schedule parse(std::string_view given);
  std::string text() const {
    if (policy_weight == 0) return "frozen";
    const std::string steps = std::string(":") + detail::text((long long)every);
    if (policy_weight == 1) return std::string("hard") + steps;
    return std::string("soft:") + detail::text(policy_weight) + (every == 1 ? "" : steps);
  }

  friend bool operator==(const reference_schedule&, const reference_schedule&) = default;
};

namespace detail {

/// The field up to the next colon, taken off the front of `rest`.
inline std::string_view next_field(std::string_view& rest) {
  const std::size_t colon = rest.find(':');
  const std::string_view field = rest.substr(0, colon);
  rest = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon + 1);
  return field;
}
/// Whether the whole field is one number.
template <class T>
bool read_number(std::string_view field, T& value) {
  const auto [end, status] = std::from_chars(field.data(), field.data() + field.size(), value);
  return status == std::errc{} && end == field.data() + field.size();
}

}  // namespace detail

inline reference_schedule reference_schedule::parse(std::string_view given) {
  int colons = 0;
  for (char c : given) colons += c == ':';
  const auto is = [&](std::string_view kind, int fields) { return given.substr(0, given.find(':')) == kind && colons == fields; };
  std::string_view rest = given;
  detail::next_field(rest);
  reference_schedule result = frozen();
  bool valid = is("frozen", 0);
  if (is("hard", 1)) {
    result = hard();
    valid = detail::read_number(rest, result.every);
  } else if (is("soft", 1) || is("soft", 2)) {
    result = soft();
    valid = detail::read_number(detail::next_field(rest), result.policy_weight);
    if (is("soft", 2)) valid &= detail::read_number(rest, result.every);
  }
  if (!valid || result.every < 1 || !unit_interval.contains(result.policy_weight)) {
    throw error("attune: reference schedule is '" + std::string(given) +
                "'; expected frozen, soft:WEIGHT, soft:WEIGHT:EVERY or hard:EVERY, with WEIGHT in [0, 1] and EVERY at least 1 step");
  }
  return result;
}

namespace detail {

template <class Execution, class T, class P, class Companion>
update_report apply(const Execution& execution, const reference_schedule& schedule, std::int64_t step, std::span<const model_tensor<T, P, Companion>> model) {
  if (!can_average<T, Companion> && schedule.policy_weight > 0 && schedule.policy_weight < 1) {
    throw error("attune: reference is a 16-bit tensor without compensation and the schedule is " + schedule.text() +
                "; expected a float reference, attune::compensation{residual}, attune::stochastic_rounding, or a hard schedule");
  }
  check_weight(schedule.policy_weight);
  if (schedule.due(step)) return update(execution, model, schedule.policy_weight);
  check_model(model);
  return {};
}

}  // namespace detail

/// Moves the reference if the schedule says so after optimiser step `step` (from 1); else writes nothing and reports 0 elements. Tensors
/// are checked at every step. Arguments as of soft_update and hard_update, a list of attune::model_tensor included; a 16-bit reference
/// without compensation or stochastic rounding can be copied only.
template <execution_policy Execution, tensor Reference, tensor Policy, class Companion = detail::no_companion>
update_report apply(Execution execution, const reference_schedule& schedule, std::int64_t step, Reference&& reference, Policy&& policy,
                    Companion companion = {}) {
  const auto model = detail::one_tensor(static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), companion);
  return detail::apply(execution, schedule, step, detail::tensors(model));
}
template <tensor Reference, tensor Policy, class Companion = detail::no_companion>
update_report apply(const reference_schedule& schedule, std::int64_t step, Reference&& reference, Policy&& policy,
                    Companion companion = {}) {
  return apply(serial{}, schedule, step, static_cast<Reference&&>(reference), static_cast<Policy&&>(policy), companion);
}
template <execution_policy Execution, model_tensors Model>
update_report apply(Execution execution, const reference_schedule& schedule, std::int64_t step, const Model& model) {
  return detail::apply(execution, schedule, step, detail::tensors(model));
}
template <model_tensors Model>
update_report apply(const reference_schedule& schedule, std::int64_t step, const Model& model) {
  return detail::apply(serial{}, schedule, step, detail::tensors(model));
}

}  // namespace attune
