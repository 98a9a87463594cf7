// SPDX-License-Identifier: MIT
#include "acceptance.hpp"

#include <attune/check/toy/bandit.hpp>
#include <attune/check/toy/objective.hpp>
#include <attune/constraint/cgpo/crpg.hpp>
#include <attune/constraint/cgpo/crraft.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <ostream>

namespace cgpo = attune::cgpo;
using attune::toy::softmax_policy;
using attune::toy::vector;

namespace papers {
namespace {

// Six answers. The last two violate a constraint, and have the highest rewards. The baseline answer has reward 0.5, that of answer 2.
const vector reference_probabilities{.30, .25, .20, .12, .08, .05}, reward{0, 1, .5, 2, 3, 4}, base(6, .5);
const std::vector<std::uint8_t> judged{1, 1, 1, 1, 0, 0}, all_satisfied(6, 1);
const attune::toy::bandit answers{.reference = attune::toy::categorical(reference_probabilities), .reward = reward, .accepted = judged};
constexpr std::size_t baseline_answer = 2;
const double infinity = std::numeric_limits<double>::infinity();

const softmax_policy& reference() { return answers.reference; }
double violation(const softmax_policy& policy) { return answers.violation(policy); }
double kl(const softmax_policy& policy) { return attune::toy::kl(policy, reference()); }

using observer = std::function<void(int, const softmax_policy&)>;

/// Gradient descent on CRPG with all answers, weighted by their probabilities: no sampling error.
softmax_policy crpg(double max_kl, const std::vector<std::uint8_t>& satisfied, const observer& see = nullptr) {
  softmax_policy policy = reference();
  const vector ref_logp = reference().log_probabilities();
  for (int i = 0; i < 20000; ++i) {
    const vector logp = policy.log_probabilities(), pi = policy.probabilities();
    vector coefficients(pi.size());
    cgpo::crpg_coefficients(cgpo::crpg{.max_kl = max_kl},
                            cgpo::judged_completions<double>{.logp = logp, .ref_logp = ref_logp, .reward = reward, .baseline_reward = base,
                                                             .satisfied = satisfied, .weights = {.weight = pi}},
                            coefficients);
    attune::toy::descend(policy, coefficients, .5);
    if (see) see(i, policy);
  }
  return policy;
}

// ---- 7A

/// pi_i = pi_ref,i exp(KL_max (1 - c/R_i)) of the satisfied answers, where Rt = (1 - log(pi/pi_ref)/KL_max) R has one value, c.
vector fixed_point(double max_kl, double c) {
  vector pi;
  for (std::size_t i = 0; i < 4; ++i) {
    pi.push_back(reference_probabilities[i] * std::exp(max_kl * (1 - c / cgpo::calibrated_reward(reward[i], base[i]))));
  }
  return pi;
}
double normalising_constant(double max_kl) {
  double low = 0, high = 1;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    const vector pi = fixed_point(max_kl, middle);
    (std::accumulate(pi.begin(), pi.end(), 0.0) > 1 ? low : high) = middle;
  }
  return low;
}

void crpg_fixed_points(comparison& found) {
  struct row {
    double max_kl, c;
    vector pi;
    double kl, error;  ///< of the policy after 20,000 steps, from the fixed point
  };
  const double least = -std::log(.87);
  found.near("-log pi_ref(satisfied), the least KL of a policy without violations", least, .139262, 5e-7);
  for (const row& r : {row{.25, .221929355, {.332562, .293632, .229833, .143974}, .139681, 3e-4},
                       row{.5, .364624360, {.305176, .307529, .228993, .158301}, .143764, 3e-4},
                       row{1, .442827451, {.252360, .333634, .224228, .189778}, .165269, 3e-4},
                       row{2, .496639742, {.159631, .374551, .202706, .263112}, .259995, 3e-4},
                       row{5, .576553337, {.021502, .361480, .093017, .524001}, .777793, 6e-4}}) {
    const double c = normalising_constant(r.max_kl);
    const vector formula = fixed_point(r.max_kl, c);
    found.near("c at KL_max = " + attune::detail::text(r.max_kl), c, r.c, 5e-10);
    double divergence = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      found.near("  pi_" + std::to_string(i), formula[i], r.pi[i], 6e-7);
      divergence += formula[i] * std::log(formula[i] / reference_probabilities[i]);
    }
    found.near("  KL", divergence, r.kl, 6e-7);
    found.holds("  -log pi_ref(satisfied) <= KL <= KL_max", divergence >= least && divergence <= r.max_kl);

    double highest = 0, halfway = 0;
    const softmax_policy end = crpg(r.max_kl, judged, [&](int step, const softmax_policy& policy) {
      highest = std::max(highest, kl(policy));
      if (step == 9999) halfway = violation(policy);
    });
    const vector pi = end.probabilities();
    double error = 0;
    for (std::size_t i = 0; i < 4; ++i) error = std::max(error, std::abs(pi[i] - formula[i]));
    found.near("  20,000 steps of CRPG end there: largest distance", error, 0, r.error);
    if (r.max_kl == .25) found.near("  their violation", violation(end), 5.9e-4, 5e-6);
    if (r.max_kl == 2) found.near("  their violation", violation(end), 2.7e-4, 5e-6);
    found.near("  violation decays as 1/t: ratio of steps 10,000 and 20,000", halfway / violation(end), 2, .05);
    found.holds("  KL <= KL_max at every step", highest <= r.max_kl);
    if (r.max_kl <= 2) found.near("  KL never above its end value", highest, kl(end), 1e-12);
  }
}

// ---- 7B

void hacking(comparison& found) {
  const softmax_policy hacked = crpg(infinity, all_satisfied), guarded = crpg(infinity, judged);
  found.near("reward alone, no judge: violation", violation(hacked), .99982, 5e-6);
  found.holds("  the answer with the highest reward has it all", hacked.probabilities()[5] > .999);
  found.near("CRPG without the KL factor: violation", violation(guarded), 3.4e-5, 5e-7);
  found.near("  probability of the best satisfied answer", guarded.probabilities()[3], .99977, 5e-6);
}

// ---- 7C

/// beta x the margin between the log-ratios of the pair, after CODPO on the pair that the rule selects.
double codpo_margin(double lambda) {
  std::int64_t chosen[1], rejected[1];
  const vector rewards{reward[1], reward[3], reward[4], reward[5]};  // of the judged ones 3 is best, of the others 4 is worst
  const std::vector<std::uint8_t> satisfied{1, 1, 0, 0};
  const std::size_t answer[] = {1, 3, 4, 5};
  cgpo::codpo_pairs(cgpo::judged_groups<double>{.reward = rewards, .satisfied = satisfied, .size = 4}, chosen, rejected);
  const attune::toy::comparison pair[] = {{answer[chosen[0]], answer[rejected[0]]}};
  const cgpo::codpo objective{.beta = .1, .nll_weight = lambda};
  softmax_policy policy = reference();
  for (int i = 1; i < 20000; ++i) {  // the margin that step 20,000 begins with; one step moves it by 5e-5
    attune::toy::descend(policy, attune::toy::loss_on_pairs(objective, policy, reference(), pair, {.length = vector(6, 1)}).coefficients, .1);
  }
  const vector logp = policy.log_probabilities(), ref = reference().log_probabilities();
  return .1 * ((logp[3] - ref[3]) - (logp[4] - ref[4]));
}

/// CRRAFT with K = 2 and every pair of draws, weighted by its probability. fall_back: fine-tune on the baseline answer where no completion
/// is left; else leave such prompts out.
softmax_policy crraft(double max_kl, bool fall_back, int steps = 1500, const observer& see = nullptr) {
  softmax_policy policy = reference();
  const vector ref = reference().log_probabilities();
  const std::size_t K = reward.size(), groups = K * K;
  vector y_reward, y_logp(2 * groups), y_ref, y_base(groups, base[0]), weight(groups);
  std::vector<std::uint8_t> satisfied;
  std::vector<std::int64_t> chosen(groups);
  const auto answer = [&](std::size_t m) { return m % 2 == 0 ? m / 2 / K : m / 2 % K; };  // draws a and b of group a K + b
  for (std::size_t m = 0; m < 2 * groups; ++m) {
    y_reward.push_back(reward[answer(m)]), y_ref.push_back(ref[answer(m)]), satisfied.push_back(judged[answer(m)]);
  }
  for (int i = 0; i < steps; ++i) {
    const vector logp = policy.log_probabilities(), pi = policy.probabilities();
    for (std::size_t m = 0; m < 2 * groups; ++m) y_logp[m] = logp[answer(m)];
    cgpo::crraft_select(cgpo::crraft{.max_kl = max_kl},
                        cgpo::ranked_groups<double>{.logp = y_logp, .ref_logp = y_ref, .reward = y_reward, .satisfied = satisfied,
                                                    .baseline_reward = y_base, .size = 2},
                        chosen, weight);
    vector coefficients(K, 0);
    for (std::size_t g = 0; g < groups; ++g) {
      const double share = pi[answer(2 * g)] * pi[answer(2 * g + 1)];
      if (chosen[g] >= 0) coefficients[answer(std::size_t(chosen[g]))] -= share * weight[g];
      if (chosen[g] < 0 && fall_back) coefficients[baseline_answer] -= share * weight[g];
    }
    attune::toy::descend(policy, coefficients, .3);
    if (see) see(i, policy);
  }
  return policy;
}

void pairs_and_ranking(comparison& found) {
  found.near("CODPO on 3 over 4, lambda = 0: beta x margin", codpo_margin(0), 3.621131, 6e-7);
  found.near("  lambda = .1", codpo_margin(.1), 3.634425, 6e-7);
  found.near("  lambda = 1", codpo_margin(1), 3.650392, 6e-7);

  found.note("CRRAFT, K = 2, baseline answer outside the six: prompts without a completion left give no gradient");
  const softmax_policy unfiltered = crraft(infinity, false), filtered = crraft(1, false);
  found.near("without the KL filter: violation", violation(unfiltered), 6.1e-4, 5e-6);
  found.near("  KL", kl(unfiltered), 2.0995, 5e-5);
  found.near("KL_max = 1: KL", kl(filtered), .9546, 5e-5);
  found.near("  violation", violation(filtered), 2.2e-3, 5e-5);

  found.note("the same, falling back to answer 2 with its calibrated reward 1/2");
  const softmax_policy back = crraft(1, true);
  found.holds("KL_max = 1: closer to the reference, since answer 2 takes part of the mass",
              kl(back) < kl(filtered) && back.probabilities()[2] > .05);
  found.near("  KL (not the page's: by an independent program)", kl(back), .7736108534, 1e-9);
  found.near("  violation", violation(back), .0031337808, 1e-9);
}

// ---- figure

/// Left: violation over the steps. Right: KL.
void violation_figure(std::ostream& out) {
  struct line {
    const char *name, *title;
    double max_kl;
    const std::vector<std::uint8_t>* satisfied;
  };
  const line lines[] = {{"hacked", "reward alone", infinity, &all_satisfied}, {"free", "CRPG, no KL factor", infinity, &judged},
                        {"two", "CRPG, KL_{max} = 2", 2, &judged}, {"quarter", "CRPG, KL_{max} = 0.25", .25, &judged}};
  for (const line& l : lines) {
    out << "$" << l.name << " << EOD\n";
    int next = 1;
    crpg(l.max_kl, *l.satisfied, [&](int step, const softmax_policy& policy) {
      if (step + 1 < next) return;
      out << step + 1 << ' ' << violation(policy) << ' ' << kl(policy) << '\n';
      next = step + 2 + step / 20;
    });
    out << "EOD\n";
  }
  out << "set multiplot layout 1,2\nset logscale xy\nset xrange [1:2e4]\nset yrange [1e-5:3]\nset format '10^{%L}'\nset xlabel 'steps'\n"
         "set key bottom left\nset title 'probability of answers that violate a constraint'\n";
  for (int column : {2, 3}) {
    out << "plot ";
    for (const line& l : lines) out << "$" << l.name << " using 1:" << column << " with lines linewidth 2 title '" << l.title << "', ";
    if (column == 2) {
      out << "x > 500 ? 5/x : 1/0 with lines dashtype 3 linecolor 'black' title '1/t'\nunset logscale y\nset yrange [0:3.2]\n"
             "set format y '%g'\nunset key\nset title 'KL(pi || reference)'\n";
    }
  }
  out << "1/0 notitle\nunset multiplot\n";
}

}  // namespace

const paper described{"CGPO: The Perfect Blend, Redefining RLHF with Mixture of Judges, arXiv:2409.20370",
                      {
                          {"7A", "CRPG with exact gradients: fixed points within KL_max, and the decay of the violation", &crpg_fixed_points},
                          {"7B", "hacking in miniature: the reward alone, and CRPG", &hacking},
                          {"7C", "CODPO on the pair of its rule, CRRAFT with and without its KL filter", &pairs_and_ranking},
                      },
                      {{"cgpo_violation", &violation_figure}}};

}  // namespace papers
