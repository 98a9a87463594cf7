// SPDX-License-Identifier: MIT
// Reading preference data: what is used, what is refused, and how it becomes rows of a batch.
#include "align/data.hpp"
#include "align/lines.hpp"
#include "align/model.hpp"
#include "support/catch.hpp"
#include "tiny.hpp"

#include <cstdlib>
#include <fstream>

namespace {

using Catch::Matchers::Contains;

const std::string good =
    R"({"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: yes", "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: no"})";

std::string reason(const std::string& line) {
  try {
    align::parse_preference(line);
    return "";
  } catch (const align::malformed_line& problem) {
    return problem.what();
  }
}

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

bool same(const align::dataset& a, const align::dataset& b) {
  return a.lines == b.lines && std::equal(a.pairs.begin(), a.pairs.end(), b.pairs.begin(), b.pairs.end(), [](const auto& x, const auto& y) {
           return x.prompt == y.prompt && x.chosen == y.chosen && x.rejected == y.rejected;
         });
}

}  // namespace

TEST_CASE("align: a dialogue is split behind its last assistant turn") {
  const auto pair = align::parse_preference(good);
  CHECK(pair.prompt == "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:");
  CHECK(pair.chosen == " yes");
  CHECK(pair.rejected == " no");
}

TEST_CASE("align: a line that is not a preference is refused with its reason, and without its text") {
  const auto line = [](const std::string& chosen, const std::string& rejected) {
    return R"({"chosen": ")" + chosen + R"(", "rejected": ")" + rejected + R"("})";
  };
  const std::string prompt = R"(\n\nHuman: secret\n\nAssistant:)";
  const std::pair<std::string, std::string> cases[] = {
      {good.substr(0, good.size() - 5), "not valid JSON"},
      {"[1, 2]", "not a JSON object"},
      {R"({"chosen": "x"})", "no key \"chosen\""},
      {R"({"chosen": 3, "rejected": "x"})", "not a string"},
      {line("no turn", "no turn"), "no \"\\n\\nAssistant:\" turn"},
      {line(prompt + " \\n", prompt + " secret"), "\"chosen\" has an empty completion"},
      {line(prompt + " secret", prompt), "\"rejected\" has an empty completion"},
      {line("x" + prompt + " secret", prompt + " no"), "differ before"},
      {line(prompt + " secret", prompt + " secret"), "the same"},
  };
  for (const auto& [text, expected] : cases) {
    INFO(expected);
    if (expected.find("no key") == std::string::npos) {
      CHECK_THAT(reason(text), Contains(expected));
    } else {
      CHECK_THAT(reason(text), Contains("has no key \"rejected\""));
    }
    CHECK_THAT(reason(text), !Contains("secret"));
  }
}

TEST_CASE("align: malformed lines are counted and named, skipped or fatal") {
  const scratch_folder folder("malformed");
  const std::string path = folder.file("data.jsonl");
  write(path, good + "\n{\"chosen\": 1}\n\n" + good + "\r\n" + good.substr(0, 30));  // a blank line, a DOS line end, a last line cut short
  const auto data = align::read_preferences(path, align::on_malformed::skip);
  CHECK(data.lines == 5);
  REQUIRE(data.pairs.size() == 2);
  CHECK(data.pairs[1].rejected == " no");
  REQUIRE(data.malformed.size() == 2);
  CHECK(data.malformed[0].line == 2);
  CHECK(data.malformed[1].line == 5);
  CHECK_THROWS_WITH(align::read_preferences(path, align::on_malformed::fail), Contains("line 2"));
}

TEST_CASE("align: a gzip file reads as the plain one, a damaged or missing one is an error, and so is a missing gzip") {
  const scratch_folder folder("gzip");
  const std::string path = folder.file("-odd $name.jsonl"), packed = path + ".gz", cut = folder.file("cut.gz");
  std::string text;
  for (int i = 0; i < 500; ++i) text += good + "\n";
  write(path, text);
  REQUIRE(std::system(("gzip -c < '" + path + "' > '" + packed + "'").c_str()) == 0);
  CHECK(same(align::read_preferences(path, align::on_malformed::fail), align::read_preferences(packed, align::on_malformed::fail)));

  std::ifstream file(packed, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  write(cut, bytes.substr(0, bytes.size() - 6));
  CHECK_THROWS_WITH(align::read_preferences(cut, align::on_malformed::skip), Contains("could not decompress"));
  CHECK_THROWS_WITH(align::read_preferences(folder.file("none"), align::on_malformed::skip), Contains("cannot be opened"));
  CHECK_THROWS_WITH(align::read_preferences(folder.path.string(), align::on_malformed::skip), Contains("cannot be read"));

  const std::string paths = std::getenv("PATH");
  setenv("PATH", folder.path.c_str(), 1);
  CHECK_THROWS_WITH(align::read_preferences(packed, align::on_malformed::skip), Contains("install gzip"));
  setenv("PATH", paths.c_str(), 1);
}

TEST_CASE("align: tokens fit the context: the prompt gives way first, then the completion with its end") {
  const align::preference_text text{"0123456789", "abc", "defgh"};
  const auto whole = align::tokenise(text, 32);
  CHECK(whole.prompt == 11);
  CHECK_FALSE((whole.prompt_cut || whole.completion_cut));
  CHECK(whole.chosen.front() == align::begin_token);
  CHECK(whole.chosen.back() == align::end_token);
  CHECK(whole.chosen.size() == 1 + 10 + 3 + 1);

  const auto cut_prompt = align::tokenise(text, 12);  // the longer completion needs 6 positions, 6 are left for the prompt
  CHECK(cut_prompt.prompt == 1 + 6);
  CHECK(cut_prompt.chosen[1] == '4');
  CHECK((cut_prompt.prompt_cut && !cut_prompt.completion_cut));
  CHECK(cut_prompt.rejected.size() == 12 + 1);
  CHECK(cut_prompt.rejected.back() == align::end_token);

  const align::preference_text longer{"0123456789", "abcdefghijkl", "x"};
  const auto cut_both = align::tokenise(longer, 8);  // a quarter of the context stays with the prompt
  CHECK(cut_both.prompt == 1 + 2);
  CHECK(cut_both.chosen.size() == 8 + 1);
  CHECK(cut_both.chosen.back() == 'f');
  CHECK(cut_both.rejected.back() == align::end_token);
  CHECK((cut_both.prompt_cut && cut_both.completion_cut));
}

TEST_CASE("align: a batch is chosen rows, then rejected rows, with exactly the completions unmasked") {
  const auto pair = align::tokenise({"p:", "ab", "wxyz"}, 16);
  const auto b = align::make_batch({pair}, {0}, false);
  REQUIRE(b.rows == 2);
  REQUIRE(b.length == 2 + 4 + 1);
  CHECK(b.used == std::vector<std::size_t>{5, 7});
  CHECK(b.active() == 3 + 5);
  const std::vector<std::uint8_t> chosen(b.mask.begin(), b.mask.begin() + 7), rejected(b.mask.begin() + 7, b.mask.end());
  CHECK(chosen == std::vector<std::uint8_t>{0, 0, 1, 1, 1, 0, 0});
  CHECK(rejected == std::vector<std::uint8_t>{0, 0, 1, 1, 1, 1, 1});
  CHECK(b.tokens[2] == ':');
  CHECK(b.targets[2] == 'a');
  CHECK(b.targets[4] == align::end_token);
}

TEST_CASE("align: the synthetic task is decided by its seed and by its rule") {
  const auto a = align::synthetic_preferences(500, 3), b = align::synthetic_preferences(500, 3), c = align::synthetic_preferences(500, 4);
  CHECK(same(a, b));
  CHECK_FALSE(same(a, c));
  int followed = 0, shorter = 0;
  for (const auto& pair : a.pairs) {
    const auto surplus = [](const std::string& text) {  // formal words less casual ones
      int n = 0;
      for (const char* word : {"kind", "fair", "wise", "calm", "just", "firm", "deft", "prim"}) {
        for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++n;
      }
      return 2 * n - int(text.size() / 5);
    };
    const int sign = pair.prompt == "casual:" ? -1 : 1;
    followed += sign * surplus(pair.chosen) > sign * surplus(pair.rejected);
    shorter += pair.chosen.size() < pair.rejected.size();
  }
  CHECK(followed > 475);
  CHECK(followed < 500);                // some labels are wrong
  CHECK(std::abs(shorter - 250) < 75);  // length does not tell
}
