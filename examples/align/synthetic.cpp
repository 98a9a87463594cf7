// SPDX-License-Identifier: MIT
#include "data.hpp"

#include "random.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <sstream>

namespace align {
namespace {

/// Words of the two registers, from frequent to rare; of one length, so that a completion's length tells nothing.
constexpr std::array<std::array<const char*, 8>, 2> words{
    {{"kind", "fair", "wise", "calm", "just", "firm", "deft", "prim"}, {"cool", "wild", "nice", "neat", "yeah", "huge", "fast", "boom"}}};

/// Word k of a register has probability proportional to 2^-k.
const char* draw_word(std::size_t reg, random_source& random) {
  std::size_t k = 0;
  while (k + 1 < words[reg].size() && random.uniform() < 0.5) ++k;
  return words[reg][k];
}

struct answer {
  std::string text;
  int formal;  ///< its formal words less its casual ones
};

answer draw_answer(random_source& random) {
  const std::size_t length = 4 + random.below(5);
  answer a{"", 0};
  for (std::size_t i = 0; i < length; ++i) {
    const std::size_t reg = random.below(2);
    a.text += std::string(" ") + draw_word(reg, random);
    a.formal += reg == 0 ? 1 : -1;
  }
  return a;
}

}  // namespace

dataset synthetic_preferences(std::size_t count, std::uint64_t seed) {
  random_source random(seed, 1);
  dataset data;
  data.lines = count;
  while (data.pairs.size() < count) {
    const bool casual = random.below(2) == 1;
    const answer a = draw_answer(random), b = draw_answer(random);
    if (std::abs(a.formal - b.formal) < 2) continue;  // no clear preference
    const bool flipped = random.below(50) == 0;
    const bool a_is_better = ((a.formal > b.formal) != casual) != flipped;
    data.pairs.push_back({casual ? "casual:" : "formal:", a_is_better ? a.text : b.text, a_is_better ? b.text : a.text});
  }
  return data;
}

double synthetic_reward(std::string_view prompt, std::string_view completion) {
  const auto& asked = words[prompt.find("casual") == std::string_view::npos ? 0 : 1];
  std::istringstream text{std::string(completion)};
  double good = 0, count = 0;
  for (std::string word; text >> word; ++count) good += std::find(asked.begin(), asked.end(), word) != asked.end();
  return count > 0 ? good / count : 0;
}

}  // namespace align
