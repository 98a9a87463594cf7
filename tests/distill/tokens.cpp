// SPDX-License-Identifier: MIT
// Distillation on the tokens that the student has sampled: exact enumeration, hand values, layouts.
#include <attune/distill/on_policy.hpp>
#include <attune/distill/position_weights.hpp>
#include <attune/distill/reward_to_go.hpp>

#include "rows/support.hpp"
#include "support/allocation_counter.hpp"
#include "support/catch.hpp"

#include <algorithm>

using namespace attune_test;
using attune::packed;
using attune::row_report;
using attune::distill::on_policy_advantages;
using attune::distill::position_weights;
using attune::distill::reward_to_go;
using attune::distill::token_layout;

namespace {

using row = std::vector<double>;
view<double, 2> one_row(row& x) { return as_view(x.data(), std::int64_t{1}, std::int64_t(x.size())); }
view<const double, 2> one_row(const row& x) { return as_view(x.data(), std::int64_t{1}, std::int64_t(x.size())); }

/// Sequences of two tokens, three classes each: the logits of the first, then those of the second after each of the three.
struct tree {
  row logits;
  double log_probability(int at, int y) const {
    double sum = 0;
    for (int v = 0; v < 3; ++v) sum += std::exp(logits[std::size_t(3 * at + v)]);
    return logits[std::size_t(3 * at + y)] - std::log(sum);
  }
  void add_score(int at, int y, double scale, row& gradient) const {  // scale grad log pi(y)
    for (int v = 0; v < 3; ++v) gradient[std::size_t(3 * at + v)] += scale * ((v == y) - std::exp(log_probability(at, v)));
  }
};
template <class Visit> void for_sequences(const Visit& visit) {
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b) visit(a, b);
  }
}
double kl(const tree& student, const tree& teacher) {  // of whole sequences
  double sum = 0;
  for_sequences([&](int a, int b) {
    const double pi = student.log_probability(0, a) + student.log_probability(a + 1, b);
    const double p = teacher.log_probability(0, a) + teacher.log_probability(a + 1, b);
    sum += std::exp(pi) * (pi - p);
  });
  return sum;
}
/// The exact mean of -advantage grad log pi, with the advantages that `finish` makes of the tokens' own.
template <class Finish> row mean_gradient(const tree& student, const tree& teacher, const Finish& finish) {
  row gradient(12, 0);
  for_sequences([&](int a, int b) {
    const row own{student.log_probability(0, a), student.log_probability(a + 1, b)};
    const row theirs{teacher.log_probability(0, a), teacher.log_probability(a + 1, b)};
    row advantages(2);
    on_policy_advantages(one_row(theirs), one_row(own), one_row(advantages));
    finish(advantages);
    const double share = std::exp(own[0] + own[1]);
    student.add_score(0, a, -share * advantages[0], gradient);
    student.add_score(a + 1, b, -share * advantages[1], gradient);
  });
  return gradient;
}

}  // namespace

TEST_CASE("on-policy distillation: the mean of its gradient is that of the KL to the teacher, by exact enumeration") {
  const tree student{normals<double>(12, 1, 41)}, teacher{normals<double>(12, 1, 42)};
  const auto sequence_kl = [&](const row& x) { return kl(tree{x}, teacher); };
  const auto to_go = mean_gradient(student, teacher, [](row& r) { reward_to_go(one_row(r), one_row(r)); });
  CHECK(gradient_error(sequence_kl, student.logits, to_go) < 1e-10);
  const auto tokens = mean_gradient(student, teacher, [](row&) {});
  CHECK(gradient_error(sequence_kl, student.logits, tokens) > 1e-3);  // it ignores what the first token does to the second
  const auto token_kl = [&](const row& x) {  // of every position, where the student as it is goes
    const tree moved{x};
    double sum = 0;
    for (int at = 0; at < 4; ++at) {
      const double visited = at == 0 ? 1 : std::exp(student.log_probability(0, at - 1));
      for (int v = 0; v < 3; ++v) {
        const double pi = moved.log_probability(at, v);
        sum += visited * std::exp(pi) * (pi - teacher.log_probability(at, v));
      }
    }
    return sum;
  };
  CHECK(gradient_error(token_kl, student.logits, tokens) < 1e-10);
  const auto wrong = mean_gradient(student, teacher, [](row& r) { r[0] = -r[0]; });
  CHECK(gradient_error(token_kl, student.logits, wrong) > 1e-3);
}

TEST_CASE("on-policy advantages: values, a limit, and what is not a number") {
  const row teacher{-1, -2, -9, nan_f, -inf_f, -inf_f}, student{-1.5, -1, -1, -1, -1, -inf_f};
  row a(6, 7);
  row_report report = on_policy_advantages(one_row(teacher), one_row(student), one_row(a));
  CHECK((a[0] == 0.5 && a[1] == -1 && a[2] == -8 && std::isnan(a[3]) && a[4] == -inf_f && std::isnan(a[5])));
  CHECK((report.rows == 6 && report.masked == 0 && report.non_finite == 3));
  report = on_policy_advantages(one_row(teacher), one_row(student), one_row(a), {}, 5);
  CHECK((a[0] == 0.5 && a[2] == -5 && std::isnan(a[3]) && a[4] == -5 && std::isnan(a[5])));
  CHECK(report.non_finite == 2);
}

TEST_CASE("position weights (IW-OPD) by hand: from 1 + gamma down, by what lies before a token") {
  row w(4, 7);
  position_weights(one_row(row{1, -1, 2, 0}), one_row(w));
  CHECK((w[0] == 1.5 && w[1] == 1.375 && w[2] == 1.25 && w[3] == 1));
  position_weights(one_row(row{0, 0, 0, 0}), one_row(w), 2);
  CHECK(w == row(4, 3));
  position_weights(one_row(row{1, 2, 3, 4}), one_row(w), 0);
  CHECK(w == row(4, 1));
  row in_place{3, 1};
  position_weights(one_row(in_place), one_row(in_place));
  CHECK((in_place[0] == 1.5 && in_place[1] == 1.125));
  CHECK(position_weights(one_row(row{1, nan_f, 2, 0}), one_row(w)).non_finite == 4);
  CHECK(std::isnan(w[0]));
}

TEST_CASE("reward to go (MiniLLM) is its sum, with gamma^(i - t), and normalised the mean that TRL's powers of i also give") {
  const row r{1, -2, 0.5, 4, -1};
  row g(5);
  for (double gamma : {0.0, 0.5, 0.9, 1.0}) {
    for (bool normalised : {false, true}) {
      reward_to_go(one_row(r), one_row(g), {}, {.gamma = gamma, .length_normalised = normalised});
      for (std::size_t t = 0; t < 5; ++t) {
        double sum = 0, weight = 0, powers = 0, peers = 0;
        for (std::size_t i = t; i < 5; ++i) {
          sum += std::pow(gamma, double(i - t)) * r[i];
          weight += std::pow(gamma, double(i - t));
          peers += std::pow(gamma, double(i)) * r[i];
          powers += std::pow(gamma, double(i));
        }
        CHECK(g[t] == Approx(normalised ? sum / weight : sum).epsilon(1e-14));
        if (normalised && gamma > 0) CHECK(g[t] == Approx(peers / powers).epsilon(1e-12));
        if (!normalised && gamma == 0.5 && t > 0) CHECK(g[t] != Approx(peers).epsilon(1e-6));  // without it TRL's is another number
      }
    }
  }
  const row broken{1, nan_f, 2};
  row h(3);
  CHECK(reward_to_go(one_row(broken), one_row(h), {}, {.gamma = 0}).non_finite == 1);
  CHECK((h[0] == 1 && h[2] == 2));
  CHECK(reward_to_go(one_row(broken), one_row(h)).non_finite == 2);
}

TEST_CASE("tokens of distillation: left and right padding, strides and packing give the same bits, padding is not read") {
  const std::vector<std::vector<float>> teacher{{-1.1f, -0.3f, -2.7f}, {-0.9f}, {}, {-3.3f, -0.1f, -0.7f, -1.9f, -0.2f}};
  std::vector<std::vector<float>> student = teacher;
  for (auto& s : student) {
    for (std::size_t t = 0; t < s.size(); ++t) s[t] = s[t] * 0.7f - 0.1f * float(t);
  }
  const auto all = [](auto teacher_tokens, auto student_tokens, auto out, const token_layout& layout, int which) {
    row_report report = on_policy_advantages(teacher_tokens, student_tokens, out, layout, 0.6);
    if (which == 1) report = position_weights(out, out, 0.5, layout);
    if (which == 2) report = reward_to_go(out, out, layout, {.gamma = 0.95});
    if (which == 3) report = reward_to_go(out, out, layout, {.gamma = 0.9, .length_normalised = true});
    return report;
  };
  for (int which = 0; which < 4; ++which) {
    std::vector<float> p{nan_f}, q{nan_f}, wanted;
    std::vector<std::int64_t> offsets{1};  // two tokens belong to no sequence: the first and the last
    for (std::size_t s = 0; s < 4; ++s) {
      p.insert(p.end(), teacher[s].begin(), teacher[s].end());
      q.insert(q.end(), student[s].begin(), student[s].end());
      offsets.push_back(std::int64_t(p.size()));
    }
    p.push_back(nan_f);
    q.push_back(nan_f);
    std::vector<float> out(p.size(), 7);
    row_report report = all(packed(p), packed(q), packed(out), {.offsets = offsets}, which);
    CHECK((report.rows == 11 && report.masked == 2 && report.non_finite == 0));
    CHECK((out.front() == 0 && out.back() == 0));
    wanted.assign(out.begin() + 1, out.end() - 1);
    for (const std::size_t left : {std::size_t{0}, std::size_t{1}, std::size_t{6}}) {
      std::vector<float> a(4 * 12, nan_f), b(4 * 12, inf_f), c(4 * 12, 7.0f), found;
      std::vector<std::uint8_t> mask(4 * 12, 0);
      for (std::size_t s = 0; s < 4; ++s) {
        for (std::size_t t = 0; t < teacher[s].size(); ++t) {
          const std::size_t i = 12 * s + left + t + (t > 0 ? 1 : 0);  // and a gap after the first token
          a[i] = teacher[s][t];
          b[i] = student[s][t];
          mask[i] = 1;
        }
      }
      const placed<float> x(a, 4, 12, -12, 1, 3), y(b, 4, 12, 1, 4, 3);
      placed<float> z(c, 4, 12, 30, 2, 3);
      report = all(x.matrix, y.matrix, z.matrix, {.mask = as_view(mask.data(), 4, 12)}, which);
      CHECK((report.rows == 48 && report.masked == 39 && report.non_finite == 0));
      const auto result = z.packed();
      for (std::size_t i = 0; i < 48; ++i) {
        if (mask[i] != 0) found.push_back(result[i]);
        else CHECK(result[i] == 0);
      }
      CHECK(same_bits(found, wanted));
    }
  }
}

TEST_CASE("tokens of distillation: nothing is allocated, bad input is refused before anything is written") {
  row a{-1, -2}, b{-2, -1}, out(2, 7), longer(3, 7);
  const auto refused = [&](const auto& call, const char* part) {
    INFO(part);
    CHECK(contains(error_text(call), part));
    CHECK((out == row(2, 7) && longer == row(3, 7)));
  };
  refused([&] { on_policy_advantages(one_row(a), one_row(longer), one_row(out)); }, "student_logps (in columns)");
  refused([&] { on_policy_advantages(one_row(a), one_row(b), one_row(longer)); }, "advantages (in columns)");
  for (double limit : {0.0, -1.0, std::nan("")}) refused([&] { on_policy_advantages(one_row(a), one_row(b), one_row(out), {}, limit); }, "limit");
  for (double gamma : {-0.5, double(inf_f), std::nan("")}) refused([&] { position_weights(one_row(a), one_row(out), gamma); }, "gamma");
  for (double gamma : {-0.5, 1.5, std::nan("")}) refused([&] { reward_to_go(one_row(a), one_row(out), {}, {.gamma = gamma}); }, "gamma");
  refused([&] { position_weights(one_row(a), one_row(longer)); }, "weights (in columns)");
  refused([&] { reward_to_go(one_row(a), one_row(longer)); }, "results (in columns)");
  const std::vector<std::uint8_t> mask(3, 1);
  refused([&] { reward_to_go(one_row(a), one_row(out), {.mask = as_view(mask.data(), 1, 3)}); }, "mask (in columns)");
  const std::vector<std::int32_t> falling{0, 2, 1};
  refused([&] { position_weights(one_row(a), one_row(out), 0.5, {.offsets = falling}); }, "offsets[2]");
  const auto before = attune_test::allocations();
  on_policy_advantages(one_row(a), one_row(b), one_row(out));
  position_weights(one_row(out), one_row(out));
  reward_to_go(one_row(out), one_row(out));
  CHECK(attune_test::allocations() == before);
}
