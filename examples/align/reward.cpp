// SPDX-License-Identifier: MIT
#include "reward.hpp"

#include "data.hpp"

#include <attune/core/error.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace align {
namespace {

double closeness(const std::string& completion, double target) {
  return std::max(0.0, 1 - std::abs(double(completion.size()) - target) / target);
}

double share_of(const std::string& completion, const std::string& characters) {
  const auto wanted = [&](char c) { return characters.find(c) != std::string::npos; };
  const auto found = std::count_if(completion.begin(), completion.end(), wanted);
  return completion.empty() ? 0 : double(found) / double(completion.size());
}

double similarity(const std::string& a, const std::string& b) {
  const double longer = double(std::max(a.size(), b.size()));
  if (longer == 0) return 1;
  const std::size_t most = std::min({a.size(), b.size(), std::size_t(4)});
  std::size_t ending = 0;
  while (ending < most && a[a.size() - 1 - ending] == b[b.size() - 1 - ending]) ++ending;
  return (double(std::min(a.size(), b.size())) / longer + double(ending) / 4) / 2;
}

}  // namespace

const char* const reward_help =
    "length:TARGET (1 - |bytes - TARGET| / TARGET, at least 0), share:CHARACTERS (share of its bytes that are one of these), similar (to the "
    "chosen answer of the data, in length and its last 4 bytes), register (synthetic task: share of words in the register asked for)";

text_reward make_reward(const std::string& text, bool synthetic) {
  const std::size_t colon = text.find(':');
  const std::string name = text.substr(0, colon), argument = colon == std::string::npos ? "" : text.substr(colon + 1);
  const auto require = [&](bool good, const std::string& expected) {
    if (!good) throw attune::error("--reward " + text + ": expected " + expected);
  };
  if (name == "length") {
    double target = 0;
    const char* last = argument.data() + argument.size();
    const bool number = std::from_chars(argument.data(), last, target).ptr == last && !argument.empty();
    require(number && target >= 1 && std::isfinite(target), "length:TARGET with a number of bytes >= 1, such as length:24");
    return [target](const written_text& y) { return closeness(y.completion, target); };
  }
  if (name == "share") {
    require(!argument.empty(), "share:CHARACTERS, such as share:aeiou");
    return [argument](const written_text& y) { return share_of(y.completion, argument); };
  }
  require(text == "similar" || text == "register", "one of length:TARGET, share:CHARACTERS, similar, register");
  require(text == "similar" || synthetic, "another one: only the synthetic task has registers");
  if (text == "similar") return [](const written_text& y) { return similarity(y.completion, y.wanted); };
  return [](const written_text& y) { return synthetic_reward(y.prompt, y.completion); };
}

}  // namespace align
