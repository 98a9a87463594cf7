// SPDX-License-Identifier: MIT
// Policy-gradient objectives of the catalogue by their names (--policy).
#pragma once

#include "settings.hpp"

#include <attune/exec/any_objective.hpp>
#include <attune/exec/policy_report.hpp>
#include <attune/policy/covariance/clip_cov.hpp>
#include <attune/policy/covariance/kl_cov.hpp>
#include <attune/policy/tokens.hpp>

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace align {

/// An objective on sampled tokens, chosen at run time, with its penalty, ratio and mean:
///
///   loss = surrogate + kl_coefficient K(log pi - log pi_ref) - entropy_coefficient H
///
/// Only stage 2 is behind the call, compiled once for all objectives.
struct policy_objective {
  std::string name;
  attune::any_objective<attune::token_kind, float> on_float;
  attune::any_objective<attune::token_kind, double> on_double;
  attune::token_options options{};  ///< without a normalizer
  attune::token_reduction reduction = attune::token_reduction::token_mean;
  bool reads_reference = false, reads_entropy = false;
  /// Whether the gradient is the derivative of the value: not where a weight is held constant, nor where the KL estimator's gradient is another one's.
  bool is_derivative = true;
  /// The rule by which tokens are selected, of objectives that read it.
  std::variant<std::monostate, attune::covariance::clip_cov, attune::covariance::kl_cov> selection{};

  /// The denominator of a whole step, which all its micro-batches have to use.
  double denominator(std::size_t tokens, std::size_t completions) const;
  attune::policy_report operator()(const attune::tokens<float>& batch, const attune::token_gradients<float>& gradients, double normalizer) const;
  attune::policy_report operator()(const attune::tokens<double>& batch, const attune::token_gradients<double>& gradients, double normalizer) const;
};

/// The objective of --policy with the parameters of --set, its KL term, reduction and entropy term. `context` [tokens] is the length of
/// constant_length. Throws attune::error for what is unknown, outside its domain, or without effect, and says what there is.
policy_objective make_policy_objective(const policy_settings& s, const std::vector<std::string>& set, std::size_t context);

/// Names of the objectives, with those that choose another ratio or mean of the same one; of estimators of the KL divergence; of reductions.
std::vector<std::string> policy_names();
std::vector<std::string> kl_names();
std::vector<std::string> reduction_names();

}  // namespace align
