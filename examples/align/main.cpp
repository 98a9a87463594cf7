// SPDX-License-Identifier: MIT
// align: preference alignment of a language model on the CPU, from scratch. alignment.hpp shows where attune goes in.
#include "checkpoint.hpp"
#include "gradient_check.hpp"
#include "options.hpp"
#include "policy_check.hpp"
#include "report.hpp"
#include "trainer.hpp"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <unistd.h>

namespace {

volatile std::sig_atomic_t interrupted = 0;
extern "C" void on_interrupt(int) { interrupted = 1; }

/// The first Ctrl-C lets the step end and saves everything; a second one ends the program at once.
void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

align::dataset read_data(const align::settings& s) {
  if (s.data.empty()) return align::synthetic_preferences(s.pairs, s.seed);
  align::dataset data = align::read_preferences(s.data, s.malformed);
  if (!data.malformed.empty()) {
    std::fprintf(stderr, "%zu of %zu lines are malformed and left out:\n", data.malformed.size(), data.lines);
    for (std::size_t i = 0; i < data.malformed.size() && i < 10; ++i) {
      std::fprintf(stderr, "  line %zu: %s\n", data.malformed[i].line, data.malformed[i].reason.c_str());
    }
    if (data.malformed.size() > 10) std::fprintf(stderr, "  ... the others are in metrics.json\n");
  }
  return data;
}

void describe(const align::settings& s, const align::trainer& t) {
  std::size_t prompts = 0, completions = 0;
  for (const auto* part : {&t.train(), &t.heldout()}) {
    for (const auto& pair : part->pairs) prompts += pair.prompt_cut, completions += pair.completion_cut;
  }
  std::printf("%zu pairs to train on, %zu held out%s; %zu parameters\n", t.train().pairs.size(), t.heldout().pairs.size(),
              s.data.empty() ? " (synthetic task; --data FILE reads your own)" : "", align::parameter_count(s.model));
  if (prompts + completions > 0) {
    std::printf("to fit %zu bytes, %zu prompts were cut on their left and the completions of %zu pairs on their right\n", s.model.context,
                prompts, completions);
  }
}

void describe_policy(const align::settings& s, const align::on_policy& p) {
  std::printf("each step: %zu prompts, %zu completions of each, reward %s, advantage %s, %zu gradient steps by %s\n", s.batch, s.policy.group,
              s.policy.reward.c_str(), p.advantage().name, s.policy.updates, p.objective().name.c_str());
}

void explain_first_loss(const align::trainer& t, const align::evaluation& before) {
  if (t.pair_loss() == nullptr || !t.pair_loss()->reads_reference()) return;
  std::printf(
      "before the first step the policy is its own reference, every log-ratio is 0, and the loss of %s is %.4f whatever the data (dpo: ln "
      "2 = 0.6931)\n",
      t.pair_loss()->name().c_str(), before.objective.loss());
}

template <class Problem> int check_gradient(Problem problem, const std::string& name, std::uint64_t seed) {
  constexpr double tolerance = 1e-6;
  int failures = 0;
  for (const align::check_result& r : align::check_whole_model(problem, problem.gradient(), seed)) {
    failures += !r.passed(tolerance);
    std::printf("%-22s finite difference %+.9e  gradient %+.9e  error %.1e %s\n", r.tensor.c_str(), r.expected, r.given, r.error,
                r.passed(tolerance) ? "" : "FAILED");
  }
  std::printf("%s: %d of the derivatives differ by more than %g\n", name.c_str(), failures, tolerance);
  return failures == 0 ? 0 : 1;
}

int check_gradient(const align::settings& s) {
  align::validate(s);
  if (!s.on_policy()) {
    return check_gradient(align::check_problem(align::make_objective(s.objective, s.set, s.reward_shape, s.set_reward_shape), s.seed), s.objective, s.seed);
  }
  const align::policy_objective objective = align::make_policy_objective(s.policy, s.set, 24);
  if (!objective.is_derivative) {
    std::puts("the loss holds a part of itself constant in its gradient: the coefficients of stage 2 are taken as they are, the rest is checked");
  }
  return check_gradient(align::policy_check_problem(objective, s.seed), s.policy.name, s.seed);
}

int run(const align::settings& s) {
  const align::dataset data = read_data(s);
  const std::uint64_t digest = align::digest(data.pairs);
  align::trainer trainer(s, data.pairs);
  if (!s.resume.empty()) align::load_checkpoint(s.resume, trainer.state(), s, digest);
  std::filesystem::create_directories(s.out);
  describe(s, trainer);
  if (trainer.policy_loss() != nullptr) describe_policy(s, *trainer.policy_loss());

  align::progress_line line(isatty(STDERR_FILENO) != 0);
  const std::string checkpoint = s.checkpoint.empty() ? s.out + "/checkpoint.bin" : s.checkpoint;
  const auto save = [&] { align::save_checkpoint(checkpoint, trainer.state(), s, digest); };
  const auto report = [&](const char* phase, std::size_t step, std::size_t steps, double loss) { line(phase, step, steps, loss); };
  const auto stop = [&] {
    const std::size_t steps = trainer.state().sft_done + trainer.state().done;
    if (steps > 0 && steps % s.evaluate_every == 0) save();
    return interrupted != 0;
  };

  catch_interrupts();
  bool stopped = trainer.fit(report, stop);
  align::comparison c;
  if (!stopped) {
    c.train_before = trainer.evaluate(trainer.state().initial, trainer.train());
    c.heldout_before = trainer.evaluate(trainer.state().initial, trainer.heldout());
    c.sampled_before = trainer.sampled_averages(trainer.state().initial);
    line.finish();
    explain_first_loss(trainer, c.heldout_before);
    stopped = trainer.align(report, stop);
  }
  line.finish();
  save();
  if (!stopped) {
    c.train_after = trainer.evaluate(trainer.state().policy, trainer.train());
    c.heldout_after = trainer.evaluate(trainer.state().policy, trainer.heldout());
    c.sampled_after = trainer.sampled_averages(trainer.state().policy);
    c.constraints = trainer.state().l3m.constraints;
  }
  align::write_csv(s.out, trainer.state().history);
  align::write_json(s.out, s, data, stopped ? nullptr : &c, trainer.state().history);
  const std::string picture = align::write_picture(s.out, trainer.state().history);
  if (stopped) {
    std::printf("interrupted after %zu + %zu steps; go on with --resume %s\n", trainer.state().sft_done, trainer.state().done,
                checkpoint.c_str());
    return 130;
  }
  std::printf("\n%s\nmetrics: %s/metrics.csv, metrics.json\npicture: %s\n", align::table(c).c_str(), s.out.c_str(), picture.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // in step with standard error, also in a file
  align::settings s;
  if (const auto status = align::parse_command_line(argc, argv, s)) return *status;
  try {
    return s.gradient_check ? check_gradient(s) : run(s);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "align: %s\n", e.what());
    return 1;
  }
}
