// SPDX-License-Identifier: MIT
#include "acceptance.hpp"

#include <attune/check/toy.hpp>
#include <attune/reward/arctan.hpp>
#include <attune/reward/lsc.hpp>
#include <attune/reward/par.hpp>
#include <attune/reward/polynomial.hpp>
#include <attune/reward/sgfc.hpp>
#include <attune/reward/shaped.hpp>
#include <attune/reward/tanh.hpp>

#include <algorithm>
#include <cmath>
#include <ostream>

namespace papers {
namespace {

namespace toy = attune::toy;
using namespace attune::reward;
using toy::vector;

// Six answers against the rewards of ten reference answers to the same prompt.
void mean_over_references(comparison& found) {
  const vector references{-1, -.5, 0, .5, 1, 1.5, -2, 0, .2, -.3};
  struct row {
    double reward, value, slope;
  };
  for (const row& r : {row{-3, .071927873, .0615684}, row{-1, .308725616, .179869058}, row{0, .508783112, .210934621}, row{.5, .612859263, .202585318},
                       row{2, .855844225, .112824126}, row{8, .999533405, .000466205}}) {
    const shaped_reward shaped_to = shaped(par{}, r.reward, references);
    const std::string name = "r = " + std::to_string(r.reward).substr(0, 4);
    found.near(name + ": shaped reward", shaped_to.value, r.value, 6e-10);
    found.near("  its derivative in r", shaped_to.slope, r.slope, 6e-10);
  }
}

/// Six answers, the last of them rare and with a reward that is an outlier: hacked.
struct hacked {
  toy::softmax_policy reference = toy::categorical({.3, .25, .2, .15, .08, .02});
  vector reward{-3, -1, 0, .5, 2, 8};
  double beta = .5;

  /// The optimum of E[f(r)] - beta KL(pi || reference); with one reference answer of reward 0, f is the shaping itself.
  template <class F> vector optimum(const F& f) const {
    vector shaped_to;
    for (double r : reward) shaped_to.push_back(f(r));
    return toy::tilted(reference, shaped_to, beta).probabilities();
  }
  /// pi / reference, of each answer.
  vector ratio(vector pi) const {
    for (std::size_t i = 0; i < pi.size(); ++i) pi[i] /= reference.probabilities()[i];
    return pi;
  }
};
double highest(const vector& x) { return *std::max_element(x.begin(), x.end()); }
double lowest(const vector& x) { return *std::min_element(x.begin(), x.end()); }

// A shaping with values in (0, 1) cannot tilt an answer by more than e^(1/beta), whatever its reward.
void bounded_tilt(comparison& found) {
  const hacked given;
  const double bound = std::exp(1 / given.beta);
  const vector pi = given.optimum([](double r) { return par{}.value(r); }), raw = given.optimum([](double r) { return r; });
  const double expected[] = {.13541055, .17574266, .22318352, .21384062, .19119576, .06062689};
  for (std::size_t i = 0; i < 6; ++i) found.near("PAR: pi of answer " + std::to_string(i), pi[i], expected[i], 6e-9);
  found.near("  KL to the reference", toy::kl(toy::categorical(pi), given.reference), .164470064, 6e-10);
  found.near("  largest over smallest pi/reference", highest(given.ratio(pi)) / lowest(given.ratio(pi)), 6.7159, 6e-5);
  found.near("  its bound, e^(1/beta)", bound, 7.3891, 6e-5);
  found.near("raw reward: pi of the outlier", raw[5], .99997181, 6e-9);
  found.near("  KL to the reference", toy::kl(toy::categorical(raw), given.reference), 3.9116, 6e-5);

  const auto bounded = [&](const std::string& name, const auto& f) {
    const vector ratio = given.ratio(given.optimum(f));
    found.holds(name + ": pi/reference <= e^(1/beta), and so is its spread", highest(ratio) <= bound && highest(ratio) <= bound * lowest(ratio));
  };
  bounded("PAR", [](double r) { return par{}.value(r); });
  bounded("sgfc", [](double r) { return sgfc{}.value(r); });
  bounded("tanh, scaled to (0, 1)", [](double r) { return (1 + attune::reward::tanh{}.value(r)) / 2; });
  bounded("arctan, scaled to (0, 1)", [](double r) { return .5 + arctan{}.value(r) / 3.14159265358979323846; });
  bounded("fitted polynomial, at these rewards in [0, 1]", [](double r) { return polynomial{}.value(r); });
  const vector unbounded_below = given.ratio(given.optimum([](double r) { return lsc{}.value(r); }));
  found.holds("negative result: LSC is bounded above only, and its spread is larger", highest(unbounded_below) > bound * lowest(unbounded_below));
}

template <class Shaping>
void write_curve(std::ostream& out, const char* name, const Shaping& f, double offset = 0, double scale = 1) {
  out << "$" << name << " << EOD\n";
  for (int i = -600; i <= 600; ++i) out << i / 100.0 << ' ' << offset + scale * f.value(i / 100.0) << '\n';
  out << "EOD\n";
}
void shapings(std::ostream& out) {
  write_curve(out, "par", par{});
  write_curve(out, "sgfc", sgfc{});
  write_curve(out, "tanh", attune::reward::tanh{}, .5, .5);
  write_curve(out, "arctan", arctan{}, .5, 1 / 3.14159265358979323846);
  write_curve(out, "polynomial", polynomial{});
  out << "set key left top\nset xlabel 'reward above the reference [nat]'\nset ylabel 'shaped reward'\nset yrange [-0.05:1.05]\n"
         "plot $par with lines lw 3 lc rgb '#c23b22' title 'PAR', $tanh with lines lw 1.5 lc rgb '#1f5fa8' title 'tanh, to (0, 1)', "
         "$arctan with lines lw 1.5 lc rgb '#3a7d44' title 'arctan, to (0, 1)', $polynomial with lines lw 1.5 dt 2 lc rgb '#7b4fa3' title 'fitted polynomial', "
         "$sgfc with lines lw 1.5 lc rgb '#d98c00' title 'sgfc'\n";
}

}  // namespace

const paper described{"PAR: Reward Shaping to Mitigate Reward Hacking in RLHF, arXiv:2502.18770",
                      {
                          {"6A", "the mean over ten references, value and derivative", &mean_over_references},
                          {"6B", "a bounded reward cannot collapse onto an outlier", &bounded_tilt},
                      },
                      {{"par_shapings", &shapings}}};

}  // namespace papers
