// SPDX-License-Identifier: MIT
// What evaluate demands of a batch before it writes anything.
#pragma once

#include <attune/core/error.hpp>
#include <attune/core/length_view.hpp>
#include <attune/core/parameter.hpp>  // validate
#include <attune/preference/sample.hpp>

namespace attune::detail {

/// Calls visit(i, the batch's tensor for member i) for every tensor of the batch, also those that this kind of sample does not have.
template <class Columns, class Visit>
void for_each_column(const Columns& columns, Visit&& visit) {
  [&]<std::size_t... Index>(std::index_sequence<Index...>) {
    (visit(std::integral_constant<std::size_t, Index>{}, std::get<Index>(columns)), ...);
  }(std::make_index_sequence<std::tuple_size_v<Columns>>{});
}

inline std::string in_batch(const char* batch, const char* member) { return std::string(batch) + "." + member; }

/// What the objective reads is there, and what must not be ignored is read.
inline void check_presence(bool read, bool given, presence in, const char* batch, const char* member) {
  if (read && !given && in != presence::optional) {
    throw error(std::string("attune: ") + in_batch(batch, member) + " is missing; this objective reads it");
  }
  if (given && !read && in != presence::usual) {
    throw error(std::string("attune: ") + in_batch(batch, member) + " is given, but this objective does not read it; leave it out");
  }
}
template <class Kind, class O, class Batch>
void check_members(const O& objective, const Batch& batch) {
  for_each_column(batch.columns(), [&](auto i, const auto& tensor) {
    const auto column = members<typename Batch::kind>()[i];
    const bool given = !tensor.absent();
    if (column.in_batch == (given ? presence::usual : presence::optional)) return;  // right, whether it is read or not
    bool read = false;
    if constexpr (i < member_count<Kind>) read = reads<Kind>(objective, members<Kind>()[i]);
    check_presence(read, given, column.in_batch, Kind::batch, column.name);
  });
}

/// The names are put together only if they are needed: a batch that is right costs no allocation.
inline void require_same_extent(std::int64_t given, std::int64_t expected, const char* batch, const char* member, const char* like, const char* first) {
  if (given != expected) require_extent(given, expected, in_batch(batch, member).c_str(), in_batch(like, first).c_str());
}

/// Tensors of one length; the first one, whose length is that of the batch, is always there.
template <class Kind, class Batch>
void check_extents(const Batch& batch) {
  constexpr auto table = members<Kind>();
  const std::int64_t size = std::get<0>(batch.columns()).extent(0);
  const auto same = [&](const auto& x, const char* name) {
    if (!x.absent()) require_same_extent(x.extent(0), size, Kind::batch, name, Kind::batch, table[0].name);
  };
  for_each_column(batch.columns(), [&](auto i, const auto& x) {
    if constexpr (i < table.size()) same(x, table[i].name);
  });
  same(batch.weight, "weight");
  same(batch.mask, "mask");
}

/// Gradients that can be written: of the batch's length, of distinct elements, and for every policy member that the objective reads or none.
template <class Kind, class Batch, class Gradients>
void check_gradients(const Batch& batch, const Gradients& gradients) {
  constexpr auto table = members<Kind>();
  const std::int64_t size = std::get<0>(batch.columns()).extent(0);
  const bool wanted = !std::get<0>(gradients.columns()).absent();
  for_each_member<Kind>([&](auto i, auto k) {
    if constexpr (members<Kind>()[i].is == role::policy) {
      const auto& gradient = std::get<k>(gradients.columns());
      const char* name = table[i].name;
      if (!gradient.absent()) require_same_extent(gradient.extent(0), size, Kind::gradients, name, Kind::batch, table[0].name);
      if (!gradient.absent() && gradient.stride(0) == 0 && size > 1) {
        throw error(std::string("attune: ") + in_batch(Kind::gradients, name) + " has stride 0, so its elements overlap; expected a stride other than 0");
      }
      const bool needed = table[i].in_batch == presence::usual || !std::get<i>(batch.columns()).absent();
      if (size > 0 && needed && gradient.absent() == wanted) {
        throw error(std::string("attune: ") + in_batch(Kind::gradients, wanted ? name : table[0].name) +
                    " is missing; expected the gradients of all log-probabilities, or none for the value only");
      }
    }
  });
}

[[noreturn]] inline void throw_bad_weight(const char* batch, std::int64_t n, double weight) {
  throw error(std::string("attune: ") + in_batch(batch, "weight") + " of sample " + text((long long)n) + " is " + text(weight) + "; expected a finite number >= 0");
}
[[noreturn]] inline void throw_bad_length(const char* batch, const char* member, std::int64_t n, double length) {
  throw error(std::string("attune: ") + in_batch(batch, member) + " of sample " + text((long long)n) + " is " + text(length) + "; expected > 0 tokens");
}

template <class Batch>
double checked_sample_weight(const Batch& batch, std::int64_t n, const char* name) {
  const double weight = batch.weight.absent() ? 1 : static_cast<double>(batch.weight(n));
  if (weight >= 0 && weight <= std::numeric_limits<double>::max()) return weight;
  throw_bad_weight(name, n, weight);
}

/// The weight of the active samples; their weights are finite and not negative, and their lengths positive if the objective reads lengths.
template <class Kind, class O, class Batch>
double checked_weight(const O& objective, const Batch& batch) {
  constexpr auto table = members<Kind>();
  const std::int64_t size = std::get<0>(batch.columns()).extent(0);
  bool has_length = false;
  for_each_column(batch.columns(), [&](auto, const auto& x) { has_length |= std::same_as<std::remove_cvref_t<decltype(x)>, length_view> && !x.absent(); });
  const bool reads_length = has_length && reads<Kind>(objective, role::length), masked = !batch.mask.absent(), weighted = !batch.weight.absent();
  if (!masked && !weighted && !reads_length) return static_cast<double>(size);
  double total = 0;
  for (std::int64_t n = 0; n < size; ++n) {
    if (masked && batch.mask(n) == 0) continue;
    const double weight = checked_sample_weight(batch, n, Kind::batch);
    total += weight;
    if (!reads_length || !(weight > 0)) continue;
    for_each_column(batch.columns(), [&](auto i, const auto& tensor) {
      if constexpr (i < table.size() && std::same_as<std::remove_cvref_t<decltype(tensor)>, length_view>) {
        if (!tensor.absent() && !(tensor(n) > 0)) throw_bad_length(Kind::batch, table[i].name, n, tensor(n));
      }
    });
  }
  return total;
}

/// All of it; returns the weight of the active samples.
template <class Kind, class O, class Batch, class Gradients>
double check_samples(const O& objective, const Batch& batch, const Gradients& gradients) {
  validate(objective);
  check_extents<Kind>(batch);
  check_gradients<Kind>(batch, gradients);
  if (std::get<0>(batch.columns()).extent(0) == 0) return 0;
  check_members<Kind>(objective, batch);
  return checked_weight<Kind>(objective, batch);
}

}  // namespace attune::detail
