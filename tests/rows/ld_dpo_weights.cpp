// SPDX-License-Identifier: MIT
#include <attune/rows/ld_dpo_weights.hpp>

#include "rows/support.hpp"
#include "support/catch.hpp"

#include <random>

using namespace attune_test;
using attune::ld_dpo_weights;

TEST_CASE("ld_dpo_weights: 1 up to the length of the shorter completion, alpha beyond it, prompt and padding 0") {
  // Lengths 4 and 2, then 1 and 3, then equal; prompts of different lengths, padding left and right.
  const std::vector<std::uint8_t> chosen{0, 1, 1, 1, 1, 0, /**/ 0, 0, 0, 1, 0, 0, /**/ 1, 0, 1, 0, 0, 0};
  const std::vector<std::uint8_t> rejected{1, 1, 0, 0, /**/ 0, 1, 1, 1, /**/ 0, 1, 0, 255};
  std::vector<float> w(18, 7), l(12, 7);
  ld_dpo_weights(0.25, as_view(chosen.data(), 3, 6), as_view(rejected.data(), 3, 4), as_view(w.data(), 3, 6), as_view(l.data(), 3, 4));
  CHECK(w == std::vector<float>{0, 1, 1, 0.25f, 0.25f, 0, /**/ 0, 0, 0, 1, 0, 0, /**/ 1, 0, 1, 0, 0, 0});
  CHECK(l == std::vector<float>{1, 1, 0, 0, /**/ 0, 1, 0.25f, 0.25f, /**/ 0, 1, 0, 1});

  // Without a mask every token counts; a completion without tokens leaves nothing in common.
  std::vector<double> a(2, 7), b(3, 7), none;
  ld_dpo_weights(0.5, {}, {}, as_view(a.data(), 1, 2), as_view(b.data(), 1, 3));
  CHECK(a == std::vector<double>{1, 1});
  CHECK(b == std::vector<double>{1, 1, 0.5});
  const std::vector<std::uint8_t> empty(2, 0);
  ld_dpo_weights(0.5, as_view(empty.data(), 1, 2), {}, as_view(a.data(), 1, 2), as_view(b.data(), 1, 3));
  CHECK(a == std::vector<double>{0, 0});
  CHECK(b == std::vector<double>{0.5, 0.5, 0.5});
  ld_dpo_weights(0.5, {}, {}, as_view(none.data(), 0, 3), as_view(none.data(), 0, 2));
}

TEST_CASE("ld_dpo_weights: alpha 1 is the mask, alpha 0 leaves completions of one length, between them the sum is linear in alpha") {
  const std::int64_t pairs = 200, steps = 30;
  std::mt19937 bits(5);
  std::vector<std::uint8_t> mask(std::size_t(2 * pairs * steps));
  for (auto& m : mask) m = bits() % 3 == 0;
  const auto tokens = normals<double>(2 * pairs * steps, 1, 6, -2);
  const auto half = [&](auto& x, std::int64_t side) { return as_view(x.data() + side * pairs * steps, pairs, steps); };
  const auto sums = [&](double alpha, auto policy) {
    std::vector<double> weights(tokens.size(), 7), logps(std::size_t(2 * pairs));
    ld_dpo_weights(policy, alpha, half(mask, 0), half(mask, 1), half(weights, 0), half(weights, 1));
    attune::sequence_logps(policy, as_view(tokens.data(), 2 * pairs, steps), as_view(mask.data(), 2 * pairs, steps), logps, {},
                           as_view(weights.data(), 2 * pairs, steps));
    return logps;
  };
  std::vector<double> plain(std::size_t(2 * pairs)), lengths(plain.size());
  attune::sequence_logps(as_view(tokens.data(), 2 * pairs, steps), as_view(mask.data(), 2 * pairs, steps), plain, lengths);
  const auto all = sums(1, attune::serial{}), cut = sums(0, attune::serial{}), middle = sums(0.375, attune::serial{});
  CHECK(same_bits(all, plain));
  int shorter = 0;
  for (std::size_t b = 0; b < plain.size(); ++b) {
    const std::size_t other = (b + std::size_t(pairs)) % plain.size();
    CHECK(middle[b] == Approx(cut[b] + 0.375 * (all[b] - cut[b])).epsilon(1e-13));
    if (lengths[b] > lengths[other]) continue;
    ++shorter;
    CHECK(cut[b] == plain[b]);  // the shorter one is untouched
  }
  CHECK(shorter >= int(pairs));
  for (int count : {1, 2, 3, 7}) CHECK(same_bits(sums(0.375, attune::threads{count, 0}), middle));
}

TEST_CASE("ld_dpo_weights rejects what does not fit, before writing") {
  const std::vector<std::uint8_t> mask(6, 1);
  std::vector<float> w(6, 7), l(6, 7);
  const auto m = as_view(mask.data(), 2, 3);
  const auto x = as_view(w.data(), 2, 3), y = as_view(l.data(), 2, 3);
  for (double alpha : {-0.1, 1.1, double(nan_f)}) CHECK(contains(error_text([&] { ld_dpo_weights(alpha, m, m, x, y); }), "alpha is "));
  CHECK(contains(error_text([&] { ld_dpo_weights(0.5, as_view(mask.data(), 3, 2), m, x, y); }), "chosen_mask (in rows)"));
  CHECK(contains(error_text([&] { ld_dpo_weights(0.5, m, as_view(mask.data(), 2, 2), x, y); }), "rejected_mask (in columns)"));
  CHECK(contains(error_text([&] { ld_dpo_weights(0.5, m, {}, x, as_view(l.data(), 3, 2)); }), "rejected_weights"));
  CHECK(contains(error_text([&] { ld_dpo_weights(0.5, m, m, as_view(w.data(), {2, 3}, {0, 1}), y); }), "chosen_weights has strides"));
  CHECK(w == std::vector<float>(6, 7));
  CHECK(l == std::vector<float>(6, 7));
}
