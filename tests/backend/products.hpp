// SPDX-License-Identifier: MIT
// What every functor for matrix products has to do.
#pragma once

#include <attune/rows/lm_head.hpp>

#include "rows/plain_gemm.hpp"
#include "rows/support.hpp"
#include "support/catch.hpp"

namespace attune_test {

/// A matrix by rows or by columns, with some elements between the lines, in memory full of NaN.
template <class T> placed<T> laid_out(const std::vector<T>& packed, std::int64_t rows, std::int64_t columns, bool by_columns, std::int64_t gap) {
  return {packed, rows, columns, by_columns ? 1 : columns + gap, by_columns ? rows + gap : 1, std::numeric_limits<double>::quiet_NaN()};
}

template <class T, class Gemm> void check_product(const Gemm& gemm, std::int64_t m, std::int64_t k, std::int64_t n) {
  const auto a = normals<T>(m * k, 1, 1), b = normals<T>(k * n, 1, 2), start = normals<T>(m * n, 1, 3);
  for (int orders = 0; orders < 8; ++orders) {
    for (std::int64_t gap : {0, 5}) {
      for (bool accumulate : {false, true}) {
        INFO(m << " x " << k << " x " << n << " orders " << orders << " gap " << gap << " accumulate " << accumulate);
        const auto left = laid_out(a, m, k, (orders & 1) != 0, gap), right = laid_out(b, k, n, (orders & 2) != 0, gap);
        const std::vector<T> garbage(start.size(), std::numeric_limits<T>::quiet_NaN());
        const auto result = laid_out(accumulate ? start : garbage, m, n, (orders & 4) != 0, gap);
        std::vector<double> expected(start.begin(), start.end());
        const std::vector<double> a_double(a.begin(), a.end()), b_double(b.begin(), b.end());
        plain_gemm{}(as_view(expected.data(), m, n), as_view(a_double.data(), m, k), as_view(b_double.data(), k, n), accumulate);
        gemm(result.matrix, view<const T, 2>(left.matrix), view<const T, 2>(right.matrix), accumulate);
        const auto got = result.packed();
        double worst = 0;
        for (std::size_t i = 0; i < got.size(); ++i) worst = attune::max(worst, std::abs(double(got[i]) - expected[i]));
        CHECK(worst <= half_ulp<T>() * (8 + 4 * double(k)));
        int changed = 0;  // outside of c
        for (const T& x : result.memory) changed += x == x;
        CHECK(changed == m * n);
      }
    }
  }
}

template <class T, class Gemm> void check_products(const Gemm& gemm) {
  for (std::int64_t m : {1, 2, 33}) {
    for (std::int64_t k : {1, 7, 64}) {
      for (std::int64_t n : {1, 5, 130}) check_product<T>(gemm, m, k, n);
    }
  }
  check_product<T>(gemm, 2500, 3, 2);
  check_product<T>(gemm, 3, 40, 2049);
}

/// Errors, before anything is written.
template <class Gemm> void check_refusals(const Gemm& gemm) {
  std::vector<float> memory(100, 1), result(100, 7);
  const auto a = as_view<const float>(memory.data(), 3, 4), b = as_view<const float>(memory.data(), 4, 5);
  const auto c = as_view(result.data(), 3, 5);
  const auto text = [&](const auto& x, const auto& y, const auto& z) {
    CHECK(error_text([&] { gemm.validate(x, view<const float, 2>(y), view<const float, 2>(z)); }) ==
          error_text([&] { gemm(x, view<const float, 2>(y), view<const float, 2>(z), false); }));
    return error_text([&] { gemm(x, view<const float, 2>(y), view<const float, 2>(z), false); });
  };
  CHECK(contains(text(as_view(result.data(), 2, 5), a, b), "a (in rows) has 3 elements; expected 2, like c"));
  CHECK(contains(text(as_view(result.data(), 3, 6), a, b), "b (in columns) has 5 elements; expected 6, like c"));
  CHECK(contains(text(c, a, as_view<const float>(memory.data(), 5, 5)), "b (in rows) has 5 elements; expected 4, like a's columns"));
  CHECK(contains(text(c, as_view<const float>(memory.data(), {3, 4}, {8, 2}), b), "a has strides (8, 2)"));
  CHECK(contains(text(c, a, as_view<const float>(memory.data(), {4, 5}, {0, 1})), "b has strides (0, 1)"));
  CHECK(contains(text(as_view(result.data() + 20, {3, 5}, {-5, 1}), a, b), "c has strides (-5, 1)"));
  CHECK(same_bits(result, std::vector<float>(100, 7)));
}

/// The whole LM head beside the one with a plain product.
template <class T, class Gemm> void check_lm_head(const Gemm& gemm) {
  const std::int64_t rows = 50, features = 24, classes = 210, chunk = 16;
  const auto hidden = normals<T>(rows * features, 1, 1), weight = normals<T>(classes * features, 0.5, 2);
  auto targets = labels(rows, classes, 3);
  for (std::size_t n : {0u, 17u, 18u, 30u, 49u}) targets[n] = -100;
  const auto h = as_view(hidden.data(), rows, features), w = as_view(weight.data(), classes, features);
  struct outcome {
    std::vector<T> logps, d_hidden, d_weight;
  };
  const auto run = [&](const auto& product) {
    outcome out{std::vector<T>(rows), std::vector<T>(hidden.size()), std::vector<T>(weight.size())};
    std::vector<T> logits(chunk * classes), gathered(chunk * features);
    const auto coefficient_of = [](std::int64_t n, T logp) { return T(n % 3 - 1) + logp / 8; };
    attune::lm_head_fused(product, h, w, targets, coefficient_of, out.logps,
                          {.hidden = as_view(out.d_hidden.data(), rows, features), .weight = as_view(out.d_weight.data(), classes, features)},
                          {.logits = as_view(logits.data(), chunk, classes), .hidden = as_view(gathered.data(), chunk, features)});
    return out;
  };
  const outcome got = run(gemm), expected = run(plain_gemm{});
  const auto near = [](const std::vector<T>& x, const std::vector<T>& y) {
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) worst = attune::max(worst, std::abs(double(x[i]) - double(y[i])));
    return worst <= 200 * half_ulp<T>() * 10;
  };
  CHECK(near(got.logps, expected.logps));
  CHECK(near(got.d_hidden, expected.d_hidden));
  CHECK(near(got.d_weight, expected.d_weight));
}

}  // namespace attune_test
