// SPDX-License-Identifier: MIT
// Rewards that are programs: what a completion's text is worth (--reward).
#pragma once

#include <functional>
#include <string>

namespace align {

/// A completion as a reward sees it.
struct written_text {
  std::string prompt, completion;
  std::string wanted;  ///< the data's chosen answer to that prompt
};

/// In [0, 1], a function of the text alone.
using text_reward = std::function<double(const written_text&)>;

/// The reward of --reward NAME or NAME:ARGUMENT, with n bytes of the completion (the end token is none):
///
///   length:TARGET      1 - |n - TARGET| / TARGET, 0 from 2 TARGET on                                      TARGET >= 1 [byte]
///   share:CHARACTERS   share of the bytes that are one of CHARACTERS; 0 for an empty completion
///   similar            like the chosen answer, m bytes, in length and ending: (min(n, m) / max(n, m) + e / 4) / 2, e <= 4 the bytes in
///                      which their ends agree
///   register           of the synthetic task only: see synthetic_reward
///
/// Throws attune::error for other texts, and for `register` without the synthetic task.
text_reward make_reward(const std::string& text, bool synthetic);

/// The forms that make_reward knows, a line each, for --help.
extern const char* const reward_help;

}  // namespace align
