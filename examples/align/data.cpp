// SPDX-License-Identifier: MIT
#include "data.hpp"

#include "lines.hpp"
#include "model.hpp"  // begin_token, end_token

#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>

namespace align {
namespace {

constexpr std::string_view assistant = "\n\nAssistant:";

std::string dialogue(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) throw malformed_line(std::string("has no key \"") + key + "\"");
  if (!found->is_string()) throw malformed_line(std::string("key \"") + key + "\" is not a string");
  return found->get<std::string>();
}

/// Where the completion starts: behind the last "\n\nAssistant:".
std::size_t completion_start(const std::string& text, const char* key) {
  const std::size_t found = text.rfind(assistant);
  if (found == std::string::npos) throw malformed_line(std::string("\"") + key + "\" has no \"\\n\\nAssistant:\" turn");
  const std::size_t start = found + assistant.size();
  if (text.find_first_not_of(" \t\r\n", start) == std::string::npos)
    throw malformed_line(std::string("\"") + key + "\" has an empty completion");
  return start;
}

std::vector<std::int32_t> sequence(std::string_view prompt, const std::string& completion, std::size_t kept) {
  std::vector<std::int32_t> tokens{begin_token};
  const auto append = [&](std::string_view bytes) {
    for (char c : bytes) tokens.push_back(static_cast<unsigned char>(c));
  };
  append(prompt);
  append(std::string_view(completion).substr(0, kept));
  if (kept > completion.size()) tokens.push_back(end_token);
  return tokens;
}

}  // namespace

preference_text parse_preference(std::string_view line) {
  const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) throw malformed_line("is not valid JSON");
  if (!object.is_object()) throw malformed_line("is not a JSON object");
  const std::string chosen = dialogue(object, "chosen"), rejected = dialogue(object, "rejected");
  const std::size_t start = completion_start(chosen, "chosen"), other = completion_start(rejected, "rejected");
  if (chosen.substr(0, start) != rejected.substr(0, other))
    throw malformed_line("the dialogues differ before their last \"\\n\\nAssistant:\" turn");
  if (chosen == rejected) throw malformed_line("chosen and rejected are the same");
  return {chosen.substr(0, start), chosen.substr(start), rejected.substr(other)};
}

dataset read_preferences(const std::string& path, on_malformed policy) {
  dataset data;
  line_reader reader(path);
  for (std::string line; reader.next(line);) {
    ++data.lines;
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    try {
      data.pairs.push_back(parse_preference(line));
    } catch (const malformed_line& problem) {
      if (policy == on_malformed::fail) throw std::runtime_error(path + ": line " + std::to_string(data.lines) + ": " + problem.what());
      data.malformed.push_back({data.lines, problem.what()});
    }
  }
  return data;
}

preference_tokens tokenise(const preference_text& pair, std::size_t context) {
  // A sequence of n + 1 tokens has n positions: begin and the prompt are p + 1 tokens, the completion with its end token c; n = p + c.
  const std::size_t longest = std::max(pair.chosen.size(), pair.rejected.size()) + 1;
  const std::size_t room = std::max(context / 4, context - std::min(context, longest));
  const std::size_t p = std::min(pair.prompt.size(), room);
  const std::string_view prompt = std::string_view(pair.prompt).substr(pair.prompt.size() - p);
  const auto kept = [&](const std::string& completion) { return std::min(completion.size() + 1, context - p); };
  preference_tokens tokens;
  tokens.prompt = p + 1;
  tokens.chosen = sequence(prompt, pair.chosen, kept(pair.chosen));
  tokens.rejected = sequence(prompt, pair.rejected, kept(pair.rejected));
  tokens.prompt_cut = p < pair.prompt.size();
  tokens.completion_cut = kept(pair.chosen) <= pair.chosen.size() || kept(pair.rejected) <= pair.rejected.size();
  return tokens;
}

std::string text_of(const std::vector<std::int32_t>& tokens, std::size_t first, std::size_t last) {
  std::string bytes;
  for (std::size_t t = first; t < last; ++t) bytes += tokens[t] < begin_token ? std::string(1, char(tokens[t])) : "";
  return bytes;
}

std::size_t batch::active() const { return std::accumulate(mask.begin(), mask.end(), std::size_t(0)); }

batch make_batch(const std::vector<preference_tokens>& data, const std::vector<std::size_t>& indices, bool chosen_only) {
  batch b;
  b.rows = indices.size() * (chosen_only ? 1 : 2);
  const auto sequence_of = [&](std::size_t row) -> const std::vector<std::int32_t>& {
    const preference_tokens& pair = data[indices[row % indices.size()]];
    return row < indices.size() ? pair.chosen : pair.rejected;
  };
  for (std::size_t row = 0; row < b.rows; ++row) {
    b.used.push_back(sequence_of(row).size() - 1);
    b.length = std::max(b.length, b.used.back());
  }
  b.tokens.assign(b.rows * b.length, 0);
  b.targets.assign(b.rows * b.length, 0);
  b.mask.assign(b.rows * b.length, 0);
  for (std::size_t row = 0; row < b.rows; ++row) {
    const auto& tokens = sequence_of(row);
    const std::size_t first = data[indices[row % indices.size()]].prompt;
    for (std::size_t t = 0; t < b.used[row]; ++t) {
      b.tokens[row * b.length + t] = tokens[t];
      b.targets[row * b.length + t] = tokens[t + 1];
      b.mask[row * b.length + t] = t + 1 >= first;
    }
  }
  return b;
}

}  // namespace align
