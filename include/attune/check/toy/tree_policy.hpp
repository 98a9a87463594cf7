// SPDX-License-Identifier: MIT
#pragma once

#include <attune/check/toy/distribution.hpp>

namespace attune::toy {

/// A policy that chooses step by step: a tree with a softmax at every inner node, whose leaves are the outcomes.
///
///   log pi(leaf) = sum over the nodes n on its path of log pi(n | parent),     pi(n | parent) = softmax over the parent's children
///
/// A language model on short strings is one (`strings`), and a Markov decision process whose states are histories (`complete`). Node 0 is
/// the root; parents come before their children. One logit a node, the root's without effect. Build with one of the functions, or node by node.
struct tree_policy {
  std::vector<std::size_t> parent{0};  ///< of node n; the root's is 0
  vector logits{0};                    ///< of node n among its siblings

  static constexpr std::size_t root = 0;

  std::size_t nodes() const { return parent.size(); }
  std::size_t add(std::size_t under, double logit = 0) {
    if (under >= nodes()) throw error("attune::toy: node " + attune::detail::text((long long)under) + " does not exist; expected one below " + attune::detail::text((long long)nodes()));
    parent.push_back(under);
    logits.push_back(logit);
    return nodes() - 1;
  }

  /// The outcomes: node of leaf i.
  std::vector<std::size_t> leaves() const {
    std::vector<bool> inner(nodes(), false);
    for (std::size_t n = 1; n < nodes(); ++n) inner[parent[n]] = true;
    std::vector<std::size_t> result;
    for (std::size_t n = 0; n < nodes(); ++n) {
      if (!inner[n]) result.push_back(n);
    }
    return result;
  }
  /// Steps to each outcome, tokens of a string: [K].
  vector lengths() const {
    vector depth(nodes(), 0.0), result;
    for (std::size_t n = 1; n < nodes(); ++n) depth[n] = depth[parent[n]] + 1;
    for (std::size_t leaf : leaves()) result.push_back(depth[leaf]);
    return result;
  }

  /// log pi(n | parent) of every node [nodes, nat]; 0 of the root.
  vector step_log_probabilities() const {
    vector top(nodes(), -infinity<double>), sum(nodes(), 0.0), result(nodes(), 0.0);
    for (std::size_t n = 1; n < nodes(); ++n) top[parent[n]] = max(top[parent[n]], logits[n]);
    for (std::size_t n = 1; n < nodes(); ++n) sum[parent[n]] += std::exp(logits[n] - top[parent[n]]);
    for (std::size_t n = 1; n < nodes(); ++n) result[n] = (logits[n] - top[parent[n]]) - std::log(sum[parent[n]]);
    return result;
  }
  vector log_probabilities() const {
    vector path = step_log_probabilities(), result;
    for (std::size_t n = 1; n < nodes(); ++n) path[n] += path[parent[n]];
    for (std::size_t leaf : leaves()) result.push_back(path[leaf]);
    return result;
  }

  std::span<double> parameters() { return logits; }
  /// With C(n) the sum of the coefficients of the leaves below n:  d loss / d logit(n) = C(n) - pi(n | parent) C(parent).
  vector gradient(std::span<const double> coefficient) const {
    const std::vector<std::size_t> leaf = leaves();
    detail::require_size(coefficient.size(), leaf.size(), "coefficient");
    vector below(nodes(), 0.0), result(nodes(), 0.0);
    for (std::size_t i = 0; i < leaf.size(); ++i) below[leaf[i]] = coefficient[i];
    for (std::size_t n = nodes() - 1; n > 0; --n) below[parent[n]] += below[n];
    const vector step = step_log_probabilities();
    for (std::size_t n = 1; n < nodes(); ++n) result[n] = below[n] - std::exp(step[n]) * below[parent[n]];
    return result;
  }

  /// From d loss / d log pi(n | parent) = c(n) of every node to d loss / d logits:  c(n) - pi(n | parent) sum of c over n and its siblings.
  vector step_gradient(std::span<const double> coefficient) const {
    if (coefficient.size() != nodes()) throw error("attune::toy: coefficient has " + attune::detail::text((long long)coefficient.size()) + " nodes; expected " + attune::detail::text((long long)nodes()));
    vector family(nodes(), 0.0), result(nodes(), 0.0);
    for (std::size_t n = 1; n < nodes(); ++n) family[parent[n]] += coefficient[n];
    const vector step = step_log_probabilities();
    for (std::size_t n = 1; n < nodes(); ++n) result[n] = coefficient[n] - std::exp(step[n]) * family[parent[n]];
    return result;
  }

  /// Value of every node under the policy, for the reward that is paid on entering each:  V(n) = sum over its children c of
  /// pi(c | n) (reward(c) + V(c)), 0 at leaves. The advantage of step c is reward(c) + V(c) - V(parent).
  vector values(std::span<const double> reward) const {
    if (reward.size() != nodes()) throw error("attune::toy: reward has " + attune::detail::text((long long)reward.size()) + " nodes; expected " + attune::detail::text((long long)nodes()));
    const vector step = step_log_probabilities();
    vector result(nodes(), 0.0);
    for (std::size_t n = nodes() - 1; n > 0; --n) result[parent[n]] += std::exp(step[n]) * (reward[n] + result[n]);
    return result;
  }

  /// Every inner node has `branching` children, every leaf lies `depth` steps from the root.
  static tree_policy complete(std::size_t branching, std::size_t depth) {
    tree_policy result;
    result.grow(root, branching, depth, false);
    return result;
  }
  /// Strings over `alphabet` tokens and an end of string. A string that has `longest` tokens ends without it. The children of an inner node
  /// are the end, then the tokens.
  static tree_policy strings(std::size_t alphabet, std::size_t longest) {
    tree_policy result;
    result.grow(root, alphabet, longest, true);
    return result;
  }

 private:
  void grow(std::size_t node, std::size_t branching, std::size_t depth, bool with_end) {
    if (depth == 0) return;
    if (with_end) add(node);
    for (std::size_t c = 0; c < branching; ++c) grow(add(node), branching, depth - 1, with_end);
  }
};

}  // namespace attune::toy
