// SPDX-License-Identifier: MIT
// Completions that the policy writes itself.
#pragma once

#include "data.hpp"
#include "network.hpp"

#include <cmath>
#include <span>
#include <utility>  // exchange
#include <vector>

namespace align {

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

/// Completions of any number of prompts, as many at a time as the network holds.
template <class Real>
std::vector<preference_tokens> sample_all(network<Real>& net, const std::vector<Real>& parameters,
                                          const std::vector<preference_tokens>& prompts, random_source random) {
  std::vector<preference_tokens> samples;
  for (std::size_t i = 0; i < prompts.size(); i += net.max_rows()) {
    const std::size_t end = std::min(i + net.max_rows(), prompts.size());
    const std::vector<preference_tokens> part(prompts.begin() + std::ptrdiff_t(i), prompts.begin() + std::ptrdiff_t(end));
    for (auto& y : sample_completions(net, parameters, part, random)) samples.push_back(std::move(y));
  }
  return samples;
}

}  // namespace align
