// SPDX-License-Identifier: MIT
// What evaluate demands of a batch before it writes anything.
#pragma once

#include <attune/core/parameter.hpp>  // validate
#include <attune/preference/pairs.hpp>

namespace attune::detail {

/// Tensors of one length; gradients that can be written.
template <class T>
void check_extents(const pairs<T>& batch, const pair_gradients<T>& gradients) {
  const std::int64_t size = batch.chosen.extent(0);
  const auto same = [&](const auto& x, const char* name) {
    if (!x.absent()) require_extent(x.extent(0), size, name, "pairs.chosen");
  };
  require_extent(batch.rejected.extent(0), size, "pairs.rejected", "pairs.chosen");
  same(batch.ref_chosen, "pairs.ref_chosen");
  same(batch.ref_rejected, "pairs.ref_rejected");
  same(batch.chosen_length, "pairs.chosen_length");
  same(batch.rejected_length, "pairs.rejected_length");
  same(batch.weight, "pairs.weight");
  same(batch.margin, "pairs.margin");
  same(batch.mask, "pairs.mask");
  same(gradients.chosen, "pair_gradients.chosen");
  same(gradients.rejected, "pair_gradients.rejected");
  if (size > 0 && gradients.chosen.absent() != gradients.rejected.absent()) {
    throw error("attune: one of pair_gradients.chosen and pair_gradients.rejected is missing; expected both, or neither for the value only");
  }
  for (const view<T>* written : {&gradients.chosen, &gradients.rejected}) {  // pointers: nvcc 13 breaks a range of class values here
    if (!written->absent() && written->stride(0) == 0 && size > 1) {
      throw error("attune: a gradient tensor has stride 0, so its elements overlap; expected a stride other than 0");
    }
  }
}

/// What the objective reads is there, and a margin that is there is read.
template <class O, class T>
void check_members(const O& objective, const pairs<T>& batch) {
  const bool given[] = {true, true, !batch.ref_chosen.absent(), !batch.ref_rejected.absent(), !batch.chosen_length.absent(),
                        !batch.rejected_length.absent(), !batch.margin.absent()};
  static_assert(std::size(given) == std::size(pair_members));
  for (std::size_t m = 0; m < std::size(pair_members); ++m) {
    const pair_member& member = pair_members[m];
    if (member.optional() == given[m] && reads(objective, member) != given[m]) {
      throw error(std::string("attune: pairs.") + member.name +
                  (given[m] ? " is given, but this objective does not read it; leave it out" : " is missing; this objective reads it"));
    }
  }
}

/// The weight of the active pairs; their weights are finite and not negative, and their lengths positive if the objective reads lengths.
template <class O, class T>
double checked_weight(const O& objective, const pairs<T>& batch) {
  const std::int64_t size = batch.chosen.extent(0);
  const bool reads_length = reads(objective, pair_member::role_type::length), masked = !batch.mask.absent(), weighted = !batch.weight.absent();
  if (!masked && !weighted && !reads_length) return static_cast<double>(size);
  double total = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    if (masked && batch.mask(i) == 0) continue;
    const double weight = weighted ? static_cast<double>(batch.weight(i)) : 1;
    if (!(weight >= 0 && weight <= std::numeric_limits<double>::max())) {
      throw error("attune: pairs.weight of pair " + text((long long)i) + " is " + text(weight) + "; expected a finite number >= 0");
    }
    total += weight;
    for (const length_view* length : {&batch.chosen_length, &batch.rejected_length}) {
      if (reads_length && weight > 0 && !((*length)(i) > 0)) {
        throw error("attune: a completion of pair " + text((long long)i) + " has length " + text((*length)(i)) + "; expected > 0 tokens");
      }
    }
  }
  return total;
}

/// All of it; returns the weight of the active pairs.
template <class O, class T>
double check_pairs(const O& objective, const pairs<T>& batch, const pair_gradients<T>& gradients) {
  validate(objective);
  check_extents(batch, gradients);
  if (batch.chosen.extent(0) == 0) return 0;
  check_members(objective, batch);
  return checked_weight(objective, batch);
}

}  // namespace attune::detail
