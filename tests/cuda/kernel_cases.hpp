// SPDX-License-Identifier: MIT
// What attune's kernels have to do, whatever runs them: on the host under an emulated block (kernels_emulated.cpp), on a GPU (kernels.cu). A machine has
//   policy()                       the first argument of the calls
//   memory<T>(std::vector<T>)      its memory, with data() and host()
//   classes, large                 numbers of classes; with as many as the last of large, a row does not fit in a cluster
#pragma once

#include <attune/backend/cuda/fused_logits_gradient.hpp>
#include <attune/backend/cuda/logits_gradient.hpp>
#include <attune/backend/cuda/row_divergence.hpp>
#include <attune/backend/cuda/sequence_loss.hpp>
#include <attune/backend/cuda/token_logps.hpp>
#include <attune/backend/cuda/update.hpp>
#include <attune/divergence/forward_kl.hpp>
#include <attune/divergence/jensen_shannon.hpp>
#include <attune/divergence/reverse_kl.hpp>
#include <attune/exec/device/sequence.hpp>
#include <attune/exec/evaluate.hpp>
#include <attune/exec/evaluate_tokens.hpp>
#include <attune/policy/kl/combinations.hpp>
#include <attune/policy/penalised.hpp>
#include <attune/policy/surrogate/clip.hpp>
#include <attune/preference/dpo.hpp>
#include <attune/preference/simpo.hpp>
#include <attune/rows/sequence.hpp>

#include "rows/closeness.hpp"

#include <cstdio>
#include <memory>

namespace attune_test {

using attune::arithmetic;
using attune::device;
using attune::row_report;
using attune::row_state;

inline int failures = 0;
inline std::string situation;
inline void expect(bool holds, const char* what, int line) {
  if (holds) return;
  ++failures;
  std::printf("kernel_cases.hpp:%d: %s: %s\n", line, situation.c_str(), what);
}
#define ATTUNE_EXPECT(condition) ::attune_test::expect(bool(condition), #condition, __LINE__)

template <class T> constexpr const char* name_of() {
  return std::is_same_v<T, float> ? "float" : std::is_same_v<T, double> ? "double" : std::is_same_v<T, attune::bfloat16> ? "bfloat16" : "float16";
}
template <class T> constexpr double logp_tolerance = sizeof(T) == 8 ? 1e-12 : 1e-5;

/// Rows, classes, strides, and how many elements the matrix begins behind a multiple of 16 bytes.
struct layout {
  std::int64_t rows, columns, row_stride, column_stride, offset;
};

/// A vector in the machine's memory; empty: absent.
template <class Machine, class T> struct placed_vector {
  typename Machine::template memory<T> memory;

  explicit placed_vector(const std::vector<T>& x) : memory(x) {}
  placed_vector(std::size_t n, T poison) : memory(std::vector<T>(n, poison)) {}
  view<T, 1, device> get() { return memory.size() == 0 ? view<T, 1, device>{} : view<T, 1, device>(memory.data(), {std::int64_t(memory.size())}); }
  std::vector<T> host() const { return memory.host(); }
};
template <class Machine, class T> struct placed_matrix {
  layout at;
  typename Machine::template memory<T> memory;

  placed_matrix(const std::vector<T>& packed, const layout& l, double poison = nan_f) : at(l), memory(spread(packed, l, poison)) {}
  view<T, 2, device> get() { return {memory.data() + at.offset, {at.rows, at.columns}, {at.row_stride, at.column_stride}}; }
  std::vector<T> packed() const {
    const std::vector<T> all = memory.host();
    std::vector<T> x;
    for (std::int64_t i = 0; i < at.rows; ++i) {
      for (std::int64_t j = 0; j < at.columns; ++j) x.push_back(all[place(at, i, j)]);
    }
    return x;
  }

 private:
  static std::size_t place(const layout& l, std::int64_t i, std::int64_t j) { return std::size_t(l.offset + i * l.row_stride + j * l.column_stride); }
  static std::vector<T> spread(const std::vector<T>& packed, const layout& l, double poison) {
    std::vector<T> all(place(l, l.rows - 1, l.columns - 1) + 17, to<T>(poison));
    for (std::int64_t i = 0; i < l.rows && !packed.empty(); ++i) {
      for (std::int64_t j = 0; j < l.columns; ++j) all[place(l, i, j)] = packed[std::size_t(i * l.columns + j)];
    }
    return all;
  }
};

/// Options of a call, on the host. Empty vectors: absent.
struct task {
  std::vector<std::int32_t> targets;
  double temperature = 1, softcap = inf_f;
  std::vector<std::uint8_t> mask{};
  std::int64_t ignore_index = -100;
  bool checked = false;
  std::vector<double> coefficients{}, entropy_coefficients{}, log_sum_exp_coefficients{};
};
inline attune::row_options host_options(const task& t) {
  attune::row_options o{.temperature = t.temperature, .softcap = t.softcap, .ignore_index = t.ignore_index};
  if (!t.mask.empty()) o.mask = t.mask;
  return o;
}
inline bool same(const row_report& a, const row_report& b) { return a.rows == b.rows && a.masked == b.masked && a.non_finite == b.non_finite; }
inline bool same(const row_state& a, const row_state& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

/// What a call gives.
template <class A> struct results {
  std::vector<A> logps, entropies, losses;
  std::vector<row_state> states;
  std::vector<std::int64_t> argmax;
  std::vector<double> gradient;
  row_report report;
};

/// The host's token_logps and logits_gradient, in double.
template <class T> results<double> on_host(const std::vector<T>& packed, const layout& l, const task& t) {
  const std::vector<double> x = as_doubles(packed);
  const auto rows = std::size_t(l.rows);
  const auto matrix = as_view(x.data(), l.rows, l.columns);
  results<double> r{std::vector<double>(rows), std::vector<double>(rows), {}, std::vector<row_state>(rows), std::vector<std::int64_t>(rows), {}, {}};
  r.report = attune::token_logps(matrix, t.targets, r.logps, r.states, host_options(t), {.entropies = r.entropies, .argmax = r.argmax});
  if (t.coefficients.empty()) return r;
  attune::row_terms<double> terms;
  if (!t.entropy_coefficients.empty()) terms = {.entropies = r.entropies, .entropy_coefficients = t.entropy_coefficients};
  if (!t.log_sum_exp_coefficients.empty()) terms.log_sum_exp_coefficients = t.log_sum_exp_coefficients;
  r.gradient.resize(x.size());
  r.report = attune::logits_gradient(matrix, t.targets, r.states, t.coefficients, as_view(r.gradient.data(), l.rows, l.columns), host_options(t), terms);
  return r;
}

template <class A> std::vector<A> as(const std::vector<double>& x) { return {x.begin(), x.end()}; }

/// Coefficients of rows as a function, which also has a loss: 1000 + row; and whether it was asked rightly.
template <class A> struct given_coefficients {
  const A *logp, *entropy, *log_sum_exp;

  bool reads_entropy() const { return entropy != nullptr; }
  ATTUNE_FN attune::row_loss operator()(const attune::token_row& row) const {
    return {1000.0 + static_cast<double>(row.n) + 0.0 * row.logp,
            {static_cast<double>(logp[row.n]), entropy != nullptr ? static_cast<double>(entropy[row.n]) : 0, log_sum_exp != nullptr ? static_cast<double>(log_sum_exp[row.n]) : 0}};
  }
};
/// d loss / d log-probability of the negative log-likelihood.
struct likelihood {
  ATTUNE_FN double operator()(std::int64_t, double) const { return -1; }
};

template <class Machine, class T> struct kernel_cases {
  using A = arithmetic<T>;
  using matrix = placed_matrix<Machine, T>;
  template <class E> using vector = placed_vector<Machine, E>;
  Machine machine{};

  struct device_options {
    vector<std::uint8_t> mask;
    vector<row_report> report{1, row_report{777, 777, 777}};
    attune::device_row_options o;

    explicit device_options(const task& t) : mask(t.mask) {
      o = {.temperature = t.temperature, .softcap = t.softcap, .mask = mask.get(), .ignore_index = t.ignore_index, .workspace = {}, .report = report.get(), .checked = t.checked};
    }
  };

  results<A> logps(matrix& logits, const task& t) {
    const auto rows = std::size_t(logits.at.rows);
    device_options options(t);
    vector<std::int32_t> targets(t.targets);
    vector<A> logp(rows, A(777)), entropies(rows, A(777));
    vector<row_state> states(rows, {777, 777});
    vector<std::int64_t> argmax(rows, 777);
    attune::token_logps(machine.policy(), logits.get(), targets.get(), logp.get(), states.get(), options.o, {.entropies = entropies.get(), .argmax = argmax.get()});
    results<A> r{logp.host(), entropies.host(), {}, states.host(), argmax.host(), {}, options.report.host()[0]};
    vector<A> alone(rows, A(777));  // without statistics: the same bits
    options.o.report = {};
    attune::token_logps(machine.policy(), logits.get(), targets.get(), alone.get(), {}, options.o);
    ATTUNE_EXPECT(same_bits(alone.host(), r.logps));
    return r;
  }
  row_report gradient(matrix& logits, const task& t, view<T, 2, device> out, const attune::sequence_coefficients<A>* sequences = nullptr) {
    const auto rows = std::size_t(logits.at.rows);
    device_options options(t);
    vector<std::int32_t> targets(t.targets);
    vector<A> logp(rows, A(0)), entropies(rows, A(0)), c(as<A>(t.coefficients)), entropy(as<A>(t.entropy_coefficients)), lse(as<A>(t.log_sum_exp_coefficients));
    vector<row_state> states(rows, {777, 777});
    attune::token_logps(machine.policy(), logits.get(), targets.get(), logp.get(), states.get(), options.o, {.entropies = entropies.get()});
    attune::row_terms<A, device> terms;
    if (!t.entropy_coefficients.empty()) terms = {.entropies = entropies.get(), .entropy_coefficients = entropy.get()};
    terms.log_sum_exp_coefficients = lse.get();
    const auto call = [&](const auto& coefficients) {
      attune::logits_gradient(machine.policy(), logits.get(), targets.get(), states.get(), coefficients, out, options.o, terms);
    };
    if (sequences != nullptr) call(*sequences);
    else call(view<const A, 1, device>(c.get()));
    return options.report.host()[0];
  }
  results<A> fused(matrix& logits, const task& t, view<T, 2, device> out) {
    vector<A> c(as<A>(t.coefficients)), entropy(as<A>(t.entropy_coefficients)), lse(as<A>(t.log_sum_exp_coefficients));
    return fused(logits, t, out, given_coefficients<A>{c.get().data(), entropy.get().data(), lse.get().data()}, !t.entropy_coefficients.empty());
  }
  template <class F> results<A> fused(matrix& logits, const task& t, view<T, 2, device> out, const F& f, bool with_entropies = false) {
    const auto rows = std::size_t(logits.at.rows);
    device_options options(t);
    vector<std::int32_t> targets(t.targets);
    vector<A> logp(rows, A(777)), losses(rows, A(777)), entropies(rows, A(777));
    vector<row_state> states(rows, {777, 777});
    attune::fused_outputs<A> outputs{.losses = losses.get(), .states = states.get()};
    if (with_entropies) outputs.entropies = entropies.get();
    attune::fused_logits_gradient(machine.policy(), logits.get(), targets.get(), f, logp.get(), out, options.o, outputs);
    return {logp.host(), entropies.host(), losses.host(), states.host(), {}, {}, options.report.host()[0]};
  }

  void expect_logps(const results<A>& given, const results<double>& expected, bool statistics = true) {
    ATTUNE_EXPECT(largest_error(given.logps, expected.logps) <= logp_tolerance<T>);
    if (statistics) ATTUNE_EXPECT(largest_error(given.entropies, expected.entropies) <= 4 * logp_tolerance<T>);
    if (statistics) ATTUNE_EXPECT(given.argmax.empty() || given.argmax == expected.argmax);
    std::vector<double> lse, expected_lse;
    for (std::size_t n = 0; n < given.states.size(); ++n) lse.push_back(given.states[n].log_sum_exp()), expected_lse.push_back(expected.states[n].log_sum_exp());
    ATTUNE_EXPECT(largest_error(lse, expected_lse) <= logp_tolerance<T>);
  }
  bool zero_behind(matrix& wide, std::int64_t columns, std::int64_t rows = std::int64_t{1} << 30) {
    std::vector<T> all = wide.packed();
    if (rows < wide.at.rows) all.resize(std::size_t(rows * wide.at.columns));
    bool zero = true;
    for (std::size_t i = 0; i < all.size(); ++i) zero = zero && (std::int64_t(i) % wide.at.columns < columns || from(all[i]) == 0);
    return zero;
  }
  std::vector<T> part(const matrix& wide, std::int64_t columns) {
    const std::vector<T> all = wide.packed();
    std::vector<T> x;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (std::int64_t(i) % wide.at.columns < columns) x.push_back(all[i]);
    }
    return x;
  }

  /// A gradient in place, and in memory of its own with padding and another alignment: right, every element written, the same bits.
  template <class Call> void expect_gradient(const std::vector<T>& packed, const layout& l, const results<double>& expected, bool close, const Call& call) {
    matrix in_place(packed, l);
    call(in_place, in_place.get());
    const std::vector<T> given = in_place.packed();
    if (close) ATTUNE_EXPECT(is_gradient(given, expected.gradient));
    else ATTUNE_EXPECT(norm_error(given, expected.gradient) <= 1e-5);
    for (const auto& [padding, offset] : {std::pair{5, 0}, std::pair{64, 3}}) {
      const std::int64_t columns = l.columns + padding;
      matrix logits(packed, l), wide({}, {l.rows, columns, columns + 8 - columns % 8, 1, offset}, 777);
      call(logits, wide.get());
      ATTUNE_EXPECT(same_bits(part(wide, l.columns), given));
      ATTUNE_EXPECT(zero_behind(wide, l.columns));
      ATTUNE_EXPECT(largest_error(logits.packed(), packed) == 0);
    }
  }

  std::vector<layout> layouts() const {
    std::vector<layout> l{{3, 100, 200, 2, 1}, {3, 33, 1, 4, 0}, {3, 1, 1, 1, 2}, {3, 7, 9, 1, 1}};
    for (const std::int64_t v : Machine::classes) {
      l.push_back({3, v, v, 1, 0});
      l.push_back({3, v, v + 16 - v % 8, 1, 0});
      l.push_back({3, v, v + 3, 1, 1});
    }
    return l;
  }

  void all() {
    about_logps();
    about_hard_rows();
    about_rows_not_read();
    about_order();
    about_gradients();
    about_sequences();
    about_fused();
    about_fused_order();
    about_divergences();
    about_updates();
    if constexpr (std::is_same_v<T, float>) about_sums(), about_objectives(), about_arguments();
  }
  void now(const char* what, const layout& l) {
    situation = std::string(name_of<T>()) + ", " + what + ", " + std::to_string(l.rows) + " x " + std::to_string(l.columns) + ", strides " + std::to_string(l.row_stride) + " " +
                std::to_string(l.column_stride) + ", offset " + std::to_string(l.offset);
  }

  void about_logps() {
    for (const layout& l : layouts()) {
      now("token_logps", l);
      const std::vector<T> x = normals<T>(l.rows * l.columns, 3, 5);
      matrix logits(x, l);
      for (const task& t : {task{.targets = labels(l.rows, l.columns, 7)}, task{.targets = labels(l.rows, l.columns, 8), .temperature = 0.7},
                            task{.targets = labels(l.rows, l.columns, 9), .temperature = 1.5, .softcap = 2.5}}) {
        const results<double> expected = on_host(x, l, t);
        const results<A> given = logps(logits, t);
        expect_logps(given, expected);
        ATTUNE_EXPECT(same(given.report, expected.report));
      }
    }
  }

  struct hard {
    layout l{10, 2051, 2051, 1, 0};
    std::vector<T> x;
    task t;

    hard() : x(normals<T>(l.rows * l.columns, 3, 5)), t{.targets = labels(l.rows, l.columns, 7)} {
      set(0, t.targets[0], 14);                                                             // peaked at the target, and elsewhere
      set(1, (t.targets[1] + 9) % 2051, 60);
      every(2, [&](std::int64_t v) { return v == t.targets[2] ? 1.5 : -double(inf_f); });   // all -inf but the target, or another
      every(3, [](std::int64_t v) { return v == 1026 ? 1.5 : -double(inf_f); });
      t.targets[3] = 17;
      every(4, [&](std::int64_t v) { return -1e4 + from(x[std::size_t(4 * 2051 + v)]); });
      every(5, [](std::int64_t v) { return v % 2 == 0 ? 1e4 : -1e4; });
      every(6, [](std::int64_t) { return std::isinf(from(to<T>(3e38))) ? -65504 : -3e38; });  // the least numbers: uniform
      set(7, 2050, double(nan_f));                                                          // no distribution: NaN, +inf, nothing
      set(8, 3, double(inf_f));
      every(9, [](std::int64_t) { return -double(inf_f); });
    }
    void set(std::int64_t n, std::int64_t v, double value) { x[std::size_t(n * 2051 + v)] = to<T>(value); }
    template <class F> void every(std::int64_t n, const F& f) {
      for (std::int64_t v = 0; v < 2051; ++v) set(n, v, f(v));
    }
  };
  void about_hard_rows() {
    hard h;
    h.t.coefficients = std::vector<double>(10, -1);
    const results<double> expected = on_host(h.x, h.l, h.t);
    const double rest = double(1 - softmax(h.x.data(), 2051)[std::size_t(h.t.targets[0])]);
    for (const std::int64_t offset : {0, 1}) {
      h.l.offset = offset;
      now("hard rows", h.l);
      matrix logits(h.x, h.l);
      const results<A> given = logps(logits, h.t);
      expect_logps(given, expected);
      ATTUNE_EXPECT(given.report.non_finite == 3);
      // What a confident row leaves for the others keeps its size: exactly it, not a rounded 1 - 1.
      ATTUNE_EXPECT(std::abs((given.states[0].sum - 1) / given.states[0].sum - rest) <= 1e-5 * rest);
      for (const bool together : {false, true}) {
        matrix g(h.x, h.l);
        row_report report;
        if (together) report = fused(g, h.t, g.get()).report;
        else report = gradient(g, h.t, g.get());
        ATTUNE_EXPECT(report.non_finite == 3 && report.masked == 0 && report.rows == 10);
        const std::vector<T> all = g.packed();
        const std::vector<T> numbers(all.begin(), all.begin() + 7 * 2051);
        ATTUNE_EXPECT(is_gradient(numbers, {expected.gradient.begin(), expected.gradient.begin() + 7 * 2051}));
        bool numbers_left = false;
        for (std::size_t i = 7 * 2051; i < all.size(); ++i) numbers_left = numbers_left || from(all[i]) == from(all[i]);
        ATTUNE_EXPECT(!numbers_left);
        ATTUNE_EXPECT(std::abs(from(all[std::size_t(h.t.targets[0])]) + rest) <= (sizeof(T) == 2 ? 4e-3 : 1e-5) * rest);
      }
    }
  }

  void about_rows_not_read() {
    const layout l{6, 517, 520, 1, 0};
    now("rows that are not read", l);
    std::vector<T> x = normals<T>(l.rows * l.columns, 3, 5);
    for (std::size_t v = 0; v < 2 * 517; ++v) x[v] = to<T>(double(nan_f));
    task t{.targets = {1 << 30, -7, 3, 516, 0, 12}, .mask = {0, 1, 1, 1, 1, 2}, .ignore_index = -7, .checked = true, .coefficients = {1, 1, 1, -2, 1, 0}};
    matrix logits(x, l);
    const results<double> expected = on_host(x, l, t);
    const results<A> given = logps(logits, t);
    expect_logps(given, expected);
    ATTUNE_EXPECT(given.report.masked == 2 && given.logps[0] == 0 && given.argmax[1] == -1);
    for (const bool together : {false, true}) {
      const auto call = [&](matrix& from_logits, view<T, 2, device> out) { return together ? fused(from_logits, t, out).report : gradient(from_logits, t, out); };
      expect_gradient(x, l, expected, true, call);
      matrix out({}, {6, 517, 517, 1, 1}, 777);
      ATTUNE_EXPECT(same(call(logits, out.get()), row_report{6, 2, 0}));
      for (const std::int32_t bad : {517, -1, 1 << 30, -(1 << 30)}) {
        t.targets[4] = bad;
        const std::string on_host_text = error_text([&] { on_host(x, l, t); });
        ATTUNE_EXPECT(!on_host_text.empty());
        ATTUNE_EXPECT(error_text([&] { call(logits, out.get()); }) == on_host_text);
        t.checked = false;
        ATTUNE_EXPECT(call(logits, out.get()).non_finite == 1);
        const std::vector<T> all = out.packed();
        ATTUNE_EXPECT(from(all[4 * 517]) != from(all[4 * 517]) && from(all[5 * 517 - 1]) != from(all[5 * 517 - 1]) && from(all[5 * 517]) == 0);
        const results<A> wrong = logps(logits, t);
        ATTUNE_EXPECT(wrong.logps[4] != wrong.logps[4] && wrong.states[4].shift != wrong.states[4].shift && wrong.argmax[4] == -1 && wrong.report.non_finite == 1);
        ATTUNE_EXPECT(wrong.logps[3] == given.logps[3]);
        t.checked = true;
        t.targets[4] = 0;
      }
      t.checked = false;
      t.coefficients[3] = double(inf_f);  // stays visible
      ATTUNE_EXPECT(call(logits, out.get()).non_finite == 1);
      ATTUNE_EXPECT(from(out.packed()[3 * 517 + 5]) != from(out.packed()[3 * 517 + 5]));
      t.coefficients[3] = -2;
      t.checked = true;
    }
    if constexpr (!std::is_same_v<T, double>) {
      const auto outcome = fused(logits, t, logits.get());
      ATTUNE_EXPECT(outcome.losses[0] == 0 && outcome.losses[1] == 0 && outcome.losses[2] == 1002 && outcome.losses[5] == 1005);
    }
  }

  void about_order() {
    const std::int64_t v = Machine::large[0] - 5;
    const layout l{7, v, v, 1, 0};
    now("order", l);
    const std::vector<T> x = normals<T>(l.rows * v, 3, 5);
    const task t{.targets = labels(l.rows, v, 7)};
    matrix logits(x, l);
    const results<A> expected = logps(logits, t), again = logps(logits, t);
    ATTUNE_EXPECT(same_bits(again.logps, expected.logps) && same_bits(again.states, expected.states) && same_bits(again.entropies, expected.entropies));
    for (std::size_t n = 0; n < 7; n += 3) {
      const std::vector<T> row(x.begin() + std::ptrdiff_t(n) * v, x.begin() + std::ptrdiff_t(n + 1) * v);
      for (const std::int64_t offset : {0, 1, 5}) {
        matrix one(row, {1, v, 2 * v, offset == 5 ? 2 : 1, offset});
        const results<A> alone = logps(one, {.targets = {t.targets[n]}});
        ATTUNE_EXPECT(alone.logps[0] == expected.logps[n] && same(alone.states[0], expected.states[n]) && alone.entropies[0] == expected.entropies[n]);
      }
    }
  }

  std::vector<task> gradient_tasks(const layout& l) const {
    task t{.targets = labels(l.rows, l.columns, 7)};
    std::vector<double> lse, entropy;
    for (std::int64_t n = 0; n < l.rows; ++n) {
      t.coefficients.push_back(n == 2 ? 0 : 0.75 - double(n));
      lse.push_back(0.125 * double(n));
      entropy.push_back(n == 1 ? 0 : -0.5);
    }
    std::vector<task> all{t};
    t.temperature = 0.75;
    t.log_sum_exp_coefficients = lse;
    all.push_back(t);
    t.log_sum_exp_coefficients = {};
    t.softcap = 4;
    all.push_back(t);
    if (sizeof(T) == 2) return all;  // of an entropy term elements may cancel
    t.softcap = inf_f;
    t.entropy_coefficients = entropy;
    all.push_back(t);
    return all;
  }
  void about_gradients() {
    for (const layout& l : layouts()) {
      now("logits_gradient", l);
      const std::vector<T> x = normals<T>(l.rows * l.columns, 3, 5);
      for (const task& t : gradient_tasks(l)) {
        expect_gradient(x, l, on_host(x, l, t), t.entropy_coefficients.empty(), [&](matrix& logits, view<T, 2, device> out) { gradient(logits, t, out); });
      }
    }
  }
  /// Sums over tokens and their transpose: a body a thread, the same on any policy.
  void about_sums() {
    situation = "sums over sequences";
    vector<A> tokens(as<A>({1, 2, 4, 8, 16, 32})), sums(2, A(777)), coefficients(6, A(777));
    vector<std::uint8_t> mask({1, 1, 0, 1, 0, 1});
    const view<A, 2, device> padded(tokens.memory.data(), {2, 3}), spread(coefficients.memory.data(), {2, 3});
    const view<const std::uint8_t, 2, device> active(mask.memory.data(), {2, 3});
    attune::sequence_logps(machine.policy(), padded, active, sums.get());
    attune::token_coefficients(machine.policy(), sums.get(), active, spread);
    ATTUNE_EXPECT(sums.host() == as<A>({3, 40}) && coefficients.host() == as<A>({3, 3, 0, 40, 0, 40}));
  }
  void about_sequences() {
    const layout l{6, 100, 100, 1, 0};
    now("sequences", l);
    const std::vector<T> x = normals<T>(600, 3, 5);
    task t{.targets = labels(6, 100, 7), .coefficients = {0.5, 0.5, -2, -2, 0, 0}};
    matrix expected(x, l);
    gradient(expected, t, expected.get());
    vector<A> values(as<A>({0.5, -2, 0}));
    vector<std::int32_t> map({0, 0, 1, 1, 2, 2}), wrong({0, 0, 1, 3, 2, 2});
    const attune::sequence_coefficients<A> padded{.values = values.get(), .rows_per_sequence = 2}, mapped{.values = values.get(), .sequence_of_row = map.get()};
    for (const auto* given : {&padded, &mapped}) {
      matrix g(x, l);
      gradient(g, t, g.get(), given);
      ATTUNE_EXPECT(same_bits(g.packed(), expected.packed()));
    }
    const attune::sequence_coefficients<A> bad{.values = values.get(), .sequence_of_row = wrong.get()};
    matrix g(x, l);
    ATTUNE_EXPECT(gradient(g, t, g.get(), &bad).non_finite == 1);
    ATTUNE_EXPECT(from(g.packed()[300]) != from(g.packed()[300]) && from(g.packed()[299]) == from(g.packed()[299]));
    t.checked = true;
    ATTUNE_EXPECT(contains(error_text([&] { gradient(g, t, g.get(), &bad); }), "the sequence of row 3 is 3; expected one in [0, 3)"));
  }

  void about_fused() {
    std::vector<layout> shapes = layouts();
    for (const std::int64_t v : Machine::large) shapes.push_back({3, v, v + 16 - v % 8, 1, 0});
    for (const layout& l : shapes) {
      now("fused_logits_gradient", l);
      const std::vector<T> x = normals<T>(l.rows * l.columns, 3, 5);
      for (const task& t : gradient_tasks(l)) {
        const results<double> expected = on_host(x, l, t);
        expect_gradient(x, l, expected, t.entropy_coefficients.empty(), [&](matrix& logits, view<T, 2, device> out) {
          const results<A> given = fused(logits, t, out);
          expect_logps(given, expected, !t.entropy_coefficients.empty());
          ATTUNE_EXPECT(given.losses[0] == 1000 && given.losses[2] == 1002 && same(given.report, expected.report));
        });
      }
    }
  }
  void about_fused_order() {
    for (const std::int64_t v : Machine::large) {
      const layout l{5, v, v + 8 - v % 8, 1, 0};
      now("fused, order", l);
      const std::vector<T> x = normals<T>(l.rows * v, 3, 5);
      const task t{.targets = labels(5, v, 7), .coefficients = {1, -1, 0.5, 2, -3}, .entropy_coefficients = {0.5, 0, 1, 0, 0}};
      matrix g(x, l);
      const results<A> all = fused(g, t, g.get());
      for (std::size_t n = 0; n < 5; n += 2) {
        const std::vector<T> row(x.begin() + std::ptrdiff_t(n) * v, x.begin() + std::ptrdiff_t(n + 1) * v);
        for (const std::int64_t offset : {0, 1}) {  // held by the cluster, and read twice
          matrix one(row, {1, v, v, 1, offset});
          task u{.targets = {t.targets[n]}, .coefficients = {t.coefficients[n]}, .entropy_coefficients = {t.entropy_coefficients[n]}};
          const results<A> alone = fused(one, u, one.get());
          ATTUNE_EXPECT(alone.logps[0] == all.logps[n] && same(alone.states[0], all.states[n]));
          const std::vector<T> packed = g.packed();
          ATTUNE_EXPECT(same_bits(one.packed(), {packed.begin() + std::ptrdiff_t(n) * v, packed.begin() + std::ptrdiff_t(n + 1) * v}));
        }
      }
    }
  }

  /// The host's kind of function, which gives a coefficient alone.
  void about_likelihood() {
    const layout l{2, 1000, 1000, 1, 0};
    now("fused, a function of the log-probability", l);
    const std::vector<T> x = normals<T>(2000, 3, 5);
    const task t{.targets = {3, 999}, .coefficients = {-1, -1}};
    matrix logits(x, l);
    device_options options(t);
    vector<std::int32_t> targets(t.targets);
    vector<A> logp(2, A(777));
    attune::fused_logits_gradient(machine.policy(), logits.get(), targets.get(), likelihood{}, logp.get(), logits.get(), options.o);
    ATTUNE_EXPECT(is_gradient(logits.packed(), on_host(x, l, t).gradient));
  }

  /// Objectives on tokens against evaluate and logits_gradient of the host, in double.
  template <class O> void expect_objective(const O& objective, const char* name, bool on_policy, bool entropy) {
    const layout l{6, 1003, 1008, 1, 0};
    now(name, l);
    const std::vector<T> x = normals<T>(6 * 1003, 3, 5);
    task t{.targets = labels(6, 1003, 7), .temperature = 0.9, .mask = {1, 1, 0, 1, 1, 1}, .coefficients = std::vector<double>(6, 0)};
    results<double> expected = on_host(x, l, t);
    std::vector<double> old, ref, advantage{1, -0.5, double(nan_f), 0.75, -2, 0.25}, weight{1, 0.5, double(nan_f), 0, 2, 1}, d_logp(6), d_entropy(6);
    for (std::size_t n = 0; n < 6; ++n) old.push_back(double(float(expected.logps[n] + (n % 2 == 0 ? 0.3 : -0.1)))), ref.push_back(double(float(expected.logps[n] - 0.2)));
    old[2] = ref[2] = double(nan_f);
    const auto row = [](std::vector<double>& v) { return as_view(v.data(), 1, 6); };
    attune::tokens<double> batch{.logp = row(expected.logps)};
    if (!on_policy) batch.old_logp = row(old);
    batch.ref_logp = row(ref);
    batch.token_advantage = row(advantage);
    batch.token_weight = row(weight);
    if (entropy) batch.entropy = row(expected.entropies);
    batch.mask = as_view(t.mask.data(), 1, 6);
    attune::token_gradients<double> gradients{.logp = row(d_logp)};
    if (entropy) gradients.entropy = row(d_entropy);
    const auto report = attune::evaluate(objective, batch, gradients, {.normalizer = 4.0, .reduction = attune::token_reduction::token_sum, .on_policy = on_policy});
    t.coefficients = d_logp;
    if (entropy) t.entropy_coefficients = d_entropy;
    expected = on_host(x, l, t);

    vector<A> device_old(as<A>(old)), device_ref(as<A>(ref)), device_advantage(as<A>(advantage)), device_weight(as<A>(weight));
    attune::token_rows<A> data{.ref_logp = device_ref.get(), .advantage = device_advantage.get(), .weight = device_weight.get(), .normalizer = 4, .on_policy = on_policy};
    if (!on_policy) data.old_logp = device_old.get();
    matrix g(x, l);
    const results<A> given = fused(g, t, g.get(), attune::row_objective(objective, 6, data));
    expect_logps(given, expected, false);
    ATTUNE_EXPECT(norm_error(g.packed(), expected.gradient) <= 2e-5);
    double loss = 0;
    for (const A each : given.losses) loss += double(each);
    ATTUNE_EXPECT(std::abs(loss - report.loss_sum / 4) <= 1e-5 && given.losses[2] == 0 && given.losses[3] == 0);
  }
  void about_objectives() {
    expect_objective(attune::penalised{attune::ppo{}, attune::kl_penalty<attune::kl::k3>{.coefficient = 0.1}}, "ppo with k3", false, false);
    expect_objective(attune::penalised{attune::ppo{}, attune::kl_penalty<attune::kl::k3>{.coefficient = 0.1}}, "ppo with k3, on policy", true, false);
    expect_objective(attune::penalised{attune::ppo{}, attune::kl_penalty<attune::kl::k3>{.coefficient = 0.1}, 0.05}, "ppo with k3 and entropy", false, true);
    vector<A> values(as<A>({1, 2, 3, 4}));
    attune::token_rows<A> data{.advantage = values.get()};
    const auto refusal = [&](const auto& objective, std::int64_t rows) { return error_text([&] { attune::row_objective(objective, rows, data); }); };
    ATTUNE_EXPECT(contains(refusal(attune::ppo{}, 4), "old_logp"));
    data.old_logp = values.get();
    ATTUNE_EXPECT(refusal(attune::ppo{}, 4).empty());
    ATTUNE_EXPECT(contains(refusal(attune::ppo{}, 5), "4 elements; expected 5"));
    data.normalizer = 0;
    ATTUNE_EXPECT(contains(refusal(attune::ppo{}, 4), "token_rows.normalizer is 0"));
  }

  /// Both rows of a pair, and a gradient in place and apart. Rows: nearly equal, peaked, with excluded classes, shifted, equal, masked NaNs, broken.
  template <class G> void expect_divergence(const G& generator, const char* name, const layout& l, double temperature) {
    now(name, l);
    std::vector<T> x = normals<T>(l.rows * l.columns, 3, 5), y = x;
    const auto at = [&](std::int64_t n, std::int64_t v) { return std::size_t(n * l.columns + v); };
    const std::vector<T> other = normals<T>(l.columns, 0.01, 6);
    for (std::int64_t v = 0; v < l.columns; ++v) {
      y[at(0, v)] = to<T>(from(x[at(0, v)]) + from(other[std::size_t(v)]));
      y[at(1, v)] = to<T>(from(x[at(1, l.columns - 1 - v)]) + (v == 1 ? 30 : 0));
      y[at(2, v)] = v % 3 == 0 ? x[at(2, v)] : to<T>(-double(inf_f));
      if (v % 3 != 0) x[at(2, v)] = to<T>(-double(inf_f));
      y[at(3, v)] = to<T>(from(x[at(3, v)]) * 0.5 - 100);
      x[at(5, v)] = to<T>(double(nan_f));
      if (v == l.columns / 2) x[at(6, v)] = to<T>(double(inf_f));
    }
    const std::vector<std::uint8_t> mask{1, 1, 1, 1, 1, 0, 1};
    const std::vector<double> coefficients{1, -0.5, 2, 1, 1, double(nan_f), 1}, a = as_doubles(x), b = as_doubles(y);
    std::vector<double> values(7), gradient(a.size());
    const auto report = attune::row_divergence(generator, as_view(a.data(), 7, l.columns), as_view(b.data(), 7, l.columns), values, as_view(gradient.data(), 7, l.columns),
                                               coefficients, {.temperature = temperature, .mask = mask});
    vector<std::uint8_t> bytes(mask);
    vector<A> c(as<A>(coefficients)), found(7, A(777)), alone(7, A(777));
    vector<row_report> counts(1, row_report{7, 7, 7});
    // The rows of `policy` and `aligned` may begin at multiples of 16 bytes: then registers hold them; else they are read again, with the same bits.
    matrix policy(x, l), target(y, {l.rows, l.columns, l.columns + 5, 1, 2}), aligned(y, l), apart({}, {l.rows, l.columns + 3, l.columns + 4, 1, 1}, 777);
    matrix beside({}, l, 777);
    vector<A> held(7, A(777));
    const attune::device_divergence_options o{.temperature = temperature, .mask = bytes.get(), .report = counts.get()};
    attune::row_divergence(machine.policy(), generator, policy.get(), target.get(), alone.get(), o);
    attune::row_divergence(machine.policy(), generator, policy.get(), target.get(), found.get(), apart.get(), c.get(), o);
    attune::row_divergence(machine.policy(), generator, policy.get(), aligned.get(), held.get(), beside.get(), c.get(), o);
    ATTUNE_EXPECT(same_bits(held.host(), found.host()));
    ATTUNE_EXPECT(same_bits(beside.packed(), part(apart, l.columns)));
    attune::row_divergence(machine.policy(), generator, policy.get(), aligned.get(), found.get(), policy.get(), c.get(), o);
    ATTUNE_EXPECT(same(counts.host()[0], report));
    for (const auto* all : {&alone, &found}) {
      for (std::size_t n = 0; n < 7; ++n) {
        const double got = double(all->host()[n]), want = values[n];
        ATTUNE_EXPECT(got == want || (got != got && want != want) || std::abs(got - want) <= 1e-5 * (1 + std::abs(want)));
      }
    }
    const auto numbers = [&](auto all) { return all.resize(std::size_t(6 * l.columns)), all; };
    const std::vector<T> given = policy.packed();
    ATTUNE_EXPECT(norm_error(numbers(given), numbers(gradient)) <= (sizeof(T) == 2 ? 3e-3 : 1e-5));
    ATTUNE_EXPECT(from(given.back()) != from(given.back()));
    ATTUNE_EXPECT(largest_error(part(apart, l.columns), given) == 0);
    ATTUNE_EXPECT(zero_behind(apart, l.columns, 6));
  }
  void about_divergences() {
    for (const std::int64_t v : Machine::classes) {
      expect_divergence(attune::divergence::forward_kl{}, "forward_kl", {7, v, v, 1, 0}, 1);
      if constexpr (std::is_same_v<T, float>) expect_divergence(attune::divergence::reverse_kl{}, "reverse_kl", {7, v, v + 8 - v % 8, 1, 0}, 0.75);
      if constexpr (std::is_same_v<T, float>) expect_divergence(attune::divergence::jensen_shannon{}, "jensen_shannon", {7, v, v, 1, 0}, 1.5);
    }
    const std::int64_t v = Machine::large[1];  // several blocks hold such rows, whose last vector is not whole
    expect_divergence(attune::divergence::forward_kl{}, "forward_kl", {7, v, v + 8 - v % 8, 1, 0}, 1);
    if constexpr (std::is_same_v<T, float>) expect_divergence(attune::divergence::jensen_shannon{}, "jensen_shannon", {7, v, v + 8 - v % 8, 1, 0}, 1);
    const layout l{3, Machine::large[0], Machine::large[0], 1, 0};
    now("divergences, order", l);
    const std::vector<T> x = normals<T>(3 * l.columns, 3, 5), y = normals<T>(3 * l.columns, 3, 6);
    matrix policy(x, l), target(y, l);
    vector<A> all(3, A(777)), one(1, A(777));
    attune::row_divergence(machine.policy(), attune::divergence::forward_kl{}, policy.get(), target.get(), all.get());
    for (const std::int64_t offset : {0, 1}) {
      const layout last{1, l.columns, l.columns, 1, offset};
      matrix p({x.end() - l.columns, x.end()}, last), q({y.end() - l.columns, y.end()}, last);
      attune::row_divergence(machine.policy(), attune::divergence::forward_kl{}, p.get(), q.get(), one.get());
      ATTUNE_EXPECT(one.host()[0] == all.host()[2]);
    }
  }

  /// A model of many tensors, of which some are empty and some longer than a block's run, against the host's update of each. 0: strided ones.
  template <class Master, bool Averages = true, class MakeCompanion> void expect_update(const char* name, double weight, const MakeCompanion& companion_of) {
    situation = std::string(name) + " of " + name_of<Master>() + " by " + name_of<T>();
    const std::vector<std::int64_t> sizes = [] {
      std::vector<std::int64_t> x{5, 0, 70000, 1, 1003, 65536};
      for (int i = 0; i < 60; ++i) x.push_back(3 + 17 * i);
      return x;
    }();
    std::vector<std::unique_ptr<vector<Master>>> references, residuals;
    std::vector<std::unique_ptr<vector<T>>> policies;
    std::vector<std::vector<Master>> expected, expected_residuals;
    using companion = decltype(companion_of(references[0]->get()));
    std::vector<attune::device_model_tensor<Master, T, companion>> model;
    attune::update_report total;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      std::vector<Master> before = normals<Master>(sizes[i], 1, unsigned(i)), residual(before.size());
      const std::vector<T> from_policy = normals<T>(sizes[i], 1, unsigned(i + 1000));
      references.push_back(std::make_unique<vector<Master>>(before));
      residuals.push_back(std::make_unique<vector<Master>>(residual));
      policies.push_back(std::make_unique<vector<T>>(from_policy));
      model.push_back({references[i]->get(), policies[i]->get(), companion_of(residuals[i]->get())});
      if constexpr (Averages) total += attune::soft_update(before, from_policy, weight, companion_of(view<Master>(residual)));
      else total += attune::hard_update(before, from_policy, companion_of(view<Master>(residual)));
      expected.push_back(before), expected_residuals.push_back(residual);
    }
    vector<attune::update_report> report(1, {7, 7, 7});
    if constexpr (Averages) attune::soft_update(machine.policy(), model, weight, report.get());
    else attune::hard_update(machine.policy(), model, report.get());
    const attune::update_report found = report.host()[0];
    ATTUNE_EXPECT(found.elements == total.elements && found.stalled == total.stalled && found.non_finite == total.non_finite);
    bool all = true, kept = true;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      all = all && same_bits(references[i]->host(), expected[i]);
      kept = kept && same_bits(residuals[i]->host(), expected_residuals[i]);
    }
    ATTUNE_EXPECT(all);
    ATTUNE_EXPECT(kept);
  }
  void about_updates() {
    const auto none = [](const auto&) { return attune::detail::no_companion{}; };
    const auto at_random = [](const auto&) { return attune::stochastic_rounding{.seed = 3, .step = 5}; };
    expect_update<float>("soft_update", 0.125, none);
    if constexpr (sizeof(T) == 2) {
      expect_update<attune::bfloat16>("soft_update with residual", 0.125, [](const auto& x) { return attune::compensation{x}; });
      expect_update<attune::bfloat16>("soft_update at random", 0.01, at_random);
      expect_update<attune::bfloat16, false>("hard_update", 1, none);
    }
    vector<float> a(as<float>({1, 2, 3, 4})), b(as<float>({5, 6, 7, 8}));
    using one = attune::device_model_tensor<float>;
    const auto refusal = [&](const std::vector<one>& model, double weight) { return error_text([&] { attune::soft_update(machine.policy(), model, weight); }); };
    ATTUNE_EXPECT(contains(refusal({{a.get(), b.get()}, {a.get(), b.get()}}, 0.5), "overlaps tensor 1 in memory"));
    ATTUNE_EXPECT(contains(refusal({{a.get(), b.get()}}, 1.5), "policy_weight is 1.5"));
    ATTUNE_EXPECT(contains(refusal({}, 0.5), "the model has no tensors"));
    attune::soft_update(machine.policy(), a.get(), b.get(), 0.5);
    ATTUNE_EXPECT(a.host() == as<float>({3, 4, 5, 6}));
  }

  /// Pairs from tokens, in one launch, against sequence_logps and evaluate of the host in double.
  template <class O> void expect_sequence_loss(const O& objective, std::int64_t pairs, std::int64_t length, bool masked, bool weighted) {
    const layout l{2 * pairs, length, length + 3, 1, 0};
    now("sequence_loss", l);
    const auto count = std::size_t(pairs);
    const std::vector<double> drawn = as_doubles(normals<A>(2 * pairs * length, 2, 41)), numbers = as_doubles(normals<A>(4 * pairs, 1, 42));
    std::vector<double> tokens = drawn, weights(count, 1);
    std::vector<std::uint8_t> mask(tokens.size(), 1);
    for (std::size_t i = 0; masked && i < mask.size(); i += 3) mask[i] = 0, tokens[i] = double(nan_f);
    for (std::size_t i = 0; weighted && i < count; ++i) weights[i] = double(static_cast<A>(0.25 * double(i % 4)));
    for (std::size_t i = 0; weighted && i < count; i += 4) tokens[i * std::size_t(length)] = double(nan_f);  // of weight 0: not read
    const std::vector<double> ref(numbers.begin(), numbers.begin() + std::ptrdiff_t(2 * count));
    const std::vector<std::int32_t> lengths(2 * count, std::int32_t(length));

    std::vector<double> sums(2 * count), d_chosen(count), d_rejected(count);
    std::vector<double> readable = tokens;
    for (double& x : readable) x = x == x ? x : 0;
    attune::sequence_logps(as_view(readable.data(), 2 * pairs, length), as_view(mask.data(), 2 * pairs, length), sums);
    const std::span<const double> s(sums), r(ref), w(weights);
    const std::span<const std::int32_t> n(lengths);
    attune::pairs<double> batch{.chosen = s.first(count), .rejected = s.last(count), .ref_chosen = r.first(count), .ref_rejected = r.last(count), .chosen_length = n.first(count),
                                .rejected_length = n.last(count)};
    if (weighted) batch.weight = w;
    const attune::report expected = attune::evaluate(objective, batch, {.chosen = d_chosen, .rejected = d_rejected});

    placed_matrix<Machine, A> logps(as<A>(tokens), l);
    vector<std::uint8_t> device_mask(mask);
    vector<A> device_ref(as<A>(ref)), device_weights(as<A>(weights)), found(2 * count, A(777)), slopes(2 * count, A(777));
    vector<std::int32_t> device_lengths(lengths);
    vector<attune::report> report(1, attune::report{});
    vector<std::byte> workspace(std::size_t(attune::sequence_loss_workspace(pairs)), std::byte{0xff});
    const auto half = [&](auto& x, bool second) {
      const auto whole = x.get();
      return view<std::remove_pointer_t<decltype(whole.data())>, 1, device>(whole.data() + (second ? pairs : 0), {pairs});
    };
    attune::pairs<A, device> on_device{.ref_chosen = half(device_ref, false), .ref_rejected = half(device_ref, true), .chosen_length = half(device_lengths, false),
                                       .rejected_length = half(device_lengths, true)};
    if (weighted) on_device.weight = device_weights.get();
    const auto run = [&] {
      attune::sequence_loss(machine.policy(), objective, logps.get(), masked ? view<const std::uint8_t, 2, device>(device_mask.get().data(), {2 * pairs, length}) : view<const std::uint8_t, 2, device>{},
                            on_device, {.chosen = half(slopes, false), .rejected = half(slopes, true)}, {.workspace = workspace.get(), .report = report.get()}, found.get());
    };
    run();
    const double tolerance = sizeof(A) == 4 ? 2e-6 : 1e-14;
    const attune::report given = report.host()[0];
    ATTUNE_EXPECT(std::abs(given.loss() - expected.loss()) <= 4 * tolerance * (1 + std::abs(expected.loss())));
    ATTUNE_EXPECT(std::abs(given.margin - expected.margin) <= 16 * tolerance * (1 + std::abs(expected.margin)));
    ATTUNE_EXPECT(given.count == expected.count && given.non_finite == 0 && given.weight == expected.weight);
    std::vector<double> slope = d_chosen, kept = sums;
    slope.insert(slope.end(), d_rejected.begin(), d_rejected.end());
    for (std::size_t i = 0; weighted && i < count; i += 4) kept[i] = kept[count + i] = 0;
    ATTUNE_EXPECT(norm_error(slopes.host(), slope) <= 8 * tolerance);
    ATTUNE_EXPECT(norm_error(found.host(), kept) <= tolerance);
    const std::vector<A> first = slopes.host();
    run();
    ATTUNE_EXPECT(same_bits(slopes.host(), first));
  }
  void about_sequence_losses() {
    expect_sequence_loss(attune::dpo{.beta = 0.3}, 9, 100, true, true);
    expect_sequence_loss(attune::simpo{}, 5, 7, false, false);
    expect_sequence_loss(attune::dpo{}, 1, 1, true, false);
    expect_sequence_loss(attune::dpo{}, 3, 300, false, true);
    vector<A> numbers(12, A(-1)), slopes(2, A(777));
    const view<A, 1, device> two(slopes.get().data(), {2});
    const auto refusal = [&](std::int64_t rows, const attune::pairs<A, device>& batch) {
      return error_text([&] { attune::sequence_loss(machine.policy(), attune::dpo{}, view<const A, 2, device>(numbers.get().data(), {rows, 3}), {}, batch, {.chosen = two, .rejected = two}); });
    };
    ATTUNE_EXPECT(contains(refusal(3, {}), "token_logps has 3 rows"));
    ATTUNE_EXPECT(contains(refusal(4, {}), "pairs.ref_chosen is missing"));
    ATTUNE_EXPECT(contains(refusal(4, {.chosen = two, .ref_chosen = two, .ref_rejected = two}), "leave them out"));
    ATTUNE_EXPECT(slopes.host() == std::vector<A>(2, A(777)));
  }

  void about_arguments() {
    const layout l{3, 100, 100, 1, 0};
    now("arguments", l);
    const std::vector<T> x = normals<T>(300, 3, 5);
    const task t{.targets = {1, 2, 3}, .coefficients = {1, 1, 1}};
    matrix logits(x, l), narrow({}, {3, 99, 99, 1, 0}), few({}, {2, 100, 100, 1, 0});
    for (const bool together : {false, true}) {
      const auto refusal = [&](view<T, 2, device> out, const task& u) {
        return error_text([&] {
          if (together) fused(logits, u, out);
          else gradient(logits, u, out);
        });
      };
      ATTUNE_EXPECT(contains(refusal(narrow.get(), t), "gradient has 99 columns; expected the logits' 100 or more"));
      ATTUNE_EXPECT(contains(refusal(few.get(), t), "gradient has 2 elements; expected 3"));
      ATTUNE_EXPECT(contains(refusal({logits.memory.data() + 1, {3, 99}, {100, 1}}, t), "expected the logits' 100 or more"));
      task cold = t;
      cold.temperature = 0;
      ATTUNE_EXPECT(contains(refusal(logits.get(), cold), "row_options.temperature is 0"));
    }
    ATTUNE_EXPECT(same_bits(logits.packed(), x));
  }
};

/// What there is to see in all types. Returns how much does not hold.
template <class Machine> int run_kernel_cases() {
  kernel_cases<Machine, float>{}.all();
  kernel_cases<Machine, attune::bfloat16>{}.all();
  kernel_cases<Machine, attune::float16>{}.about_logps();  // of other types, what they have of their own
  kernel_cases<Machine, attune::float16>{}.about_gradients();
  kernel_cases<Machine, double>{}.about_logps();
  kernel_cases<Machine, float>{}.about_sequence_losses();
  kernel_cases<Machine, double>{}.about_sequence_losses();
  return failures;
}

}  // namespace attune_test
