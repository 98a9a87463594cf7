// SPDX-License-Identifier: MIT
// The gradient of the whole trainer (model, three stages) is the derivative of its loss, however the batch is split; and the check that
// says so rejects errors.
#include "align/gradient_check.hpp"
#include "support/catch.hpp"

#include <bit>
#include <limits>

namespace {

constexpr double tolerance = 1e-7;

/// DPO against a reference that gives every completion the same probability.
struct dpo_of_policy {
  double beta = 0.1;
  template <class S> S operator()(const attune::pair<S>& x) const {
    return attune::softplus(attune::real_of<S>(attune::lane_of<S>(-beta)) * (x.chosen.logp - x.rejected.logp));
  }
};

std::vector<std::string> failures(align::check_problem& problem, const std::vector<double>& gradient) {
  std::vector<std::string> names;
  for (const auto& result : align::check_whole_model(problem, gradient, 3)) {
    if (!result.passed(tolerance)) names.push_back(result.tensor);
  }
  return names;
}

/// The gradient with an error planted between stage 2 and 3: `edit` changes d loss / d log pi.
template <class Edit> std::vector<double> gradient_with(align::check_problem& problem, Edit edit) {
  const auto scores = align::score(problem.net(), problem.parameters(), problem.rows());
  const std::size_t pairs = problem.rows().rows / 2;
  std::vector<double> d(2 * pairs);
  align::objective("dpo_of_policy", dpo_of_policy{})(align::pairs_of(scores, {}),
                                                     {.chosen = std::span(d).first(pairs), .rejected = std::span(d).last(pairs)});
  edit(d);
  align::backpropagate(problem.net(), problem.parameters(), problem.rows(), scores, d);
  return problem.net().take_gradient();
}

struct pairs_fixture {
  align::shape shape{.context = 40, .width = 16, .layers = 2, .heads = 2};
  std::vector<align::preference_tokens> tokens;
  std::vector<double> parameters = align::initial_parameters<double>(shape, 7);

  pairs_fixture() {
    for (const auto& pair : align::synthetic_preferences(6, 5).pairs) tokens.push_back(align::tokenise(pair, shape.context));
  }
  /// The gradient of a step on all six pairs, taken in micro-batches of these sizes. `poison` fills the logits first.
  std::vector<double> gradient(const std::vector<std::size_t>& split, int threads = 1, double poison = 0) const {
    align::network<double> net(shape, 12, threads);
    std::fill_n(net.logits(), 12 * shape.context * shape.padded, poison);
    std::size_t next = 0;
    for (std::size_t size : split) {
      std::vector<std::size_t> indices(size);
      for (std::size_t& i : indices) i = next++;
      align::align_micro_batch(net, parameters, align::make_batch(tokens, indices, false), {}, align::make_objective("simpo", {}), 6);
    }
    return net.take_gradient();
  }
};

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y); });
}

}  // namespace

TEST_CASE("align: the gradient of the whole trainer agrees with finite differences") {
  const std::string name = GENERATE(as<std::string>{}, "dpo", "simpo", "exo_pref", "kto", "exo_rw");
  align::check_problem problem(align::make_objective(name, {}), 1);
  for (const auto& result : align::check_whole_model(problem, problem.gradient(), 1)) {
    INFO(name << " " << result.tensor << ": finite difference " << result.expected << ", gradient " << result.given << ", error "
              << result.error);
    CHECK(result.passed(tolerance));
  }
}

TEST_CASE("align: the check rejects a backward pass that forgets a tensor, or is off by a factor") {
  align::check_problem problem(align::make_objective("dpo", {}), 1);
  const std::vector<double> gradient = problem.gradient();
  REQUIRE(failures(problem, gradient).empty());
  for (const align::tensor& t : align::tensors(problem.net().dimensions())) {
    INFO(t.name);
    std::vector<double> forgotten = gradient, scaled = gradient;
    for (std::size_t i = t.offset; i < t.offset + t.size; ++i) forgotten[i] = 0, scaled[i] *= 1 + 1e-5;
    CHECK_FALSE(failures(problem, forgotten).empty());
    CHECK_FALSE(failures(problem, scaled).empty());
  }
  std::vector<double> broken = gradient;
  broken[0] = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(failures(problem, broken).empty());
}

TEST_CASE("align: the check rejects a dropped term and a wrong sign between the stages") {
  align::check_problem problem(align::objective("dpo_of_policy", dpo_of_policy{}), 2);
  CHECK(failures(problem, gradient_with(problem, [](std::vector<double>&) {})).empty());
  CHECK_FALSE(failures(problem, gradient_with(problem, [](std::vector<double>& d) { std::fill(d.begin() + 3, d.end(), 0.0); })).empty());
  CHECK_FALSE(failures(problem, gradient_with(problem,
                                              [](std::vector<double>& d) {
                                                for (std::size_t i = 3; i < 6; ++i) d[i] = -d[i];
                                              }))
                  .empty());
}

TEST_CASE("align: a dropped softmax in stage 3 is rejected") {
  align::check_problem problem(align::make_objective("simpo", {}), 4);
  auto& net = problem.net();
  const auto& rows = problem.rows();
  const auto scores = align::score(net, problem.parameters(), rows);
  std::vector<double> d(rows.rows);
  align::make_objective("simpo", {})(align::pairs_of(scores, {}), {.chosen = std::span(d).first(3), .rejected = std::span(d).last(3)});
  const std::size_t padded = net.dimensions().padded;
  std::fill_n(net.logits(), rows.rows * rows.length * padded, 0.0);
  for (std::size_t n = 0; n < rows.rows * rows.length; ++n) {
    if (rows.mask[n]) net.logits()[n * padded + std::size_t(rows.targets[n])] = d[n / rows.length];
  }
  net.backward(problem.parameters(), rows);
  CHECK_FALSE(failures(problem, net.take_gradient()).empty());
}

TEST_CASE("align: any split into micro-batches gives the gradient of the whole batch") {
  const pairs_fixture f;
  const std::vector<double> whole = f.gradient({6});
  double norm = 0;
  for (double g : whole) norm = std::max(norm, std::abs(g));
  REQUIRE(norm > 1e-4);
  const auto split = GENERATE(std::vector<std::size_t>{4, 2}, std::vector<std::size_t>{1, 5}, std::vector<std::size_t>{1, 1, 1, 1, 1, 1});
  const std::vector<double> parts = f.gradient(split);
  double largest = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) largest = std::max(largest, std::abs(parts[i] - whole[i]));
  CHECK(largest <= 1e-13 * norm);
}

TEST_CASE("align: the gradient has the same bits for any number of threads, and does not see what is in the padding") {
  const pairs_fixture f;
  const std::vector<double> one = f.gradient({4, 2});
  CHECK(same_bits(one, f.gradient({4, 2}, 2)));
  CHECK(same_bits(one, f.gradient({4, 2}, 5)));
  CHECK(same_bits(one, f.gradient({4, 2}, 1, std::numeric_limits<double>::quiet_NaN())));
}
TEST_CASE("align: a shaping changes what an objective reads of a pair: rewards f(1) and f(0)") {
  const double chosen[] = {-3, -5}, rejected[] = {-4, -2}, reference[] = {-3.5, -3}, length[] = {4, 4};
  const attune::pairs<double> batch{.chosen = chosen, .rejected = rejected, .ref_chosen = reference, .ref_rejected = reference,
                                    .chosen_length = attune::as_view(length), .rejected_length = attune::as_view(length)};
  const auto loss = [&](const char* name, const std::string& shaping, const std::vector<std::string>& settings) {
    return align::make_objective(name, {}, shaping, settings)(batch).loss();
  };
  const auto r = align::shape_rewards("par", {"k=4"});
  CHECK(r.chosen == Approx(1 / (1 + std::exp(-4.0))).epsilon(1e-15));
  CHECK(r.rejected == 0.5);
  // REBEL regresses the difference of the log-ratios on that of the rewards.
  const auto by_hand = [&](double gap) {
    double sum = 0;
    for (int i = 0; i < 2; ++i) sum += std::pow((chosen[i] - reference[i]) - (rejected[i] - reference[i]) - gap, 2) / 2;
    return sum;
  };
  CHECK(loss("rebel", "", {}) == Approx(by_hand(1)).epsilon(1e-14));
  CHECK(loss("rebel", "par", {"k=4"}) == Approx(by_hand(r.chosen - r.rejected)).epsilon(1e-14));
  CHECK(loss("exo_rw", "reward_tanh", {}) != loss("exo_rw", "", {}));
  CHECK(loss("dpo_rw", "reward_ceiling", {"top=5"}) == loss("dpo_rw", "", {}));
  CHECK_THROWS_WITH(loss("dpo", "par", {}), "--shape par: the objective dpo reads no rewards; expected one that does, such as exo_rw or rebel");
  CHECK_THROWS_AS(loss("kto", "par", {}), attune::error);
  CHECK_THROWS_AS(loss("rebel", "length_penalty", {}), attune::error);
  CHECK_THROWS_AS(loss("rebel", "par", {"k=-1"}), attune::error);
  CHECK_THROWS_WITH(loss("rebel", "", {"k=1"}), "--set-shape k=1: expected a --shape that it is a parameter of");
}
