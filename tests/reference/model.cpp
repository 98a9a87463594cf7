// SPDX-License-Identifier: MIT
#include <attune/exec/executor.hpp>
#include <attune/exec/thread_pool.hpp>
#include <attune/reference/schedule.hpp>

#include "support/catch.hpp"

#include <cstring>
#include <random>
#include <vector>

using attune::bfloat16;
using attune::model_tensor;

namespace {

constexpr std::size_t sizes[] = {5, 4096, 0, 100'003, 64, 1, 40'000, 33, 4096};

template <class T>
std::vector<std::vector<T>> tensors(unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> gauss;
  std::vector<std::vector<T>> result;
  for (std::size_t n : sizes) {
    result.emplace_back(n);
    for (T& x : result.back()) x = T(gauss(generator));
  }
  return result;
}

template <class T>
bool same_bits(const std::vector<std::vector<T>>& a, const std::vector<std::vector<T>>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].size() != b[i].size() || (a[i].size() > 0 && std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(T)) != 0)) return false;
  }
  return a.size() == b.size();
}
bool same(const attune::update_report& a, const attune::update_report& b) {
  return a.elements == b.elements && a.stalled == b.stalled && a.non_finite == b.non_finite;
}

/// A model in one call beside a call for each tensor. companion(memory) makes the companion of a tensor from some 16-bit memory.
template <class T, class P, class Companion>
void compare(const Companion& companion) {
  using tensor = model_tensor<T, P, decltype(companion(std::declval<std::vector<bfloat16>&>()))>;
  const auto start = tensors<T>(1);
  auto policy = tensors<P>(2);
  policy[3][17] = P(std::numeric_limits<float>::infinity());
  auto expected = start;
  auto expected_memory = tensors<bfloat16>(3);
  attune::update_report sum;
  for (std::size_t i = 0; i < start.size(); ++i) sum += attune::soft_update(expected[i], policy[i], .1, companion(expected_memory[i]));
  CHECK(sum.non_finite == 1);

  attune::thread_pool pool{3};
  const auto check = [&](const auto& execution) {
    auto reference = start;
    auto memory = tensors<bfloat16>(3);
    std::vector<tensor> model;
    for (std::size_t i = 0; i < start.size(); ++i) model.push_back({reference[i], policy[i], companion(memory[i])});
    CHECK(same(attune::soft_update(execution, model, .1), sum));
    CHECK(same_bits(reference, expected));
    CHECK(same_bits(memory, expected_memory));
  };
  check(attune::serial{});
  check(attune::threads{7, 0});
  check(attune::on(pool, 0));
}

}  // namespace

TEST_CASE("a model in one call: the bits and the report of a call for each tensor") {
  compare<float, float>([](auto&) { return attune::detail::no_companion{}; });
  compare<double, float>([](auto&) { return attune::detail::no_companion{}; });
  compare<float, bfloat16>([](auto& memory) { return attune::rounded_copy<bfloat16>{memory}; });
  compare<bfloat16, bfloat16>([](auto& memory) { return attune::compensation<bfloat16>{memory}; });
  compare<bfloat16, float>([](auto& memory) { return attune::compensation<bfloat16>{memory}; });
  compare<bfloat16, bfloat16>([](auto&) { return attune::stochastic_rounding{.seed = 1, .step = 2}; });
}

TEST_CASE("a model in one call: hard updates and schedules") {
  const auto policy = tensors<float>(1);
  auto reference = tensors<float>(2);
  std::vector<model_tensor<float>> model;
  for (std::size_t i = 0; i < policy.size(); ++i) model.push_back({reference[i], policy[i]});
  const auto before = reference;
  CHECK(attune::apply(attune::reference_schedule::hard(2), 1, model).elements == 0);
  CHECK(same_bits(reference, before));
  CHECK(attune::apply(attune::threads{2, 0}, attune::reference_schedule::hard(2), 2, model).elements == 148'298);
  CHECK(same_bits(reference, policy));
  reference = before;
  for (std::size_t i = 0; i < policy.size(); ++i) model[i].reference = reference[i];
  CHECK(attune::hard_update(model).elements == 148'298);
  CHECK(same_bits(reference, policy));
  CHECK(attune::soft_update(std::vector<model_tensor<float>>{}, .5).elements == 0);
}

TEST_CASE("a model in one call: work is shared out by elements, not by tensors") {
  std::vector<float> reference(1 << 20, 1.0f), policy(1 << 20, 2.0f);
  const auto chunks_of = [&](std::int64_t size) {  // of each tensor
    std::vector<model_tensor<float>> model;
    for (std::int64_t i = 0; i < 1 << 20; i += size) model.push_back({attune::as_view(reference.data() + i, size), attune::as_view(policy.data() + i, size)});
    int chunks = 0;
    const attune::executor counting{[&](int count, auto work) {
      chunks = count;
      for (int i = 0; i < count; ++i) work(i);
    }};
    CHECK(attune::soft_update(counting, model, .5).elements == 1 << 20);
    return chunks;
  };
  CHECK(chunks_of(1 << 20) == 64);
  CHECK(chunks_of(1 << 12) == 64);
  CHECK(reference == std::vector<float>(1 << 20, 1.75f));
}

TEST_CASE("a model in one call: everything is checked before anything is written") {
  auto reference = tensors<float>(1);
  const auto before = reference;
  const auto policy = tensors<float>(2);
  const auto model = [&] {
    std::vector<model_tensor<float>> list;
    for (std::size_t i = 0; i < policy.size(); ++i) list.push_back({reference[i], policy[i]});
    return list;
  };
  auto short_policy = model();
  short_policy[8].policy = attune::as_view(policy[8].data(), 4095);
  CHECK_THROWS_WITH(soft_update(short_policy, .5), "attune: policy has 4095 elements; expected 4096, like reference (tensor 8 of the model)");
  CHECK_THROWS_WITH(hard_update(short_policy), "attune: policy has 4095 elements; expected 4096, like reference (tensor 8 of the model)");
  auto tied = model();
  tied[8].reference = reference[1];
  CHECK_THROWS_WITH(soft_update(tied, .5), "attune: what is written for tensor 1 of the model overlaps tensor 8 in memory; expected tensors of their own, and "
                                           "tied weights once");
  auto crossed = model();
  crossed[1].policy = reference[8];
  CHECK_THROWS_WITH(soft_update(attune::threads{2}, crossed, .5),
                    "attune: what is written for tensor 8 of the model overlaps tensor 1 in memory; expected tensors of their own, and tied weights once");
  CHECK_THROWS_AS(attune::apply(attune::reference_schedule::frozen(), 1, crossed), attune::error);
  CHECK_THROWS_AS(soft_update(model(), 1.5), attune::error);
  CHECK(same_bits(reference, before));

  auto shared_policy = model();  // tensors that are only read may be the same
  shared_policy[8].policy = policy[1];
  CHECK_NOTHROW(soft_update(shared_policy, .5));

  std::vector<bfloat16> halves(64), half_policy(64), residual(64);
  using compensated = model_tensor<bfloat16, bfloat16, attune::compensation<bfloat16>>;
  const attune::view<bfloat16> h = halves, r = residual;
  const auto part = [](const attune::view<bfloat16>& x, std::int64_t i) { return attune::as_view(x.data() + i, 32); };
  std::vector<compensated> two{{part(h, 0), part(half_policy, 0), {part(r, 0)}}, {part(h, 32), part(half_policy, 32), {part(r, 32)}}};
  CHECK_NOTHROW(soft_update(two, .5));
  two[1].companion.residual = part(r, 16);
  CHECK_THROWS_AS(soft_update(two, .5), attune::error);
  CHECK_THROWS_AS(attune::apply(attune::reference_schedule::soft(), 1, std::vector<model_tensor<bfloat16>>{{h, half_policy}}), attune::error);
}
