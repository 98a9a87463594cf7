// SPDX-License-Identifier: MIT
// evaluate on Thrust's device, whatever it is, against evaluate on the host.
#include "thrust_support.hpp"

#include <attune/preference/dpo.hpp>
#include <attune/preference/dpo_rw.hpp>
#include <attune/preference/exo_rw.hpp>
#include <attune/preference/kto.hpp>
#include <attune/preference/plackett_luce_dpo.hpp>
#include <attune/preference/rrhf.hpp>
#include <attune/preference/simpo.hpp>
#include <attune/preference/tdpo.hpp>

#include <attune/check/gradient.hpp>

#include "support/catch.hpp"

#include <map>

using namespace attune_test;
using attune::report;

namespace {



/// Tensors of a batch by the names of their members, on host and device; what is left out is not given.
template <class T> struct tensors {
  std::map<std::string, std::vector<T>> host;
  std::map<std::string, thrust::device_vector<T>> device;
  std::map<std::string, std::vector<std::int32_t>> lengths;
  std::map<std::string, thrust::device_vector<std::int32_t>> device_lengths;

  void add(const std::string& name, std::size_t n, attune::detail::sampler& random, double lower, double upper) {
    for (std::size_t i = 0; i < n; ++i) host[name].push_back(to<T>(random.uniform(lower, upper)));
  }
  void add_lengths(const std::string& name, std::size_t n, attune::detail::sampler& random) {
    for (std::size_t i = 0; i < n; ++i) lengths[name].push_back(std::int32_t(random.uniform(1, 60)));
  }
  void upload() {
    for (const auto& [name, x] : host) device[name] = thrust::device_vector<T>(x.begin(), x.end());
    for (const auto& [name, x] : lengths) device_lengths[name] = thrust::device_vector<std::int32_t>(x.begin(), x.end());
  }
};

constexpr std::size_t size = 1000;

/// Pairs with weights and a mask, behind which lies garbage.
template <class T> struct pair_data : tensors<T> {
  std::vector<std::uint8_t> mask;
  thrust::device_vector<std::uint8_t> device_mask;
  using tensors<T>::host;
  using tensors<T>::device;

  explicit pair_data(std::size_t n = size) {
    attune::detail::sampler random(11);
    for (const char* name : {"chosen", "rejected", "ref_chosen", "ref_rejected"}) this->add(name, n, random, -60, -1);
    this->add("margin", n, random, -1, 1);
    this->add("weight", n, random, 0, 2);
    for (const char* name : {"chosen_kl", "rejected_kl"}) this->add(name, n, random, 0, 4);
    for (const char* name : {"chosen", "rejected"}) this->add_lengths(name, n, random);
    for (std::size_t i = 0; i < n; ++i) {
      mask.push_back(random.uniform(0, 1) < 0.7);
      if (i % 17 == 3) host["weight"][i] = to<T>(0);
      if (!mask[i] || i % 17 == 3) host["chosen"][i] = host["ref_rejected"][i] = to<T>(nan_f);
      if (!mask[i]) host["weight"][i] = to<T>(nan_f);
    }
    this->upload();
    device_mask = thrust::device_vector<std::uint8_t>(mask.begin(), mask.end());
  }
};

template <class T> struct outcome {
  report r;
  std::vector<T> chosen, rejected, chosen_kl, rejected_kl;
};

template <class Space, class T, class Data> attune::pairs<T, Space> batch_of(Data& columns, const auto& lengths, const auto& mask, bool margin, bool kl) {
  attune::pairs<T, Space> batch{.chosen = columns["chosen"], .rejected = columns["rejected"], .ref_chosen = columns["ref_chosen"], .ref_rejected = columns["ref_rejected"],
                                .chosen_length = lengths.at("chosen"), .rejected_length = lengths.at("rejected"), .weight = columns["weight"], .mask = mask};
  if (margin) batch.margin = columns["margin"];
  if (kl) batch.chosen_kl = columns["chosen_kl"], batch.rejected_kl = columns["rejected_kl"];
  return batch;
}

template <class T, class O> outcome<T> on_device(const auto& policy, const O& objective, pair_data<T>& x, bool margin, bool kl, std::optional<double> normalizer = {}) {
  const std::size_t n = x.mask.size();
  thrust::device_vector<T> d_chosen(n, to<T>(777)), d_rejected(n, to<T>(777)), d_chosen_kl(n, to<T>(777)), d_rejected_kl(n, to<T>(777));
  thrust::device_vector<report> r(1);
  thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_workspace(std::int64_t(n))), std::byte{0xff});
  attune::pair_gradients<T, device> gradients{.chosen = d_chosen, .rejected = d_rejected};
  if (kl) gradients.chosen_kl = d_chosen_kl, gradients.rejected_kl = d_rejected_kl;
  attune::evaluate(policy, objective, batch_of<device, T>(x.device, x.device_lengths, x.device_mask, margin, kl), gradients,
                   {.normalizer = normalizer, .workspace = workspace, .report = r});
  return {on_host(r)[0], on_host(d_chosen), on_host(d_rejected), on_host(d_chosen_kl), on_host(d_rejected_kl)};
}
template <class T, class O> outcome<T> expected_of(const O& objective, pair_data<T>& x, bool margin, bool kl, std::optional<double> normalizer = {}) {
  const std::size_t n = x.mask.size();
  outcome<T> y{{}, std::vector<T>(n), std::vector<T>(n), std::vector<T>(n, to<T>(777)), std::vector<T>(n, to<T>(777))};
  attune::pair_gradients<T> gradients{.chosen = y.chosen, .rejected = y.rejected};
  if (kl) gradients.chosen_kl = y.chosen_kl, gradients.rejected_kl = y.rejected_kl;
  y.r = attune::evaluate(objective, batch_of<attune::host, T>(x.host, x.lengths, x.mask, margin, kl), gradients, {.normalizer = normalizer});
  return y;
}

/// Of numbers computed in T's arithmetic by two compilers' functions.
template <class T> constexpr double tolerance = std::is_same_v<attune::arithmetic<T>, float> ? 2e-6 : 1e-14;

void require_close(const report& given, const report& expected, double epsilon) {
  const auto close = [&](double a, double b) { return std::abs(a - b) <= epsilon * (1 + std::abs(b)); };
  CHECK(close(given.loss(), expected.loss()));
  CHECK(close(given.weight / expected.weight, 1));
  CHECK(close(given.weight_chosen / (expected.weight_chosen + 1e-300), expected.weight_chosen > 0));
  CHECK(close(given.weight_rejected / (expected.weight_rejected + 1e-300), expected.weight_rejected > 0));
  CHECK(close(given.accuracy, expected.accuracy));
  CHECK(close(given.margin, expected.margin));
  CHECK(close(given.reward_chosen, expected.reward_chosen));
  CHECK(close(given.reward_rejected, expected.reward_rejected));
  CHECK(close(given.logp_chosen, expected.logp_chosen));
  CHECK(close(given.logp_rejected, expected.logp_rejected));
  CHECK(given.count == expected.count);
  CHECK(given.non_finite == expected.non_finite);
}
template <class T> void require_close(const std::vector<T>& given, const std::vector<T>& expected) {
  const std::vector<double> want = as_doubles(expected);
  if constexpr (sizeof(T) == 2) CHECK(within_one_ulp(given, want));
  else CHECK(norm_error(given, want) <= tolerance<T>);
}
template <class T> void require_close(const outcome<T>& given, const outcome<T>& expected) {
  require_close(given.r, expected.r, 8 * tolerance<T>);
  require_close(given.chosen, expected.chosen);
  require_close(given.rejected, expected.rejected);
  require_close(given.chosen_kl, expected.chosen_kl);
  require_close(given.rejected_kl, expected.rejected_kl);
}

/// As a user writes one.
struct gap {
  double beta = 0.1;
  template <class S> ATTUNE_FN S operator()(const attune::pair<S>& x) const {
    return attune::softplus(-beta * (x.chosen.log_ratio() - x.rejected.log_ratio()));
  }
};

}  // namespace

TEMPLATE_TEST_CASE("evaluate on pairs in device memory is that of the host", "[thrust]", float, double, attune::bfloat16) {
  using T = TestType;
  pair_data<T> x;
  const auto compare = [&](const auto& objective, bool margin, bool kl) {
    const auto expected = expected_of(objective, x, margin, kl);
    const auto given = on_device(on_thrust, objective, x, margin, kl), again = on_device(on_thrust, objective, x, margin, kl);
    require_close(given, expected);
    CHECK(expected.r.count > 500);
    CHECK(same_bits(given.chosen, again.chosen));
    CHECK(std::memcmp(&given.r, &again.r, sizeof(report)) == 0);
    require_close(on_device(on_thrust, objective, x, margin, kl, 2048.0), expected_of(objective, x, margin, kl, 2048.0));
    for (std::size_t i = 0; i < size; ++i) {
      if (!x.mask[i]) CHECK((from(given.chosen[i]) == 0 && from(given.rejected[i]) == 0));
    }
  };
  compare(attune::dpo{.beta = 0.3}, false, false);
  compare(attune::dpo{.beta = 0.3}, true, false);  // with margins
  compare(attune::simpo{}, false, false);          // by lengths
  compare(attune::tdpo1{}, false, true);            // of detailed pairs, with more derivatives
  compare(gap{}, false, false);
}

TEST_CASE("evaluate on a device: value only, no report, another policy", "[thrust]") {
  pair_data<float> x;
  const auto expected = expected_of(attune::dpo{}, x, false, false);
  const auto batch = batch_of<device, float>(x.device, x.device_lengths, x.device_mask, false, false);
  thrust::device_vector<report> r(1);
  thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_workspace(std::int64_t(size))));
  attune::evaluate(on_thrust, attune::dpo{}, batch, {}, {.workspace = workspace, .report = r});
  require_close(on_host(r)[0], expected.r, 1e-5);
  thrust::device_vector<float> d_chosen(size), d_rejected(size);  // with a normalizer and without a report no workspace is needed
  attune::evaluate(on_thrust, attune::dpo{}, batch, {.chosen = d_chosen, .rejected = d_rejected}, {.normalizer = expected.r.weight});
  require_close(on_host(d_chosen), expected.chosen);
}

TEST_CASE("evaluate on a device: an empty batch, and a NaN that stays visible", "[thrust]") {
  thrust::device_vector<report> r(1);
  thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_workspace(4)));
  thrust::device_vector<float> none, d_none;
  attune::evaluate(on_thrust, attune::dpo{}, attune::pairs<float, device>{.chosen = none, .rejected = none, .ref_chosen = none, .ref_rejected = none},
                   {.chosen = d_none, .rejected = d_none}, {.workspace = workspace, .report = r});
  CHECK(on_host(r)[0].weight == 0);
  CHECK(on_host(r)[0].loss() == 0);

  thrust::device_vector<float> logps(4, -3.0f), weights(4, 1.0f), d_chosen(4), d_rejected(4);
  put(logps, 2, nan_f);
  put(weights, 3, -1.0f);
  const attune::pairs<float, device> batch{.chosen = logps, .rejected = logps, .ref_chosen = logps, .ref_rejected = logps, .weight = weights};
  attune::evaluate(on_thrust, attune::dpo{}, batch, {.chosen = d_chosen, .rejected = d_rejected}, {.normalizer = 4.0, .workspace = workspace, .report = r});
  CHECK(on_host(r)[0].non_finite == 2);  // a NaN, and a weight that is none
  CHECK(std::isnan(on_host(r)[0].loss_sum));
  CHECK(std::isnan(on_host(d_chosen)[2]));
  CHECK(std::isnan(on_host(d_chosen)[3]));
  CHECK(on_host(d_chosen)[0] < 0);
}

TEMPLATE_TEST_CASE("evaluate on single completions and on values in device memory is that of the host", "[thrust]", float, double) {
  using T = TestType;
  tensors<T> x;
  attune::detail::sampler random(5);
  for (const char* name : {"logp", "ref_logp", "value", "old_value", "target"}) x.add(name, size, random, -3, -1);
  std::vector<std::uint8_t> label;
  for (std::size_t i = 0; i < size; ++i) label.push_back(random.uniform(0, 1) < 0.4);
  x.upload();
  const thrust::device_vector<std::uint8_t> device_label(label.begin(), label.end());
  thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_workspace(std::int64_t(size))));
  thrust::device_vector<report> r(1);
  thrust::device_vector<T> d(size, to<T>(777));
  std::vector<T> expected(size);

  const report singles = attune::evaluate(attune::kto{}, attune::singles<T>{.logp = x.host["logp"], .ref_logp = x.host["ref_logp"], .label = label}, {.logp = expected});
  attune::evaluate(on_thrust, attune::kto{}, attune::singles<T, device>{.logp = x.device["logp"], .ref_logp = x.device["ref_logp"], .label = device_label},
                   {.logp = d}, {.workspace = workspace, .report = r});
  require_close(on_host(r)[0], singles, 8 * tolerance<T>);
  require_close(on_host(d), expected);

  const report values = attune::evaluate(attune::value_loss{}, attune::values<T>{.value = x.host["value"], .old_value = x.host["old_value"], .target = x.host["target"]},
                                         {.value = expected});
  attune::evaluate(on_thrust, attune::value_loss{}, attune::values<T, device>{.value = x.device["value"], .old_value = x.device["old_value"], .target = x.device["target"]},
                   {.value = d}, {.workspace = workspace, .report = r});
  CHECK(on_host(r)[0].loss() == Approx(values.loss()).epsilon(8 * tolerance<T>));
  require_close(on_host(d), expected);
}

TEST_CASE("evaluate on a device throws before it launches", "[thrust]") {
  pair_data<float> x;
  thrust::device_vector<float> d_chosen(size, 777.0f), d_rejected(size, 777.0f), short_one(size - 1);
  thrust::device_vector<report> r(1);
  thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_workspace(std::int64_t(size)))), small(64);
  const auto batch = batch_of<device, float>(x.device, x.device_lengths, x.device_mask, false, false);
  const attune::pair_gradients<float, device> gradients{.chosen = d_chosen, .rejected = d_rejected};
  const auto refused = [&](const auto& call, const std::string& part) {
    try {
      call();
    } catch (const attune::error& e) {
      INFO(e.what());
      CHECK(std::string(e.what()).find(part) != std::string::npos);
      CHECK(on_host(d_chosen) == std::vector<float>(size, 777.0f));
      return;
    }
    FAIL("not refused: " << part);
  };
  refused([&] { attune::evaluate(on_thrust, attune::dpo{}, batch, gradients, {.workspace = small, .report = r}); }, "evaluate was given a workspace of 64 bytes; expected ");
  refused([&] { attune::evaluate(on_thrust, attune::dpo{.beta = -1}, batch, gradients, {.workspace = workspace}); }, "beta is -1");
  refused([&] { attune::evaluate(on_thrust, attune::dpo{}, batch, gradients, {.normalizer = 0.0, .workspace = workspace}); }, "options.normalizer is 0");
  refused([&] { auto other = batch; other.rejected = short_one; attune::evaluate(on_thrust, attune::dpo{}, other, gradients, {.workspace = workspace}); },
          "pairs.rejected has 999 elements; expected 1000");
  refused([&] { auto other = batch; other.ref_chosen = {}; attune::evaluate(on_thrust, attune::dpo{}, other, gradients, {.workspace = workspace}); },
          "pairs.ref_chosen is missing");
  refused([&] { attune::evaluate(on_thrust, attune::dpo{}, batch, {.chosen = d_chosen}, {.workspace = workspace}); }, "pair_gradients.rejected is missing");
  const attune::device_options checked{.workspace = workspace, .checked = true};
  std::size_t active = 0;
  while (!x.mask[active] || from(x.host["weight"][active]) == 0) ++active;
  put(x.device_lengths["rejected"], active, std::int32_t(0));
  refused([&] { attune::evaluate(on_thrust, attune::simpo{}, batch, gradients, checked); },
          "pairs.rejected_length of sample " + std::to_string(active) + " is 0; expected > 0 tokens");
  put(x.device["weight"], active, -2.5f);
  refused([&] { attune::evaluate(on_thrust, attune::simpo{}, batch, gradients, checked); }, "pairs.weight of sample " + std::to_string(active) + " is -2.5");
  put(x.device["weight"], active, 1.0f);
  attune::evaluate(on_thrust, attune::dpo{}, batch, gradients, checked);  // reads no lengths
  CHECK(on_host(d_chosen) != std::vector<float>(size, 777.0f));
}

TEMPLATE_TEST_CASE("evaluate on groups in device memory is that of the host", "[thrust]", float, double) {
  using T = TestType;
  tensors<T> x;
  attune::detail::sampler random(8);
  const std::vector<std::int64_t> begin{0, 3, 3, 9, 10, 24};
  const std::size_t completions = 24, count = 5;
  for (const char* name : {"logp", "ref_logp", "reward"}) x.add(name, completions, random, -3, -1);
  x.add_lengths("length", completions, random);
  x.add("weight", count, random, 0.5, 2);
  std::vector<std::uint8_t> mask;
  for (std::size_t i = 0; i < completions; ++i) {
    mask.push_back(i != 9 && i % 7 != 2);  // group 3 has nothing left
    if (!mask[i]) x.host["logp"][i] = x.host["reward"][i] = to<T>(nan_f);
  }
  x.upload();
  const thrust::device_vector<std::uint8_t> device_mask(mask.begin(), mask.end());
  const thrust::device_vector<std::int64_t> device_begin(begin.begin(), begin.end());
  thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_workspace(std::int64_t(count))));
  thrust::device_vector<report> r(1);
  thrust::device_vector<T> d(completions, to<T>(777));
  std::vector<T> expected(completions);
  const auto compare = [&](const auto& objective, bool reference, bool lengths) {
    attune::groups<T> on_host_memory{.logp = x.host["logp"], .reward = x.host["reward"], .begin = begin, .weight = x.host["weight"], .mask = mask};
    attune::groups<T, device> on_device_memory{.logp = x.device["logp"], .reward = x.device["reward"], .begin = device_begin, .weight = x.device["weight"], .mask = device_mask};
    if (reference) on_host_memory.ref_logp = x.host["ref_logp"], on_device_memory.ref_logp = x.device["ref_logp"];
    if (lengths) on_host_memory.length = x.lengths["length"], on_device_memory.length = x.device_lengths["length"];
    const report want = attune::evaluate(objective, on_host_memory, {.logp = expected});
    attune::evaluate(on_thrust, objective, on_device_memory, {.logp = d}, {.workspace = workspace, .report = r});
    require_close(on_host(r)[0], want, 1e-13);
    CHECK(want.count == 3);
    require_close(on_host(d), expected);
  };
  compare(attune::exo_rw{}, true, false);
  compare(attune::rrhf{}, false, true);
  compare(attune::plackett_luce_dpo{}, true, false);

  attune::groups<T, device> uniform{.logp = x.device["logp"], .ref_logp = x.device["ref_logp"], .reward = x.device["reward"], .size = 8, .mask = device_mask};
  const report want = attune::evaluate(attune::dpo_rw{}, attune::groups<T>{.logp = x.host["logp"], .ref_logp = x.host["ref_logp"], .reward = x.host["reward"], .size = 8, .mask = mask},
                                       {.logp = expected});
  attune::evaluate(on_thrust, attune::dpo_rw{}, uniform, {.logp = d}, {.workspace = workspace, .report = r});
  require_close(on_host(r)[0], want, 1e-13);
  require_close(on_host(d), expected);
  uniform.size = 7;
  CHECK_THROWS_AS(attune::evaluate(on_thrust, attune::dpo_rw{}, uniform, {.logp = d}, {.workspace = workspace}), attune::error);
}

TEST_CASE("evaluate on groups in device memory, checked, refuses what the host refuses, and writes nothing", "[thrust]") {
  const std::size_t completions = 100;
  std::vector<float> logp(completions, -1.0f), reward, weight{1, 2, 3};
  for (std::size_t i = 0; i < completions; ++i) reward.push_back(float(i % 7));
  std::vector<std::int32_t> length(completions, 5);
  std::vector<std::int64_t> begin{0, 40, 40, 100};
  std::vector<std::uint8_t> mask(completions, 1);
  mask[50] = 0;
  const auto refusal = [&](bool same_as_host = true) {
    const thrust::device_vector<float> device_logp(logp.begin(), logp.end()), device_reward(reward.begin(), reward.end()), device_weight(weight.begin(), weight.end());
    const thrust::device_vector<std::int32_t> device_length(length.begin(), length.end());
    const thrust::device_vector<std::int64_t> device_begin(begin.begin(), begin.end());
    const thrust::device_vector<std::uint8_t> device_mask(mask.begin(), mask.end());
    thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_workspace(3)));
    thrust::device_vector<float> d(completions, 777.0f);
    const std::string on_host_memory = error_text([&] {
      attune::evaluate(attune::rrhf{}, attune::groups<float>{.logp = logp, .reward = reward, .length = length, .begin = begin, .weight = weight, .mask = mask});
    });
    const std::string on_device_memory = error_text([&] {
      attune::evaluate(on_thrust, attune::rrhf{},
                       attune::groups<float, device>{.logp = device_logp, .reward = device_reward, .length = device_length, .begin = device_begin, .weight = device_weight, .mask = device_mask},
                       {.logp = d}, {.workspace = workspace, .checked = true});
    });
    if (same_as_host) CHECK(on_device_memory == on_host_memory);
    CHECK((on_host(d) == std::vector<float>(completions, 777.0f)) == !on_device_memory.empty());
    return on_device_memory;
  };
  CHECK(refusal() == "");
  weight[1] = nan_f;  // of a group that is empty: nobody reads it
  CHECK(refusal() == "");
  weight[1] = 2, weight[2] = -2.5f;
  CHECK(refusal() == "attune: groups.weight of sample 2 is -2.5; expected a finite number >= 0");
  length[50] = 0;  // masked
  CHECK(refusal() == "attune: groups.weight of sample 2 is -2.5; expected a finite number >= 0");
  length[51] = -3;
  CHECK(refusal() == "attune: groups.length of completion 51 is -3; expected > 0 tokens");
  begin[2] = 30;
  CHECK(refusal(false) == "attune: group 1 has -10 completions; expected 0 to 64");  // the host: to 1024
  begin = {0, 20, 30, 100};
  CHECK(refusal(false) == "attune: group 2 has 70 completions; expected 0 to 64");
  begin = {1, 20, 50, 100};
  CHECK(refusal() == "attune: groups.begin does not run from 0 to 100, the number of completions in groups.logp");
  begin = {0, 20, 50, 99};
  CHECK(refusal() == "attune: groups.begin does not run from 0 to 100, the number of completions in groups.logp");
  begin = {0};
  weight.clear();
  CHECK(refusal(false) == "attune: groups.begin does not run from 0 to 100, the number of completions in groups.logp");
}

TEST_CASE("evaluate on groups on a device: one that is too large, or lies elsewhere, shows and harms nothing", "[thrust]") {
  const std::size_t completions = 8;
  thrust::device_vector<float> logp(completions, -1.0f), reward(completions, 1.0f), d(completions, 777.0f);
  thrust::device_vector<std::int64_t> begin(4);
  const std::vector<std::int64_t> wrong{-4, 3, 2, std::int64_t(1) << 40};
  thrust::copy(wrong.begin(), wrong.end(), begin.begin());
  thrust::device_vector<std::byte> workspace(std::size_t(attune::evaluate_workspace(3)));
  thrust::device_vector<report> r(1);
  attune::evaluate(on_thrust, attune::dpo_rw{}, attune::groups<float, device>{.logp = logp, .ref_logp = logp, .reward = reward, .begin = begin}, {.logp = d},
                   {.workspace = workspace, .report = r});
  CHECK(on_host(r)[0].count == 2);
  thrust::device_vector<float> large(64 * 2), d_large(64 * 2, 777.0f);
  const std::vector<std::int64_t> two{0, 63, 128};
  const thrust::device_vector<std::int64_t> uneven(two.begin(), two.end());
  attune::evaluate(on_thrust, attune::dpo_rw{}, attune::groups<float, device>{.logp = large, .ref_logp = large, .reward = large, .begin = uneven}, {.logp = d_large},
                   {.workspace = workspace, .report = r});
  CHECK(on_host(r)[0].non_finite == 1);
  const std::vector<float> gradient = on_host(d_large);
  for (std::size_t i = 0; i < gradient.size(); ++i) CHECK(std::isnan(gradient[i]) == (i >= 63));
  CHECK_THROWS_AS(attune::evaluate(on_thrust, attune::dpo_rw{}, attune::groups<float, device>{.logp = large, .ref_logp = large, .reward = large, .size = 128}, {.logp = d_large},
                                   {.workspace = workspace}), attune::error);
}
