// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace align {
namespace {

using nlohmann::json;

template <class... Values> std::string text(const char* format, Values... values) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

std::string duration(double seconds) {
  const long s = std::lround(seconds);
  return s < 60 ? text("%lds", s) : text("%ldm%02lds", s / 60, s % 60);
}

std::ofstream open_output(const std::string& path) {
  std::ofstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be written");
  return file;
}

/// What is known of completions that the policy wrote, under TRL's names (ppo_kl: verl).
json to_json(const policy_evaluation& p) {
  json j{{"reward", p.rewards.mean}, {"reward_std", p.rewards.deviation()}, {"kl", p.tokens.kl}, {"entropy", p.tokens.entropy},
         {"completions/mean_length", p.lengths.mean}, {"completions/clipped_ratio", double(p.truncated) / double(p.rewards.count)}};
  if (p.groups > 0) j["frac_reward_zero_std"] = double(p.constant_groups) / double(p.groups);
  for (const auto& metric : p.tokens.metrics()) {
    if (p.updates > 0) j[metric.name] = metric.value;
  }
  j["non_finite"] = p.tokens.non_finite;
  return j;
}

/// TRL's names, and two of our own for what needs no reference.
json to_json(const evaluation& e) {
  if (e.policy.rewards.count > 0) return to_json(e.policy);
  json j;
  for (const auto& metric : e.objective.metrics()) {
    if (e.objective.count > 0 || metric.name == std::string("loss")) j[metric.name] = metric.value;
  }
  if (e.ranking.count > 0) {
    j["ranking/accuracies"] = e.ranking.accuracy;
    j["nll/chosen"] = -e.ranking.reward_chosen;
    j["non_finite"] = e.objective.non_finite;
  }
  return j;
}

/// Columns of metrics.csv behind phase, split and step.
std::vector<std::string> columns_of(const std::vector<record>& history) {
  std::vector<std::string> names;
  const bool on_policy = std::any_of(history.begin(), history.end(), [](const record& r) { return r.found.policy.rewards.count > 0; });
  if (on_policy) {
    names = {"loss", "reward", "reward_std", "frac_reward_zero_std"};
    for (const auto& metric : attune::policy_report{}.metrics()) {
      if (metric.name != names[0]) names.push_back(metric.name);
    }
    for (const char* name : {"completions/mean_length", "completions/clipped_ratio"}) names.push_back(name);
  } else {
    for (const auto& metric : attune::report{}.metrics()) names.push_back(metric.name);
    for (const char* name : {"ranking/accuracies", "nll/chosen"}) names.push_back(name);
  }
  return names;
}

/// The table of a run with --policy.
std::string policy_table(const comparison& c) {
  std::string out = text("%-34s %10s %10s %10s %10s\n", "", "train", "", "held-out", "") +
                    text("%-34s %10s %10s %10s %10s\n", "of sampled completions", "SFT", "aligned", "SFT", "aligned");
  const auto row = [&](const char* name, const char* format, auto value) {
    out += text("%-34s", name);
    for (const evaluation* e : {&c.train_before, &c.train_after, &c.heldout_before, &c.heldout_after}) out += text(format, value(e->policy));
    out += "\n";
  };
  row("reward", "%11.4f", [](const policy_evaluation& e) { return e.rewards.mean; });
  row("its standard deviation", "%11.4f", [](const policy_evaluation& e) { return e.rewards.deviation(); });
  row("KL from SFT [nat a token]", "%11.4f", [](const policy_evaluation& e) { return e.tokens.kl; });
  row("entropy [nat a token]", "%11.4f", [](const policy_evaluation& e) { return e.tokens.entropy; });
  row("length [token]", "%11.1f", [](const policy_evaluation& e) { return e.lengths.mean; });
  row("ended by the context", "%10.1f%%", [](const policy_evaluation& e) { return 100 * double(e.truncated) / double(e.rewards.count); });
  return out;
}

}  // namespace

void progress_line::operator()(const char* phase, std::size_t step, std::size_t steps, double loss) {
  const auto now = clock::now();
  if (phase_ != phase) {
    finish();
    phase_ = phase;
    started_ = now;
    first_ = step - 1;
    shown_ = {};
  }
  const std::size_t part = std::max<std::size_t>(1, steps / 10);
  const bool due = terminal_ ? now - shown_ > std::chrono::milliseconds(100) : step % part == 0;
  if (!due && step != steps) return;
  shown_ = now;
  const double elapsed = std::chrono::duration<double>(now - started_).count();
  const double left = step > first_ + 1 ? elapsed / double(step - first_ - 1) * double(steps - step) : 0;
  const std::string line = text("%-5s step %zu/%zu  %s %.4f  ", phase, step, steps, phase_ == "policy" ? "reward" : "loss", loss) +
                           (step == steps ? "took " + duration(elapsed) : duration(left) + " left");
  std::fprintf(stderr, terminal_ ? "\r\033[K%s" : "%s\n", line.c_str());
  std::fflush(stderr);
  open_ = terminal_;
}

void progress_line::finish() {
  if (open_) std::fputc('\n', stderr);
  open_ = false;
}

std::string table(const comparison& c) {
  if (c.train_before.policy.rewards.count > 0) return policy_table(c);
  std::string out = text("%-34s %10s %10s %10s %10s\n", "", "train", "", "held-out", "") +
                    text("%-34s %10s %10s %10s %10s\n", "", "SFT", "aligned", "SFT", "aligned");
  const auto row = [&](const char* name, const char* format, auto value) {
    out += text("%-34s", name);
    for (const evaluation* e : {&c.train_before, &c.train_after, &c.heldout_before, &c.heldout_after}) out += text(format, value(*e));
    out += "\n";
  };
  row("loss", "%11.4f", [](const evaluation& e) { return e.objective.loss(); });
  row("reward accuracy (a tie is a miss)", "%10.1f%%", [](const evaluation& e) { return 100 * e.objective.accuracy; });
  row("reward margin", "%11.4f", [](const evaluation& e) { return e.objective.margin; });
  row("prefers chosen, log pi per token", "%10.1f%%", [](const evaluation& e) { return 100 * e.ranking.accuracy; });
  row("-log pi of a chosen token [nat]", "%11.4f", [](const evaluation& e) { return -e.ranking.reward_chosen; });
  if (!c.constraints.empty()) {
    out += text("\n%-34s %10s %10s %10s %10s\n", "average over sampled completions", "limit", "SFT", "aligned", "lambda");
  }
  for (std::size_t i = 0; i < c.constraints.size(); ++i) {
    const auto& k = c.constraints[i];
    out += text("%-34s %10.4g %10.4f %10.4f %10.3g\n", k.name.c_str(), k.limit, c.sampled_before[i], c.sampled_after[i], k.multiplier);
  }
  return out;
}

void write_csv(const std::string& folder, const std::vector<record>& history) {
  std::ofstream file = open_output(folder + "/metrics.csv");
  file << "phase,split,step";
  const std::vector<std::string> columns = columns_of(history);
  for (const std::string& name : columns) file << "," << name;
  std::vector<constraint_reading> constraints;  // as the rows that have them name them
  for (const record& r : history) constraints = r.constraints.empty() ? constraints : r.constraints;
  for (const auto& c : constraints) file << ",average/" << c.name << ",slack/" << c.name << ",multiplier/" << c.name;
  file << "\n";
  for (const record& r : history) {
    file << r.phase << "," << r.split << "," << r.step;
    const json values = to_json(r.found);
    for (const std::string& name : columns) file << "," << (values.contains(name) ? text("%.9g", values[name].get<double>()) : "");
    for (const auto& c : r.constraints) file << text(",%.9g,%.9g,%.9g", c.average, c.slack, c.multiplier);
    if (r.constraints.empty()) file << std::string(3 * constraints.size(), ',');
    file << "\n";
  }
}

void write_json(const std::string& folder, const settings& s, const dataset& data, const comparison* c,
                const std::vector<record>& history) {
  json j{{"settings", fingerprint(s)}, {"data", {{"file", s.data}, {"lines", data.lines}, {"pairs", data.pairs.size()}}}};
  j["settings"]["steps"] = s.steps;
  for (const auto& problem : data.malformed) j["data"]["malformed"].push_back({{"line", problem.line}, {"reason", problem.reason}});
  if (c != nullptr) {
    j["sft"] = {{"train", to_json(c->train_before)}, {"heldout", to_json(c->heldout_before)}};
    j["aligned"] = {{"train", to_json(c->train_after)}, {"heldout", to_json(c->heldout_after)}};
    for (std::size_t i = 0; i < c->constraints.size(); ++i) {
      const auto& k = c->constraints[i];
      j["constraints"][k.name] = {{"limit", k.limit}, {"sft", c->sampled_before[i]}, {"aligned", c->sampled_after[i]}};
    }
  }
  for (const record& r : history) {
    json row{{"phase", r.phase}, {"split", r.split}, {"step", r.step}};
    row.update(to_json(r.found));
    for (const auto& k : r.constraints) {
      row["constraints"][k.name] = {{"average", k.average}, {"slack", k.slack}, {"multiplier", k.multiplier}};
    }
    j["history"].push_back(row);
  }
  open_output(folder + "/metrics.json") << j.dump(1) << "\n";
}

}  // namespace align
