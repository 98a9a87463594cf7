// SPDX-License-Identifier: MIT
// What a user sees of a run: progress, the table, and the files of the output folder.
#pragma once

#include "settings.hpp"
#include "state.hpp"

#include <chrono>
#include <string>

namespace align {

/// On a terminal one line, rewritten, with the time left; else a plain line now and then. On standard error, so that results can be piped.
class progress_line {
 public:
  explicit progress_line(bool terminal) : terminal_(terminal) {}
  ~progress_line() { finish(); }

  void operator()(const char* phase, std::size_t step, std::size_t steps, double loss);
  /// Leaves the line, so that other text can follow.
  void finish();

 private:
  using clock = std::chrono::steady_clock;
  bool terminal_, open_ = false;
  std::string phase_;
  clock::time_point started_, shown_;
  std::size_t first_ = 0;  ///< steps done when the phase was (re)started
};

/// Before and after, on both parts of the data.
struct comparison {
  evaluation train_before, train_after, heldout_before, heldout_after;
  std::vector<attune::average_constraint> constraints{};  ///< as they ended
  std::vector<double> sampled_before{}, sampled_after{};  ///< averages over completions of held-out prompts, one a constraint
};

/// The table as text.
std::string table(const comparison& c);

/// metrics.csv: one row a record, with TRL's metric names as columns; of a run with --policy, those of its GRPO trainer.
void write_csv(const std::string& folder, const std::vector<record>& history);

/// metrics.json: settings, what was read, the comparison (absent from an interrupted run), the history.
void write_json(const std::string& folder, const settings& s, const dataset& data, const comparison* c, const std::vector<record>& history);

/// The learning curves: curves.svg by gnuplot, or curves.txt where there is no gnuplot. Returns the file's path.
std::string write_picture(const std::string& folder, const std::vector<record>& history);

}  // namespace align
