// SPDX-License-Identifier: MIT
#pragma once

#include <attune/policy/dpg/target.hpp>

#include <algorithm>

namespace attune::dpg {

/// How lambda is fitted, and when that ends: at iteration `iterations`, or where the moments miss their targets by less than `tolerance`.
struct fit_options {
  enum class norm { euclidean, largest };  ///< of what the moments miss

  double rate = 0.5;
  double tolerance = 0.01;  ///< in the units of the features
  norm measured_by = norm::euclidean;
  std::int64_t iterations = 1000;
};
/// The rules of the authors' two repositories: naver/gdc, the default here, with samples by the ten thousand, and naver/disco, with 512.
inline constexpr fit_options gdc_fit{};
inline constexpr fit_options disco_fit{.rate = 0.05, .tolerance = 1e-5, .measured_by = fit_options::norm::largest};

struct lambda_fit {
  std::vector<double> lambda;    ///< [M]
  std::vector<double> moments;   ///< [M] mu(lambda): what the samples say of E_p[phi]
  std::int64_t iterations = 0;   ///< steps taken
  bool converged = false;        ///< whether the moments are within the tolerance
  double effective_samples = 0;  ///< (sum w)^2 / sum w^2 at lambda: the fit is worth no more than so many samples
};

namespace detail {

inline void require_fit_options(const fit_options& o) {
  if (!(o.rate > 0 && o.rate < infinity<double>) || !(o.tolerance > 0) || o.iterations < 0) {
    throw error("attune: fit_options is {.rate = " + attune::detail::text(o.rate) + ", .tolerance = " + attune::detail::text(o.tolerance) +
                ", .iterations = " + attune::detail::text((long long)o.iterations) +
                "}; expected a finite rate > 0, a tolerance > 0 and iterations >= 0");
  }
}

/// Features that are finite and can have the moments: each target lies strictly between the smallest and the largest feature, or is the only one.
template <real T>
void require_attainable(const view<const T, 2>& features, std::span<const double> targets, const view<const T>& log_weights) {
  const auto number = [](std::int64_t x) { return attune::detail::text((long long)x); };
  attune::detail::require_extent(features.extent(1), static_cast<std::int64_t>(targets.size()), "features (in columns)", "the target moments");
  if (!log_weights.absent()) attune::detail::require_extent(log_weights.extent(0), features.extent(0), "log_weights", "features (in rows)");
  for (std::int64_t i = 0; i < log_weights.extent(0); ++i) {
    if (log_weights(i) < infinity<T>) continue;
    throw error("attune: log_weights of sample " + number(i) + " is " + attune::detail::text(double(log_weights(i))) +
                "; expected a finite number, or -inf");
  }
  for (std::int64_t j = 0; j < features.extent(1); ++j) {
    double lowest = infinity<double>, highest = -infinity<double>;
    for (std::int64_t i = 0; i < features.extent(0); ++i) {
      if (!log_weights.absent() && log_weights(i) == -infinity<T>) continue;
      const double x = double(features(i, j));
      if (!std::isfinite(x)) {
        throw error("attune: feature " + number(j) + " of sample " + number(i) + " is " + attune::detail::text(x) + "; expected a finite number");
      }
      lowest = min(lowest, x), highest = max(highest, x);
    }
    const double mu = targets[static_cast<std::size_t>(j)];
    if ((mu > lowest && mu < highest) || (mu == lowest && mu == highest)) continue;
    throw error("attune: the target moment of feature " + number(j) + " is " + attune::detail::text(mu) + ", the samples' features are in [" +
                attune::detail::text(lowest) + ", " + attune::detail::text(highest) +
                "]; expected one strictly between them: no finite lambda gives another (what must always hold is a pointwise_target)");
  }
}

/// mu(lambda) into fit.moments: weights relative to the largest, so that none overflows.
template <real T>
void set_moments(lambda_fit& fit, const view<const T, 2>& features, const view<const T>& log_weights, std::vector<double>& log_weight) {
  double top = -infinity<double>, sum = 0, squares = 0;
  for (std::size_t i = 0; i < log_weight.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i);
    log_weight[i] = log_weights.absent() ? 0 : double(log_weights(row));
    if (log_weight[i] == -infinity<double>) continue;  // its features are not read
    for (std::size_t j = 0; j < fit.lambda.size(); ++j) log_weight[i] += fit.lambda[j] * double(features(row, static_cast<std::int64_t>(j)));
    top = max(top, log_weight[i]);
  }
  std::fill(fit.moments.begin(), fit.moments.end(), 0.0);
  for (std::size_t i = 0; i < log_weight.size(); ++i) {
    const double w = std::exp(log_weight[i] - top);
    if (w == 0) continue;
    sum += w;
    squares += w * w;
    for (std::size_t j = 0; j < fit.moments.size(); ++j) {
      fit.moments[j] += w * double(features(static_cast<std::int64_t>(i), static_cast<std::int64_t>(j)));
    }
  }
  for (double& m : fit.moments) m /= sum;
  fit.effective_samples = sum * sum / squares;
}

inline double missed(const lambda_fit& fit, std::span<const double> targets, fit_options::norm norm) {
  double squares = 0, worst = 0;
  for (std::size_t j = 0; j < targets.size(); ++j) {
    const double d = std::abs(targets[j] - fit.moments[j]);
    squares += d * d;
    worst = max(worst, d);
  }
  return norm == fit_options::norm::euclidean ? std::sqrt(squares) : worst;
}

template <real T>
lambda_fit fit_lambda(const view<const T, 2>& features, std::span<const double> targets, const view<const T>& log_weights, const fit_options& o) {
  require_fit_options(o);
  require_attainable(features, targets, log_weights);
  lambda_fit fit;
  fit.lambda.assign(targets.size(), 0);
  fit.moments.assign(targets.size(), 0);
  std::vector<double> log_weight(static_cast<std::size_t>(features.extent(0)));
  for (;; ++fit.iterations) {
    set_moments(fit, features, log_weights, log_weight);
    fit.converged = missed(fit, targets, o.measured_by) < o.tolerance;
    if (fit.converged || fit.iterations == o.iterations) return fit;
    for (std::size_t j = 0; j < targets.size(); ++j) fit.lambda[j] += o.rate * (targets[j] - fit.moments[j]);
  }
}

}  // namespace detail

/// lambda of a distributional constraint E_p[phi] = targets, p ~ a e^(lambda . phi), from samples by self-normalised importance sampling:
///
///   mu(lambda) = sum_i w_i phi_i / sum_i w_i,     w_i = e^(lambda . phi_i) a(x_i)/q(x_i),     lambda <- lambda + rate (targets - mu(lambda))
///
/// from lambda = 0: ascent on the dual, lambda . targets - log sum w, which is concave, so that there is one solution up to directions in
/// which the features do not vary. A rate above 2 / (largest eigenvalue of the features' covariance) does not settle, and a rule stops where
/// the moments are within its tolerance: see `converged`, `moments`.
/// features [N, M]: float or double; targets [M] in the features' units; log_weights [N], optional: log a - log q [nat] of samples from a
/// q other than the base model, up to a constant (-inf: not read); they may also be log-probabilities, of outcomes that are enumerated.
/// Allocates [N] + O(M). Time O(N M) an iteration.
/// Throws attune::error: sizes that differ, features or weights that are NaN or infinite, a target outside the range of its feature, options
/// outside their domain.
/// Source   GDC, Khalifa et al. 2021, arXiv:2012.11635, and its repository (naver/gdc); naver/disco.
template <tensor Features>
  requires real<std::remove_const_t<typename decltype(as_view<2>(std::declval<Features&>()))::element>>
lambda_fit fit_lambda(Features&& features, std::span<const double> targets, const fit_options& options = {},
                      view<const std::remove_const_t<typename decltype(as_view<2>(std::declval<Features&>()))::element>> log_weights = {}) {
  using T = std::remove_const_t<typename decltype(as_view<2>(std::declval<Features&>()))::element>;
  return detail::fit_lambda<T>(view<const T, 2>(as_view<2>(static_cast<Features&&>(features))), targets, log_weights, options);
}

}  // namespace attune::dpg
