// SPDX-License-Identifier: MIT
// What every backend must give: the bits that std::vector gives, however the library lays its tensors out.
#pragma once

#include <attune/exec/evaluate.hpp>
#include <attune/policy/surrogate/clip.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/simpo.hpp>

#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#include <cmath>
#include <cstring>

namespace attune_test {

/// A batch of preference pairs in plain vectors. Its size is no multiple of any pack's width, so that a partial pack is met too.
template <class T>
struct plain_batch {
  static constexpr int size = 101;
  std::vector<T> chosen, rejected, ref_chosen, ref_rejected, weight;
  std::vector<std::int32_t> chosen_length, rejected_length;
  std::vector<std::uint8_t> mask;

  plain_batch() {
    for (int i = 0; i < size; ++i) {
      chosen.push_back(number(-12 - 5 * std::sin(1.0 * i)));
      rejected.push_back(number(-14 + 6 * std::cos(2.0 * i)));
      ref_chosen.push_back(number(-13 + 4 * std::sin(3.0 * i)));
      ref_rejected.push_back(number(-15 - 3 * std::cos(5.0 * i)));
      weight.push_back(number(1 + i % 3));
      chosen_length.push_back(1 + i % 17);
      rejected_length.push_back(3 + i % 11);
      mask.push_back(i % 7 != 3);
    }
  }
  attune::pairs<T> view() const { return {.chosen = chosen, .rejected = rejected, .ref_chosen = ref_chosen, .ref_rejected = ref_rejected}; }

 private:
  static T number(double x) { return static_cast<T>(static_cast<float>(x)); }
};

template <class T>
struct evaluated {
  attune::report report;
  std::vector<T> chosen, rejected;
};

/// The objective's report and gradients, with the gradients in vectors.
template <class O, class T>
evaluated<T> evaluate_plain(const O& objective, const attune::pairs<T>& batch) {
  const std::size_t size = std::size_t(batch.chosen.extent(0));
  evaluated<T> r{{}, std::vector<T>(size), std::vector<T>(size)};
  r.report = attune::evaluate(objective, batch, {.chosen = r.chosen, .rejected = r.rejected});
  return r;
}

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// Evaluates the objective on a backend's tensors, with the gradients in tensors of the backend too: the results must have the expected
/// bits, and evaluating must not allocate.
template <class O, class T>
void require_same_bits(const O& objective, const attune::pairs<T>& batch, const attune::pair_gradients<T>& gradients,
                       const evaluated<T>& expected) {
  const auto before = allocations();
  const attune::report r = attune::evaluate(objective, batch, gradients);
  const auto after = allocations();
  CHECK(after == before);
  CHECK(same_bits(r.loss_sum, expected.report.loss_sum));
  CHECK(same_bits(r.weight, expected.report.weight));
  CHECK(same_bits(r.margin, expected.report.margin));
  CHECK(same_bits(r.accuracy, expected.report.accuracy));
  CHECK(r.count == expected.report.count);
  CHECK(r.loss() > 0);
  REQUIRE(gradients.chosen.size() == std::int64_t(expected.chosen.size()));
  int differing = 0, nonzero = 0;
  for (std::size_t i = 0; i < expected.chosen.size(); ++i) {
    const T chosen = gradients.chosen(std::int64_t(i)), rejected = gradients.rejected(std::int64_t(i));
    differing += !same_bits(chosen, expected.chosen[i]) || !same_bits(rejected, expected.rejected[i]);
    nonzero += static_cast<float>(chosen) != 0 && static_cast<float>(rejected) != 0;
  }
  CHECK(differing == 0);
  CHECK(nonzero == r.count);
}

/// Tokens in matrices of the library, made by make(rows, columns, numbers row by row), give the bits of plain memory, and cost no allocation.
template <class Make>
void require_same_tokens(const Make& make) {
  constexpr int rows = 7, columns = 43;
  std::vector<float> logp, old_logp, advantage, d(rows * columns), nothing(rows * columns);
  for (int i = 0; i < rows * columns; ++i) {
    logp.push_back(-1.5f - std::sin(1.0f * float(i)));
    old_logp.push_back(logp.back() + 0.4f * std::cos(3.0f * float(i)));
  }
  for (int s = 0; s < rows; ++s) advantage.push_back(float(s - 3));
  const auto evaluate = [&](const auto& now, const auto& old, auto& gradient) {
    return attune::evaluate(attune::gspo{}, attune::tokens<float>{.logp = attune::as_view<2>(now), .old_logp = attune::as_view<2>(old), .advantage = advantage},
                            {.logp = attune::as_view<2>(gradient)});
  };
  const auto plain = attune::as_view(d.data(), rows, columns);
  const attune::policy_report expected = evaluate(attune::as_view(logp.data(), rows, columns), attune::as_view(old_logp.data(), rows, columns), plain);
  const auto now = make(rows, columns, logp), old = make(rows, columns, old_logp);
  auto gradient = make(rows, columns, nothing);
  const auto before = allocations();
  const attune::policy_report found = evaluate(now, old, gradient);
  CHECK(allocations() == before);
  CHECK(same_bits(found.loss_sum, expected.loss_sum));
  int differing = 0;
  const auto seen = attune::as_view<2>(gradient);
  for (int s = 0; s < rows; ++s) {
    for (int t = 0; t < columns; ++t) differing += !same_bits(seen(s, t), plain(s, t));
  }
  CHECK(differing == 0);
  CHECK(plain(0, 0) != 0);
}

}  // namespace attune_test
