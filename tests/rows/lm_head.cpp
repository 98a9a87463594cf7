// SPDX-License-Identifier: MIT
// The LM head in chunks against whole logits in double: a plain product, then token_logps and logits_gradient.
#include <attune/rows/lm_head.hpp>

#include <attune/divergence/forward_kl.hpp>
#include <attune/rows/row_divergence.hpp>

#include "rows/plain_gemm.hpp"
#include "rows/support.hpp"
#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

using namespace attune_test;
using attune::arithmetic;
using attune::lm_head_fused;
using attune::lm_head_gradient;
using attune::lm_head_gradients;
using attune::lm_head_logps;
using attune::lm_head_visit;
using attune::lm_head_workspace;
using attune::row_options;
using attune::row_report;
using attune::row_state;

namespace {

/// N hidden states of H features, the weight of V classes, and everything that may be asked about them.
template <class T> struct problem {
  using A = arithmetic<T>;
  std::int64_t rows, features, classes;
  std::vector<T> hidden, weight;
  std::vector<std::int32_t> targets;
  std::vector<A> coefficients;
  row_options options;

  problem(std::int64_t n, std::int64_t h, std::int64_t v)
      : rows(n), features(h), classes(v), hidden(normals<T>(n * h, 1, 1)), weight(normals<T>(v * h, 1, 2)), targets(labels(n, v, 3)),
        coefficients(normals<A>(n, 1, 4)) {}
  view<const T, 2> h() const { return as_view(hidden.data(), rows, features); }
  view<const T, 2> w() const { return as_view(weight.data(), classes, features); }
  bool reads(std::size_t n) const {
    return (options.mask.absent() || options.mask(std::int64_t(n)) != 0) && targets[n] != options.ignore_index;
  }
  bool active(std::size_t n) const { return reads(n) && coefficients[n] != 0; }
  void spoil(std::size_t n) { std::fill_n(hidden.begin() + std::int64_t(n) * features, features, to<T>(nan_f)); }
};

template <class A> struct results {
  std::vector<A> logps, d_hidden, d_weight;
  std::vector<row_state> states;
  row_report forward, backward;
};

/// How an LM head is run: rows of a chunk, with or without memory to gather rows.
struct manner {
  std::int64_t chunk;
  bool gather = true;
};

/// Workspace and results, full of NaN where they are written and 0 where they are added to.
template <class T> struct room {
  using A = arithmetic<T>;
  std::vector<A> logits;
  std::vector<T> gathered;
  results<A> out;
  lm_head_workspace<T> workspace;
  lm_head_gradients<T> gradients;

  room(const problem<T>& p, const manner& m)
      : logits(std::size_t(m.chunk * p.classes), std::numeric_limits<A>::quiet_NaN()), gathered(std::size_t(m.chunk * p.features), to<T>(nan_f)) {
    const std::size_t n = std::size_t(p.rows), h = std::size_t(p.features);
    out = {std::vector<A>(n, 7), std::vector<A>(n * h, std::numeric_limits<A>::quiet_NaN()), std::vector<A>(std::size_t(p.classes) * h, 0),
           std::vector<row_state>(n, {7, 7}), {}, {}};
    workspace.logits = as_view(logits.data(), m.chunk, p.classes);
    if (m.gather) workspace.hidden = as_view(gathered.data(), m.chunk, p.features);
    gradients = {as_view(out.d_hidden.data(), p.rows, p.features), as_view(out.d_weight.data(), p.classes, p.features)};
  }
};

template <class T, class Gemm = plain_gemm, class Policy = attune::serial>
results<arithmetic<T>> in_chunks(const problem<T>& p, const manner& m, Gemm gemm = {}, Policy policy = {}) {
  room<T> r(p, m);
  r.out.forward = lm_head_logps(policy, gemm, p.h(), p.w(), p.targets, r.out.logps, r.out.states, r.workspace, p.options);
  r.out.backward = lm_head_gradient(policy, gemm, p.h(), p.w(), p.targets, r.out.states, p.coefficients, r.gradients, r.workspace, p.options);
  return r.out;
}
template <class T, class Gemm = plain_gemm, class Policy = attune::serial>
results<arithmetic<T>> fused(const problem<T>& p, const manner& m, Gemm gemm = {}, Policy policy = {}) {
  room<T> r(p, m);
  const auto coefficient_of = [&](std::int64_t n, arithmetic<T>) { return p.coefficients[std::size_t(n)]; };
  r.out.forward = lm_head_fused(policy, gemm, p.h(), p.w(), p.targets, coefficient_of, r.out.logps, r.gradients, r.workspace, p.options);
  return r.out;
}

/// All logits at once, in double. Rows that take no part are left out of the products by hand.
template <class T> results<double> textbook(const problem<T>& p) {
  const std::size_t rows = std::size_t(p.rows), classes = std::size_t(p.classes), features = std::size_t(p.features);
  std::vector<double> logits(rows * classes);
  results<double> out{std::vector<double>(rows), std::vector<double>(rows * features), std::vector<double>(classes * features),
                      std::vector<row_state>(rows), {}, {}};
  for (std::size_t n = 0; n < rows; ++n) {
    for (std::size_t v = 0; v < classes; ++v) {
      for (std::size_t h = 0; h < features; ++h) logits[n * classes + v] += from(p.hidden[n * features + h]) * from(p.weight[v * features + h]);
    }
  }
  const auto z = as_view(logits.data(), p.rows, p.classes);
  out.forward = attune::token_logps(z, p.targets, out.logps, out.states, p.options);
  const std::vector<double> coefficients(p.coefficients.begin(), p.coefficients.end());
  out.backward = attune::logits_gradient(z, p.targets, out.states, coefficients, z, p.options);
  for (std::size_t n = 0; n < rows; ++n) {
    if (!p.active(n)) continue;
    for (std::size_t v = 0; v < classes; ++v) {
      for (std::size_t h = 0; h < features; ++h) {
        out.d_hidden[n * features + h] += logits[n * classes + v] * from(p.weight[v * features + h]);
        out.d_weight[v * features + h] += logits[n * classes + v] * from(p.hidden[n * features + h]);
      }
    }
  }
  return out;
}

/// The worst deviation in roundings of the type that is computed in, relative to the largest expected number.
template <class A> double deviation(const std::vector<A>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  double size = 1e-30, worst = 0;
  for (double x : expected) size = attune::max(size, std::abs(x));
  for (std::size_t i = 0; i < got.size(); ++i) worst = attune::max(worst, std::abs(double(got[i]) - expected[i]));
  return worst / size / half_ulp<A>();
}
/// A sum of k products in order costs k roundings at most, and typically a few square roots of that; a softmax between two of them.
template <class A> void check_near(const results<A>& got, const results<double>& expected, std::int64_t terms) {
  const double allowed = 20 + 4 * std::sqrt(double(terms));
  CHECK(deviation(got.logps, expected.logps) <= allowed);
  CHECK(deviation(got.d_hidden, expected.d_hidden) <= allowed);
  CHECK(deviation(got.d_weight, expected.d_weight) <= allowed);
}
void check_equal(const row_report& a, const row_report& b) {
  CHECK(a.rows == b.rows);
  CHECK(a.masked == b.masked);
  CHECK(a.non_finite == b.non_finite);
}

template <class T> void check_textbook(std::int64_t n, std::int64_t h, std::int64_t v, double temperature = 1) {
  problem<T> p(n, h, v);
  p.options.temperature = temperature;
  if (n > 3) p.coefficients[std::size_t(n / 2)] = 0;
  const results<double> expected = textbook(p);
  for (std::int64_t chunk : {std::int64_t{1}, std::int64_t{3}, n, n + 5}) {
    INFO("N " << n << " H " << h << " V " << v << " chunk " << chunk << " T " << temperature << " bytes " << sizeof(T));
    const auto two_calls = in_chunks(p, {chunk}), one_call = fused(p, {chunk});
    check_near(two_calls, expected, n + h + v);
    check_near(one_call, expected, n + h + v);
    check_equal(two_calls.forward, expected.forward);
    check_equal(two_calls.backward, expected.backward);
    check_equal(one_call.forward, expected.forward);
  }
}

/// Counts products and their rows.
struct counting_gemm : plain_gemm {
  struct count {
    int logits = 0, hidden = 0, weight = 0;
    std::int64_t rows = 0, largest = 0;
  };
  count* seen;
  template <class A, class X, class Y>
  void operator()(const view<A, 2>& c, const view<const X, 2>& a, const view<const Y, 2>& b, bool accumulate) const {
    if (accumulate) {
      ++seen->weight;
    } else if (b.stride(0) == 1) {  // weight, transposed
      ++seen->logits;
      seen->rows += c.extent(0);
      seen->largest = std::max(seen->largest, c.extent(0));
    } else {
      ++seen->hidden;
    }
    plain_gemm::operator()(c, a, b, accumulate);
  }
};

}  // namespace

TEST_CASE("LM head in chunks: log-probabilities and both gradients are those of whole logits in double") {
  for (auto [n, h, v] : {std::array<std::int64_t, 3>{7, 10, 15}, {1, 1, 1}, {2, 3, 1}, {5, 1, 7}, {33, 17, 70}, {12, 64, 2049}}) {
    check_textbook<float>(n, h, v);
    check_textbook<double>(n, h, v);
    check_textbook<bfloat16>(n, h, v);
  }
}

TEST_CASE("LM head in chunks: the temperature is that of the options") {
  for (double temperature : {0.5, 0.6, 2.0}) {
    check_textbook<float>(7, 10, 15, temperature);
    check_textbook<double>(7, 10, 15, temperature);
  }
}

TEST_CASE("LM head: the same bits for any chunk, with or without memory to gather rows, and for any policy") {
  problem<float> p(40, 9, 130);
  std::vector<std::uint8_t> mask(40, 1);
  for (std::size_t n : {0u, 5u, 6u, 7u, 20u, 22u, 24u, 39u}) mask[n] = 0;
  for (bool masked : {false, true}) {
    if (masked) p.options.mask = mask;
    const auto expected = in_chunks(p, {40});
    CHECK(same_bits(fused(p, {40}).d_weight, expected.d_weight));
    for (std::int64_t chunk : {1, 3, 7, 40, 100}) {
      for (bool gather : {false, true}) {
        INFO("chunk " << chunk << " gather " << gather);
        const auto two_calls = in_chunks(p, {chunk, gather}), one_call = fused(p, {chunk, gather});
        const auto threaded = in_chunks(p, {chunk, gather}, plain_gemm{}, attune::threads{3});
        CHECK(same_bits(two_calls.logps, expected.logps));
        CHECK(same_bits(two_calls.d_hidden, expected.d_hidden));
        CHECK(same_bits(one_call.logps, expected.logps));
        CHECK(same_bits(one_call.d_hidden, expected.d_hidden));
        CHECK(same_bits(one_call.d_weight, two_calls.d_weight));
        CHECK(same_bits(threaded.logps, expected.logps));
        CHECK(same_bits(threaded.d_hidden, expected.d_hidden));
        CHECK(same_bits(threaded.d_weight, two_calls.d_weight));
        CHECK(same_bits(fused(p, {chunk, gather}, plain_gemm{}, attune::threads{3}).d_weight, two_calls.d_weight));
        for (std::size_t n = 0; n < 40; ++n) CHECK(two_calls.states[n].sum == expected.states[n].sum);
      }
    }
  }
}

TEST_CASE("LM head: every token's upstream gradient is its own") {
  problem<float> p(4, 10, 15);
  for (std::vector<float> upstream : {std::vector<float>{1, 2, 3, 4}, {0, 1, 1, 1}, {-1, 0, 2, 0}, {0, 0, 0, 0}}) {
    p.coefficients = upstream;
    for (std::int64_t chunk : {1, 2, 4}) check_near(in_chunks(p, {chunk}), textbook(p), 29);
  }
  // The weight's gradient is the sum over tokens of upstream times that of the token alone.
  p.coefficients = {1, 2, 3, 4};
  const auto whole = in_chunks(p, {2});
  std::vector<double> sum(whole.d_weight.size());
  for (std::size_t n = 0; n < 4; ++n) {
    problem<float> one = p;
    one.coefficients = {0, 0, 0, 0};
    one.coefficients[n] = 1;
    const auto alone = in_chunks(one, {2});
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += double(p.coefficients[n]) * double(alone.d_weight[i]);
  }
  CHECK(deviation(whole.d_weight, sum) <= 20);
  p.targets[0] = -100;  // the first token ignored: the others keep their gradients
  const auto ignored = in_chunks(p, {2});
  check_near(ignored, textbook(p), 29);
  CHECK(ignored.d_hidden[10] != 0);
}

TEST_CASE("LM head: rows that are masked, ignored or without weight take no part, whatever their hidden states hold") {
  std::mt19937 bits(11);
  for (int pattern = 0; pattern < 24; ++pattern) {
    problem<float> p(19, 6, 33);
    std::vector<std::uint8_t> mask(19, 1);
    for (std::size_t n = 0; n < 19; ++n) {
      bool left_out = false;
      switch (pattern) {
        case 0: left_out = n < 5; break;               // a prompt
        case 1: left_out = n > 10; break;              // padding
        case 2: left_out = n % 2 == 0; break;          // every other row
        case 3: left_out = n % 2 == 1; break;
        case 4: left_out = true; break;                // all
        case 5: left_out = n != 18; break;             // all but the last
        default: left_out = bits() % 3 == 0;
      }
      if (!left_out) continue;
      mask[n] = 0;
      p.targets[n] = 999;  // not a class, and not looked at
      p.coefficients[n] = nan_f;
      p.spoil(n);
    }
    p.options.mask = mask;
    problem<float> clean = p;
    for (std::size_t n = 0; n < 19; ++n) {
      if (mask[n] == 0) std::fill_n(clean.hidden.begin() + std::int64_t(n) * 6, 6, 0.0f);
    }
    const auto expected = textbook(clean);
    for (const manner& m : {manner{1}, manner{4}, manner{4, false}, manner{19}, manner{19, false}, manner{50}}) {
      INFO("pattern " << pattern << " chunk " << m.chunk << " gather " << m.gather);
      counting_gemm::count seen;
      const auto got = in_chunks(p, m, counting_gemm{{}, &seen}), one_call = fused(p, m);
      check_near(got, expected, 58);
      check_near(one_call, expected, 58);
      check_equal(got.forward, expected.forward);
      check_equal(got.backward, expected.backward);
      check_equal(one_call.forward, expected.forward);
      std::int64_t read = 0;
      for (std::size_t n = 0; n < 19; ++n) {
        read += mask[n];
        if (mask[n] != 0) continue;
        CHECK(got.logps[n] == 0);
        CHECK((got.states[n].shift == 0 && got.states[n].sum == 1));
        for (std::size_t h = 0; h < 6; ++h) CHECK((got.d_hidden[n * 6 + h] == 0 && one_call.d_hidden[n * 6 + h] == 0));
      }
      CHECK(seen.rows == 2 * read);  // they cost nothing: forward and backward multiply the others only,
      CHECK(seen.largest <= m.chunk);
      CHECK(seen.weight == seen.hidden);
      if (m.gather) CHECK(seen.hidden == (read + m.chunk - 1) / m.chunk);  // in as few products as can be
    }
  }
}

TEST_CASE("LM head: a row with coefficient 0 takes no part in the gradients") {
  problem<float> p(9, 5, 20);
  for (std::size_t n : {0u, 3u, 4u, 8u}) p.coefficients[n] = 0;
  p.targets[6] = -7;
  p.options.ignore_index = -7;
  const auto expected = textbook(p);
  room<float> r(p, {2});
  lm_head_logps(plain_gemm{}, p.h(), p.w(), p.targets, r.out.logps, r.out.states, r.workspace, p.options);
  for (std::size_t n : {0u, 3u, 4u, 6u, 8u}) p.spoil(n);
  r.out.states[3] = {nan_f, nan_f};
  const row_report report = lm_head_gradient(plain_gemm{}, p.h(), p.w(), p.targets, r.out.states, p.coefficients, r.gradients, r.workspace, p.options);
  check_near(r.out, expected, 34);
  CHECK(report.rows == 9);
  CHECK(report.masked == 1);
  CHECK(report.non_finite == 0);
  for (std::size_t i = 0; i < 5; ++i) CHECK(r.out.d_hidden[15 + i] == 0);
}

TEST_CASE("LM head: NaN in a row that is read stays visible") {
  problem<float> p(5, 4, 12);
  p.spoil(2);
  const auto two_calls = in_chunks(p, {2}), one_call = fused(p, {2});
  for (const auto* r : {&two_calls, &one_call}) {
    CHECK(r->forward.non_finite == 1);
    CHECK(std::isnan(r->logps[2]));
    CHECK(std::isnan(r->d_hidden[8]));
    CHECK(std::isnan(r->d_weight[0]));
    CHECK(std::isfinite(r->logps[1]));
    CHECK(std::isfinite(r->d_hidden[7]));
  }
  CHECK(two_calls.backward.non_finite == 1);
  problem<float> q(5, 4, 12);
  q.coefficients[1] = nan_f;
  CHECK(in_chunks(q, {2}).backward.non_finite == 1);
  CHECK(fused(q, {2}).forward.non_finite == 1);
}

TEST_CASE("LM head: the weight's gradient adds up over calls") {
  problem<float> p(10, 6, 21);
  const auto whole = in_chunks(p, {5});
  room<float> r(p, {5});
  const auto n = [](std::int64_t first, auto& x) { return as_view(x.data() + first, 5); };
  const auto h = [&](std::int64_t first, auto& x) { return as_view(x.data() + first * 6, 5, 6); };
  for (std::int64_t first : {0, 5}) {
    lm_head_logps(plain_gemm{}, h(first, p.hidden), p.w(), n(first, p.targets), n(first, r.out.logps), n(first, r.out.states), r.workspace);
    lm_head_gradient(plain_gemm{}, h(first, p.hidden), p.w(), n(first, p.targets), n(first, r.out.states), n(first, p.coefficients),
                     {.hidden = h(first, r.out.d_hidden), .weight = r.gradients.weight}, r.workspace);
  }
  CHECK(same_bits(r.out.logps, whole.logps));
  CHECK(same_bits(r.out.d_hidden, whole.d_hidden));
  CHECK(same_bits(r.out.d_weight, whole.d_weight));
  const auto once = r.out.d_weight;
  lm_head_gradient(plain_gemm{}, p.h(), p.w(), p.targets, r.out.states, p.coefficients, r.gradients, r.workspace);
  std::vector<double> twice(once.begin(), once.end());
  for (double& x : twice) x *= 2;
  CHECK(deviation(r.out.d_weight, twice) <= 20);
}

TEST_CASE("LM head: gradients that are left out are not computed, and the others have the same bits") {
  const problem<float> p(9, 6, 21);
  const auto both = in_chunks(p, {4});
  counting_gemm::count seen;
  const counting_gemm gemm{{}, &seen};
  room<float> frozen(p, {4}), weight_only(p, {4});
  lm_head_gradient(gemm, p.h(), p.w(), p.targets, both.states, p.coefficients, {.hidden = frozen.gradients.hidden}, frozen.workspace);
  CHECK((seen.logits == 3 && seen.hidden == 3 && seen.weight == 0));
  lm_head_gradient(gemm, p.h(), p.w(), p.targets, both.states, p.coefficients, {.weight = weight_only.gradients.weight}, weight_only.workspace);
  CHECK((seen.logits == 6 && seen.hidden == 3 && seen.weight == 3));
  CHECK(same_bits(frozen.out.d_hidden, both.d_hidden));
  CHECK(same_bits(weight_only.out.d_weight, both.d_weight));
  seen = {};
  fused(p, {4}, gemm);  // one product of logits, not two
  CHECK((seen.logits == 3 && seen.hidden == 3 && seen.weight == 3));
}

TEST_CASE("LM head: strided hidden states, weights and results give the bits of packed ones") {
  problem<float> p(9, 6, 21);
  p.targets[4] = -100;
  const auto expected = in_chunks(p, {4});
  for (auto [row, column] : strides(9, 6)) {
    for (auto [w_row, w_column] : strides(21, 6)) {
      placed<float> hidden(p.hidden, 9, 6, row, column, nan_f), d_hidden(expected.d_hidden, 9, 6, row, column, 7);
      placed<float> weight(p.weight, 21, 6, w_row, w_column, nan_f), d_weight(std::vector<float>(126), 21, 6, w_row, w_column, 7);
      placed<float> logits(std::vector<float>(84), 4, 21, 23, 1, 7), gathered(std::vector<float>(24), 4, 6, 1, 4, 7);
      const lm_head_workspace<float> workspace{.logits = logits.matrix, .hidden = gathered.matrix};
      room<float> r(p, {4});
      lm_head_logps(plain_gemm{}, hidden.matrix, weight.matrix, p.targets, r.out.logps, r.out.states, workspace);
      lm_head_gradient(plain_gemm{}, hidden.matrix, weight.matrix, p.targets, r.out.states, p.coefficients,
                       {.hidden = d_hidden.matrix, .weight = d_weight.matrix}, workspace);
      CHECK(same_bits(r.out.logps, expected.logps));
      CHECK(same_bits(d_hidden.packed(), expected.d_hidden));
      CHECK(same_bits(d_weight.packed(), expected.d_weight));
    }
  }
}

TEST_CASE("LM head: coefficients that follow from the log-probability") {
  const problem<float> p(8, 6, 21);
  const auto forward = in_chunks(p, {3});
  problem<float> focal = p;
  for (std::size_t n = 0; n < 8; ++n) focal.coefficients[n] = -std::exp(forward.logps[n]) * float(n);
  const auto expected = in_chunks(focal, {3});
  room<float> r(p, {3});
  std::vector<int> calls(8);
  const auto coefficient_of = [&](std::int64_t n, float logp) {
    ++calls[std::size_t(n)];
    return -std::exp(logp) * float(n);
  };
  lm_head_fused(attune::threads{2}, plain_gemm{}, p.h(), p.w(), p.targets, coefficient_of, r.out.logps, r.gradients, r.workspace);
  CHECK(calls == std::vector<int>(8, 1));
  CHECK(same_bits(r.out.logps, expected.logps));
  CHECK(same_bits(r.out.d_hidden, expected.d_hidden));
  CHECK(deviation(r.out.d_weight, {expected.d_weight.begin(), expected.d_weight.end()}) <= 20);
}

TEST_CASE("LM head: the general visit distils over the whole vocabulary") {
  const problem<float> p(11, 6, 40);
  const auto teacher_hidden = normals<float>(11 * 4, 1, 7), teacher_weight = normals<float>(40 * 4, 1, 8);
  std::vector<std::uint8_t> mask(11, 1);
  mask[3] = mask[10] = 0;
  // Whole logits.
  std::vector<float> logits(11 * 40), teacher(11 * 40), values(11), d_hidden(11 * 6), d_weight(40 * 6);
  const auto z = as_view(logits.data(), 11, 40), t = as_view(teacher.data(), 11, 40);
  const plain_gemm gemm;
  const auto h = as_view(teacher_hidden.data(), 11, 4), w = as_view(teacher_weight.data(), 40, 4);
  gemm(z, p.h(), attune::transposed(p.w()), false);
  gemm(t, h, attune::transposed(w), false);
  attune::row_divergence(attune::divergence::forward_kl{}, z, t, values, z, {}, {.mask = mask});
  gemm(as_view(d_hidden.data(), 11, 6), view<const float, 2>(z), p.w(), false);
  gemm(as_view(d_weight.data(), 40, 6), attune::transposed(view<const float, 2>(z)), p.h(), true);
  // Chunks of both models.
  room<float> r(p, {4});
  std::vector<float> chunk(4 * 40), in_chunks(11);
  const auto visitor = [&](std::int64_t first, const view<float, 2>& rows) {
    const std::int64_t count = rows.extent(0);
    const auto of_teacher = as_view(chunk.data(), count, 40);
    gemm(of_teacher, as_view(teacher_hidden.data() + 4 * first, count, 4), attune::transposed(w), false);
    attune::row_divergence(attune::divergence::forward_kl{}, rows, of_teacher, as_view(in_chunks.data() + first, count), rows);
  };
  lm_head_visit(gemm, p.h(), p.w(), visitor, r.gradients, r.workspace, mask);
  CHECK(same_bits(in_chunks, values));
  CHECK(same_bits(r.out.d_hidden, d_hidden));
  CHECK(deviation(r.out.d_weight, {d_weight.begin(), d_weight.end()}) <= 20);
}

TEST_CASE("LM head: a bias is one more column") {
  problem<float> p(6, 5, 9);
  for (std::size_t n = 0; n < 6; ++n) p.hidden[n * 5 + 4] = 1;
  const auto got = in_chunks(p, {4});
  std::vector<double> d_bias(9), expected(9);
  for (std::size_t n = 0; n < 6; ++n) {
    std::vector<double> z(9);
    for (std::size_t v = 0; v < 9; ++v) {
      z[v] = double(p.weight[v * 5 + 4]);
      for (std::size_t h = 0; h < 4; ++h) z[v] += double(p.hidden[n * 5 + h]) * double(p.weight[v * 5 + h]);
    }
    const auto pi = softmax(z.data(), 9);
    for (std::size_t v = 0; v < 9; ++v) expected[v] += double(p.coefficients[n]) * ((int(v) == p.targets[n]) - double(pi[v]));
  }
  std::vector<float> column;
  for (std::size_t v = 0; v < 9; ++v) column.push_back(got.d_weight[v * 5 + 4]);
  CHECK(deviation(column, expected) <= 30);
}

TEST_CASE("LM head: the gradient of a bfloat16 weight is added in float, whatever the chunk") {
  problem<bfloat16> p(8192, 32, 24);
  const auto expected = textbook(p);
  double size = 0;
  for (double x : expected.d_weight) size = attune::max(size, std::abs(x));
  for (std::int64_t chunk : {64, 1000, 8192}) {
    const auto got = in_chunks(p, {chunk});
    double worst = 0;
    for (std::size_t i = 0; i < got.d_weight.size(); ++i) worst = attune::max(worst, std::abs(double(got.d_weight[i]) - expected.d_weight[i]));
    INFO("chunk " << chunk << " worst " << worst << " of " << size);
    CHECK(worst <= 1e-5 * size);  // a bfloat16 accumulator: 1e-2
  }
}

TEST_CASE("LM head: no rows, and rows none of which is read") {
  problem<float> p(0, 4, 5);
  const auto none = in_chunks(p, {3});
  CHECK(none.forward.rows == 0);
  CHECK(same_bits(none.d_weight, std::vector<float>(20)));
  problem<float> q(3, 4, 5);
  q.targets = {-100, -100, -100};
  counting_gemm::count seen;
  const auto ignored = in_chunks(q, {3}, counting_gemm{{}, &seen});
  CHECK(seen.rows == 0);
  CHECK(ignored.backward.masked == 3);
  CHECK(same_bits(ignored.d_hidden, std::vector<float>(12)));
}

namespace {

/// Refuses operands of which `refused` says so, before the first product.
struct picky_gemm : plain_gemm {
  int products_to_refuse;
  mutable int shown = 0;
  template <class A, class X, class Y> void validate(const view<A, 2>& c, const view<const X, 2>& a, const view<const Y, 2>& b) const {
    CHECK((a.extent(0) == c.extent(0) && b.extent(1) == c.extent(1) && a.extent(1) == b.extent(0)));
    if (++shown == products_to_refuse) throw attune::error("attune: refused");
  }
};

}  // namespace

TEST_CASE("LM head: errors name what is wrong, and nothing is written") {
  const problem<float> p(6, 4, 10);
  room<float> r(p, {2});
  const auto untouched = r.out;
  const std::vector<float> logits = r.logits;
  auto& out = r.out;
  const auto refused = [&](const std::string& part, auto hidden, auto weight, auto targets, view<float> logps, view<row_state> states,
                           const lm_head_gradients<float>& g, const lm_head_workspace<float>& w, const row_options& o) {
    INFO(part);
    const auto coefficient_of = [](std::int64_t, float) { return 1.0f; };
    const auto backward = [&] { lm_head_gradient(plain_gemm{}, hidden, weight, targets, states, p.coefficients, g, w, o); };
    const auto both = [&] { lm_head_fused(plain_gemm{}, hidden, weight, targets, coefficient_of, logps, g, w, o); };
    const bool of_gradients = contains(part, "lm_head_gradients"), of_states = contains(part, "states");
    if (!of_gradients) {
      CHECK(contains(error_text([&] { lm_head_logps(plain_gemm{}, hidden, weight, targets, logps, states, w, o); }), part));
    }
    if (!contains(part, "logps")) CHECK(contains(error_text(backward), part));
    if (!of_states) CHECK(contains(error_text(both), part));
    CHECK(std::memcmp(r.logits.data(), logits.data(), logits.size() * sizeof(float)) == 0);
    CHECK(same_bits(out.logps, untouched.logps));
    CHECK(same_bits(out.d_hidden, untouched.d_hidden));
    CHECK(same_bits(out.d_weight, untouched.d_weight));
  };
  const auto with = [&](const std::string& part, const auto& change) {
    struct {
      view<const float, 2> hidden, weight;
      view<const std::int32_t> targets;
      view<float> logps;
      view<row_state> states;
      lm_head_gradients<float> g;
      lm_head_workspace<float> w;
      row_options o;
    } a{p.h(), p.w(), p.targets, out.logps, out.states, r.gradients, r.workspace, {}};
    change(a);
    refused(part, a.hidden, a.weight, a.targets, a.logps, a.states, a.g, a.w, a.o);
  };
  const std::vector<std::int32_t> wrong{0, 1, 2, 10, 3, 4};
  const std::vector<std::uint8_t> mask(5, 1);
  float* h = const_cast<float*>(p.hidden.data());
  with("targets has 5 elements; expected 6, like hidden's rows", [](auto& a) { a.targets = as_view(a.targets.data(), 5); });
  with("target of row 3 is 10; expected a class in [0, 10)", [&](auto& a) { a.targets = wrong; });
  with("logps has 5 elements", [](auto& a) { a.logps = as_view(a.logps.data(), 5); });
  with("states has 5 elements", [](auto& a) { a.states = as_view(a.states.data(), 5); });
  with("logps has stride 0", [](auto& a) { a.logps = as_view(a.logps.data(), {6}, {0}); });
  with("row_options.mask has 5 elements", [&](auto& a) { a.o.mask = mask; });
  with("temperature is 0", [](auto& a) { a.o.temperature = 0; });
  with("hidden (in columns) has 3 elements; expected 4, like weight", [](auto& a) { a.hidden = as_view(a.hidden.data(), 6, 3); });
  with("the number of weight's columns is 0", [](auto& a) { a.weight = as_view(a.weight.data(), 10, 0); });
  with("classes) is 0", [](auto& a) { a.weight = as_view(a.weight.data(), 0, 4); });
  with("lm_head_workspace.logits is 0; expected 1 or more", [](auto& a) { a.w.logits = as_view(a.w.logits.data(), 0, 10); });
  with("lm_head_workspace.logits is 0; expected 1 or more", [](auto& a) { a.w = {}; });
  with("lm_head_workspace.logits (in columns) has 9", [](auto& a) { a.w.logits = as_view(a.w.logits.data(), 2, 9); });
  with("lm_head_workspace.logits has strides (0, 1)", [](auto& a) { a.w.logits = as_view(a.w.logits.data(), {2, 10}, {0, 1}); });
  with("lm_head_workspace.hidden is 1 x 4; expected 2 x 4, like a chunk of hidden", [](auto& a) { a.w.hidden = as_view(a.w.hidden.data(), 1, 4); });
  with("lm_head_workspace.hidden is 2 x 3; expected 2 x 4", [](auto& a) { a.w.hidden = as_view(a.w.hidden.data(), 2, 3); });
  with("lm_head_workspace.hidden shares memory", [&](auto& a) { a.w.hidden = as_view(h, 2, 4); });
  with("lm_head_workspace.logits shares memory", [](auto& a) { a.hidden = as_view<const float>(a.w.logits.data(), {6, 4}, {1, 1}); });
  with("lm_head_gradients.hidden is 5 x 4; expected 6 x 4, like hidden", [](auto& a) { a.g.hidden = as_view(a.g.hidden.data(), 5, 4); });
  with("lm_head_gradients.hidden is 6 x 3; expected 6 x 4", [](auto& a) { a.g.hidden = as_view(a.g.hidden.data(), 6, 3); });
  with("lm_head_gradients.hidden has strides (0, 1)", [](auto& a) { a.g.hidden = as_view(a.g.hidden.data(), {6, 4}, {0, 1}); });
  with("lm_head_gradients.hidden shares memory", [&](auto& a) { a.g.hidden = as_view(h, 6, 4); });
  with("lm_head_gradients.weight is 9 x 4; expected 10 x 4, like weight", [](auto& a) { a.g.weight = as_view(a.g.weight.data(), 9, 4); });
  with("lm_head_gradients.weight is 10 x 3; expected 10 x 4", [](auto& a) { a.g.weight = as_view(a.g.weight.data(), 10, 3); });
  with("lm_head_gradients.weight shares memory", [&](auto& a) { a.g.weight = as_view(const_cast<float*>(a.weight.data()), 10, 4); });
  with("lm_head_gradients.hidden shares memory", [](auto& a) { a.g.hidden = as_view(a.g.weight.data(), 6, 4); });
  with("lm_head_gradients has neither hidden nor weight", [](auto& a) { a.g = {}; });
  for (int product = 1; product <= 5; ++product) {  // chunk, its gradient by weight, the same gathered, the gradient by hidden
    r.out = untouched;
    const auto run = [&] { lm_head_fused(picky_gemm{{}, product}, p.h(), p.w(), p.targets, [](std::int64_t, float) { return 1; }, out.logps, r.gradients, r.workspace); };
    CHECK(error_text(run) == "attune: refused");
    CHECK(same_bits(out.logps, untouched.logps));
    CHECK(same_bits(out.d_weight, untouched.d_weight));
  }
  const auto visitor = [](std::int64_t, const view<float, 2>&) {};
  CHECK(contains(error_text([&] { lm_head_visit(plain_gemm{}, p.h(), p.w(), visitor, {}, r.workspace, mask); }), "mask has 5 elements"));
}

TEST_CASE("LM head: the library allocates nothing") {
  problem<float> p(20, 8, 300);
  std::vector<std::uint8_t> mask(20, 1);
  mask[4] = mask[11] = 0;
  p.options.mask = mask;
  room<float> r(p, {3});
  const auto coefficient_of = [](std::int64_t, float logp) { return -std::exp(logp); };
  const auto visitor = [](std::int64_t, const view<float, 2>&) {};
  const auto check = [&](auto policy) {
    const std::int64_t before = allocations();
    lm_head_logps(policy, plain_gemm{}, p.h(), p.w(), p.targets, r.out.logps, r.out.states, r.workspace, p.options);
    lm_head_gradient(policy, plain_gemm{}, p.h(), p.w(), p.targets, r.out.states, p.coefficients, r.gradients, r.workspace, p.options);
    lm_head_fused(policy, plain_gemm{}, p.h(), p.w(), p.targets, coefficient_of, r.out.logps, r.gradients, r.workspace, p.options);
    lm_head_visit(plain_gemm{}, p.h(), p.w(), visitor, r.gradients, r.workspace, mask);
    CHECK(allocations() == before);
  };
  check(attune::serial{});
  check(attune::threads{3});
}
