// SPDX-License-Identifier: MIT
// --constraint: what it reads, how completions are sampled, and that L3M keeps the policy at the limit.
#include "align/checkpoint.hpp"
#include "align/trainer.hpp"
#include "support/catch.hpp"
#include "tiny.hpp"

namespace {

using Catch::Matchers::Contains;

const auto silent = [](const char*, std::size_t, std::size_t, double) {};
const auto never = [] { return false; };

align::settings constrained_settings() {
  align::settings s = tiny_settings();
  s.constraints = {"length<=12", "reward>=0.1"};
  s.samples = 6;
  return s;
}

}  // namespace

TEST_CASE("align: constraints are read, and refused by name") {
  const auto c = align::make_constraints({"length<=12", "length>=4", "reward>=0.1"}, true);
  CHECK(c[0].name == "length<=");
  CHECK(c[0].limit == 12);
  CHECK(c[1].side == attune::bound::at_least);
  CHECK_THROWS_WITH(align::make_constraints({"size<=12"}, true), Contains("size<=12") && Contains("length or reward"));
  CHECK_THROWS_WITH(align::make_constraints({"reward>=1"}, false), Contains("synthetic"));
  CHECK_THROWS_WITH(align::make_constraints({"length<=12", "length<=13"}, true), Contains("one limit"));
  CHECK_THROWS_AS(align::make_constraints({"length=12"}, true), attune::error);
  auto s = constrained_settings();
  s.samples = 1;
  CHECK_THROWS_WITH(align::trainer(s, align::synthetic_preferences(s.pairs, 1).pairs), Contains("--samples"));
}

TEST_CASE("align: the quantities of a completion") {
  CHECK(align::synthetic_reward("formal:", " kind cool wise xx") == .5);
  CHECK(align::synthetic_reward("casual:", " kind cool wise xx") == .25);
  CHECK(align::synthetic_reward("casual:", "  ") == 0);
  const align::preference_tokens y = align::tokenise({"casual:", " cool kind", " x"}, 40);
  const auto c = align::make_constraints({"length<=12", "reward>=0.1"}, true);
  CHECK(align::quantity_of(c[0], y) == 11);  // and the end token
  CHECK(align::quantity_of(c[1], y) == .5f);
}

TEST_CASE("align: tokens are drawn with the probabilities of the softmax") {
  const std::vector<float> logits{std::log(.5f) + 7, std::log(.2f) + 7, -100, std::log(.3f) + 7};
  align::random_source random(1, 2);
  std::vector<int> counts(4);
  for (int i = 0; i < 40000; ++i) ++counts[std::size_t(align::draw_token(std::span<const float>(logits), random))];
  CHECK(counts[0] / 40000.0 == Approx(.5).margin(.01));  // four standard deviations
  CHECK(counts[1] / 40000.0 == Approx(.2).margin(.008));
  CHECK(counts[2] == 0);
}

TEST_CASE("align: a token that is added gives the logits of a pass over the whole sequence") {
  const auto s = tiny_settings();
  align::network<double> net(s.model, 2, 1);
  const auto parameters = align::initial_parameters<double>(s.model, 3);
  const std::vector<align::preference_tokens> pairs{align::tokenise({"casual:", "xyz", "y"}, s.model.context), align::tokenise({"a much longer prompt", "b", "y"}, s.model.context)};
  const std::vector<std::size_t> all{0, 1};
  const align::batch whole = align::make_batch(pairs, all, /*chosen_only=*/true);
  net.forward(parameters, whole);
  const std::size_t row_size = whole.length * s.model.padded;
  const std::vector<double> expected(net.logits(), net.logits() + 2 * row_size);
  std::vector<align::preference_tokens> start = pairs;
  for (auto& p : start) p.chosen.resize(3);  // two positions
  net.forward(parameters, align::make_batch(start, all, /*chosen_only=*/true));
  for (std::size_t t = 2; t < whole.length; ++t) {
    std::vector<align::network<double>::added_token> added;
    for (std::size_t row : all) {
      if (t < whole.used[row]) added.push_back({row, t, pairs[row].chosen[t]});
    }
    net.forward_next(parameters, added);
    for (const auto& x : added) {
      for (std::size_t v = 0; v < s.model.vocabulary; ++v) {
        CHECK(net.next_logits(x.row)[v] == Approx(expected[x.row * row_size + t * s.model.padded + v]).epsilon(1e-12).margin(1e-13));
      }
    }
  }
}

TEST_CASE("align: completions go on from their prompt to the end token or the end of the context") {
  const auto s = tiny_settings();
  align::network<float> net(s.model, 4, 1);
  const auto parameters = align::initial_parameters<float>(s.model, 3);
  std::vector<align::preference_tokens> prompts;
  for (const char* p : {"casual:", "a much longer prompt, of 30 byte", ""}) prompts.push_back(align::tokenise({p, "x", "y"}, s.model.context));
  align::random_source random(5, 6);
  for (int i = 0; i < 20; ++i) {
    const auto samples = align::sample_completions(net, parameters, prompts, random);
    REQUIRE(samples.size() == 3);
    for (std::size_t k = 0; k < 3; ++k) {
      const auto& tokens = samples[k].chosen;
      REQUIRE(tokens.size() > prompts[k].prompt);
      CHECK(std::equal(tokens.begin(), tokens.begin() + std::ptrdiff_t(prompts[k].prompt), prompts[k].chosen.begin()));
      CHECK(tokens.size() <= s.model.context + 1);
      CHECK((tokens.back() == align::end_token || tokens.size() == s.model.context + 1));
      CHECK(std::count(tokens.begin(), tokens.end() - 1, align::end_token) == 0);
    }
  }
}

TEST_CASE("align: a constrained run that is interrupted and resumed takes the steps of one that is not, and logs its constraints") {
  const auto s = constrained_settings();
  const auto pairs = align::synthetic_preferences(s.pairs, 1).pairs;
  align::trainer whole(s, pairs), part(s, pairs), rest(s, pairs);
  whole.fit(silent, never), whole.align(silent, never);
  part.fit(silent, never), part.align(silent, [&] { return part.state().done == 3; });
  const scratch_folder folder("constrained");
  align::save_checkpoint(folder.file("c.bin"), part.state(), s, 1);
  align::load_checkpoint(folder.file("c.bin"), rest.state(), s, 1);
  rest.fit(silent, never), rest.align(silent, never);
  CHECK(rest.state().policy == whole.state().policy);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(rest.state().l3m.constraints[i].multiplier == whole.state().l3m.constraints[i].multiplier);
    CHECK(rest.state().l3m.constraints[i].estimate.value() == whole.state().l3m.constraints[i].estimate.value());
    CHECK(rest.state().l3m.constraints[i].estimate.count == 8);
  }
  int logged = 0;
  for (const auto& r : rest.state().history) {
    if (r.constraints.empty()) continue;
    ++logged;
    REQUIRE(r.constraints.size() == 2);
    CHECK(r.constraints[0].slack == Approx((12 - r.constraints[0].average) / 12));  // in units of the limit
    CHECK(r.constraints[1].multiplier > 0);
  }
  CHECK(logged == 4);
  auto other = s;
  other.constraints = {"length<=13"};
  CHECK_THROWS_WITH(align::load_checkpoint(folder.file("c.bin"), rest.state(), other, 1), Contains("constraints"));
}

TEST_CASE("align: a limit on the length shortens what the policy writes, and without one it does not") {
  auto s = constrained_settings();
  s.constraints = {"length<=12"};
  s.samples = 16, s.steps = 60, s.rate = 5e-3;
  align::trainer t(s, align::synthetic_preferences(s.pairs, 1).pairs);
  t.fit(silent, never);
  const double before = t.sampled_averages(t.state().initial)[0];
  t.align(silent, never);
  const double after = t.sampled_averages(t.state().policy)[0];
  INFO(before << " to " << after);
  CHECK(before > 16);
  CHECK(after < 14);
  CHECK(after > 4);
}
