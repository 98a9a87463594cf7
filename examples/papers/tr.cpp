// SPDX-License-Identifier: MIT
#include "acceptance.hpp"

#include <attune/check/toy.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/ipo.hpp>
#include <attune/preference/kto.hpp>
#include <attune/reference/schedule.hpp>

#include <cmath>
#include <ostream>

namespace toy = attune::toy;
using attune::reference_schedule;
using toy::linear_policy;

namespace papers {
namespace {

/// Two answers whose log-ratio is theta: one preference pair, with one parameter. Its gradient is d loss / d delta.
linear_policy one_pair() { return {.base = {0, 0}, .features = {1, 0}, .theta = {0}}; }
const std::vector<toy::comparison> always{{0, 1, 1}}, three_of_four{{0, 1, .75}, {1, 0, .25}};

/// Gradient descent with a reference that follows by the schedule, as a trainer does it: a step of the optimiser, then `apply`.
template <class Objective> struct run {
  Objective objective;
  reference_schedule schedule;
  double rate;
  linear_policy policy;
  std::vector<toy::comparison> data;
  linear_policy reference = policy;
  std::int64_t done = 0;

  /// Trains until `step`, and returns delta there.
  double until(std::int64_t step) {
    while (done < step) next();
    return policy.theta[0];
  }
  void next() {
    toy::descend(policy, toy::loss_on_pairs(objective, policy, reference, data).coefficients, rate);
    attune::apply(schedule, ++done, reference.theta, policy.theta);
  }
  double gap() const { return policy.theta[0] - reference.theta[0]; }
};

const attune::dpo dpo{.beta = 0.5};
run<attune::dpo> dpo_run(const reference_schedule& schedule, const std::vector<toy::comparison>& data = always) { return {dpo, schedule, 1, one_pair(), data}; }
const reference_schedule frozen = reference_schedule::frozen(), soft = reference_schedule::soft(0.6), hard_32 = reference_schedule::hard(32),
                         hard_512 = reference_schedule::hard(512);

void one_pair_without_noise(comparison& found) {
  struct row {
    std::int64_t step;
    double dpo, hard_32, hard_512, soft;
  };
  auto a = dpo_run(frozen), b = dpo_run(hard_32), c = dpo_run(hard_512), d = dpo_run(soft);
  for (const row& r : {row{1, .25, .25, .25, .25}, row{10, 1.921811497, 1.921811497, 1.921811497, 2.416038533},
                       row{100, 6.285845943, 12.758495757, 6.285845943, 24.016499947}, row{1000, 11.011472976, 124.049446265, 19.205577333, 240.021105294},
                       row{2000, 12.411082539, 247.514169192, 38.406153078, 480.026222346}}) {
    const std::string at = ", delta at step " + std::to_string(r.step);
    found.near("DPO" + at, a.until(r.step), r.dpo, 6e-10);
    found.near("TR-DPO, hard:32" + at, b.until(r.step), r.hard_32, 6e-10);
    found.near("TR-DPO, hard:512" + at, c.until(r.step), r.hard_512, 6e-10);
    found.near("TR-DPO, soft:0.6" + at, d.until(r.step), r.soft, 6e-10);
  }
  auto each = dpo_run(reference_schedule::hard(1));
  found.near("hard:1 is linear, delta at step 100", each.until(100), 25, 1e-12);

  struct fixed {
    double weight, gap, drift;
  };
  for (const fixed& f : {fixed{.1, 1.462260419, .1624733799}, fixed{.6, .160003411, .240005117}, fixed{.8, .061538536, .246154145}}) {
    auto x = dpo_run(reference_schedule::soft(f.weight));
    const double before = x.until(2000);
    const std::string which = reference_schedule::soft(f.weight).text();
    found.near(which + ", gap between policy and reference", x.gap(), f.gap, 6e-10);
    found.near(which + ", drift of delta a step", x.until(2001) - before, f.drift, 6e-10);
  }
  // Continuous time: delta + (e^(beta delta) - 1) / beta = eta beta t, so delta grows like log t.
  auto slow = run<attune::dpo>{dpo, frozen, 0.001, one_pair(), always};
  const double delta = slow.until(100000), time = 0.001 * 100000;
  found.near("DPO with small steps: delta + (e^(beta delta) - 1)/beta over eta beta t", (delta + std::expm1(0.5 * delta) / 0.5) / (0.5 * time), 1, 2e-3);
}

void one_pair_with_noise(comparison& found) {
  auto a = dpo_run(frozen, three_of_four), b = dpo_run(hard_512, three_of_four), c = dpo_run(soft, three_of_four);
  const double fixed_point = std::log(3.0) / 0.5;
  found.near("DPO converges to log(3) / beta", a.until(2000), 2.197224577, 6e-10);
  for (std::int64_t k = 1; k <= 4; ++k) {
    const std::string name = "hard:512, delta after sync " + std::to_string(k) + " is k log(3) / beta";
    found.near(name, k < 4 ? b.until(512 * k) : b.until(2000), double(k) * fixed_point, 1e-9);
  }
  found.near("hard:512, delta at step 2000", b.until(2000), 8.788898309, 6e-10);
  const double before = c.until(2000);
  found.near("soft:0.6, gap", c.gap(), .080000427, 6e-10);
  found.near("soft:0.6, drift of delta a step", c.until(2001) - before, .120000640, 6e-10);
  const double late = c.until(20000);
  found.holds("a moving reference has no finite fixed point: delta still grows at step 20000", c.until(20001) - late > 0.12);
  const std::vector<toy::comparison> balanced{{0, 1, .5}, {1, 0, .5}};
  found.near("unless the labels are balanced: delta at step 1000", dpo_run(soft, balanced).until(1000), 0, 1e-12);
}

void ipo_on_one_pair(comparison& found) {
  const attune::ipo ipo{.beta = 0.5};
  const auto with = [&](const reference_schedule& schedule) { return run<attune::ipo>{ipo, schedule, 0.05, one_pair(), always}; };
  found.near("IPO converges to 1 / (2 beta)", with(frozen).until(2000), 1, 1e-9);
  found.near("hard:512, delta at step 2000: each period adds 1 / (2 beta)", with(hard_512).until(2000), 4, 1e-9);
  auto x = with(soft);
  found.near("soft:0.6, delta at step 2000", x.until(2000), 187.509765625, 6e-10);
  found.near("soft:0.6, gap", x.gap(), .0625, 1e-12);
}

/// Five answers with two features; the last two are never seen in the data.
linear_policy shared_features() {
  return {.base = {std::log(.35), std::log(.35), std::log(.2), std::log(.05), std::log(.05)},
          .features = {1, 0, 0, 1, .6, .3, 1.5, -.5, -.5, -1.5}, .theta = {0, 0}};
}
double unseen(const linear_policy& policy) { return toy::expectation(policy, toy::vector{0, 0, 0, 1, 1}); }

void unseen_answers(comparison& found) {
  const std::vector<toy::comparison> data{{0, 1, .75}, {1, 0, .25}, {2, 1, .7}, {1, 2, .3}, {0, 2, .6}, {2, 0, .4}};
  const linear_policy start = shared_features();
  struct row {
    const char* name;
    reference_schedule schedule;
    double at_half, at_1, at_1_5, end;
  };
  for (const row& r : {row{"DPO", frozen, .343, .524, .683, .9797}, row{"soft:0.6", soft, .336, .527, .682, 1}, row{"hard:512", hard_512, .343, .524, .683, 1}}) {
    run<attune::dpo> x{attune::dpo{.beta = 0.1}, r.schedule, 3, start, data};  // rate 1 on the sum over three pairs
    const double wanted[] = {r.at_half, r.at_1, r.at_1_5}, distance[] = {.5, 1, 1.5};
    std::size_t next = 0;
    for (int step = 1; step <= 3000; ++step) {
      x.next();
      for (; next < 3 && toy::kl(x.policy, start) >= distance[next]; ++next) {
        found.near(std::string(r.name) + ", unseen mass where KL(pi || start) reaches " + std::to_string(distance[next]).substr(0, 3), unseen(x.policy),
                   wanted[next], 6e-4);
      }
    }
    found.near(std::string(r.name) + ", unseen mass after 3000 steps", unseen(x.policy), r.end, 6e-5);
  }
  found.note("At equal KL the moving reference leaves as much mass on unseen answers as DPO: in this toy it re-times the path, no more.");
}

void bookkeeping(comparison& found) {
  const auto delta = [](const auto& objective, const reference_schedule& schedule) {
    return run<std::remove_cvref_t<decltype(objective)>>{objective, schedule, 0.05, one_pair(), three_of_four}.until(300);
  };
  const auto pairs = [&](const char* name, const auto& objective) {
    found.holds(std::string(name) + ": soft with weight 1 at every step is hard:1, bit for bit",
                delta(objective, reference_schedule::soft(1)) == delta(objective, reference_schedule::hard(1)));
    found.holds(std::string(name) + ": weight 0 is the objective with a frozen reference, bit for bit",
                delta(objective, reference_schedule::soft(0)) == delta(objective, frozen));
  };
  pairs("DPO", dpo);
  pairs("IPO", attune::ipo{.beta = 0.5});

  // KTO on single completions: outcome 0 desirable, outcome 1 not.
  const std::vector<toy::verdict> verdicts{{0, true}, {1, false}};
  const auto kto = [&](const reference_schedule& schedule) {
    linear_policy policy = one_pair(), reference = policy;
    for (int step = 1; step <= 3000; ++step) {
      toy::descend(policy, toy::loss_on_singles(attune::kto{.beta = 0.5}, policy, reference, verdicts).coefficients, 1);
      attune::apply(schedule, step, reference.theta, policy.theta);
    }
    return policy.theta[0];
  };
  found.holds("KTO: soft with weight 1 at every step is hard:1, bit for bit", kto(reference_schedule::soft(1)) == kto(reference_schedule::hard(1)));
  found.holds("KTO: weight 0 is a frozen reference, bit for bit", kto(reference_schedule::soft(0)) == kto(frozen));
  found.holds("KTO: with a moving reference the policy goes further than with a frozen one", kto(soft) > kto(frozen) + 1);

  // The reference is a constant: where it is the policy itself, the derivative is that of the first argument alone. Through both it would be 0,
  // since the log-ratios of equal models do not depend on theta.
  const linear_policy equal = one_pair();
  const double claimed = equal.gradient(toy::loss_on_pairs(dpo, equal, equal, always).coefficients)[0];
  const auto loss = [&](double theta, bool both) {
    linear_policy moved = one_pair();
    moved.theta[0] = theta;
    return toy::loss_on_pairs(dpo, moved, both ? moved : equal, always).value;
  };
  found.near("d loss / d theta", claimed, (loss(1e-5, false) - loss(-1e-5, false)) / 2e-5, 1e-9);
  found.near("  through the reference too it would be", (loss(1e-5, true) - loss(-1e-5, true)) / 2e-5, 0, 1e-9);
}

void margins(std::ostream& out) {
  struct curve {
    const char* name;
    reference_schedule schedule;
  };
  const curve curves[] = {{"DPO", frozen}, {"TR-DPO hard:512", hard_512}, {"TR-DPO hard:32", hard_32}, {"TR-DPO soft:0.6", soft}};
  out << "set title 'One preference pair, learning rate 1, beta 0.5'\nset xlabel 'step'\nset ylabel 'log-ratio of the two answers [nat]'\nset logscale y\n"
         "set key bottom right\nplot ";
  for (const curve& c : curves) out << (&c == curves ? "" : ", ") << "'-' using 1:2 with lines lw 2 title '" << c.name << "'";
  out << "\n";
  for (const curve& c : curves) {
    auto x = dpo_run(c.schedule);
    for (std::int64_t step = 1; step <= 2000; step += step < 50 ? 1 : 10) out << step << " " << x.until(step) << "\n";
    out << "e\n";
  }
}

}  // namespace

const paper described{"Learn Your Reference Model for Real Good Alignment (TR-DPO, TR-IPO, TR-KTO), arXiv:2404.09656",
                      {
                          {"4A", "one pair, labels without noise: DPO stops, a moving reference goes on", &one_pair_without_noise},
                          {"4B", "one pair, three labels of four: no finite fixed point", &one_pair_with_noise},
                          {"4C", "IPO on one pair", &ipo_on_one_pair},
                          {"4D", "answers that are not in the data: no reduction at equal KL in a linear toy", &unseen_answers},
                          {"4E", "bookkeeping: limits of the schedule, no gradient through the reference", &bookkeeping},
                      },
                      {{"tr_margin", &margins}}};

}  // namespace papers
