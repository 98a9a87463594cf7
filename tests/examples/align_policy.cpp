// SPDX-License-Identifier: MIT
// --policy: rewards and advantages, the gradient through tokens, that rewards rise, and what is refused.
#include "align/checkpoint.hpp"
#include "align/policy_check.hpp"
#include "align/report.hpp"
#include "align/trainer.hpp"
#include "support/catch.hpp"
#include "tiny.hpp"

#include <fstream>
#include <functional>

namespace {

using Catch::Matchers::Contains;

const auto silent = [](const char*, std::size_t, std::size_t, double) {};
const auto never = [] { return false; };

align::settings policy_settings(const std::string& name = "grpo") {
  align::settings s = tiny_settings();
  s.policy.name = name;
  s.policy.reward = "similar";
  s.policy.group = 4;
  s.policy.updates = 2;
  s.policy.entropy_coefficient = 0.01;
  s.batch = 3;
  s.steps = 4;
  return s;
}
align::policy_objective objective_of(const align::settings& s) { return align::make_policy_objective(s.policy, s.set, s.model.context); }

/// Completions of a fresh model in double, as a step has them.
struct written {
  align::settings s = policy_settings();
  std::vector<double> parameters = align::initial_parameters<double>(s.model, 7), reference = align::initial_parameters<double>(s.model, 8);
  std::vector<align::preference_tokens> samples;
  std::vector<double> advantages{1, -1, .5, -.25, -.25, 2, -1};
  std::size_t tokens = 0;

  written() {
    for (const auto& pair : align::synthetic_preferences(advantages.size(), 5).pairs) samples.push_back(align::tokenise(pair, s.model.context));
  }
  /// The gradient of the loss with the tokens' log-probabilities shifted to ratios that are not 1.
  std::vector<double> gradient(const align::policy_objective& o, std::size_t rows, int threads = 1, double shift = 0) {
    align::network<double> net(s.model, rows, threads);
    auto parts = align::parts_of(net, parameters, reference, samples, advantages);
    tokens = 0;
    for (const auto& part : parts) tokens += part.rows.active();
    for (auto& part : parts) {
      for (double& x : part.old_logp) x -= shift;
      const auto scores = align::score_tokens(net, parameters, part.rows);
      const auto g = align::evaluate_part(part, scores, o, align::select_tokens(part, scores, o, 1), o.denominator(tokens, samples.size()));
      align::backpropagate_tokens(net, parameters, part.rows, scores, g.d_logp, g.d_entropy);
    }
    return net.take_gradient();
  }
};

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return ab / std::sqrt(aa * bb);
}

std::string refusal(const std::function<void(align::settings&)>& change) {
  align::settings s = policy_settings();
  change(s);
  try {
    align::trainer t(s, align::synthetic_preferences(10, 1).pairs);
  } catch (const attune::error& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("align: rewards are functions of the text, in [0, 1]") {
  const auto worth = [](const char* reward, const std::string& completion) {
    return align::make_reward(reward, true)({"casual:", completion, " cool yeah"});
  };
  CHECK(worth("length:8", "12345678") == 1);
  CHECK(worth("length:8", "123456") == .75);
  CHECK(worth("length:8", "1234567890") == .75);
  CHECK(worth("length:8", std::string(17, 'x')) == 0);
  CHECK(worth("length:8", "") == 0);
  CHECK(worth("share:ae:", "a:bc") == .5);  // a colon is a character
  CHECK(worth("share:ae", "") == 0);
  CHECK(worth("similar", " cool yeah") == 1);
  CHECK(worth("similar", " wild yeah") == 1);
  CHECK(worth("similar", "yeah ") == .25);
  CHECK(worth("similar", "xxxah") == .5 * (.5 + .5));
  CHECK(worth("similar", "") == 0);
  CHECK(worth("register", " cool kind") == .5);
  for (const char* reward : {"length", "length:", "length:0", "length:x", "length:8x", "length:nan", "share", "share:", "similar:3", "register:1", "nonsense"}) {
    INFO(reward);
    CHECK_THROWS_WITH(align::make_reward(reward, true), Contains(reward) && Contains("expected"));
  }
  CHECK_THROWS_WITH(align::make_reward("register", false), Contains("synthetic"));
}

TEST_CASE("align: advantages by name, and by that of the objective") {
  const std::vector<float> rewards{1, 0, 0, 1, .5f, .5f, .5f, .5f}, lengths{4, 1, 1, 2, 3, 3, 3, 3};
  const auto form = [&](const std::string& name) {
    std::vector<float> result(8);
    const auto report = align::find_advantage(name, "").form({rewards, lengths, 4}, result);
    CHECK(report.groups == 2);
    CHECK(report.constant == 1);
    for (std::size_t i = 4; i < 8; ++i) CHECK(result[i] == 0);
    return result;
  };
  CHECK(form("grpo")[0] == Approx(.5 / (std::sqrt(1 / 3.) + 1e-4)));
  CHECK(form("dr_grpo")[0] == .5f);
  CHECK(form("rloo")[0] == Approx(2 / 3.));
  CHECK(form("lite_ppo")[0] == Approx(.5 / (std::sqrt(1 / 7.) + 1e-4)));
  CHECK(form("leave_one_out_normalised")[0] == Approx(2 / 3. / (std::sqrt(1 / 3.) + 1e-6)));
  CHECK(form("reinforce_plus_plus_baseline")[0] == Approx(.5 / std::sqrt(1 / 7.)));
  CHECK(form("opo")[0] == Approx(.25));
  CHECK(form("gpg")[0] == Approx(.5 * 8 / 6.));
  CHECK(form("pass_at_k")[0] == 0);
  CHECK(align::advantage_names().size() == 9);
  CHECK(std::string(align::find_advantage("", "rloo").name) == "rloo");
  CHECK(std::string(align::find_advantage("", "gspo").name) == "grpo");
  CHECK(std::string(align::find_advantage("opo", "rloo").name) == "opo");
  CHECK_THROWS_WITH(align::find_advantage("gae", "grpo"), Contains("gae") && Contains("dr_grpo, rloo"));
}

TEST_CASE("align: a name chooses ratio and mean, and --reduction another mean") {
  using attune::ratio_level, attune::token_reduction;
  const auto named = [](const char* name, const char* reduction = "") {
    auto s = policy_settings(name);
    s.policy.reduction = reduction;
    return objective_of(s);
  };
  CHECK(named("dapo").reduction == token_reduction::token_mean);
  CHECK_FALSE(named("dapo").options.ratio);
  CHECK(named("grpo").reduction == token_reduction::sequence_mean_token_mean);
  CHECK(named("dr_grpo").options.constant_length == 40);
  CHECK(named("gspo").options.ratio == ratio_level::sequence);
  CHECK(named("gspo_token").options.ratio == ratio_level::sequence_token);
  CHECK(named("luspo").reduction == token_reduction::sequence_mean_token_sum);
  CHECK(named("rloo").options.ratio == ratio_level::sequence_sum);
  CHECK(named("gmpo").on_float.ratio().upper == 0.4);
  CHECK(named("grpo", "token_sum").denominator(70, 7) == 1);
  CHECK(named("grpo", "token_mean").denominator(70, 7) == 70);
  CHECK(named("grpo").denominator(70, 7) == 7);
  CHECK(named("grpo", "constant_length").options.constant_length == 40);
  CHECK_THROWS_WITH(named("grpo", "mean"), Contains("--reduction mean") && Contains("token_mean"));
}

TEST_CASE("align: the gradient through sampled tokens agrees with finite differences, of the whole trainer") {
  auto s = policy_settings(GENERATE(as<std::string>{}, "grpo", "gspo", "rloo", "gmpo", "cispo", "kl_cov"));
  s.policy.entropy_coefficient = 0.3;
  s.policy.kl = s.policy.name == "rloo" ? "k3+" : s.policy.name == "gspo" ? "k2" : "";
  s.policy.kl_coefficient = 0.5;
  align::policy_check_problem problem(objective_of(s), 1);
  CHECK(problem.report().old_kl > 0);
  if (s.policy.name == "grpo") CHECK(problem.report().clip_ratio() > 0);
  const auto gradient = problem.gradient();
  for (const auto& result : align::check_whole_model(problem, gradient, 1)) {
    INFO(s.policy.name << " " << result.tensor << ": " << result.expected << " and " << result.given << ", error " << result.error);
    CHECK(result.passed(1e-7));
  }
  auto scaled = gradient;
  for (double& x : scaled) x *= 1 + 1e-5;
  const auto rejected = align::check_whole_model(problem, scaled, 1);
  CHECK(std::any_of(rejected.begin(), rejected.end(), [](const auto& r) { return !r.passed(1e-7); }));
}

TEST_CASE("align: a KL term, an entropy term and a dropped one change the gradient through sampled tokens") {
  written w;
  auto s = policy_settings();
  const auto gradient = [&](double kl, double entropy, const char* estimator = "") {
    s.policy.kl_coefficient = kl, s.policy.entropy_coefficient = entropy, s.policy.kl = estimator;
    return w.gradient(objective_of(s), 4);
  };
  const auto plain = gradient(0, 0), with_kl = gradient(0.5, 0), with_entropy = gradient(0, 0.5), with_k2 = gradient(0.5, 0, "k2");
  CHECK(cosine(plain, with_kl) < 0.999);
  CHECK(cosine(plain, with_entropy) < 0.999);
  CHECK(cosine(with_kl, with_k2) < 0.999);
  CHECK(gradient(0.5, 0, "k3+") == with_k2);  // the value of k3, the gradient of k2
}

TEST_CASE("align: any split of a step into parts gives one gradient, and any number of threads the same bits") {
  written w;
  auto s = policy_settings(GENERATE(as<std::string>{}, "dapo", "grpo", "gspo", "rloo", "dr_grpo"));
  const auto o = objective_of(s);
  const auto whole = w.gradient(o, 7, 1, 0.05), parts = w.gradient(o, 3, 1, 0.05), single = w.gradient(o, 1, 1, 0.05);
  double norm = 0;
  for (double g : whole) norm = std::max(norm, std::abs(g));
  REQUIRE(norm > 1e-4);
  double largest = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) largest = std::max({largest, std::abs(parts[i] - whole[i]), std::abs(single[i] - whole[i])});
  CHECK(largest <= 1e-13 * norm);
  CHECK(w.gradient(o, 3, 3, 0.05) == parts);
}

TEST_CASE("align: on its own samples every objective goes the way of REINFORCE") {
  written w;
  auto s = policy_settings("reinforce");
  s.policy.kl_coefficient = s.policy.entropy_coefficient = 0;
  const auto expected = w.gradient(objective_of(s), 4);
  for (const std::string& name : align::policy_names()) {
    if (name == "awr") continue;  // advantages only weigh a likelihood
    INFO(name);
    s.policy.name = name;
    CHECK(cosine(w.gradient(objective_of(s), 4), expected) > 0.8);
  }
}

TEST_CASE("align: every policy-gradient objective of the catalogue trains, and nothing is NaN") {
  const auto s = policy_settings(GENERATE(from_range(align::policy_names())));
  INFO(s.policy.name);
  align::trainer t(s, align::synthetic_preferences(s.pairs, 1).pairs);
  t.fit(silent, never);
  CHECK_FALSE(t.align(silent, never));
  CHECK(t.state().policy != t.state().initial);
  CHECK(std::all_of(t.state().policy.begin(), t.state().policy.end(), [](float x) { return std::isfinite(x); }));
  CHECK(t.state().optimiser.step == 8);  // two updates a step
  int logged = 0;
  for (const auto& r : t.state().history) {
    if (r.phase != "align" || r.split != "train") continue;
    ++logged;
    CHECK(r.found.policy.updates == 4);
    CHECK(r.found.policy.rewards.count == 24);
    CHECK(r.found.policy.tokens.non_finite == 0);
    CHECK(std::isfinite(r.found.policy.tokens.loss()));
    CHECK(r.found.policy.tokens.entropy > 0);
    CHECK(r.found.policy.tokens.old_kl > (s.policy.name == "reinforce" || s.policy.name == "gpg" ? -1 : 0));  // the second update is off policy
  }
  CHECK(logged == 2);
}

TEST_CASE("align: the first gradient step on a step's samples has ratios of 1, later ones have not") {
  auto s = policy_settings();
  s.policy.kl_coefficient = s.policy.entropy_coefficient = 0;
  align::network<float> net(s.model, 4, 1);
  auto parameters = align::initial_parameters<float>(s.model, 3);
  const align::on_policy policy(s);
  std::vector<align::preference_tokens> prompts;
  for (const auto& pair : align::synthetic_preferences(3, 5).pairs) prompts.push_back(align::tokenise(pair, s.model.context));
  const auto step = policy.sample(net, parameters, parameters, prompts, align::random_source(1, 2));
  REQUIRE(step.completions == 12);
  const auto first = policy.gradient(net, parameters, step, align::random_source(1));
  CHECK(first.old_kl == 0);
  CHECK(first.clip_ratio() == 0);
  CHECK(first.kl == 0);
  CHECK(first.loss() == Approx(0).margin(1e-6));  // minus the mean advantage
  CHECK(first.sequences == 12);
  CHECK(first.count == std::int64_t(step.tokens));
  align::adam optimiser(net.count());
  optimiser.update(parameters, net.take_gradient(), 0.01);
  const auto second = policy.gradient(net, parameters, step, align::random_source(1));
  CHECK(second.old_kl > 0);
  CHECK(second.clip_ratio() > 0);
  CHECK(second.loss() < first.loss());
}

TEST_CASE("align: the policy gradient raises the reward of what the model writes, also to prompts that it has not seen") {
  auto s = policy_settings(GENERATE(as<std::string>{}, "grpo", "gspo"));
  s.policy.reward = "length:12";
  s.policy.group = 6, s.policy.entropy_coefficient = 0;
  s.batch = 4, s.steps = 25, s.rate = 8e-3, s.holdout = 0.5, s.evaluate_every = 100;
  align::trainer t(s, align::synthetic_preferences(s.pairs, 1).pairs);
  t.fit(silent, never);
  const auto train_before = t.evaluate(t.state().initial, t.train()).policy, before = t.evaluate(t.state().initial, t.heldout()).policy;
  t.align(silent, never);
  const auto train = t.evaluate(t.state().policy, t.train()).policy, after = t.evaluate(t.state().policy, t.heldout()).policy;
  INFO(s.policy.name << ": " << before.rewards.mean << " to " << after.rewards.mean << ", train " << train_before.rewards.mean << " to " << train.rewards.mean);
  CHECK(before.rewards.count == 20);
  CHECK(train.rewards.mean > train_before.rewards.mean + 0.25);
  CHECK(after.rewards.mean > before.rewards.mean + 0.25);
  CHECK(train.lengths.mean < before.lengths.mean);
  CHECK(before.tokens.kl == 0);
  CHECK(train.tokens.kl > 0);
}

TEST_CASE("align: an on-policy run that is interrupted and resumed takes the steps of one that is not, whatever the threads") {
  auto s = policy_settings(GENERATE(as<std::string>{}, "grpo", "clip_cov"));
  s.reference = s.policy.name == "grpo" ? "soft:0.6" : "frozen";
  s.sft_steps = 60, s.sft_rate = 1e-2;  // probabilities that differ, so that clip_cov has tokens to choose from
  const auto pairs = align::synthetic_preferences(s.pairs, 1).pairs;
  align::trainer whole(s, pairs), part(s, pairs);
  whole.fit(silent, never), whole.align(silent, never);
  part.fit(silent, never), part.align(silent, [&] { return part.state().done == 3; });
  const scratch_folder folder("policy");
  align::save_checkpoint(folder.file("c.bin"), part.state(), s, 1);
  auto other = s;
  other.threads = 3;
  align::trainer rest(other, pairs);
  align::load_checkpoint(folder.file("c.bin"), rest.state(), other, 1);
  rest.fit(silent, never), rest.align(silent, never);
  CHECK(rest.state().policy == whole.state().policy);
  CHECK(rest.state().reference == whole.state().reference);
  CHECK(rest.state().optimiser.v == whole.state().optimiser.v);
  align::write_csv(folder.path.string(), whole.state().history);
  const auto read = [&] {
    std::ifstream file(folder.file("metrics.csv"));
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string metrics = read();
  CHECK_THAT(metrics, Contains("phase,split,step,loss,reward,reward_std,frac_reward_zero_std,kl,ppo_kl,entropy,clip_ratio/low_mean,"));
  align::write_csv(folder.path.string(), rest.state().history);
  CHECK(read() == metrics);

  for (const auto& change : std::vector<std::function<void(align::settings&)>>{[](auto& x) { x.policy.updates = 3; }, [](auto& x) { x.policy.reward = "length:9"; },
                                                                               [](auto& x) { x.policy.kl = "k2"; }, [](auto& x) { x.policy = {}; }}) {
    auto changed = s;
    change(changed);
    CHECK_THROWS_WITH(align::load_checkpoint(folder.file("c.bin"), rest.state(), changed, 1), Contains("the checkpoint was made with"));
  }
}

TEST_CASE("align: what has no meaning with --policy, or without it, is refused by name") {
  CHECK(refusal([](auto&) {}) == "accepted");
  CHECK_THAT(refusal([](auto& s) { s.policy.name = "dpo"; }), Contains("--policy dpo") && Contains("ppo") && Contains("gspo"));
  CHECK_THAT(refusal([](auto& s) { s.policy.name = ""; }), Contains("--policy"));
  CHECK_THAT(refusal([](auto& s) { s.policy = {}, s.policy.updates = 2; }), Contains("--policy"));
  CHECK_THAT(refusal([](auto& s) { s.policy.reward = ""; }), Contains("--reward"));
  CHECK_THAT(refusal([](auto& s) { s.policy.reward = "register", s.data = "file"; }), Contains("--reward register"));
  CHECK_THAT(refusal([](auto& s) { s.policy.group = 1; }), Contains("--group"));
  CHECK_THAT(refusal([](auto& s) { s.policy.updates = 0; }), Contains("--updates"));
  CHECK_THAT(refusal([](auto& s) { s.policy.kl = "k4"; }), Contains("--kl k4") && Contains("k3+"));
  CHECK_THAT(refusal([](auto& s) { s.policy.kl = "k3", s.policy.kl_coefficient = 0; }), Contains("--kl-coefficient"));
  CHECK_THAT(refusal([](auto& s) { s.policy.kl_coefficient = -1; }), Contains("--kl-coefficient"));
  CHECK_THAT(refusal([](auto& s) { s.policy.kl_coefficient = 0, s.reference = "soft:0.6"; }), Contains("no reference model"));
  CHECK_THAT(refusal([](auto& s) { s.policy.advantage = "gae"; }), Contains("--advantage gae"));
  CHECK_THAT(refusal([](auto& s) { s.policy.reduction = "sum"; }), Contains("--reduction sum"));
  CHECK_THAT(refusal([](auto& s) { s.policy.entropy_coefficient = std::nan(""); }), Contains("--entropy-coefficient"));
  CHECK_THAT(refusal([](auto& s) { s.set = {"beta=1"}; }), Contains("beta") && Contains("low, high, dual"));
  CHECK_THAT(refusal([](auto& s) { s.set = {"low=2"}; }), Contains("low"));
  CHECK_THAT(refusal([](auto& s) { s.constraints = {"length<=9"}; }), Contains("--constraint"));
  CHECK_THAT(refusal([](auto& s) { s.reward_shape = "par"; }), Contains("--shape"));
  CHECK_THAT(refusal([](auto& s) { s.set_reward_shape = {"k=1"}; }), Contains("--shape"));
}
