// SPDX-License-Identifier: MIT
// The rows of docs/policy.md: what a peer's option is in attune gives the numbers of the peer's definition (tests/policy/golden.py).
#include "support/catch.hpp"

#include <attune/attune.hpp>

#include <fstream>
#include <functional>
#include <map>
#include <sstream>

using namespace attune;

namespace {

constexpr double nan_ = std::numeric_limits<double>::quiet_NaN();

/// golden.py's batch, padded; the last place of the second row is padding.
struct example {
  std::vector<double> logp{-0.875, -1.75, -0.34375, -2.25, -0.5, nan_}, old_logp{-1.25, -1.5, -0.359375, -1.5, -0.875, nan_},
      ref_logp{-1.0, -1.25, -0.8125, -2.0, -0.1875, nan_}, sampler_logp{-1.0, -1.9375, -0.375, -1.75, -0.3125, nan_}, entropy{1.5, 0.25, 0.75, 2.0, 0.5, nan_},
      advantage{0.8125, -1.3125};
  std::vector<std::uint8_t> mask{1, 1, 1, 1, 1, 0}, selected{0, 1, 0, 1, 0, 7};
  std::vector<double> multipliers = std::vector<double>(6), d = std::vector<double>(6), d_entropy = std::vector<double>(6);

  template <class X> static auto shaped(X& x) { return as_view(x.data(), 2, 3); }
  template <class X> static auto read(const X& x) { return as_view(x.data(), 2, 3); }

  /// loss (or the loss's numerator), then the gradient of the active tokens.
  template <class O>
  std::vector<double> run(const O& objective, const token_options& o = {}, bool corrected = false) {
    tokens<double> b{.logp = read(logp), .old_logp = read(old_logp), .ref_logp = read(ref_logp), .advantage = advantage, .mask = read(mask)};
    if (attune::detail::reads_token(objective, "selected")) b.selected = read(selected);
    token_gradients<double> g{.logp = shaped(d)};
    if (attune::detail::reads_token(objective, "entropy")) b.entropy = read(entropy), g.entropy = shaped(d_entropy);
    if (corrected) b.correction = read(multipliers);
    const policy_report r = evaluate(objective, b, g, o);
    std::vector<double> result{o.normalizer ? r.loss_sum / *o.normalizer : o.reduction == token_reduction::token_sum ? r.loss_sum : r.loss()};
    result.insert(result.end(), d.begin(), d.begin() + 5);
    return result;
  }
  std::vector<double> corrected(const correction::options& o) {
    correction::weights(o, correction::samples<double>{.old_logp = read(old_logp), .sampler_logp = read(sampler_logp), .mask = read(mask)}, shaped(multipliers));
    return run(ppo{}, {}, true);
  }
  void keep_high_entropy(std::vector<std::uint8_t>& kept) {
    const token_entropies<double> x{.entropy = read(entropy), .mask = read(mask)};
    std::vector<double> scratch(5);
    top_entropy_mask(entropy_threshold(0.6, x, scratch), x, shaped(kept));
  }
  std::vector<double> off_policy() {
    correction::off_policy_mask(0.25, correction::judged_samples<double>{.logp = read(logp), .sampler_logp = read(sampler_logp), .advantage = advantage, .mask = read(mask)},
                                shaped(multipliers));
    return run(ppo{}, {}, true);
  }
};

template <class Estimator>
std::vector<double> with_kl(Estimator estimator) {
  return example{}.run(penalised{ppo{}, kl_penalty<Estimator>{.coefficient = 0.25, .estimator = estimator}});
}

using rows = std::map<std::string, std::function<std::vector<double>()>>;
rows compositions() {
  using enum token_reduction;
  using correction::level;
  using correction::outside;
  const auto run = [](auto objective, token_options o = {}) { return [=] { return example{}.run(objective, o); }; };
  const auto correct = [](correction::options o) { return [=] { return example{}.corrected(o); }; };
  return {
      {"trl grpo", run(grpo{})},
      {"trl bnpo", run(ppo{})},
      {"trl dapo", run(ppo{.high = 0.28}, {.normalizer = 7})},
      {"trl dr_grpo", run(dr_grpo{}, {.constant_length = 4})},
      {"verl seq-mean-token-sum", run(ppo{}, {.reduction = sequence_mean_token_sum})},
      {"verl token-sum", run(ppo{}, {.reduction = token_sum})},
      {"gspo", run(gspo{})},
      {"gspo_token", run(gspo_token{})},
      {"trl dapo with a sequence ratio", run(ppo{}, {.ratio = ratio_level::sequence})},
      {"luspo", run(luspo{})},
      {"dual clip", run(ppo{.dual = 1.3125})},
      {"trl cispo", run(cispo{.lower = 0, .upper = 1.25})},
      {"verl cispo", run(cispo{.lower = 0.8, .upper = 1.28})},
      {"sapo", run(sapo{})},
      {"vespo", run(vespo{})},
      {"trl gmpo", run(gmpo{})},
      {"verl geo_mean", run(gmpo{.low = 0.2, .high = 0.2})},
      {"verl gpg", run(reinforce{})},
      {"verl clip_cov", run(clip_cov{})},
      {"verl kl_cov", run(kl_cov{})},
      {"verl dppo_tv", run(dppo_tv{.low = 0.1, .high = 0.1})},
      {"verl dppo_kl", run(dppo_kl{.low = 0.05, .high = 0.05})},
      {"verl dro", run(dro{.beta = 0.25})},
      {"awr", run(awr{.beta = 2, .limit = 1.25})},
      {"topr", run(topr{})},
      {"trl rloo", run(rloo{})},
      {"trl beta", run(penalised{ppo{}, corrected_kl_penalty<kl::k3>{.coefficient = 0.25}})},
      {"trl beta without correction", [] { return with_kl(kl::k3{}); }},
      {"openrlhf k1", [] { return with_kl(kl::clipped<kl::k1>{.limit = 0.4375}); }},
      {"openrlhf k2", [] { return with_kl(kl::clipped<kl::k2>{.limit = 0.0625}); }},
      {"openrlhf k3", [] { return with_kl(kl::clipped<kl::k3>{.limit = 0.0625}); }},
      {"verl abs", [] { return with_kl(kl::absolute{}); }},
      {"verl k3+", [] { return with_kl(kl::straight_through<kl::k3, kl::k2>{}); }},
      {"nemo k3", [] { return with_kl(kl::scored<kl::k3>{}); }},
      {"nemo k2", [] { return with_kl(kl::scored<kl::k2>{}); }},
      {"entropy bonus", run(penalised{ppo{}, no_penalty{}, 0.125})},
      {"token_truncate", correct({.within = {0.875, 1.25}})},
      {"token_mask", correct({.within = {0.875, 1.25}, .otherwise = outside::mask})},
      {"sequence_truncate", correct({.ratio = level::sequence_sum, .within = {0, 1.125}})},
      {"sequence_mask", correct({.ratio = level::sequence_sum, .within = {0, 1.125}, .otherwise = outside::mask})},
      {"seq-mask-tis", correct({.within = {0, infinity<double>}, .sequence_mean = {0.875, 1.25}})},
      {"off_policy_mask", [] { return example{}.off_policy(); }},
      {"top_entropy, as a mask",
       [] {
         example e;
         std::vector<std::uint8_t> kept(6);
         e.keep_high_entropy(kept);
         e.mask = kept;
         return e.run(ppo{});
       }},
      {"trl top_entropy_quantile",
       [] {
         example e;
         std::vector<std::uint8_t> kept(6);
         e.keep_high_entropy(kept);
         for (std::size_t i = 0; i < 6; ++i) e.multipliers[i] = kept[i];
         return e.run(ppo{}, {}, true);
       }},
  };
}

}  // namespace

TEST_CASE("what docs/policy.md says of a peer's option gives the numbers of the peer's definition") {
  std::ifstream file(ATTUNE_TEST_DATA "/policy_golden.txt");
  REQUIRE(file);
  const rows known = compositions();
  std::size_t compared = 0;
  for (std::string line; std::getline(file, line); ++compared) {
    std::istringstream cells(line);
    std::string name, cell;
    std::getline(cells, name, ';');
    INFO(name);
    REQUIRE(known.count(name) == 1);
    const std::vector<double> found = known.at(name)();
    for (const double x : found) {
      REQUIRE(std::getline(cells, cell, ';'));
      CHECK(x == Approx(std::stod(cell)).epsilon(1e-14).margin(1e-16));
    }
  }
  CHECK(compared == known.size());
}
