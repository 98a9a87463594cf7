// SPDX-License-Identifier: MIT
#include "objectives.hpp"

#include <attune/catalog.hpp>

namespace held {
namespace detail {
void add_others(std::vector<entry>& list) { attune::catalog::for_each_other(add_to{list}); }
}  // namespace detail

const std::vector<entry>& objectives() {
  static const std::vector<entry> all = [] {
    std::vector<entry> list;
    detail::add_others(list);
    detail::add_pairs(list);
    return list;
  }();
  return all;
}

}  // namespace held
