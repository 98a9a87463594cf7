// SPDX-License-Identifier: MIT
#include "checkpoint.hpp"

#include <attune/core/error.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace align {
namespace {

using nlohmann::json;

constexpr std::string_view header = "attune align checkpoint 3\n";

/// FNV-1a, 64 bits.
std::uint64_t hash(std::string_view bytes, std::uint64_t h = 0xcbf29ce484222325u) {
  for (char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

/// A double as its bits: JSON has no NaN and no infinity, and a diverged run has to be resumed as what it is.
json bits(double x) { return std::bit_cast<std::uint64_t>(x); }
double from_bits(const json& j) { return std::bit_cast<double>(j.get<std::uint64_t>()); }

constexpr double attune::report::*report_members[] = {
    &attune::report::loss_sum,      &attune::report::weight,          &attune::report::accuracy,    &attune::report::margin,
    &attune::report::reward_chosen, &attune::report::reward_rejected, &attune::report::logp_chosen, &attune::report::logp_rejected,
    &attune::report::weight_chosen, &attune::report::weight_rejected};

constexpr double attune::policy_report::*policy_members[] = {
    &attune::policy_report::loss_sum,    &attune::policy_report::weight, &attune::policy_report::tokens, &attune::policy_report::held_high,
    &attune::policy_report::held_low, &attune::policy_report::kl,     &attune::policy_report::old_kl, &attune::policy_report::entropy};

/// visit(number) for all numbers of an evaluation, the same when written as when read.
template <class Evaluation, class Visit> void for_each_number(Evaluation& e, Visit visit) {
  for (auto* r : {&e.objective, &e.ranking}) {
    for (auto member : report_members) visit(r->*member);
    visit(r->count);
    visit(r->non_finite);
  }
  auto& p = e.policy;
  for (auto member : policy_members) visit(p.tokens.*member);
  for (auto* n : {&p.tokens.sequences, &p.tokens.count, &p.tokens.non_finite, &p.truncated, &p.groups, &p.constant_groups, &p.updates}) visit(*n);
  for (auto* s : {&p.rewards, &p.lengths}) {
    visit(s->count);
    for (auto* x : {&s->mean, &s->squares, &s->lowest, &s->highest}) visit(*x);
  }
}

json pack(const evaluation& e) {
  json j = json::array();
  for_each_number(e, [&](const auto& x) {
    if constexpr (std::is_same_v<decltype(x), const double&>) j.push_back(bits(x));
    else j.push_back(x);
  });
  return j;
}
evaluation unpack(const json& j) {
  evaluation e;
  std::size_t i = 0;
  for_each_number(e, [&](auto& x) {
    if constexpr (std::is_same_v<decltype(x), double&>) x = from_bits(j.at(i++));
    else x = j.at(i++).get<std::int64_t>();
  });
  return e;
}

/// What of the constraints changes in a run; the rest is in the settings.
json pack(const attune::l3m& l3m) {
  json j = json::array();
  for (const auto& c : l3m.constraints) {
    j.push_back({bits(c.estimate.current), c.estimate.count, bits(c.multiplier), bits(c.batch.sum), bits(c.batch.weight), c.batch.count});
  }
  return j;
}
void unpack(const json& j, attune::l3m& l3m) {
  for (std::size_t i = 0; i < l3m.constraints.size(); ++i) {
    const json& k = j.at(i);
    attune::average_constraint& c = l3m.constraints[i];
    c.estimate.current = from_bits(k.at(0)), c.estimate.count = k.at(1), c.multiplier = from_bits(k.at(2));
    c.batch = {.sum = from_bits(k.at(3)), .weight = from_bits(k.at(4)), .count = k.at(5)};
  }
}
json pack(const std::vector<constraint_reading>& readings) {
  json j = json::array();
  for (const auto& r : readings) j.push_back({r.name, bits(r.average), bits(r.slack), bits(r.multiplier)});
  return j;
}
std::vector<constraint_reading> unpack_readings(const json& j) {
  std::vector<constraint_reading> readings;
  for (const json& r : j) readings.push_back({r.at(0), from_bits(r.at(1)), from_bits(r.at(2)), from_bits(r.at(3))});
  return readings;
}

template <class State>  // training_state, const or not
auto arrays(State& s) {
  return std::array{&s.policy, &s.initial, &s.reference, &s.optimiser.m, &s.optimiser.v};
}

[[noreturn]] void refuse(const std::string& path, const std::string& what) { throw attune::error(path + ": " + what); }

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path, "the checkpoint cannot be opened");
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The JSON line of a whole file; `rest` becomes the arrays.
json parse(const std::string& path, const std::string& file, std::string_view& rest) {
  const std::string_view all = file;
  if (all.size() < header.size() + 8 || all.substr(0, header.size()) != header) refuse(path, "this is not a checkpoint of align");
  std::uint64_t checksum;
  std::memcpy(&checksum, all.data() + all.size() - 8, 8);
  if (checksum != hash(all.substr(0, all.size() - 8))) refuse(path, "the checkpoint is damaged: its checksum differs");
  const std::size_t line = all.find('\n', header.size());
  rest = all.substr(line + 1, all.size() - 8 - line - 1);
  return json::parse(all.substr(header.size(), line - header.size()));
}

void require_same(const std::string& path, const json& stored, const settings& s, std::uint64_t data_digest) {
  const json mine = fingerprint(s);
  if (stored.at("settings").contains("policy") && !s.on_policy()) refuse(path, "the checkpoint was made with --policy; this run has none");
  for (const auto& [name, value] : mine.items()) {
    if (stored.at("settings").value(name, json()) != value) {
      refuse(path, "the checkpoint was made with " + name + " = " + stored.at("settings").value(name, json()).dump() + "; this run has " +
                       value.dump());
    }
  }
  if (stored.at("data").get<std::uint64_t>() != data_digest) refuse(path, "the checkpoint was made with other data");
}

}  // namespace

std::uint64_t digest(const std::vector<preference_text>& pairs) {
  std::uint64_t h = hash("");
  for (const preference_text& p : pairs) {
    for (const std::string* text : {&p.prompt, &p.chosen, &p.rejected}) h = hash(*text, hash(std::to_string(text->size()), h));
  }
  return h;
}

void save_checkpoint(const std::string& path, const training_state& state, const settings& s, std::uint64_t data_digest) {
  json j{{"settings", fingerprint(s)}, {"data", data_digest},          {"sft_done", state.sft_done},
         {"done", state.done},         {"adam", state.optimiser.step}, {"since_logged", pack(state.since_logged)},
         {"constraints", pack(state.l3m)}};
  for (const record& r : state.history) j["history"].push_back({r.phase, r.split, r.step, pack(r.found), pack(r.constraints)});
  for (const auto* array : arrays(state)) j["sizes"].push_back(array->size());
  std::string file = std::string(header) + j.dump() + "\n";
  for (const auto* array : arrays(state)) file.append(reinterpret_cast<const char*>(array->data()), array->size() * sizeof(float));
  const std::uint64_t checksum = hash(file);
  file.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);

  const std::string temporary = path + ".part";
  std::ofstream out(temporary, std::ios::binary);
  out.write(file.data(), std::streamsize(file.size()));
  out.close();
  if (!out) throw std::runtime_error(temporary + ": the checkpoint cannot be written");
  std::filesystem::rename(temporary, path);
}

void load_checkpoint(const std::string& path, training_state& state, const settings& s, std::uint64_t data_digest) {
  const std::string file = read_file(path);
  std::string_view rest;
  const json j = parse(path, file, rest);
  require_same(path, j, s, data_digest);
  training_state loaded;
  loaded.sft_done = j.at("sft_done");
  loaded.done = j.at("done");
  loaded.optimiser.step = j.at("adam");
  loaded.since_logged = unpack(j.at("since_logged"));
  loaded.l3m = state.l3m;
  unpack(j.at("constraints"), loaded.l3m);
  for (const json& r : j.value("history", json::array())) {
    loaded.history.push_back({r.at(0), r.at(1), r.at(2), unpack(r.at(3)), unpack_readings(r.at(4))});
  }
  for (std::size_t i = 0; i < arrays(loaded).size(); ++i) {
    auto& array = *arrays(loaded)[i];
    array.resize(j.at("sizes").at(i).get<std::size_t>());
    if (rest.size() < array.size() * sizeof(float)) refuse(path, "the checkpoint is damaged: it ends early");
    if (!array.empty()) std::memcpy(array.data(), rest.data(), array.size() * sizeof(float));
    rest.remove_prefix(array.size() * sizeof(float));
  }
  state = std::move(loaded);
}

}  // namespace align
