// SPDX-License-Identifier: MIT
// The chunked LM head on Thrust's device, whatever it is, against the host's in double.
#include <attune/preference/dpo.hpp>
#include <attune/rows/lm_head.hpp>

#include "device_gemm.hpp"
#include "rows/plain_gemm.hpp"
#include "thrust_support.hpp"

#include "support/catch.hpp"

using namespace attune_test;
using attune::arithmetic;
using attune::row_report;
using attune::row_state;

namespace {

template <class A> struct scaled_logp {  // d loss / d logp of a token: its factor times its log-probability
  const A* factors;
  ATTUNE_FN A operator()(std::int64_t n, A logp) const { return factors[n] * logp; }
};

/// N hidden states of H features, the weight of V classes, logits of about 1; on the device, and in double on the host.
template <class T> struct problem {
  using A = arithmetic<T>;
  std::int64_t rows, features, classes;
  std::vector<T> hidden, weight;
  std::vector<std::int32_t> targets;
  std::vector<A> coefficients;
  std::vector<std::uint8_t> mask;
  double temperature = 0.75;

  problem(std::int64_t n, std::int64_t h, std::int64_t v)
      : rows(n), features(h), classes(v), hidden(normals<T>(n * h, 1, 1)), weight(normals<T>(v * h, 0.2, 2)), targets(labels(n, v, 3)),
        coefficients(normals<A>(n, 1, 4)), mask(std::size_t(n), 1) {}
};

/// logps, gradients and reports of lm_head_logps and lm_head_gradient, or of lm_head_fused.
struct results {
  std::vector<double> logps, d_hidden, d_weight;
  row_report forward, backward;
};
bool same_report(const row_report& a, const row_report& b) { return a.rows == b.rows && a.masked == b.masked && a.non_finite == b.non_finite; }

template <class T> results on_the_host(const problem<T>& p, bool fused) {
  const std::vector<double> h = as_doubles(p.hidden), w = as_doubles(p.weight), c(p.coefficients.begin(), p.coefficients.end());
  const auto rows = std::size_t(p.rows);
  results r{std::vector<double>(rows), std::vector<double>(h.size()), std::vector<double>(w.size(), 0.5), {}, {}};
  std::vector<double> logits(std::size_t(p.rows * p.classes));
  std::vector<row_state> states(rows);
  const auto hidden = as_view(h.data(), p.rows, p.features), weight = as_view(w.data(), p.classes, p.features);
  const attune::lm_head_gradients<double> gradients{as_view(r.d_hidden.data(), p.rows, p.features), as_view(r.d_weight.data(), p.classes, p.features)};
  const attune::lm_head_workspace<double> workspace{as_view(logits.data(), p.rows, p.classes), {}};
  const attune::row_options o{.temperature = p.temperature, .mask = p.mask};
  if (fused) {
    const auto coefficient_of = [&](std::int64_t n, double logp) { return c[std::size_t(n)] * logp; };
    r.forward = attune::lm_head_fused(plain_gemm{}, hidden, weight, p.targets, coefficient_of, r.logps, gradients, workspace, o);
  } else {
    r.forward = attune::lm_head_logps(plain_gemm{}, hidden, weight, p.targets, r.logps, states, workspace, o);
    r.backward = attune::lm_head_gradient(plain_gemm{}, hidden, weight, p.targets, states, c, gradients, workspace, o);
  }
  return r;
}

/// Memory of so many bytes and no more, poisoned, between guards.
struct guarded {
  static constexpr std::size_t guard = 64;
  std::size_t bytes;
  thrust::device_vector<std::byte> memory;

  explicit guarded(std::int64_t n) : bytes(std::size_t(n)), memory(bytes + 2 * guard, std::byte{0xff}) {}
  view<std::byte, 1, device> inside() { return {thrust::raw_pointer_cast(memory.data()) + guard, {std::int64_t(bytes)}}; }
  bool guards_hold() const {
    const auto all = on_host(memory);
    bool hold = true;
    for (std::size_t i = 0; i < guard; ++i) hold = hold && all[i] == std::byte{0xff} && all[all.size() - 1 - i] == std::byte{0xff};
    return hold;
  }
};

/// A problem in device memory, with results that are full of poison where they are written, and 0.5 where they are added to.
template <class T, class L> struct on_the_device {
  using A = arithmetic<T>;
  const problem<T>& p;
  std::int64_t chunk;
  device_matrix<T> hidden, weight, d_hidden;
  device_matrix<A> d_weight;
  thrust::device_vector<std::int32_t> targets;
  thrust::device_vector<A> coefficients, logps;
  thrust::device_vector<std::uint8_t> mask;
  thrust::device_vector<row_state> states;
  thrust::device_vector<row_report> report;
  guarded memory;
  attune::lm_head_rows visited{};

  on_the_device(const problem<T>& given, std::int64_t rows_of_a_chunk)
      : p(given), chunk(rows_of_a_chunk), hidden(p.hidden, p.rows, p.features, p.features + 3), weight(p.weight, p.classes, p.features),
        d_hidden({}, p.rows, p.features, p.features + 1), d_weight(std::vector<A>(p.weight.size(), A(0.5)), p.classes, p.features), targets(p.targets.begin(), p.targets.end()),
        coefficients(p.coefficients.begin(), p.coefficients.end()), logps(std::size_t(p.rows), A(777)), mask(p.mask.begin(), p.mask.end()), states(std::size_t(p.rows)),
        report(1, row_report{777, 777, 777}), memory(attune::device_lm_head_bytes<T, L>(chunk, p.classes)) {}

  attune::device_lm_head_workspace<L> workspace() { return {.rows = chunk, .memory = memory.inside()}; }
  attune::device_row_options options() { return {.temperature = p.temperature, .mask = mask, .report = report}; }
  attune::device_lm_head_gradients<T> gradients() { return {.hidden = d_hidden.matrix(), .weight = d_weight.matrix()}; }
  row_report logps_of_tokens() {
    attune::lm_head_logps(on_thrust, device_gemm{}, hidden.matrix(), weight.matrix(), targets, logps, states, workspace(), options(), visited);
    return on_host(report)[0];
  }
  row_report gradient() {
    attune::lm_head_gradient(on_thrust, device_gemm{}, hidden.matrix(), weight.matrix(), targets, states, coefficients, gradients(), workspace(), options(), visited);
    return on_host(report)[0];
  }
  row_report fused() {
    const scaled_logp<A> coefficient_of{thrust::raw_pointer_cast(coefficients.data())};
    attune::lm_head_fused(on_thrust, device_gemm{}, hidden.matrix(), weight.matrix(), targets, coefficient_of, logps, gradients(), workspace(), options(), visited);
    return on_host(report)[0];
  }
  results found(const row_report& forward, const row_report& backward) {
    return {as_doubles(on_host(logps)), as_doubles(d_hidden.packed()), as_doubles(d_weight.packed()), forward, backward};
  }
};

/// How far results may be off: exactly computed, but for roundings of logits to L, of their gradient to T, and of results.
template <class T, class L> void check_near(const results& got, const results& expected) {
  const double logp = sizeof(T) == 8 ? 1e-12 : sizeof(L) == 4 ? 1e-5 : 1e-2, gradient = sizeof(T) == 8 ? 1e-12 : sizeof(T) == 4 ? 1e-5 : sizeof(L) == 4 ? 3e-3 : 1e-2;
  CHECK(largest_error(got.logps, expected.logps) <= logp);
  CHECK(norm_error(got.d_hidden, expected.d_hidden) <= gradient);
  CHECK(norm_error(got.d_weight, expected.d_weight) <= gradient);
  CHECK(same_report(got.forward, expected.forward));
  CHECK(same_report(got.backward, expected.backward));
}

template <class T, class L> void check_chunks(problem<T> p) {
  p.mask[0] = p.mask[9] = p.mask[10] = 0;
  p.targets[9] = 1 << 30;  // not read
  p.targets[4] = p.targets[36] = -100;
  p.coefficients[5] = 0;
  const results expected = on_the_host(p, false), expected_fused = on_the_host(p, true);
  for (const std::int64_t chunk : {8, 1, 37, 64}) {
    INFO("chunks of " << chunk);
    on_the_device<T, L> d(p, chunk), f(p, chunk);
    const row_report forward = d.logps_of_tokens();
    const results got = d.found(forward, d.gradient());
    check_near<T, L>(got, expected);
    for (const std::int64_t n : {0, 4, 5, 9, 10, 36}) {
      for (std::int64_t h = 0; h < p.features; ++h) CHECK(got.d_hidden[std::size_t(n * p.features + h)] == 0);
    }
    check_near<T, L>(f.found(f.fused(), {}), expected_fused);
    CHECK((d.memory.guards_hold() && f.memory.guards_hold()));

    d.gradient();  // again: that of the weight adds up, that of the hidden states does not
    std::vector<double> twice = expected.d_weight;
    for (double& x : twice) x = 2 * x - 0.5;
    CHECK(norm_error(as_doubles(d.d_weight.packed()), twice) <= (sizeof(T) == 8 ? 1e-12 : sizeof(T) == 4 ? 1e-5 : 1e-2));
    CHECK(as_doubles(d.d_hidden.packed()) == got.d_hidden);
  }
}

}  // namespace

TEST_CASE("Thrust LM head: double, as the host", "[thrust]") { check_chunks<double, double>({37, 24, 203}); }
TEST_CASE("Thrust LM head: float, as the host", "[thrust]") { check_chunks<float, float>({37, 24, 203}); }
TEST_CASE("Thrust LM head: bfloat16, as the host", "[thrust]") {
  check_chunks<bfloat16, bfloat16>({37, 24, 203});
  check_chunks<bfloat16, float>({37, 24, 203});
}

TEST_CASE("Thrust LM head: rows do not depend on their chunk, and what is not read reaches nothing", "[thrust]") {
  problem<float> p(37, 24, 203);
  p.mask[3] = 0;
  p.hidden[3 * 24] = nan_f;
  on_the_device<float, float> whole(p, 64), small(p, 5);
  CHECK(same_report(whole.logps_of_tokens(), row_report{37, 1, 0}));
  CHECK(same_report(small.logps_of_tokens(), row_report{37, 1, 0}));
  CHECK(same_bits(on_host(whole.logps), on_host(small.logps)));
  CHECK(on_host(whole.logps)[3] == 0);
  whole.gradient(), small.gradient();
  CHECK(same_bits(whole.d_hidden.packed(), small.d_hidden.packed()));
  CHECK(whole.d_hidden.packed()[3 * 24] == 0);
  const auto d_weight = whole.d_weight.packed();
  CHECK(d_weight[0] != d_weight[0]);  // 0 times the NaN of row 3, as documented; and not where that is a number
  CHECK(d_weight[1] == d_weight[1]);

  p.hidden[3 * 24] = 0;  // a label out of range: a row of NaN, counted once in each
  p.targets[7] = 203;
  on_the_device<float, float> wrong(p, 5), fused(p, 5);
  CHECK(same_report(wrong.logps_of_tokens(), row_report{37, 1, 1}));
  CHECK(same_report(wrong.gradient(), row_report{37, 1, 1}));
  CHECK(same_report(fused.fused(), row_report{37, 1, 1}));
  CHECK((on_host(fused.logps)[7] != on_host(fused.logps)[7] && wrong.d_hidden.packed()[7 * 24] != wrong.d_hidden.packed()[7 * 24]));
  p.targets[7] = 3;
  p.coefficients[8] = inf_f;  // a coefficient that is none: counted in fused, where the log-probability is a number
  on_the_device<float, float> infinite(p, 5);
  CHECK(same_report(infinite.fused(), row_report{37, 1, 1}));
}

TEST_CASE("Thrust LM head: runs of rows", "[thrust]") {
  const problem<float> p(37, 24, 203);
  const results expected = on_the_host(p, false);
  on_the_device<float, float> d(p, 4);
  const std::vector<attune::row_run> runs{{2, 3}, {5, 0}, {20, 9}};
  d.visited.runs = runs;
  const row_report forward = d.logps_of_tokens();
  CHECK(same_report(forward, row_report{12, 0, 0}));
  const results got = d.found(forward, d.gradient());
  problem<float> masked = p;
  for (std::size_t n = 0; n < 37; ++n) masked.mask[n] = (n >= 2 && n < 5) || (n >= 20 && n < 29);
  const results of_runs = on_the_host(masked, false);
  CHECK(norm_error(got.d_weight, of_runs.d_weight) <= 1e-5);
  for (std::size_t n = 0; n < 37; ++n) {  // nothing else was touched
    CHECK(got.logps[n] == (masked.mask[n] != 0 ? Approx(expected.logps[n]).margin(1e-5) : Approx(777)));
    CHECK((got.d_hidden[n * 24] == got.d_hidden[n * 24]) == (masked.mask[n] != 0));
  }
}

TEST_CASE("Thrust LM head: chunks are whole sequences", "[thrust]") {
  const problem<float> p(40, 8, 30);
  on_the_device<float, float> d(p, 17);
  using chunks = std::vector<std::pair<std::int64_t, std::int64_t>>;
  const auto visit = [&](const attune::lm_head_rows& visited) {
    chunks seen;
    const auto note = [&](const attune::lm_head_chunk<float>& c) {
      CHECK((c.logits.extent(0) == c.count && c.logits.extent(1) == 30 && c.states.extent(0) == c.count));
      CHECK(c.workspace.extent(0) >= attune::token_logps_workspace<float>(c.count, 30));
      CHECK(c.of(d.logps).data() == thrust::raw_pointer_cast(d.logps.data()) + c.first);
      seen.push_back({c.first, c.count});
    };
    attune::lm_head_visit(on_thrust, device_gemm{}, d.hidden.matrix(), d.weight.matrix(), note, {}, d.workspace(), visited);
    return seen;
  };
  CHECK(visit({}) == chunks{{0, 17}, {17, 17}, {34, 6}});
  CHECK(visit({.rows_per_sequence = 5}) == chunks{{0, 15}, {15, 15}, {30, 10}});
  CHECK(visit({.rows_per_sequence = 10}) == chunks{{0, 10}, {10, 10}, {20, 10}, {30, 10}});
  const std::vector<std::int64_t> offsets{2, 12, 12, 19, 20, 37, 37};
  CHECK(visit({.offsets = offsets}) == chunks{{2, 17}, {19, 1}, {20, 17}});
  const std::vector<attune::row_run> runs{{0, 10}, {20, 20}};
  CHECK(visit({.runs = runs, .rows_per_sequence = 5}) == chunks{{0, 10}, {20, 15}, {35, 5}});

  const auto refused = [&](const attune::lm_head_rows& visited) { return error_text([&] { visit(visited); }); };
  CHECK(contains(refused({.rows_per_sequence = 18}), "lm_head_rows.rows_per_sequence is 18; expected 1 to the workspace's 17 rows"));
  CHECK(contains(refused({.rows_per_sequence = 7}), "hidden has 40 rows; expected a multiple"));
  CHECK(contains(refused({.runs = runs, .rows_per_sequence = 4}), "lm_head_rows.runs[0] is rows from 0 on, 10 of them"));
  CHECK(contains(refused({.runs = runs, .offsets = offsets}), "lm_head_rows.offsets comes with runs"));
  const std::vector<attune::row_run> overlapping{{0, 10}, {9, 3}}, outside{{38, 3}};
  CHECK(contains(refused({.runs = overlapping}), "lm_head_rows.runs[1] is rows from 9 on"));
  CHECK(contains(refused({.runs = outside}), "lm_head_rows.runs[0] is rows from 38 on"));
  const std::vector<std::int64_t> falling{0, 5, 4}, long_one{0, 18}, beyond{30, 41};
  CHECK(contains(refused({.offsets = falling}), "lm_head_rows.offsets[2] is 4, after 5"));
  CHECK(contains(refused({.offsets = long_one}), "lm_head_rows.offsets[1] is 18, after 0"));
  CHECK(contains(refused({.offsets = beyond}), "lm_head_rows.offsets[1] is 41, after 30"));
}

TEST_CASE("Thrust LM head: DPO inside of chunks of whole pairs is DPO of the batch", "[thrust]") {
  constexpr std::int64_t pairs = 6, length = 5;  // rows: the chosen completion of a pair, then the rejected one
  problem<float> p(2 * pairs * length, 24, 203);
  for (const std::size_t n : {3u, 4u, 19u, 44u}) p.mask[n] = 0;
  using numbers = thrust::device_vector<float>;
  const auto drawn = normals<float>(2 * pairs, 2, 9, -30);
  const numbers references(drawn.begin(), drawn.end());
  const auto of_pairs = [](const auto& x, std::int64_t which) {  // of numbers of sequences
    return view<typename std::remove_cvref_t<decltype(x)>::element, 1, device>(x.data() + which, {x.extent(0) / 2}, {2 * x.stride(0)});
  };
  const auto dpo = [&](const view<float, 1, device>& sums, const view<const float, 1, device>& refs, const view<float, 1, device>& slopes) {
    const view<const float, 1, device> given = sums;
    attune::evaluate(on_thrust, attune::dpo{.beta = 0.1},
                     attune::pairs<float, device>{.chosen = of_pairs(given, 0), .rejected = of_pairs(given, 1), .ref_chosen = of_pairs(refs, 0), .ref_rejected = of_pairs(refs, 1)},
                     {.chosen = of_pairs(slopes, 0), .rejected = of_pairs(slopes, 1)}, {.normalizer = double(pairs)});
  };

  on_the_device<float, float> whole(p, p.rows), in_chunks(p, 23);
  numbers sums(2 * pairs), slopes(2 * pairs), chunk_sums(2 * pairs), chunk_slopes(2 * pairs);
  const view<std::uint8_t, 1, device> mask = whole.mask;
  const view<std::uint8_t, 2, device> mask_of_sequences(mask.data(), {2 * pairs, length});
  const auto as_sequences = [&](numbers& x) { return view<float, 2, device>(thrust::raw_pointer_cast(x.data()), {2 * pairs, length}); };
  whole.logps_of_tokens();
  attune::sequence_logps(on_thrust, as_sequences(whole.logps), mask_of_sequences, sums);
  dpo(sums, references, slopes);
  attune::token_coefficients(on_thrust, slopes, mask_of_sequences, as_sequences(whole.coefficients));
  whole.gradient();

  auto& c = in_chunks;
  const auto visitor = [&](const attune::lm_head_chunk<float>& chunk) {
    const attune::device_row_options o{.temperature = p.temperature, .mask = chunk.of(c.mask), .workspace = chunk.workspace};
    attune::token_logps(on_thrust, chunk.logits, chunk.of(c.targets), chunk.of(c.logps), chunk.states, o);
    attune::sequence_logps(on_thrust, chunk.sequences(c.logps, length), chunk.sequences(c.mask, length), chunk.of(chunk_sums, length));
    dpo(chunk.of(chunk_sums, length), chunk.of(references, length), chunk.of(chunk_slopes, length));
    attune::logits_gradient(on_thrust, chunk.logits, chunk.of(c.targets), chunk.states,
                            attune::sequence_coefficients<float>{.values = chunk.of(chunk_slopes, length), .rows_per_sequence = length}, chunk.logits, o);
  };
  attune::lm_head_visit(on_thrust, device_gemm{}, c.hidden.matrix(), c.weight.matrix(), visitor, c.gradients(), c.workspace(), {.rows_per_sequence = 2 * length});
  CHECK(same_bits(on_host(c.logps), on_host(whole.logps)));
  CHECK(same_bits(on_host(chunk_slopes), on_host(slopes)));
  CHECK(largest_error(on_host(slopes), std::vector<double>(2 * pairs, 0)) > 1e-3);
  CHECK(same_bits(c.d_hidden.packed(), whole.d_hidden.packed()));
  CHECK(norm_error(c.d_weight.packed(), as_doubles(whole.d_weight.packed())) <= 1e-6);
  CHECK(c.memory.guards_hold());
}

TEST_CASE("Thrust LM head: errors come before anything is launched", "[thrust]") {
  const problem<float> p(10, 8, 30);
  on_the_device<float, float> d(p, 4);
  const auto text = [&](const auto& change) {
    auto workspace = d.workspace();
    auto gradients = d.gradients();
    auto options = d.options();
    auto hidden = d.hidden.matrix();
    view<const std::int32_t, 1, device> targets = d.targets;
    change(workspace, gradients, options, hidden, targets);
    return error_text([&] {
      attune::lm_head_gradient(on_thrust, device_gemm{}, hidden, d.weight.matrix(), targets, d.states, d.coefficients, gradients, workspace, options);
    });
  };
  const std::string bytes = std::to_string(d.memory.bytes);
  CHECK(contains(text([](auto& w, auto&, auto&, auto&, auto&) { w.memory = {w.memory.data(), {w.memory.extent(0) - 1}}; }), "expected " + bytes + " or more"));
  CHECK(contains(text([](auto& w, auto&, auto&, auto&, auto&) { w.memory = {w.memory.data() + 1, {w.memory.extent(0)}}; }), "begun at a multiple of 16"));
  CHECK(contains(text([](auto& w, auto&, auto&, auto&, auto&) { w.rows = 0; }), "device_lm_head_workspace.rows is 0"));
  CHECK(contains(text([](auto&, auto& g, auto&, auto&, auto&) { g = {}; }), "neither hidden nor weight"));
  CHECK(contains(text([&](auto&, auto& g, auto&, auto&, auto&) { g.hidden = d.hidden.matrix(); }), "device_lm_head_gradients.hidden shares memory"));
  CHECK(contains(text([&](auto& w, auto& g, auto&, auto&, auto&) { g.hidden = {reinterpret_cast<float*>(w.memory.data()), {10, 8}}; }), "device_lm_head_workspace.memory shares memory"));
  CHECK(contains(text([](auto&, auto& g, auto&, auto&, auto&) { g.weight = {g.weight.data(), {29, 8}, g.weight.strides()}; }), "device_lm_head_gradients.weight is 29 x 8; expected 30 x 8"));
  CHECK(contains(text([&](auto&, auto&, auto& o, auto&, auto&) { o.workspace = d.memory.inside(); }), "row_options.workspace is given; expected none"));
  CHECK(contains(text([](auto&, auto&, auto& o, auto&, auto&) { o.temperature = 0; }), "row_options.temperature is 0"));
  CHECK(contains(text([](auto&, auto&, auto&, auto& h, auto&) { h = {h.data(), {10, 7}, h.strides()}; }), "hidden (in columns) has 7 elements; expected 8"));
  CHECK(contains(text([](auto&, auto&, auto&, auto&, auto& t) { t = {t.data(), {9}}; }), "targets has 9 elements; expected 10"));
  const thrust::device_vector<std::int32_t> wrong(10, 30);
  CHECK(contains(text([&](auto&, auto&, auto& o, auto&, auto& t) { t = wrong, o.checked = true; }), "the target of row 0 is 30"));
  CHECK(on_host(d.report)[0].rows == 777);
  CHECK(same_bits(d.d_weight.packed(), std::vector<float>(30 * 8, 0.5f)));
}

TEST_CASE("Thrust LM head: the advice for chunks", "[thrust]") {
  CHECK(attune::lm_head_chunk_rows<bfloat16>(8192, 128256) == 4096);
  CHECK(attune::device_lm_head_bytes<bfloat16>(4096, 128256) < 1'100'000'000);
  CHECK(attune::lm_head_chunk_rows<float>(8192, 128256) == 2048);
  CHECK(attune::lm_head_chunk_rows<float>(8192, 1 << 20) == 1024);
  CHECK(attune::lm_head_chunk_rows<bfloat16>(300, 128256) == 300);
  CHECK(attune::lm_head_chunk_rows<bfloat16>(0, 128256) == 1);
  CHECK(attune::device_lm_head_bytes<bfloat16, float>(100, 1000) - attune::device_lm_head_bytes<bfloat16, float>(100, 1000, false) == 100 * 2000);
  CHECK(attune::device_lm_head_bytes<bfloat16>(100, 1000) == attune::device_lm_head_bytes<bfloat16>(100, 1000, false));
}
