// SPDX-License-Identifier: MIT
#include "acceptance.hpp"

#include <attune/check/toy.hpp>
#include <attune/preference/cdpo.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/hinge_dpo.hpp>
#include <attune/preference/ipo.hpp>
#include <attune/reward/best_of_n.hpp>

#include <cmath>
#include <ostream>

namespace papers {
namespace {

namespace toy = attune::toy;
using toy::vector;

/// Five answers, their reward is their number.
struct ranked {
  toy::softmax_policy base = toy::categorical({.4, .3, .15, .1, .05});
  vector reward{0, 1, 2, 3, 4};

  toy::softmax_policy best_of(std::int64_t n) const {
    vector result(5);
    attune::reward::best_of_n(base.probabilities(), reward, n, result);
    return toy::categorical(result);
  }
};

// P_n(i) = F_i^n - F_(i-1)^n, and its KL to the policy, against log n - (n - 1)/n.
void distribution_and_divergence(comparison& found) {
  const ranked given;
  const double expected[] = {.0256, .2145, .28190625, .2925, .18549375};
  for (std::size_t i = 0; i < 5; ++i) found.near("best of 4: answer " + std::to_string(i), given.best_of(4).probabilities()[i], expected[i], 1e-15);
  struct row {
    int n;
    double kl, bound;
  };
  for (const row& r : {row{2, .157655077, .193147181}, row{4, .592656300, .636294361}, row{16, 1.758973122, 1.835088722}}) {
    const std::string name = "best of " + std::to_string(r.n);
    const double kl = toy::kl(given.best_of(r.n), given.base), bound = attune::reward::best_of_n_kl_bound(r.n);
    found.near(name + ": KL to the policy", kl, r.kl, 6e-10);
    found.near("  log n - (n - 1)/n", bound, r.bound, 6e-10);
    found.holds("  which is a bound", kl <= bound);
    // At the KL of best-of-n nothing has more reward than the tilted policy.
    double temperature = 0;
    for (double lower = 1e-3, upper = 1e3; upper - lower > 1e-12 * upper;) {
      temperature = std::sqrt(lower * upper);
      (toy::kl(toy::tilted(given.base, given.reward, temperature), given.base) > kl ? lower : upper) = temperature;
    }
    const double optimal = toy::tilted(given.base, given.reward, temperature).expectation(given.reward), reached = given.best_of(r.n).expectation(given.reward);
    found.note(name + ": reward " + std::to_string(reached) + ", of the optimum at this KL " + std::to_string(optimal));
    found.holds("  more reward than the policy's, less than the optimum's at the same KL", reached > given.base.expectation(given.reward) && reached < optimal);
  }
}

/// Loss of a pair with the log-ratios delta and 0, and its derivative in delta.
template <class O>
attune::dual<double, 2> at(const O& objective, double delta) {
  const attune::pair<double> x{.chosen = {.logp = delta}, .rejected = {}};
  return objective(attune::differentiable<attune::pair_kind, double>(x));
}

// Four losses at beta = 0.1.
void pair_losses(comparison& found) {
  struct row {
    double delta, dpo, d_dpo, ipo, d_ipo, hinge, cdpo, d_cdpo;
  };
  for (const row& r : {row{-30, 3.048587351574, -.095257412682, 1225, -70, 4, 2.748587351574, -.085257412682},
                       row{-5, .974076984180, -.062245933120, 100, -20, 1.5, .924076984180, -.052245933120},
                       row{0, .693147180560, -.05, 25, -10, 1, .693147180560, -.04},
                       row{5, .474076984180, -.037754066880, 0, 0, .5, .524076984180, -.027754066880},
                       row{30, .048587351574, -.004742587318, 625, 50, 0, .348587351574, .005257412682}}) {
    const std::string delta = "delta = " + std::to_string(int(r.delta)) + ": ";
    const auto dpo = at(attune::dpo{.beta = .1}, r.delta), ipo = at(attune::ipo{.beta = .1}, r.delta), hinge = at(attune::hinge_dpo{.beta = .1}, r.delta),
               cdpo = at(attune::cdpo{.beta = .1, .label_smoothing = .1}, r.delta);
    found.near(delta + "DPO", dpo.value, r.dpo, 6e-13);
    found.near("  d loss / d delta", dpo.grad[0], r.d_dpo, 6e-13);
    found.near(delta + "IPO", ipo.value, r.ipo, 1e-11);
    found.near("  d loss / d delta", ipo.grad[0], r.d_ipo, 1e-12);
    found.near(delta + "hinge", hinge.value, r.hinge, 1e-14);
    found.near(delta + "cDPO, labels flipped with probability 0.1", cdpo.value, r.cdpo, 6e-13);
    found.near("  d loss / d delta", cdpo.grad[0], r.d_cdpo, 6e-13);
  }
  const attune::cdpo smoothed{.beta = .1, .label_smoothing = .1};
  double lower = 0, upper = 100;
  while (upper - lower > 1e-11) {
    const double middle = (lower + upper) / 2;
    (at(smoothed, middle).grad[0] < 0 ? lower : upper) = middle;
  }
  found.near("cDPO's fixed point, log(9)/beta", lower, 21.972245773, 6e-10);
}

void reward_against_divergence(std::ostream& out) {
  const ranked given;
  out << "$best << EOD\n";
  for (int n = 1; n <= 64; n *= 2) out << toy::kl(given.best_of(n), given.base) << ' ' << given.best_of(n).expectation(given.reward) << ' ' << n << '\n';
  out << "EOD\n$tilted << EOD\n";
  for (double temperature = 100; temperature > .15; temperature /= 1.03) {
    const toy::softmax_policy pi = toy::tilted(given.base, given.reward, temperature);
    out << toy::kl(pi, given.base) << ' ' << pi.expectation(given.reward) << '\n';
  }
  out << "EOD\nset key right bottom\nset xlabel 'KL(policy || reference) [nat]'\nset ylabel 'expected reward'\nset yrange [0.8:4.1]\n"
         "plot $tilted with lines lw 2 lc rgb '#1f5fa8' title 'optimum, reference tilted by the reward', $best with points pt 7 lc rgb '#c23b22' title 'best of n', "
         "$best using 1:2:(sprintf('n = %d', $3)) with labels offset 4,-0.7 notitle\n";
}

}  // namespace

const paper described{"Best-of-n, as in AlpacaFarm, arXiv:2305.14387; DPO, arXiv:2305.18290, IPO, arXiv:2310.12036, and other losses of pairs",
                      {
                          {"8A", "the distribution of the best of n, its KL and its bound", &distribution_and_divergence},
                          {"8B", "losses of a pair and their derivatives, from very wrong to very right", &pair_losses},
                      },
                      {{"best_of_n", &reward_against_divergence}}};

}  // namespace papers
