// SPDX-License-Identifier: MIT
// What the row functions on Thrust share at their edge: how labels are checked.
#pragma once

#include <attune/backend/thrust/policy.hpp>
#include <attune/exec/device/row_arguments.hpp>

#include <thrust/transform_reduce.h>

namespace attune {
namespace detail {

struct first_bad_label {
  ATTUNE_FN bad_label operator()(const bad_label& a, const bad_label& b) const { return b.row < a.row ? b : a; }
};
/// The first that `find` finds; row `rows` if there is none. Waits for the device.
template <thrust_policy Policy, class Find> bad_label first_bad(const Policy& policy, std::int64_t rows, const Find& find) {
  const thrust::counting_iterator<std::int64_t> first(0);
  return thrust::transform_reduce(policy, first, first + rows, find, bad_label{rows, 0}, first_bad_label{});
}

}  // namespace detail
}  // namespace attune
