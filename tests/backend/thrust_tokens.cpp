// SPDX-License-Identifier: MIT
// evaluate on tokens on Thrust's device, whatever it is, against evaluate on the host, in every layout.
#include "thrust_support.hpp"

#include <attune/policy/surrogate/covariance.hpp>
#include <attune/policy/penalised.hpp>
#include <attune/policy/surrogate/clip.hpp>
#include <attune/policy/surrogate/smooth.hpp>

#include "policy/ragged_tokens.hpp"
#include "support/catch.hpp"

using attune::device;
using attune::policy_report;
using attune::token_options;
using attune::token_reduction;
using namespace attune_test;

namespace {

/// laid_out's tensors in device memory.
template <class T> struct on_the_device {
  template <class X> using vector = thrust::device_vector<X>;
  const laid_out<T>& from;
  vector<T> logp, old_logp, ref_logp, entropy, correction, token_advantage, token_weight, advantage, weight, d_logp, d_entropy;
  vector<std::uint8_t> selected, mask;
  vector<std::int32_t> offsets;

  on_the_device(const laid_out<T>& x, const ragged<T>& data)
      : from(x), logp(copied(x.logp)), old_logp(copied(x.old_logp)), ref_logp(copied(x.ref_logp)), entropy(copied(x.entropy)), correction(copied(x.correction)),
        token_advantage(copied(x.token_advantage)), token_weight(copied(x.token_weight)), advantage(copied(data.advantage)), d_logp(copied(x.d_logp)),
        d_entropy(copied(x.d_entropy)), selected(copied(x.selected)), mask(copied(x.mask)), offsets(copied(x.offsets)) {}
  template <class X> static vector<X> copied(const std::vector<X>& x) { return vector<X>(x.begin(), x.end()); }
  template <class X> auto shaped(vector<X>& x) { return as_view(x.data(), from.rows, from.columns); }
};

/// Which optional members a batch has.
struct extras {
  bool token_advantage = false, correction = false, token_weight = false, weight = false;
};

template <class T, class O> struct comparison {
  ragged<T> data;
  O objective;
  token_options how;
  extras with;
  std::vector<T> weight = {ragged<T>::number(1), ragged<T>::number(2), ragged<T>::number(1), ragged<T>::number(0.5), ragged<T>::number(0), ragged<T>::number(1.5)};

  /// The batch whose tensors `shaped` makes of x's, for the host or the device.
  template <class Space> attune::tokens<T, Space> batch(auto& x, const auto& shaped, const auto& advantage, const auto& sequence_weight) const {
    attune::tokens<T, Space> b{.logp = shaped(x.logp), .ref_logp = shaped(x.ref_logp)};
    if (!how.on_policy) b.old_logp = shaped(x.old_logp);
    if (with.token_advantage) b.token_advantage = shaped(x.token_advantage);
    else b.advantage = advantage;
    if (with.correction) b.correction = shaped(x.correction);
    if (with.token_weight) b.token_weight = shaped(x.token_weight);
    if (with.weight) b.weight = sequence_weight;
    if (reads("selected")) b.selected = shaped(x.selected);
    if (reads("entropy")) b.entropy = shaped(x.entropy);
    if (x.offsets.empty()) b.mask = shaped(x.mask);
    else b.offsets = x.offsets;
    return b;
  }
  bool reads(const char* member) const { return attune::detail::reads_token(objective, member); }

  void run(layout where) const {
    laid_out<T> host(data, where);
    on_the_device<T> gpu(host, data);
    gpu.weight = on_the_device<T>::copied(weight);
    const auto on_host_memory = [&](auto& x) { return host.shaped(x); };
    const auto on_device_memory = [&](auto& x) { return gpu.shaped(x); };
    attune::token_gradients<T> expected{.logp = host.shaped(host.d_logp)};
    attune::token_gradients<T, device> given{.logp = gpu.shaped(gpu.d_logp)};
    if (reads("entropy")) expected.entropy = host.shaped(host.d_entropy), given.entropy = gpu.shaped(gpu.d_entropy);
    const policy_report want = attune::evaluate(objective, batch<attune::host>(host, on_host_memory, data.advantage, weight), expected, how);

    thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_tokens_workspace(6)), std::byte{0xff});
    thrust::device_vector<policy_report> report(1);
    const auto evaluate = [&] {
      attune::evaluate(on_thrust, objective, batch<device>(gpu, on_device_memory, gpu.advantage, gpu.weight), given, {.how = how, .workspace = workspace, .report = report});
    };
    evaluate();
    const policy_report found = attune_test::on_host(report)[0];
    compare(found, want);
    compare(attune_test::on_host(gpu.d_logp), host.d_logp);
    if (reads("entropy")) compare(attune_test::on_host(gpu.d_entropy), host.d_entropy);
    const std::vector<T> first = attune_test::on_host(gpu.d_logp);
    evaluate();
    CHECK(same_bits(attune_test::on_host(gpu.d_logp), first));
    CHECK(std::memcmp(&found, &attune_test::on_host(report)[0], sizeof found) == 0);
  }

 private:
  static constexpr double tolerance = std::is_same_v<attune::arithmetic<T>, float> ? 4e-6 : 1e-13;
  void compare(const policy_report& found, const policy_report& want) const {
    const auto close = [&](double a, double b) { return std::abs(a - b) <= 4 * tolerance * (1 + std::abs(b)); };
    CHECK(close(found.loss(), want.loss()));
    CHECK(close(found.weight, want.weight));
    CHECK(close(found.tokens, want.tokens));
    for (double policy_report::*mean : policy_report::means()) CHECK(close(found.*mean, want.*mean));
    CHECK(found.count == want.count);
    CHECK(found.sequences == want.sequences);
    CHECK(found.non_finite == want.non_finite);
  }
  void compare(const std::vector<T>& found, const std::vector<T>& want) const {
    if constexpr (sizeof(T) == 2) CHECK(within_one_ulp(found, as_doubles(want)));
    else CHECK(norm_error(found, as_doubles(want)) <= tolerance);
  }
};

template <class T, class O> void compare(const O& objective, const token_options& how = {}, const extras& with = {}) {
  const comparison<T, O> c{.data = {}, .objective = objective, .how = how, .with = with};
  for (const layout where : {layout::packed_row, layout::right_padded, layout::scattered}) {
    INFO("layout " << int(where));
    c.run(where);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("evaluate on tokens in device memory is that of the host, at every level of the ratio", "[thrust]", float, double, attune::bfloat16) {
  using T = TestType;
  const auto objective = attune::penalised{attune::ppo{}, attune::kl_penalty<attune::kl::k3>{}, 0.01};
  compare<T>(objective);
  for (const attune::ratio_level level : {attune::ratio_level::sequence, attune::ratio_level::sequence_token, attune::ratio_level::sequence_sum}) {
    INFO("level " << int(level));
    compare<T>(objective, {.ratio = level, .reduction = token_reduction::sequence_mean_token_mean}, {.token_weight = true, .weight = true});
  }
}

TEST_CASE("evaluate on tokens in device memory: means, corrections, weights, on policy, bounded ratios, selections", "[thrust]") {
  for (const token_reduction r : {token_reduction::token_mean, token_reduction::sequence_mean_token_mean, token_reduction::sequence_mean_token_sum,
                                  token_reduction::constant_length, token_reduction::token_sum}) {
    INFO("reduction " << int(r));
    const double length = r == token_reduction::constant_length ? 128 : 0;
    compare<float>(attune::ppo{}, {.reduction = r, .constant_length = length}, {.token_advantage = true, .correction = true, .token_weight = true, .weight = true});
    compare<float>(attune::ppo{}, {.normalizer = 1000.0, .reduction = r, .constant_length = length});
  }
  compare<float>(attune::ppo{}, {.on_policy = true});
  compare<float>(attune::gspo{}, {.on_policy = true});
  compare<float>(attune::rloo{}, {.on_policy = true});
  compare<float>(attune::gmpo{}, {}, {.token_weight = true});
  compare<float>(attune::sapo{});
  compare<float>(attune::clip_cov{}, {}, {.token_advantage = true});
}

TEST_CASE("evaluate on tokens on a device: what is invalid shows, and indexes nothing", "[thrust]") {
  const std::size_t columns = 8;
  thrust::device_vector<float> logp(columns, -1.0f), old_logp(columns, -1.0f), advantage(3, 1.0f), weights(columns, 1.0f), d(columns, 777.0f);
  thrust::device_vector<std::int64_t> offsets(4);
  const std::vector<std::int64_t> wrong{-5, 3, 2, 1000000000};
  thrust::copy(wrong.begin(), wrong.end(), offsets.begin());
  thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_tokens_workspace(3)));
  thrust::device_vector<policy_report> report(1);
  const auto row = [&](auto& x) { return as_view(x.data(), 1, std::int64_t(columns)); };
  attune::tokens<float, device> batch{.logp = row(logp), .old_logp = row(old_logp), .advantage = advantage, .offsets = offsets};
  attune::evaluate(on_thrust, attune::ppo{}, batch, {.logp = row(d)}, {.workspace = workspace, .report = report});
  CHECK(attune_test::on_host(report)[0].count == 9);  // 0..3, none, 2..8: offsets that fall are not noticed, and harm nothing
  put(weights, 4, -1.0f);
  batch.offsets = {};
  batch.token_weight = row(weights);
  thrust::device_vector<float> one(1, 1.0f);
  batch.advantage = one;
  attune::evaluate(on_thrust, attune::ppo{}, batch, {.logp = row(d)}, {.workspace = workspace, .report = report});
  CHECK(std::isnan(attune_test::on_host(report)[0].loss()));
  CHECK(std::isnan(attune_test::on_host(d)[4]));
  CHECK_THROWS_AS(attune::evaluate(on_thrust, attune::ppo{}, batch, {.logp = row(d)}, {.how = {.normalizer = -1.0}, .workspace = workspace}), attune::error);
  CHECK_THROWS_AS(attune::evaluate(on_thrust, attune::ppo{}, batch, {.logp = row(d)}), attune::error);  // without a workspace
}

TEST_CASE("evaluate on tokens on a device: a ratio that overflows is infinite, and spares what it does not move", "[thrust]") {
  const std::vector<float> now{-1, -1, 0}, before{-1, -1, -1000};
  thrust::device_vector<float> logp(now.begin(), now.end()), old_logp(before.begin(), before.end()), advantage(1, -1.0f), entropy(3, 1.0f), d(3), d_entropy(3);
  thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_tokens_workspace(1)));
  const auto row = [&](auto& x) { return as_view(x.data(), 1, std::int64_t(3)); };
  const attune::tokens<float, device> batch{.logp = row(logp), .old_logp = row(old_logp), .advantage = advantage, .entropy = row(entropy)};
  const auto objective = attune::penalised{attune::ppo{}, attune::no_penalty{}, 0.5};
  for (const attune::ratio_level level : {attune::ratio_level::token, attune::ratio_level::sequence_sum, attune::ratio_level::sequence_token}) {
    attune::evaluate(on_thrust, objective, batch, {.logp = row(d), .entropy = row(d_entropy)},
                     {.how = {.ratio = level, .reduction = token_reduction::token_sum}, .workspace = workspace});
    CHECK(attune_test::on_host(d)[2] == inf_f);
    CHECK(attune_test::on_host(d)[0] == (level == attune::ratio_level::token ? 1.0f : inf_f));
    CHECK(attune_test::on_host(d_entropy) == std::vector<float>(3, -0.5f));
  }
}
