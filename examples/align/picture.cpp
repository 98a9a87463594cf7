// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <spawn.h>
#include <sys/wait.h>

extern char** environ;

namespace align {
namespace {

/// Behind the data: step, loss, reward accuracy, ranking accuracy.
constexpr const char* commands = R"(set terminal svg size 900,380 dynamic background rgb 'white' font 'sans,12'
set output 'curves.svg'
set multiplot layout 1,2
set xlabel 'alignment step'
set grid
set title 'loss'
set key top right
plot $train using 1:2 with lines lw 2 title 'train', $heldout using 1:2 with linespoints lw 2 pt 7 ps 0.5 title 'held-out'
set title 'share of pairs whose chosen answer wins'
set key bottom right
set yrange [0:1]
plot $train using 1:3 with lines lw 2 title 'reward, train', \
     $heldout using 1:3 with linespoints lw 2 pt 7 ps 0.5 title 'reward, held-out', \
     $heldout using 1:4 with linespoints lw 2 pt 5 ps 0.5 title 'log pi per token, held-out'
unset multiplot
)";

/// Of a run with --policy, behind step, reward, KL divergence, entropy.
constexpr const char* policy_commands = R"(set terminal svg size 900,380 dynamic background rgb 'white' font 'sans,12'
set output 'curves.svg'
set multiplot layout 1,2
set xlabel 'alignment step'
set grid
set title 'reward of sampled completions'
set key bottom right
plot $train using 1:2 with lines lw 2 title 'train', $heldout using 1:2 with linespoints lw 2 pt 7 ps 0.5 title 'held-out'
set title 'of the policy [nat a token]'
set key top right
plot $heldout using 1:4 with linespoints lw 2 pt 5 ps 0.5 title 'entropy, held-out', \
     $heldout using 1:3 with linespoints lw 2 pt 7 ps 0.5 title 'KL from SFT, held-out'
unset multiplot
)";

bool is_on_policy(const record& r) { return r.found.policy.rewards.count > 0; }

/// What the curves are of, a line a record.
void write_point(std::ofstream& file, const record& r) {
  file << r.step;
  if (is_on_policy(r)) file << " " << r.found.policy.rewards.mean << " " << r.found.policy.tokens.kl << " " << r.found.policy.tokens.entropy;
  else file << " " << r.found.objective.loss() << " " << r.found.objective.accuracy << " " << r.found.ranking.accuracy;
  file << "\n";
}

/// Of a run with constraints, below: averages, multipliers.
std::string constraint_commands(const std::vector<constraint_reading>& constraints) {
  std::string averages, multipliers;
  for (std::size_t i = 0; i < constraints.size(); ++i) {
    const std::string comma = i > 0 ? ", " : "", title = " with lines lw 2 title '" + constraints[i].name + "'";
    averages += comma + "$constraints using 1:" + std::to_string(3 * i + 3) + title;
    multipliers += comma + "$constraints using 1:" + std::to_string(3 * i + 4) + title;
  }
  return "set yrange [*:*]\nset key top right\nset title 'slack of the constraints'\nplot 0 with lines dt 3 lc 'black' notitle, " + averages +
         "\nset title 'multipliers'\nset logscale y\nset format y '10^{%L}'\nplot " + multipliers + "\n";
}

/// curves.gp: the data and the commands, so that anyone can draw it again in another form.
void write_script(const std::string& path, const std::vector<record>& history) {
  std::ofstream file(path);
  for (const char* split : {"train", "heldout"}) {
    file << "$" << split << " << end\n";
    for (const record& r : history) {
      if (r.phase != "align" || r.split != split) continue;
      write_point(file, r);
    }
    file << "end\n";
  }
  const bool on_policy = std::any_of(history.begin(), history.end(), is_on_policy);
  std::string drawing = on_policy ? policy_commands : commands;
  std::vector<constraint_reading> constraints;
  for (const record& r : history) constraints = r.constraints.empty() ? constraints : r.constraints;
  if (!constraints.empty()) {
    file << "$constraints << end\n";
    for (const record& r : history) {
      if (r.constraints.empty()) continue;
      file << r.step;
      for (const auto& c : r.constraints) file << " " << c.average << " " << c.slack << " " << c.multiplier;
      file << "\n";
    }
    file << "end\n";
    const auto replace = [&](const std::string& from, const std::string& to) { drawing.replace(drawing.find(from), from.size(), to); };
    replace("size 900,380", "size 900,720");
    replace("layout 1,2", "layout 2,2");
    replace("unset multiplot\n", constraint_commands(constraints) + "unset multiplot\n");
  }
  file << drawing;
}

/// Runs `gnuplot curves.gp` inside the folder, without a shell and in silence; true if it ran and succeeded.
bool run_gnuplot(const std::string& folder) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1 /* O_WRONLY */, 0);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  char program[] = "gnuplot", argument[] = "curves.gp";
  char* arguments[] = {program, argument, nullptr};
  pid_t process = -1;
  const int error = posix_spawnp(&process, program, &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 1;
  return error == 0 && waitpid(process, &status, 0) == process && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

struct point {
  double x, y;
};

/// A curve drawn with characters, 60 x 12, from its smallest to its largest value.
std::string text_plot(const std::string& title, const std::vector<point>& points) {
  constexpr std::size_t width = 60, height = 12;
  if (points.empty()) return title + ": no points yet\n";
  double low = points[0].y, high = low, last = points.back().x;
  for (const point& p : points) low = std::min(low, p.y), high = std::max(high, p.y);
  std::vector<std::string> canvas(height, std::string(width, ' '));
  for (const point& p : points) {
    const double x = last > 0 ? p.x / last : 0, y = high > low ? (p.y - low) / (high - low) : 0;
    if (x == x && y == y) canvas[height - 1 - std::size_t(y * double(height - 1) + 0.5)][std::size_t(x * double(width - 1) + 0.5)] = '*';
  }
  std::string out = title + "\n";
  char label[32];
  for (std::size_t row = 0; row < height; ++row) {
    std::snprintf(label, sizeof label, "%9.4f |", high - (high - low) * double(row) / double(height - 1));
    out += label + canvas[row] + "\n";
  }
  std::snprintf(label, sizeof label, "%9s +", "0");
  return out + label + std::string(width, '-') + " step " + std::to_string(std::size_t(last)) + "\n\n";
}

}  // namespace

std::string write_picture(const std::string& folder, const std::vector<record>& history) {
  write_script(folder + "/curves.gp", history);
  if (run_gnuplot(folder) && std::filesystem::exists(folder + "/curves.svg")) return folder + "/curves.svg";
  std::vector<point> loss, accuracy, reward, kl;
  for (const record& r : history) {
    if (r.phase != "align") continue;
    if (is_on_policy(r)) {
      if (r.split == "heldout") kl.push_back({double(r.step), r.found.policy.tokens.kl});
      else reward.push_back({double(r.step), r.found.policy.rewards.mean});
      continue;
    }
    if (r.split == "train") loss.push_back({double(r.step), r.found.objective.loss()});
    if (r.split == "heldout") accuracy.push_back({double(r.step), r.found.ranking.accuracy});
  }
  const std::string text =
      !kl.empty() ? text_plot("reward, train", reward) + text_plot("KL from SFT, held-out [nat a token]", kl)
                  : text_plot("loss, train", loss) + text_plot("share of held-out pairs whose chosen answer is likelier, per token", accuracy);
  std::ofstream(folder + "/curves.txt") << text;
  std::fputs(text.c_str(), stdout);
  return folder + "/curves.txt";
}

}  // namespace align
