// SPDX-License-Identifier: MIT
// Where the tokens of each sampled completion lie: padded rows, or one packed row.
#pragma once

#include <attune/core/length_view.hpp>
#include <attune/core/view.hpp>

#include <cmath>
#include <cstring>

namespace attune {

/// A packed tensor of N tokens as the [1, N] tensor that the functions on tokens take.
template <tensor X>
constexpr auto packed(X&& x) {
  const auto v = as_view<1>(static_cast<X&&>(x));
  return view<typename decltype(v)::element, 2>(v.data(), {1, v.extent(0)}, {v.extent(0), v.stride(0)});
}

/// The tokens of S sequences in tensors of one shape:
///
///   padded   tensors [B, T], S = B; sequence s is row s
///   packed   tensors [1, N] with `offsets` [S + 1] (cu_seqlens): sequence s is tokens offsets[s] .. offsets[s + 1] - 1; offsets[0] >= 0,
///            offsets do not fall, and the last is at most N. What lies outside of them belongs to no sequence
///   mask     bytes of the tensors' shape; 0: prompt, padding, a token that is left out. Absent: every token of a sequence counts
///
/// Functions visit the active tokens of a sequence in order and read nothing else, so that padding (left, right, none) and packing give the
/// same bits.
class sequences {
 public:
  struct tokens {
    std::int64_t row, begin, end;  ///< tokens (row, begin) .. (row, end - 1)
  };

  /// rows x columns is the shape of the tensors. Throws attune::error for a mask of another shape and for offsets as above that do not hold.
  sequences(std::int64_t rows, std::int64_t columns, const view<const std::uint8_t, 2>& mask = {}, const length_view& offsets = {})
      : rows_(rows), columns_(columns), mask_(mask), offsets_(offsets) {
    if (!mask.absent()) {
      detail::require_extent(mask.extent(0), rows, "mask (in rows)", "the tokens");
      detail::require_extent(mask.extent(1), columns, "mask (in columns)", "the tokens");
    }
    if (!offsets.absent()) require_offsets();
  }

  std::int64_t rows() const { return rows_; }  ///< of the tensors, as columns()
  std::int64_t columns() const { return columns_; }
  std::int64_t size() const { return offsets_.absent() ? rows_ : offsets_.extent(0) - 1; }
  tokens operator[](std::int64_t s) const {
    if (offsets_.absent()) return {s, 0, columns_};
    return {0, static_cast<std::int64_t>(offsets_(s)), static_cast<std::int64_t>(offsets_(s + 1))};
  }
  bool active(std::int64_t row, std::int64_t t) const { return mask_.absent() || mask_(row, t) != 0; }

  /// visit(row, begin, end, active) for the stretches of sequence s, in order: of active tokens, and of tokens that are left out.
  template <class Visit>
  void for_each_stretch(std::int64_t s, Visit&& visit) const {
    const tokens own = (*this)[s];
    for (std::int64_t begin = own.begin, end; begin < own.end; begin = end) {
      const bool on = active(own.row, begin);
      end = stretch_end(own.row, begin, own.end, on);
      visit(own.row, begin, end, on);
    }
  }
  /// visit(row, t) for the active tokens of sequence s, in order.
  template <class Visit>
  void for_each_active(std::int64_t s, Visit&& visit) const {
    for_each_stretch(s, [&](std::int64_t row, std::int64_t begin, std::int64_t end, bool on) {
      for (std::int64_t t = begin; on && t < end; ++t) visit(row, t);
    });
  }
  std::int64_t active_tokens(std::int64_t s) const {
    std::int64_t n = 0;
    for_each_stretch(s, [&](std::int64_t, std::int64_t begin, std::int64_t end, bool on) { n += on ? end - begin : 0; });
    return n;
  }

 private:
  std::int64_t stretch_end(std::int64_t row, std::int64_t t, std::int64_t end, bool on) const {
    if (mask_.absent()) return end;
    if (on && mask_.stride(1) == 1) {
      const std::uint8_t* from = &mask_(row, t);
      const void* zero = std::memchr(from, 0, static_cast<std::size_t>(end - t));
      return zero ? t + (static_cast<const std::uint8_t*>(zero) - from) : end;
    }
    for (std::uint64_t eight = 0; !on && mask_.stride(1) == 1 && t + 8 <= end; t += 8) {  // padding is long
      std::memcpy(&eight, &mask_(row, t), 8);
      if (eight != 0) break;
    }
    while (t < end && (mask_(row, t) != 0) == on) ++t;
    return t;
  }
  void require_offsets() const {
    const auto number = [](double x) { return detail::text(x); };
    if (rows_ != 1) throw error("attune: offsets are given with tensors of " + number(double(rows_)) + " rows; expected packed tensors [1, N]");
    if (offsets_.extent(0) < 1) throw error("attune: offsets has no elements; expected one more than there are sequences");
    double before = 0;
    for (std::int64_t s = 0; s < offsets_.extent(0); ++s) {
      const double here = offsets_(s);
      if (!(here >= before && here <= static_cast<double>(columns_)) || here != std::floor(here)) {
        throw error("attune: offsets[" + number(double(s)) + "] is " + number(here) + "; expected a whole number from " + number(before) + " to " +
                    number(double(columns_)));
      }
      before = here;
    }
  }

  std::int64_t rows_, columns_;
  view<const std::uint8_t, 2> mask_;
  length_view offsets_;
};

}  // namespace attune
