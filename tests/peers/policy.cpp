// SPDX-License-Identifier: MIT
// attune's side of the comparison of policy-gradient losses: reads batches with their options from the standard input, writes of each one line,
// the loss and its derivatives. A batch is lines of a key and its values, and ends with the line "end":
//
//   type f32                     objective grpo low=0.2 high=0.28        penalty corrected_k3 0.04        entropy_coefficient 0.01
//   ratio sequence               reduction token_mean                    constant_length 16               normalizer 12
//   sampler token truncate 0 3   off_policy 0.5                          top_entropy 0.5                  (what multiplies the surrogate)
//   shape 2 3                    logp -1 -2 ...                          and so on: the members of attune::tokens, row by row
#include <attune/exec/any_objective.hpp>
#include <attune/exec/evaluate.hpp>
#include <attune/policy/correction/importance.hpp>
#include <attune/policy/correction/off_policy_mask.hpp>
#include <attune/policy/kl/estimators.hpp>
#include <attune/policy/penalised.hpp>
#include <attune/policy/surrogate/clip.hpp>
#include <attune/policy/surrogate/importance_weighted.hpp>
#include <attune/policy/surrogate/smooth.hpp>
#include <attune/policy/top_entropy.hpp>

#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace attune;
using words = std::vector<std::string>;

struct job {
  std::map<std::string, words> lines;

  bool has(const std::string& key) const { return lines.count(key) > 0; }
  const words& at(const std::string& key) const {
    const auto found = lines.find(key);
    if (found == lines.end()) throw error("policy: the batch has no line " + key);
    return found->second;
  }
  double number(const std::string& key, std::size_t i = 0, double absent = 0) const { return has(key) ? std::stod(at(key).at(i)) : absent; }
};

bool read(std::istream& in, job& next) {
  next.lines.clear();
  for (std::string line; std::getline(in, line) && line != "end";) {
    std::istringstream cells(line);
    std::string key;
    cells >> key;
    for (std::string cell; cells >> cell;) next.lines[key].push_back(cell);
  }
  return !next.lines.empty();
}

template <class X>
X chosen(const std::string& name, const std::map<std::string, X>& of) {
  const auto found = of.find(name);
  if (found == of.end()) throw error("policy: there is no " + name);
  return found->second;
}

/// The objective, made of its parts by name.
template <class T>
using objective_of = any_objective<token_kind, T>;

template <class T, class O>
objective_of<T> penalised_by(const job& j, O objective) {
  const words& set = j.at("objective");
  for (std::size_t i = 1; i < set.size(); ++i) {
    const std::size_t equals = set[i].find('=');
    set_parameter(objective, set[i].substr(0, equals), std::stod(set[i].substr(equals + 1)));
  }
  const double entropy = j.number("entropy_coefficient");
  if (!j.has("penalty")) return entropy != 0 ? objective_of<T>(penalised{objective, no_penalty{}, entropy}) : objective_of<T>(objective);
  const double coefficient = j.number("penalty", 1);
  if (j.at("penalty")[0] == "corrected_k3") return penalised{objective, corrected_kl_penalty<kl::k3>{.coefficient = coefficient}, entropy};
  if (j.at("penalty")[0] == "k3") return penalised{objective, kl_penalty<kl::k3>{.coefficient = coefficient}, entropy};
  throw error("policy: there is no penalty " + j.at("penalty")[0]);
}

template <class T>
objective_of<T> objective_of_job(const job& j) {
  const std::string& name = j.at("objective").at(0);
  if (name == "ppo") return penalised_by<T>(j, ppo{});
  if (name == "grpo") return penalised_by<T>(j, grpo{});
  if (name == "dr_grpo") return penalised_by<T>(j, dr_grpo{});
  if (name == "gspo") return penalised_by<T>(j, gspo{});
  if (name == "luspo") return penalised_by<T>(j, luspo{});
  if (name == "rloo") return penalised_by<T>(j, rloo{});
  if (name == "cispo") return penalised_by<T>(j, cispo{});
  if (name == "sapo") return penalised_by<T>(j, sapo{});
  if (name == "gmpo") return penalised_by<T>(j, gmpo{});
  if (name == "vespo") return penalised_by<T>(j, vespo{});
  throw error("policy: there is no objective " + name);
}

token_options options_of(const job& j) {
  using r = token_reduction;
  token_options o;
  if (j.has("ratio")) {
    o.ratio = chosen<ratio_level>(j.at("ratio")[0], {{"token", ratio_level::token}, {"sequence", ratio_level::sequence}, {"sequence_sum", ratio_level::sequence_sum}});
  }
  if (j.has("reduction")) {
    o.reduction = chosen<r>(j.at("reduction")[0], {{"token_mean", r::token_mean}, {"sequence_mean_token_mean", r::sequence_mean_token_mean},
                                                   {"sequence_mean_token_sum", r::sequence_mean_token_sum}, {"constant_length", r::constant_length}});
  }
  if (j.has("normalizer")) o.normalizer = j.number("normalizer");
  o.constant_length = j.number("constant_length");
  return o;
}

/// A batch in memory of its own.
template <class T>
struct batch_of {
  std::int64_t rows, columns;
  std::vector<T> logp, old_logp, ref_logp, sampler_logp, entropy, advantage, token_advantage, correction, factor, d_logp, d_entropy;
  std::vector<std::uint8_t> mask, kept;

  explicit batch_of(const job& j) : rows(std::stol(j.at("shape").at(0))), columns(std::stol(j.at("shape").at(1))) {
    const std::map<std::string, std::vector<T>*> members{{"logp", &logp}, {"old_logp", &old_logp}, {"ref_logp", &ref_logp}, {"sampler_logp", &sampler_logp},
                                                         {"entropy", &entropy}, {"advantage", &advantage}, {"token_advantage", &token_advantage}};
    for (const auto& [name, to] : members) {
      for (const std::string& cell : j.has(name) ? j.at(name) : words{}) to->push_back(static_cast<T>(std::stod(cell)));
    }
    for (const std::string& cell : j.at("mask")) mask.push_back(cell == "1");
    const std::size_t n = static_cast<std::size_t>(rows * columns);
    d_logp.assign(n, T(-7));
    d_entropy.assign(n, T(-7));
    correct(j);
  }

  template <class X>
  auto shaped(X& x) const { return x.empty() ? decltype(as_view(x.data(), rows, columns)){} : as_view(x.data(), rows, columns); }
  tokens<T> view() const {
    return {.logp = shaped(logp), .old_logp = shaped(old_logp), .ref_logp = shaped(ref_logp), .advantage = advantage,
            .token_advantage = shaped(token_advantage), .correction = shaped(correction), .entropy = shaped(entropy), .mask = shaped(mask)};
  }

 private:
  /// The multipliers of the surrogate: their product.
  void correct(const job& j) {
    if (j.has("sampler")) {
      const words& w = j.at("sampler");
      const correction::options o{
          .ratio = chosen<correction::level>(w.at(0), {{"token", correction::level::token}, {"sequence_sum", correction::level::sequence_sum}}),
          .within = {.lower = std::stod(w.at(2)), .upper = std::stod(w.at(3))},
          .otherwise = chosen<correction::outside>(w.at(1), {{"truncate", correction::outside::truncate}, {"mask", correction::outside::mask}})};
      multiply([&] { correction::weights<T>(o, {.old_logp = shaped(as_const(old_logp)), .sampler_logp = shaped(as_const(sampler_logp)), .mask = shaped(as_const(mask))}, shaped(factor)); });
    }
    if (j.has("off_policy")) {
      const std::vector<T>& by = j.has("sampler") ? sampler_logp : old_logp;
      multiply([&] {
        correction::off_policy_mask<T>(j.number("off_policy"), {.logp = shaped(as_const(logp)), .sampler_logp = shaped(by), .advantage = advantage, .mask = shaped(as_const(mask))}, shaped(factor));
      });
    }
    if (j.has("top_entropy")) {
      multiply([&] {
        const token_entropies<T> x{.entropy = shaped(as_const(entropy)), .mask = shaped(as_const(mask))};
        std::vector<double> scratch(entropy.size());
        kept.resize(entropy.size());
        top_entropy_mask(entropy_threshold(j.number("top_entropy"), x, scratch), x, shaped(kept));
        for (std::size_t i = 0; i < kept.size(); ++i) factor[i] = kept[i];
      });
    }
  }
  template <class X>
  static const X& as_const(X& x) { return x; }
  template <class Write>
  void multiply(const Write& write) {
    factor.assign(logp.size(), T(0));
    write();
    if (correction.empty()) correction.assign(logp.size(), T(1));
    for (std::size_t i = 0; i < factor.size(); ++i) correction[i] *= factor[i];
  }
};

template <class T>
void answer(const job& j) {
  batch_of<T> b(j);
  const token_options o = options_of(j);
  const bool entropy = j.has("entropy_coefficient");
  const token_gradients<T> to{.logp = b.shaped(b.d_logp), .entropy = entropy ? b.shaped(b.d_entropy) : view<T, 2>{}};
  const policy_report r = evaluate(objective_of_job<T>(j), b.view(), to, o);
  std::printf("%.17g", o.normalizer ? r.loss_sum / *o.normalizer : r.loss());
  for (const T d : b.d_logp) std::printf(" %.17g", double(d));
  for (const T d : entropy ? b.d_entropy : std::vector<T>{}) std::printf(" %.17g", double(d));
  std::printf("\n");
}

}  // namespace

int main() try {
  for (job j; read(std::cin, j);) {
    if (j.at("type").at(0) == "f32") answer<float>(j);
    else answer<double>(j);
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
