// SPDX-License-Identifier: MIT
// How many launches a call is, counted by an execution policy of the test's own; and that unchecked calls are launches only.
#include "thrust_support.hpp"

#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/total_variation.hpp>
#include <attune/policy/surrogate/clip.hpp>
#include <attune/preference/dpo.hpp>

#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#if THRUST_DEVICE_SYSTEM != THRUST_DEVICE_SYSTEM_CUDA  // the policy runs on the host

using namespace attune_test;
using attune::row_report;
using attune::row_state;

namespace {

int launches = 0, reductions = 0;

/// A user's policy: what it does not overload is what CPP does.
struct counting : thrust::cpp::execution_policy<counting> {};
template <class Iterator, class Size, class F> Iterator for_each_n(counting&, Iterator first, Size n, F f) {
  ++launches;
  return thrust::for_each_n(thrust::cpp::par, first, n, f);
}
template <class Iterator, class Unary, class T, class Binary> T transform_reduce(counting&, Iterator first, Iterator last, Unary f, T init, Binary g) {
  ++reductions;
  return thrust::transform_reduce(thrust::cpp::par, first, last, f, init, g);
}

/// A policy that tells its stream, and a product that counts its calls and knows its own.
struct streamed : counting {
  int stream = 0;
};
struct counting_gemm {
  int* products;
  int stream = 0;
  template <class C, class T> void operator()(const view<C, 2, device>&, const view<const T, 2, device>&, const view<const T, 2, device>&, bool) const { ++*products; }
  void require_stream(int given) const {
    if (given != stream) throw attune::error("another stream");
  }
};

template <class F> int launches_of(const F& call) {
  launches = 0;
  call();
  return launches;
}

}  // namespace

TEST_CASE("Thrust launches: as few as documented", "[thrust]") {
  STATIC_REQUIRE(attune::thrust_policy<counting>);
  STATIC_REQUIRE_FALSE(attune::thrust_policy<attune::serial>);
  STATIC_REQUIRE_FALSE(attune::thrust_policy<thrust::device_vector<float>>);
  const counting policy;
  device_matrix<float> logits(normals<float>(6 * 100, 1, 2), 6, 100), teacher(normals<float>(6 * 100, 1, 3), 6, 100);
  const thrust::device_vector<std::int32_t> targets(6, 1);
  thrust::device_vector<float> logps(6), entropies(6), sums(2);
  thrust::device_vector<row_state> states(6);
  thrust::device_vector<row_report> report(1);
  thrust::device_vector<std::byte> workspace(1 << 16);
  reductions = 0;
  const attune::device_row_options o{.workspace = workspace}, with_report{.workspace = workspace, .report = report};
  CHECK(launches_of([&] { attune::token_logps(policy, logits.matrix(), targets, logps, states, o); }) == 2);
  CHECK(launches_of([&] { attune::token_logps(policy, logits.matrix(), targets, logps, states, with_report, {.entropies = entropies}); }) == 2);
  CHECK(launches_of([&] { attune::sequence_logps(policy, as_view(logps.data(), 2, 3), {}, sums); }) == 1);
  CHECK(launches_of([&] { attune::token_coefficients(policy, sums, {}, as_view(logps.data(), 2, 3)); }) == 1);
  const auto divergence = [&](const auto& generator, bool gradient) {
    return launches_of([&] {
      attune::row_divergence(policy, generator, logits.matrix(), teacher.matrix(), logps, gradient ? logits.matrix() : view<float, 2, device>{}, {},
                             {.workspace = workspace, .report = report});
    });
  };
  CHECK(divergence(attune::divergence::forward_kl{}, false) == 2);
  CHECK(divergence(attune::divergence::forward_kl{}, true) == 3);
  CHECK(divergence(attune::divergence::total_variation{}, false) == 4);
  CHECK(divergence(attune::divergence::total_variation{}, true) == 5);
  CHECK(launches_of([&] { attune::logits_gradient(policy, logits.matrix(), targets, states, logps, logits.matrix(), o); }) == 1);
  CHECK(launches_of([&] { attune::logits_gradient(policy, logits.matrix(), targets, states, logps, logits.matrix(), with_report); }) == 2);
  CHECK(launches_of([&] { attune::soft_update(policy, logps, entropies, 0.5); }) == 1);
  CHECK(launches_of([&] { attune::hard_update(policy, logps, entropies); }) == 1);
  // Stage 2: with a denominator that is known, one that has to be found, and the report.
  thrust::device_vector<attune::report> loss_report(1);
  thrust::device_vector<attune::policy_report> token_report(1);
  const attune::pairs<float, device> known{.chosen = logps, .rejected = logps, .ref_chosen = logps, .ref_rejected = logps};
  attune::pairs<float, device> weighted = known;
  weighted.weight = logps;
  const auto pairs = [&](const auto& batch, const attune::device_options& how) {
    return launches_of([&] { attune::evaluate(policy, attune::dpo{}, batch, {.chosen = logps, .rejected = entropies}, how); });
  };
  CHECK(pairs(known, {}) == 1);
  CHECK(pairs(weighted, {.normalizer = 1.0}) == 1);
  CHECK(pairs(weighted, {.workspace = workspace}) == 2);
  CHECK(pairs(weighted, {.workspace = workspace, .report = loss_report}) == 4);
  const auto tokens = [&](const attune::token_options& how, bool reported) {
    attune::device_token_options all{.how = how, .workspace = workspace};
    if (reported) all.report = token_report;
    const auto row = as_view(logps.data(), 2, 3);
    const attune::tokens<float, device> batch{.logp = row, .old_logp = row, .advantage = sums};
    return launches_of([&] { attune::evaluate(policy, attune::ppo{}, batch, {.logp = as_view(entropies.data(), 2, 3)}, all); });
  };
  CHECK(tokens({.normalizer = 6.0}, false) == 3);
  CHECK(tokens({}, false) == 4);
  CHECK(tokens({}, true) == 6);
  CHECK(tokens({.ratio = attune::ratio_level::sequence}, true) == 7);
  CHECK(reductions == 0);
  const auto before = attune_test::allocations();
  attune::token_logps(policy, logits.matrix(), targets, logps, states, with_report);
  attune::logits_gradient(policy, logits.matrix(), targets, states, logps, logits.matrix(), with_report);
  attune::soft_update(policy, logps, entropies, 0.5);
  pairs(weighted, {.workspace = workspace, .report = loss_report});
  tokens({}, true);
  const auto after = attune_test::allocations();
  CHECK(after == before);
  attune::device_row_options checked = o;
  checked.checked = true;
  attune::token_logps(policy, logits.matrix(), targets, logps, states, checked);
  CHECK(reductions == 1);
}

TEST_CASE("Thrust launches: the LM head, a chunk", "[thrust]") {
  constexpr std::int64_t rows = 10, chunk = 4, chunks = 3, features = 3, classes = 100;
  const counting policy;
  device_matrix<bfloat16> hidden(normals<bfloat16>(rows * features, 1, 2), rows, features), weight(normals<bfloat16>(classes * features, 1, 3), classes, features);
  device_matrix<bfloat16> d_hidden({}, rows, features);
  device_matrix<float> d_weight({}, classes, features);
  const thrust::device_vector<std::int32_t> targets(rows, 1);
  thrust::device_vector<float> logps(rows);
  thrust::device_vector<row_state> states(rows);
  thrust::device_vector<row_report> report(1);
  thrust::device_vector<std::byte> memory(std::size_t(attune::device_lm_head_bytes<bfloat16, float>(chunk, classes)));
  const attune::device_lm_head_workspace<bfloat16> narrow{.rows = chunk, .memory = memory};
  const attune::device_lm_head_workspace<float> wide{.rows = chunk, .memory = memory};
  const attune::device_lm_head_gradients<bfloat16> both{.hidden = d_hidden.matrix(), .weight = d_weight.matrix()};
  const attune::device_row_options with_report{.report = report};
  int products = 0;
  const counting_gemm gemm{&products};
  const auto minus_one = [](std::int64_t, float) { return -1.0f; };  // on the host
  const auto nothing = [](const auto&) {};
  const auto logps_of = [&](const attune::device_row_options& o) {
    return launches_of([&] { attune::lm_head_logps(policy, gemm, hidden.matrix(), weight.matrix(), targets, logps, states, narrow, o); });
  };
  const auto gradient_of = [&](const auto& workspace, const attune::device_row_options& o) {
    return launches_of([&] { attune::lm_head_gradient(policy, gemm, hidden.matrix(), weight.matrix(), targets, states, logps, both, workspace, o); });
  };
  const auto fused = [&](const attune::device_row_options& o) {
    return launches_of([&] { attune::lm_head_fused(policy, gemm, hidden.matrix(), weight.matrix(), targets, minus_one, logps, both, narrow, o); });
  };
  const auto visit = [&](const attune::device_lm_head_gradients<bfloat16>& gradients) {
    return launches_of([&] { attune::lm_head_visit(policy, gemm, hidden.matrix(), weight.matrix(), nothing, gradients, narrow); });
  };
  const auto products_of = [&](const auto& call) {
    products = 0;
    call();
    return products;
  };
  const auto before = attune_test::allocations();
  CHECK(products_of([&] { CHECK(logps_of({}) == 2 * chunks); }) == chunks);
  CHECK(products_of([&] { CHECK(gradient_of(narrow, {}) == chunks); }) == 3 * chunks);
  CHECK(products_of([&] { CHECK(fused({}) == 4 * chunks); }) == 3 * chunks);
  CHECK(products_of([&] { CHECK(visit({}) == 0); }) == chunks);
  CHECK(products_of([&] { CHECK(visit({.hidden = d_hidden.matrix()}) == 0); }) == 2 * chunks);
  CHECK(gradient_of(wide, {}) == 2 * chunks);  // its factor is rounded
  CHECK(logps_of(with_report) == 1 + 3 * chunks);
  CHECK(gradient_of(narrow, with_report) == 1 + 3 * chunks);
  CHECK(fused(with_report) == 1 + 5 * chunks);
  const auto after = attune_test::allocations();
  CHECK(after == before);

  streamed other;
  const auto text = [&](int stream) {
    other.stream = stream;
    return attune_test::error_text([&] { attune::lm_head_logps(other, gemm, hidden.matrix(), weight.matrix(), targets, logps, states, narrow); });
  };
  CHECK(text(0) == "");
  CHECK(text(1) == "another stream");
}

#endif
