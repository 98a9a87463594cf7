// SPDX-License-Identifier: MIT
// Loops for other instruction sets than the program's: the same numbers to the accuracy that is promised, whichever is used, and the same
// bits whenever the same one is used.
#include "exec/pair_batch.hpp"
#include "support/catch.hpp"

#include <attune/attune.hpp>

#include <cmath>

namespace {

using attune::instruction_set;
constexpr instruction_set all_sets[] = {instruction_set::compiled, instruction_set::avx2, instruction_set::avx512};

/// Limits the instruction set while it lives.
struct limited {
  explicit limited(instruction_set set) { attune::limit_instruction_set(set); }
  ~limited() { attune::limit_instruction_set(instruction_set::avx512); }
};

struct rows {
  static constexpr std::int64_t n = 5, classes = 5003;
  std::vector<float> logits, logps, coefficients, gradient;
  std::vector<attune::row_state> states;
  std::vector<std::int32_t> targets;

  rows() : logps(n), coefficients(n, 0.7f), gradient(n * classes), states(n) {
    std::uint32_t bits = 1;
    for (std::int64_t i = 0; i < n * classes; ++i) logits.push_back(float((bits = bits * 1664525u + 1013904223u) >> 8) * 0x1p-20f - 8);
    for (std::int64_t i = 0; i < n; ++i) targets.push_back(std::int32_t(i * 1000));
    const auto x = attune::as_view(logits.data(), n, classes);
    attune::token_logps(x, targets, logps, states);
    attune::logits_gradient(x, targets, states, coefficients, attune::as_view(gradient.data(), n, classes));
  }
};

}  // namespace

TEST_CASE("an instruction set can be chosen, but not one that the machine lacks") {
  const instruction_set best = attune::current_instruction_set();
  {
    const limited set(instruction_set::compiled);
    CHECK(attune::current_instruction_set() == instruction_set::compiled);
  }
  CHECK(attune::current_instruction_set() == best);
}

TEST_CASE("rows: every instruction set gives the textbook's numbers, and the same bits when it is used again") {
  for (const instruction_set set : all_sets) {
    const limited choice(set);
    const rows first, second;
    CHECK(first.logps == second.logps);
    CHECK(first.gradient == second.gradient);
    for (std::size_t i = 0; i < rows::n; ++i) {
      const float* x = &first.logits[i * rows::classes];
      long double sum = 0;
      for (std::int64_t v = 0; v < rows::classes; ++v) sum += std::exp(static_cast<long double>(x[v]));
      const auto y = std::size_t(first.targets[i]);
      INFO("set " << int(set) << " row " << i);
      CHECK(std::abs(double(first.logps[i] - (x[y] - std::log(sum)))) < 1e-6);
      double worst = 0;
      for (std::size_t v = 0; v < rows::classes; ++v) {
        const long double p = std::exp(static_cast<long double>(x[v])) / sum, exact = 0.7f * ((v == y) - p);
        worst = std::max(worst, double(std::abs(first.gradient[i * rows::classes + v] - exact) / std::abs(exact)));
      }
      CHECK(worst < 5e-7);  // four units of rounding
    }
  }
}

TEST_CASE("evaluate: every instruction set gives the same report and gradients to rounding, and the same bits when it is used again") {
  for (const int size : {1, 7, 64, 257, 1000}) {
    batch_of<float> compiled(size);
    attune::report expected;
    {
      const limited choice(instruction_set::compiled);
      expected = evaluate(attune::simpo{}, compiled.full(), compiled.gradients());
    }
    for (const instruction_set set : all_sets) {
      const limited choice(set);
      batch_of<float> a(size), b(size);
      const attune::report r = evaluate(attune::simpo{}, a.full(), a.gradients());
      CHECK(same_bits(r, evaluate(attune::simpo{}, b.full(), b.gradients())));
      CHECK(a.d_chosen == b.d_chosen);
      CHECK(r.loss_sum == Approx(expected.loss_sum).epsilon(1e-6));
      CHECK(r.accuracy == Approx(expected.accuracy).epsilon(1e-6));  // weights are added in float over 64 samples
      CHECK(r.logp_rejected == Approx(expected.logp_rejected).epsilon(1e-6));
      for (std::size_t i = 0; i < a.d_chosen.size(); ++i) CHECK(a.d_chosen[i] == Approx(compiled.d_chosen[i]).epsilon(3e-6).margin(1e-12));
    }
  }
}

TEST_CASE("the loop knows layouts only as copies: strided, masked and weighted batches give the bits of packed ones") {
  batch_of<float> packed(700), strided(700);
  std::vector<float> spread(1400);
  for (std::size_t i = 0; i < 700; ++i) spread[2 * i] = strided.chosen[i];
  auto batch = strided.full();
  batch.chosen = attune::as_view(static_cast<const float*>(spread.data()), {700}, {2});
  const std::vector<float> ones(700, 1.0f);
  batch.weight = ones;
  auto plain = packed.full();
  plain.weight = {};
  plain.mask = {};
  batch.mask = {};
  const attune::report r = evaluate(attune::simpo{}, plain, packed.gradients()), s = evaluate(attune::simpo{}, batch, strided.gradients());
  CHECK(same_bits(r, s));
  CHECK(packed.d_chosen == strided.d_chosen);
  CHECK(packed.d_rejected == strided.d_rejected);
}
