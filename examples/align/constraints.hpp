// SPDX-License-Identifier: MIT
// Constraints on averages over the policy's own completions (--constraint): what they can speak of, and how the trainer samples.
#pragma once

#include "data.hpp"
#include "network.hpp"

#include <attune/constraint/lagrangian.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>  // exchange
#include <vector>

namespace align {

/// Of --constraint NAME>=VALUE and NAME<=VALUE. Quantities of a completion that NAME may be:
///   length   its tokens (bytes), the end token included
///   reward   of the synthetic task only: see synthetic_reward
/// Throws attune::error for other names, and for a reward without the synthetic task.
/// The name of a constraint is then "length<=" and the like: a quantity may have a limit on either side.
inline std::vector<attune::average_constraint> make_constraints(const std::vector<std::string>& texts, bool synthetic) {
  std::vector<attune::average_constraint> constraints;
  for (const std::string& text : texts) {
    attune::average_constraint c = attune::average_constraint::parse(text);
    const auto require = [&](bool good, const char* expected) {
      if (!good) throw attune::error("--constraint " + text + ": expected " + expected);
    };
    require(c.name == "length" || c.name == "reward", "length or reward before the sign");
    require(c.name != "reward" || synthetic, "length: only the synthetic task has a reward");
    c.name += c.side == attune::bound::at_least ? ">=" : "<=";
    c.unit = std::max(1.0, std::abs(c.limit));  // tokens by the hundred weigh as much as rewards of one
    for (const auto& other : constraints) require(other.name != c.name, "one limit on this side of the quantity");
    constraints.push_back(c);
  }
  return constraints;
}

/// What a completion is worth in the quantity of a constraint. Its tokens: begin, `prompt` - 1 bytes, completion, and end unless it was cut.
inline float quantity_of(const attune::average_constraint& c, const preference_tokens& y) {
  if (c.name.starts_with("length")) return float(y.chosen.size() - y.prompt);
  const auto text = [&](std::size_t first, std::size_t last) {
    std::string bytes;
    for (std::size_t t = first; t < last; ++t) bytes += y.chosen[t] < begin_token ? std::string(1, char(y.chosen[t])) : "";
    return bytes;
  };
  return float(synthetic_reward(text(1, y.prompt), text(y.prompt, y.chosen.size())));
}

/// A token by the softmax of a row of logits.
template <class Real> std::int32_t draw_token(std::span<const Real> logits, random_source& random) {
  Real largest = logits[0];
  double sum = 0;
  for (Real x : logits) largest = std::max(largest, x);
  for (Real x : logits) sum += std::exp(double(x - largest));
  double left = random.uniform() * sum;
  std::size_t token = 0;
  while (token + 1 < logits.size() && (left -= std::exp(double(logits[token] - largest))) > 0) ++token;
  return std::int32_t(token);
}

/// One completion of each prompt (the answers in `prompts` are not looked at), from the policy's own distribution, as `chosen` of the
/// result. A completion ends with the end token, or where the context does. At most net.max_rows() prompts.
template <class Real>
std::vector<preference_tokens> sample_completions(network<Real>& net, const std::vector<Real>& parameters,
                                                  const std::vector<preference_tokens>& prompts, random_source& random) {
  const shape& s = net.dimensions();
  std::vector<preference_tokens> samples;
  std::vector<std::size_t> all;
  for (const preference_tokens& p : prompts) {
    samples.push_back({.chosen = {p.chosen.begin(), p.chosen.begin() + std::ptrdiff_t(p.prompt)}, .rejected = {}, .prompt = p.prompt});
    samples.back().chosen.push_back(0);  // to be drawn
    all.push_back(all.size());
  }
  const batch b = make_batch(samples, all, /*chosen_only=*/true);
  net.forward(parameters, b);
  std::vector<typename network<Real>::added_token> added;
  const auto draw = [&](std::size_t row, const Real* logits) {
    auto& tokens = samples[row].chosen;
    tokens.back() = draw_token(std::span(logits, s.vocabulary), random);
    if (tokens.back() == end_token || tokens.size() > s.context) return;
    added.push_back({row, tokens.size() - 1, tokens.back()});
    tokens.push_back(0);
  };
  for (std::size_t row : all) draw(row, net.logits() + (row * b.length + b.used[row] - 1) * s.padded);
  while (!added.empty()) {
    net.forward_next(parameters, added);
    for (const auto& x : std::exchange(added, {})) draw(x.row, net.next_logits(x.row));
  }
  return samples;
}

}  // namespace align
