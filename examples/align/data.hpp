// SPDX-License-Identifier: MIT
// Preference data: from text to the rows of a batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace align {

/// Two completions of one prompt, the first preferred to the second.
struct preference_text {
  std::string prompt, chosen, rejected;
};

/// Why a line cannot be used. The message never contains the line's text, which may be private or offensive.
struct malformed_line : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct dataset {
  struct problem {
    std::size_t line;  ///< counted from 1
    std::string reason;
  };
  std::vector<preference_text> pairs;
  std::size_t lines = 0;
  std::vector<problem> malformed;
};

enum class on_malformed { skip, fail };

/// One line of a file in the JSONL form of HH-RLHF: {"chosen": dialogue, "rejected": dialogue}. The prompt is everything up to and
/// including the last "\n\nAssistant:", the completion what follows. The two dialogues must have the same prompt: where they part earlier,
/// the difference of their log-probabilities would mix answers to different questions. Throws malformed_line.
preference_text parse_preference(std::string_view line);

/// Reads a file, plain or gzip (told apart by its first bytes). A malformed line is listed and left out, or, with `fail`, ends the
/// reading with an error that names it; blank lines are ignored. Throws std::runtime_error if the file cannot be read to its end.
dataset read_preferences(const std::string& path, on_malformed policy);

/// The task that needs no file: `count` pairs from `seed`. The prompt asks for a register, "formal" or "casual"; a completion is 4 to 8
/// words of a vocabulary in which some words are formal, some casual, and some much more frequent than others. Preferred is the completion
/// with the larger surplus of words in the register that was asked for; one label in 50 is flipped. How likely a word is says nothing of
/// its register, so a model of the chosen answers ranks the pairs little better than chance, and has to be aligned.
dataset synthetic_preferences(std::size_t count, std::uint64_t seed);

/// A reward for the synthetic task: the share of the words of an answer that are of the register asked for, 0 for an answer without words.
double synthetic_reward(std::string_view prompt, std::string_view completion);

/// A pair as tokens: begin, prompt bytes, completion bytes, end.
struct preference_tokens {
  std::vector<std::int32_t> chosen, rejected;
  std::size_t prompt = 0;  ///< tokens before the completion, begin included; the same for both
  bool prompt_cut = false, completion_cut = false;
};

/// Fits a pair into `context` positions. The prompt gives way first, on its left, down to a quarter of the context; then the completions
/// lose their right ends (and with them the end token, which is not what followed).
preference_tokens tokenise(const preference_text& pair, std::size_t context);

/// The bytes among tokens first .. last - 1.
std::string text_of(const std::vector<std::int32_t>& tokens, std::size_t first, std::size_t last);

/// B sequences, right-padded to T positions. Position t predicts targets[t] from tokens[0..t].
struct batch {
  std::size_t rows = 0, length = 0;           ///< B, T
  std::vector<std::int32_t> tokens, targets;  ///< [B, T]
  std::vector<std::uint8_t> mask;             ///< [B, T] 1 where the target belongs to the completion
  std::vector<std::size_t> used;              ///< [B] positions that are not padding

  std::size_t active() const;  ///< completion tokens
};

/// The pairs at `indices`: first all chosen, then (unless chosen_only) all rejected completions.
batch make_batch(const std::vector<preference_tokens>& data, const std::vector<std::size_t>& indices, bool chosen_only);

}  // namespace align
