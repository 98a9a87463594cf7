// SPDX-License-Identifier: MIT
#include "evaluate.hpp"

#include <attune/exec/evaluate.hpp>

#include <algorithm>
#include <array>

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

template <class T>
attune::pair_gradients<T> gradients_for(const attune::pairs<T>&) { return {}; }
template <class T>
attune::single_gradients<T> gradients_for(const attune::singles<T>&) { return {}; }
template <class T>
attune::value_gradients<T> gradients_for(const attune::values<T>&) { return {}; }

/// An objective: columns are the members of its kind of sample (chosen, rejected, ref_chosen, ...). One evaluation a row.
template <class Kind, class Batch, class T>
table evaluate_samples(const attune::any_objective<Kind, T>& objective, const table& in) {
  constexpr auto members = attune::members<Kind>();
  std::vector<std::string> known;
  table out{{"loss"}, {}};
  std::vector<bool> differentiable;
  for (const auto& m : members) {
    known.push_back(m.name);
    if (m.is != attune::role::policy) continue;
    differentiable.push_back(attune::reads<Kind>(objective, m) || m.in_batch == attune::presence::usual);
    if (differentiable.back()) out.names.push_back(std::string("d_") + m.name);
  }
  require_known_columns(in, known);
  std::vector<std::vector<T>> columns;
  for (const std::string& name : known) columns.push_back(column<T>(in, name));
  for (std::size_t m = 0; m < known.size(); ++m) {
    if (members[m].is == attune::role::policy && members[m].in_batch == attune::presence::usual && columns[m].empty() && !in.rows.empty()) {
      throw attune::error("the column " + known[m] + " is needed");
    }
  }
  for (std::size_t i = 0; i < in.rows.size(); ++i) {
    Batch batch;
    std::uint8_t label = 0;
    attune::detail::for_each_column(batch.columns(), [&](auto m, auto& tensor) {
      if constexpr (m < members.size()) {
        if (columns[m].empty()) return;
        if constexpr (std::same_as<std::remove_cvref_t<decltype(tensor)>, attune::view<const std::uint8_t>>) {
          label = columns[m][i] > 0;
          tensor = attune::as_view(static_cast<const std::uint8_t*>(&label), 1);
        } else {
          tensor = attune::as_view(static_cast<const T*>(columns[m].data() + i), 1);
        }
      }
    });
    auto gradients = gradients_for(batch);
    std::array<T, 8> derivative{};
    attune::detail::for_each_column(gradients.columns(), [&](auto k, auto& tensor) {
      if (k < differentiable.size() && differentiable[k]) tensor = attune::as_view(&derivative[k], 1);
    });
    const attune::report r = attune::evaluate(objective, batch, gradients);
    std::vector<double>& row = out.rows.emplace_back(1, r.loss_sum);
    for (std::size_t k = 0; k < differentiable.size(); ++k) {
      if (differentiable[k]) row.push_back(double(derivative[k]));
    }
  }
  return out;
}

/// A group objective: one row a completion; rows of a group, which lie together, have the same number in the column "group". Gives the
/// group's loss in each of its rows, and d_logp.
template <class T>
table evaluate_groups(const held::any_group& objective, const table& in) {
  std::vector<std::string> known{"group"};
  for (const auto& m : attune::members<attune::group_kind>()) known.push_back(m.name);
  require_known_columns(in, known);
  const auto group = column<double>(in, "group");
  const auto logp = column<T>(in, "logp"), ref_logp = column<T>(in, "ref_logp"), reward = column<T>(in, "reward"), length = column<T>(in, "length");
  if (!in.rows.empty() && (group.empty() || logp.empty())) throw attune::error("the columns group and logp are needed");
  table out{{"loss", "d_logp"}, {}};
  for (std::size_t begin = 0, end = 0; begin < in.rows.size(); begin = end) {
    while (end < in.rows.size() && group[end] == group[begin]) ++end;
    const auto size = std::int64_t(end - begin);
    const auto part = [&](const std::vector<T>& x) { return x.empty() ? attune::view<const T>() : attune::as_view(x.data() + begin, size); };
    std::vector<T> d_logp(end - begin);
    const attune::report r = attune::evaluate(objective,
                                              attune::groups<T>{.logp = part(logp), .ref_logp = part(ref_logp), .reward = part(reward),
                                                                .length = length.empty() ? attune::length_view() : attune::length_view(part(length)),
                                                                .size = size},
                                              {.logp = d_logp});
    for (const T d : d_logp) out.rows.push_back({r.loss_sum, double(d)});
  }
  return out;
}

/// A policy-gradient objective: one token a row, whose log-ratio is that of logp to old_logp. Gives loss, d_logp (through both) and, where it is
/// read, d_entropy.
template <class T>
table evaluate_tokens(const attune::any_objective<attune::token_kind, T>& objective, const table& in) {
  std::vector<std::string> known;
  for (const auto& m : attune::members<attune::token_kind>()) {
    if (std::string_view(m.name) != "log_ratio") known.push_back(m.name);
  }
  require_known_columns(in, known);
  const auto logp = column<T>(in, "logp"), old_logp = column<T>(in, "old_logp"), ref_logp = column<T>(in, "ref_logp"), advantage = column<T>(in, "advantage"),
             correction = column<T>(in, "correction"), entropy = column<T>(in, "entropy");
  const auto selected = column<std::uint8_t>(in, "selected");
  if (!in.rows.empty() && logp.empty()) throw attune::error("the column logp is needed");
  const bool reads_entropy = attune::detail::reads_token(objective, "entropy");
  table out{{"loss", "d_logp"}, {}};
  if (reads_entropy) out.names.push_back("d_entropy");
  for (std::size_t i = 0; i < in.rows.size(); ++i) {
    const auto one = [&](const auto& x) {
      using X = typename std::remove_cvref_t<decltype(x)>::value_type;
      return x.empty() ? attune::view<const X, 2>() : attune::as_view(x.data() + i, 1, 1);
    };
    T d_logp{}, d_entropy{};
    attune::token_gradients<T> gradients{.logp = attune::as_view(&d_logp, 1, 1)};
    if (reads_entropy) gradients.entropy = attune::as_view(&d_entropy, 1, 1);
    const attune::policy_report r = attune::evaluate(objective,
                                                     attune::tokens<T>{.logp = one(logp), .old_logp = one(old_logp), .ref_logp = one(ref_logp), .token_advantage = one(advantage),
                                                                       .correction = one(correction), .entropy = one(entropy), .selected = one(selected)},
                                                     gradients, {.reduction = attune::token_reduction::token_mean});
    out.rows.push_back({r.loss_sum, double(d_logp)});
    if (reads_entropy) out.rows.back().push_back(double(d_entropy));
  }
  return out;
}
template <class Kind, class T> struct batch_type { using type = attune::pairs<T>; };
template <class T> struct batch_type<attune::single_kind, T> { using type = attune::singles<T>; };
template <class T> struct batch_type<attune::value_kind, T> { using type = attune::values<T>; };

template <class T>
struct evaluate_held {
  const table& in;

  table operator()(const held::any_group& objective) const { return evaluate_groups<T>(objective, in); }
  table operator()(const held::in_both<attune::token_kind>& objective) const { return evaluate_tokens<T>(objective.in<T>(), in); }
  template <class Kind>
  table operator()(const held::in_both<Kind>& objective) const {
    return evaluate_samples<Kind, typename batch_type<Kind, T>::type, T>(objective.template in<T>(), in);
  }
};

/// A scalar unit: one column, its argument.
template <class T, class Unit>
table evaluate_scalar(const Unit& unit, const char* argument, const table& in) {
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
  const bool single = type == arithmetic::f32;
  const auto scalar = [&](const auto& entry, const auto& unit) {
    out = single ? evaluate_scalar<float>(unit, entry.argument, in) : evaluate_scalar<double>(unit, entry.argument, in);
  };
  with_unit(name, settings, scalar, [&](const held::entry&, const held::any& objective) {
    out = single ? std::visit(evaluate_held<float>{in}, objective) : std::visit(evaluate_held<double>{in}, objective);
  });
  return out;
}

}  // namespace explore
