// SPDX-License-Identifier: MIT
// What the chunked LM head needs beside hidden states, weight and results: the workspace, and what Eigen packs its blocks into. Nothing else,
// for any number of rows.
#include <attune/backend/eigen.hpp>
#include <attune/rows/lm_head.hpp>

#include "memory/malloc_counter.hpp"
#include "rows/support.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::eigen_gemm;
using attune::row_state;

namespace {

constexpr std::int64_t rows = 1600, features = 64, classes = 3000, chunk = 50;
constexpr std::int64_t whole_logits = rows * classes * std::int64_t(sizeof(float));

struct problem {
  std::vector<float> hidden = normals<float>(rows * features, 1, 1), weight = normals<float>(classes * features, 0.5, 2);
  std::vector<std::int32_t> targets = labels(rows, classes, 3);
  std::vector<float> logps = std::vector<float>(rows), coefficients = normals<float>(rows, 1, 4);
  std::vector<float> d_hidden = std::vector<float>(hidden.size()), d_weight = std::vector<float>(weight.size());
  std::vector<row_state> states = std::vector<row_state>(rows);

  view<const float, 2> h() const { return as_view(hidden.data(), rows, features); }
  view<const float, 2> w() const { return as_view(weight.data(), classes, features); }
  attune::lm_head_gradients<float> gradients() {
    return {.hidden = as_view(d_hidden.data(), rows, features), .weight = as_view(d_weight.data(), classes, features)};
  }
};

/// A workspace that is allocated where it is needed.
struct workspace {
  std::vector<float> logits = std::vector<float>(chunk * classes), hidden = std::vector<float>(chunk * features);
  attune::lm_head_workspace<float> views() {
    return {.logits = as_view(logits.data(), chunk, classes), .hidden = as_view(hidden.data(), chunk, features)};
  }
  std::int64_t bytes() const { return std::int64_t((logits.size() + hidden.size()) * sizeof(float)); }
};

/// What Eigen itself takes for the products of a chunk, one after another.
struct packing {
  std::int64_t logits, all;
};
packing packing_of_eigen() {
  problem p;
  workspace s;
  const view<float, 2> z = s.views().logits;
  const view<const float, 2> constant = z, h = as_view(std::as_const(p.hidden).data(), chunk, features);
  const auto logits = [&] { eigen_gemm{}(z, h, attune::transposed(p.w()), false); };
  const std::int64_t of_logits = peak_of(logits);
  return {of_logits, std::max({of_logits, peak_of([&] { eigen_gemm{}(as_view(p.d_hidden.data(), chunk, features), constant, p.w(), false); }),
                               peak_of([&] { eigen_gemm{}(p.gradients().weight, attune::transposed(constant), h, true); })})};
}

}  // namespace

TEST_CASE("the counter of bytes sees what is held at the same time") {
  const std::int64_t before = heap_bytes();
  const std::int64_t peak = peak_of([] {
    for (int i = 0; i < 3; ++i) std::vector<char> one_after_another(100000);
    std::vector<char> kept(50000);
    std::vector<char> both(150000);
  });
  CHECK(peak >= 200000);
  CHECK(peak < 210000);
  CHECK(heap_bytes() == before);
  CHECK(peak_of([] { Eigen::MatrixXf(100, 100).setZero(); }) >= 40000);  // Eigen's own malloc
  CHECK(peak_of([] {}) == 0);
}

TEST_CASE("LM head: the peak of extra memory is the workspace and Eigen's packing, for any number of rows") {
  problem p;
  std::vector<std::uint8_t> mask(rows, 1);
  for (std::size_t n = 0; n < rows; n += 7) mask[n] = 0;
  const attune::row_options o{.mask = mask};
  const packing eigen = packing_of_eigen();
  const std::int64_t slack = 64;  // malloc rounds up
  const auto coefficient_of = [](std::int64_t, float) { return -1.0f / rows; };
  std::int64_t bytes = 0;

  const std::int64_t forward = peak_of([&] {
    workspace s;
    bytes = s.bytes();
    attune::lm_head_logps(eigen_gemm{}, p.h(), p.w(), p.targets, p.logps, p.states, s.views(), o);
  });
  CHECK(forward >= bytes);
  CHECK(forward <= bytes + eigen.logits + slack);
  const std::int64_t backward = peak_of([&] {
    workspace s;
    attune::lm_head_gradient(eigen_gemm{}, p.h(), p.w(), p.targets, p.states, p.coefficients, p.gradients(), s.views(), o);
  });
  CHECK(backward >= bytes);
  CHECK(backward <= bytes + eigen.all + slack);
  const std::int64_t fused = peak_of([&] {
    workspace s;
    attune::lm_head_fused(eigen_gemm{}, p.h(), p.w(), p.targets, coefficient_of, p.logps, p.gradients(), s.views(), o);
  });
  CHECK(fused <= bytes + eigen.all + slack);

  // The same work with whole logits, and 30 times less for 32 chunks. (Eigen's buffers depend on the product, not on the batch.)
  const std::int64_t whole = peak_of([&] {
    std::vector<float> logits(rows * classes);
    eigen_gemm{}(as_view(logits.data(), rows, classes), p.h(), attune::transposed(p.w()), false);
  });
  CHECK(whole >= whole_logits);
  CHECK(whole_logits >= 30 * bytes);
}

TEST_CASE("eigen_gemm: Eigen packs 4 MB at most, however wide or deep a product is") {
  struct product {
    std::int64_t m, k, n;
  };
  for (const product& s : {product{128, 700, 6000}, product{128, 4000, 1500}, product{6000, 128, 700}}) {
    const std::vector<float> a(std::size_t(s.m * s.k)), b(std::size_t(s.k * s.n));
    std::vector<float> c(std::size_t(s.m * s.n));
    for (bool by_columns : {false, true}) {
      const auto right = by_columns ? as_view(b.data(), {s.k, s.n}, {1, s.k}) : as_view(b.data(), s.k, s.n);
      const std::int64_t peak = peak_of([&] { eigen_gemm{}(as_view(c.data(), s.m, s.n), as_view(a.data(), s.m, s.k), right, false); });
      INFO(s.m << " x " << s.k << " x " << s.n);
      CHECK(peak <= 4 << 20);
    }
  }
}
