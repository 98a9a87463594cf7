// SPDX-License-Identifier: MIT
#include "evaluate.hpp"

#include <attune/exec/evaluate.hpp>

#include <algorithm>

namespace explore {
namespace {


/// The column of that name as numbers of type T, or nothing.
template <class T>
std::vector<T> column(const table& t, std::string_view name) {
  std::vector<T> values;
  const auto at = std::find(t.names.begin(), t.names.end(), name);
  if (at == t.names.end()) return values;
  for (const auto& row : t.rows) values.push_back(static_cast<T>(row[static_cast<std::size_t>(at - t.names.begin())]));
  return values;
}

void require_known_columns(const table& t, const std::vector<std::string>& known) {
  for (const std::string& name : t.names) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      std::string list;
      for (const std::string& k : known) list += (list.empty() ? "" : ", ") + k;
      throw attune::error("unknown column '" + name + "'; expected some of: " + list);
    }
  }
}

/// A pair objective: columns are members of attune::pair (chosen, rejected, ref_chosen, ...).
template <class T, class Objective>
  requires is_pair<Objective>
table evaluate_table(const Objective& objective, const char*, const table& in) {
  std::vector<std::string> known;
  for (const attune::pair_member& m : attune::pair_members) known.push_back(m.name);
  require_known_columns(in, known);
  const auto chosen = column<T>(in, "chosen"), rejected = column<T>(in, "rejected"), ref_chosen = column<T>(in, "ref_chosen"),
             ref_rejected = column<T>(in, "ref_rejected"), chosen_length = column<T>(in, "chosen_length"),
             rejected_length = column<T>(in, "rejected_length"), margin = column<T>(in, "margin");
  if (!in.rows.empty() && (chosen.empty() || rejected.empty())) throw attune::error("the columns chosen and rejected are needed");

  table out{{"loss", "d_chosen", "d_rejected"}, {}};
  for (std::size_t i = 0; i < in.rows.size(); ++i) {
    const auto one = [&](const std::vector<T>& x) { return x.empty() ? attune::view<const T>() : attune::as_view(x.data() + i, 1); };
    const auto length = [&](const std::vector<T>& x) { return x.empty() ? attune::length_view() : attune::length_view(one(x)); };
    T d_chosen{}, d_rejected{};
    const attune::report r = attune::evaluate(
        objective,
        attune::pairs<T>{.chosen = one(chosen), .rejected = one(rejected), .ref_chosen = one(ref_chosen), .ref_rejected = one(ref_rejected),
                         .chosen_length = length(chosen_length), .rejected_length = length(rejected_length), .margin = one(margin)},
        {.chosen = attune::as_view(&d_chosen, 1), .rejected = attune::as_view(&d_rejected, 1)});
    out.rows.push_back({r.loss_sum, double(d_chosen), double(d_rejected)});
  }
  return out;
}

/// A scalar unit: one column, its argument.
template <class T, class Unit>
  requires(!is_pair<Unit>)
table evaluate_table(const Unit& unit, const char* argument, const table& in) {
  require_known_columns(in, {argument});
  table out{{"value", "slope"}, {}};
  for (const T x : column<T>(in, argument)) {
    using P = attune::native_pack<T>;
    const attune::detail::lane_buffer<P> value(unit.value(P(x))), slope(unit.slope(P(x)));
    out.rows.push_back({double(value.lane[0]), double(slope.lane[0])});
  }
  return out;
}

}  // namespace

table evaluate(std::string_view name, const std::vector<setting>& settings, arithmetic type, const table& in) {
  table out;
  with_unit(name, settings, [&](const auto& entry, const auto& unit) {
    out = type == arithmetic::f32 ? evaluate_table<float>(unit, entry.argument, in) : evaluate_table<double>(unit, entry.argument, in);
  });
  return out;
}

}  // namespace explore
