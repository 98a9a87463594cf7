// SPDX-License-Identifier: MIT
// The gradient check of gradient_check.hpp for the on-policy mode: tokens, with ratios that are not 1.
#pragma once

#include "gradient_check.hpp"
#include "on_policy.hpp"

namespace align {

/// A model and completions for the check: another policy wrote them, a third one is the reference. Where the gradient is not the derivative of
/// the value (policy_objective.is_derivative), the loss is what has that gradient: sum of d_logp log pi(token) + d_entropy H, coefficients as
/// stage 2 gives them at the parameters. Then stages 1 and 3 and the model are checked, stage 2 is not.
class policy_check_problem {
 public:
  policy_check_problem(const policy_objective& objective, std::uint64_t seed)
      : objective_(objective), shape_{.context = 24, .width = 8, .layers = 2, .heads = 2}, net_(shape_, 6, 1),
        parameters_(initial_parameters<double>(shape_, seed)) {
    std::vector<preference_tokens> written;
    for (const auto& text : {preference_text{"one:", " a b c", " d e"}, {"another prompt, cut:", " f", " g h i j k"}, {"", " lm", " n o"}, {"p", "", "q"}}) {
      written.push_back(tokenise(text, shape_.context));
    }
    part_.rows = make_batch(written, {0, 1, 2, 3}, /*chosen_only=*/true);
    part_.advantage = {1.5, -0.75, 0.5, -1.25};
    part_.ref_logp = score_tokens(net_, initial_parameters<double>(shape_, seed + 1), part_.rows).logps;
    const token_scores<double> s = score_tokens(net_, parameters_, part_.rows);
    part_.old_logp = s.logps;
    random_source random(seed, 8);
    for (double& logp : part_.old_logp) logp = std::min(logp + 0.2 * random.normal(), -1e-3);  // within PPO's clip, and outside of it
    selected_ = select_tokens(part_, s, objective_, seed);
    for (std::size_t t = 0; t < selected_.size(); t += 3) selected_[t] = part_.rows.mask[t];
    fixed_ = evaluate_part(part_, s, objective_, selected_, denominator());
  }

  double loss_at(const std::vector<double>& parameters) {
    const token_scores<double> s = score_tokens(net_, parameters, part_.rows);
    if (objective_.is_derivative) return evaluate_part(part_, s, objective_, selected_, denominator()).report.loss_sum / denominator();
    double sum = 0;
    for (std::size_t t = 0; t < s.logps.size(); ++t) {
      sum += fixed_.d_logp[t] * s.logps[t] + (fixed_.d_entropy.empty() ? 0 : fixed_.d_entropy[t] * s.entropies[t]);
    }
    return sum;
  }
  std::vector<double> gradient() {
    const token_scores<double> s = score_tokens(net_, parameters_, part_.rows);
    const part_gradient<double> g = evaluate_part(part_, s, objective_, selected_, denominator());
    backpropagate_tokens(net_, parameters_, part_.rows, s, g.d_logp, g.d_entropy);
    return net_.take_gradient();
  }
  const attune::policy_report& report() const { return fixed_.report; }
  const std::vector<double>& parameters() const { return parameters_; }
  network<double>& net() { return net_; }

 private:
  double denominator() const { return objective_.denominator(part_.rows.active(), part_.rows.rows); }

  policy_objective objective_;
  shape shape_;
  network<double> net_;
  std::vector<double> parameters_;
  sampled_part<double> part_;
  std::vector<std::uint8_t> selected_;
  part_gradient<double> fixed_;
};

}  // namespace align
