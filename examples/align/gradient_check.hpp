// SPDX-License-Identifier: MIT
// Is the gradient of the whole trainer, through the three stages and the model, the derivative of its loss? In double, on a small model.
#pragma once

#include "alignment.hpp"

#include <cmath>

namespace align {

/// A model and a batch for the check: small, but with several layers, heads, a padded vocabulary and completions of unequal length.
class check_problem {
 public:
  check_problem(objective loss, std::uint64_t seed)
      : loss_(std::move(loss)), shape_{.context = 24, .width = 8, .layers = 2, .heads = 2}, net_(shape_, 6, 1),
        parameters_(initial_parameters<double>(shape_, seed)) {
    const std::vector<preference_text> texts{{"one:", " a b c", " d e"}, {"another prompt, cut:", " f", " g h i j k"}, {"", " lm", " n o"}};
    std::vector<preference_tokens> tokens;
    for (const preference_text& t : texts) tokens.push_back(tokenise(t, shape_.context));
    batch_ = make_batch(tokens, {0, 1, 2}, false);
    if (loss_.reads_reference()) reference_ = score(net_, initial_parameters<double>(shape_, seed + 1), batch_).logps;
  }

  double loss_at(const std::vector<double>& parameters) {
    return evaluate_micro_batch(net_, parameters, batch_, reference_, loss_).objective.loss();
  }
  std::vector<double> gradient() {
    align_micro_batch(net_, parameters_, batch_, reference_, loss_, batch_.rows / 2);
    return net_.take_gradient();
  }
  const std::vector<double>& parameters() const { return parameters_; }
  const batch& rows() const { return batch_; }
  network<double>& net() { return net_; }

 private:
  objective loss_;
  shape shape_;
  network<double> net_;
  std::vector<double> parameters_;
  batch batch_;
  std::vector<double> reference_;
};

/// d loss / d direction at the problem's parameters by central differences of fourth order: error O(h^4) + O(machine precision / h).
template <class Problem> double difference(Problem& problem, const std::vector<double>& direction, double h) {
  const auto at = [&](double t) {
    std::vector<double> moved = problem.parameters();
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += t * direction[i];
    return problem.loss_at(moved);
  };
  return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
}

struct check_result {
  std::string tensor;      ///< where, or "all parameters"
  double expected, given;  ///< finite difference, gradient
  double error;            ///< |expected - given| / scale

  bool passed(double tolerance) const { return error <= tolerance; }  // false for NaN
};

/// Compares `gradient` with finite differences: along random directions over all parameters, along one within each tensor (so that no
/// tensor's error hides behind the others), and for single parameters. The scale of an error is the derivative's own size, or where that is
/// small by chance, the norm of the tensor's gradient over the square root of its size. A problem has parameters, loss_at and net.
template <class Problem>
std::vector<check_result> check_whole_model(Problem& problem, const std::vector<double>& gradient, std::uint64_t seed) {
  random_source random(seed, 5);
  const double h = 1e-5;  // the second derivative of max(x, 0)^2 jumps: where a unit is within h of 0, the error is O(h)
  std::vector<check_result> results;
  const auto along = [&](const std::string& name, const std::vector<double>& direction, double size) {
    double given = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) given += gradient[i] * direction[i];
    const double expected = difference(problem, direction, h);
    results.push_back({name, expected, given, std::abs(expected - given) / std::max({std::abs(expected), size, 1e-6})});
  };
  const auto direction_in = [&](std::size_t first, std::size_t last) {
    std::vector<double> d(gradient.size());
    double squares = 0;
    for (std::size_t i = first; i < last; ++i) squares += (d[i] = random.normal()) * d[i];
    for (double& x : d) x /= std::sqrt(squares);
    return d;
  };
  for (int i = 0; i < 4; ++i) along("all parameters", direction_in(0, gradient.size()), 0);
  for (const tensor& t : tensors(problem.net().dimensions())) {
    double squares = 0;
    for (std::size_t i = t.offset; i < t.offset + t.size; ++i) squares += gradient[i] * gradient[i];
    const double size = std::sqrt(squares / double(t.size));
    along(t.name, direction_in(t.offset, t.offset + t.size), size);
    for (int i = 0; i < 3; ++i) {
      const std::size_t at = t.offset + random.below(t.size);
      along(t.name + "[" + std::to_string(at - t.offset) + "]", direction_in(at, at + 1), size);
    }
  }
  return results;
}

}  // namespace align
