// SPDX-License-Identifier: MIT
// Reference updates on Thrust's device, whatever it is: the bits of the host.
#include "thrust_support.hpp"

#include <attune/exec/instruction_set.hpp>

#include "support/catch.hpp"

using namespace attune_test;
using attune::bfloat16;
using attune::float16;
using attune::update_report;

namespace {

constexpr std::int64_t size = 1003;

template <class T> thrust::device_vector<T> copied(const std::vector<T>& x) { return thrust::device_vector<T>(x.begin(), x.end()); }
bool same_report(const update_report& a, const update_report& b) {
  return a.elements == b.elements && a.stalled == b.stalled && a.non_finite == b.non_finite;
}
/// Numbers near those of the policy, some equal to them, and what has to keep its bits: -0, infinities, NaN with a payload.
template <class T> std::vector<T> reference_of(const std::vector<double>& policy) {
  std::vector<T> x = normals<T>(size, 0.02, 9);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i % 7 == 0 ? to<T>(policy[i]) : to<T>(from(x[i]) + policy[i]);
  x[1] = to<T>(-0.0), x[2] = to<T>(double(inf_f)), x[3] = to<T>(double(nan_f)), x[8] = to<T>(3e38);
  if constexpr (sizeof(T) == 2) x[3] = __builtin_bit_cast(T, std::uint16_t(0xffc5));
  return x;
}
template <class T> std::vector<T> policy_of() {
  std::vector<T> x = normals<T>(size, 1, 4);
  x[1] = to<T>(0.0), x[5] = to<T>(double(nan_f)), x[6] = to<T>(-double(inf_f));
  return x;
}

/// What an update leaves: on the host, and on the device.
template <class T, class K> struct outcome {
  std::vector<T> reference;
  std::vector<K> memory;
  update_report report;
};
template <class T, class P, class K, class MakeCompanion>
void require_host_bits(double weight, const MakeCompanion& companion_of, std::int64_t offset = 0, std::int64_t stride = 1) {
  const std::vector<P> policy = policy_of<P>();
  const std::vector<T> before = reference_of<T>(as_doubles(policy));
  outcome<T, K> expected{before, std::vector<K>(std::size_t(size)), {}};
  for (std::size_t i = 0; i < expected.memory.size(); i += 3) expected.memory[i] = to<K>(1e-4 * double(i % 5));
  const std::vector<K> memory_before = expected.memory;
  if constexpr (attune::detail::can_average<T, decltype(companion_of(expected.memory))>) {
    expected.report = weight == 1 ? attune::hard_update(expected.reference, policy, companion_of(expected.memory))
                                  : attune::soft_update(expected.reference, policy, weight, companion_of(expected.memory));
  } else {
    expected.report = attune::hard_update(expected.reference, policy, companion_of(expected.memory));
  }

  // Elements `stride` apart, the first one `offset` from the begin, between poison that is to stay.
  std::vector<T> spread(std::size_t(offset + stride * size + 1), to<T>(776));
  for (std::size_t i = 0; i < before.size(); ++i) spread[std::size_t(offset) + std::size_t(stride) * i] = before[i];
  auto reference = copied(spread);
  const auto parameters = copied(policy);
  auto memory = copied(memory_before);
  thrust::device_vector<update_report> report(1, update_report{7, 7, 7});
  const auto to_update = as_view(reference.data() + offset, {size}, {stride});
  if constexpr (attune::detail::can_average<T, decltype(companion_of(memory))>) {
    if (weight == 1) attune::hard_update(on_thrust, to_update, parameters, companion_of(memory), report);
    else attune::soft_update(on_thrust, to_update, parameters, weight, companion_of(memory), report);
  } else {
    attune::hard_update(on_thrust, to_update, parameters, companion_of(memory), report);
  }
  const std::vector<T> all = on_host(reference);
  std::vector<T> given;
  for (std::int64_t i = 0; i < size; ++i) given.push_back(all[std::size_t(offset + stride * i)]);
  CHECK(same_bits(given, expected.reference));
  CHECK(same_bits(on_host(memory), expected.memory));
  CHECK(same_report(on_host(report)[0], expected.report));
  CHECK(from(all.back()) == 776);
  CHECK((offset == 0 || from(all[0]) == 776));
}

const auto none = [](auto&) { return attune::detail::no_companion{}; };
const auto copy = [](auto& memory) { return attune::rounded_copy{memory}; };
const auto residual = [](auto& memory) { return attune::compensation{memory}; };
const auto chance = [](auto&) { return attune::stochastic_rounding{.seed = 5, .step = 3, .first = (std::int64_t{1} << 32) - 500}; };

/// Runs the host without fused multiplication and addition, if it can do without.
struct unfused {
  attune::instruction_set before = attune::current_instruction_set();
  unfused() { attune::limit_instruction_set(attune::instruction_set::compiled); }
  unfused(const unfused&) = delete;
  ~unfused() { attune::limit_instruction_set(before); }
#if defined(__FMA__) || defined(__aarch64__)
  static constexpr bool possible = false;
#else
  static constexpr bool possible = true;
#endif
};

}  // namespace

TEST_CASE("Thrust update: the host's bits, and its report", "[thrust]") {
  if (!unfused::possible) {
    WARN("compiled for fused multiplication and addition: the bits of the host are others");
    return;
  }
  const unfused host;
  for (const double weight : {0.6, 1e-3, 0.0, 1.0}) {
    for (const std::int64_t offset : {0, 1}) {
      INFO("weight " << weight << ", offset " << offset);
      require_host_bits<float, float, bfloat16>(weight, none, offset);
      require_host_bits<float, bfloat16, bfloat16>(weight, copy, offset);
      require_host_bits<double, float, float16>(weight, copy, offset);
      require_host_bits<bfloat16, bfloat16, bfloat16>(weight, residual, offset);
      require_host_bits<bfloat16, bfloat16, bfloat16>(weight, chance, offset);
      require_host_bits<bfloat16, float, bfloat16>(weight, chance, offset);
      require_host_bits<float16, float16, float16>(weight, residual, offset);
      require_host_bits<float16, float16, float16>(weight, chance, offset);
    }
  }
  require_host_bits<float, float, bfloat16>(0.6, none, 2, 3);
  require_host_bits<bfloat16, bfloat16, bfloat16>(0.6, chance, 2, 3);
}

TEST_CASE("Thrust update: a copy is a copy", "[thrust]") {
  require_host_bits<float, float, bfloat16>(1, none);
  require_host_bits<bfloat16, bfloat16, bfloat16>(1, none, 1);
  require_host_bits<bfloat16, float, bfloat16>(1, none);
  require_host_bits<bfloat16, float, bfloat16>(1, chance);
}

TEST_CASE("Thrust update: it follows the formula", "[thrust]") {
  const std::vector<float> policy = normals<float>(size, 1, 4), before = normals<float>(size, 1, 5);
  auto reference = copied(before);
  const auto parameters = copied(policy);
  attune::soft_update(on_thrust, reference, parameters, 0.25);
  const std::vector<float> given = on_host(reference);
  double worst = 0;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const double exact = 0.75 * double(before[i]) + 0.25 * double(policy[i]), scale = std::abs(double(before[i])) + std::abs(double(policy[i]));
    worst = attune::max(worst, std::abs(double(given[i]) - exact) / scale);
  }
  CHECK(worst <= 1.2e-7);
}

TEST_CASE("Thrust update: shards have the bits of the whole", "[thrust]") {
  const std::vector<bfloat16> policy = normals<bfloat16>(size, 1, 4), before = normals<bfloat16>(size, 1, 5);
  const auto parameters = copied(policy);
  auto whole = copied(before), sharded = copied(before);
  attune::soft_update(on_thrust, whole, parameters, 0.1, attune::stochastic_rounding{.seed = 1, .step = 2});
  for (const auto& [first, last] : {std::array<std::int64_t, 2>{0, 501}, std::array<std::int64_t, 2>{501, size}}) {
    attune::soft_update(on_thrust, as_view(sharded.data() + first, last - first), as_view(parameters.data() + first, last - first), 0.1,
                        attune::stochastic_rounding{.seed = 1, .step = 2, .first = first});
  }
  CHECK(same_bits(on_host(whole), on_host(sharded)));
  CHECK_FALSE(same_bits(on_host(whole), before));
}

TEST_CASE("Thrust update: bad arguments", "[thrust]") {
  thrust::device_vector<float> reference(10, 1.0f), other(9, 2.0f), ten(10);
  const auto refusal = [&](const auto& policy, double weight) { return error_text([&] { attune::soft_update(on_thrust, reference, policy, weight); }); };
  CHECK(contains(refusal(other, 0.5), "policy has 9 elements; expected 10"));
  CHECK(contains(refusal(ten, 1.5), "policy_weight is 1.5"));
  CHECK(contains(refusal(reference, 0.5), "the reference is the policy"));
  CHECK(on_host(reference) == std::vector<float>(10, 1.0f));
}
