// SPDX-License-Identifier: MIT
// Sums over the tokens of sequences on a device, and their transpose: the bodies of sequence_logps and token_coefficients. A thread a sequence adds in
// double, in token order: padded and packed copies of a batch have the same bits.
#pragma once

#include <attune/exec/device/row_selection.hpp>
#include <attune/exec/device/row_sums.hpp>  // is_finite

namespace attune::detail {

/// A tensor of tokens: element (b, t) of a padded one; of a packed one all rows are the same, and t counts through the batch.
template <class T> struct token_elements {
  T* data = nullptr;
  std::int64_t row_stride = 0, stride = 0;

  ATTUNE_FN bool given() const { return data != nullptr; }
  ATTUNE_FN T& operator()(std::int64_t b, std::int64_t t) const { return data[b * row_stride + t * stride]; }
};

/// Where the tokens of sequences are: 0 .. size - 1 of each row; or, with offsets, offsets(b) .. offsets(b + 1) - 1 of `size` packed ones.
struct sequence_extents {
  label_reader offsets;
  std::int64_t size;

  ATTUNE_FN std::int64_t begin(std::int64_t b) const { return offsets.data != nullptr ? offsets(b) : 0; }
  ATTUNE_FN std::int64_t end(std::int64_t b) const { return offsets.data != nullptr ? offsets(b + 1) : size; }
  ATTUNE_FN bool valid(std::int64_t b) const { return begin(b) >= 0 && begin(b) <= end(b) && end(b) <= size; }
};

template <real A> struct sequence_sums {
  token_elements<const A> tokens;
  token_elements<const std::uint8_t> mask;
  token_elements<const A> weights;
  sequence_extents extents;
  strided<A> logps, lengths;
  device_report report;

  ATTUNE_FN void operator()(std::int64_t b) const {
    double sum = 0;
    std::int64_t length = 0;
    if (extents.valid(b)) {
      for (std::int64_t t = extents.begin(b), end = extents.end(b); t < end; ++t) {
        if (mask.given() && mask(b, t) == 0) continue;
        ++length;
        const double weight = weights.given() ? static_cast<double>(weights(b, t)) : 1;
        if (weight != 0) sum += weight * static_cast<double>(tokens(b, t));
      }
      if (length == 0) report.masked();
    } else {
      sum = nan_double();
    }
    if (!is_finite(sum)) report.non_finite();
    logps(b) = static_cast<A>(sum);
    if (lengths.given()) lengths(b) = static_cast<A>(length);
  }
};

/// The transpose, of a thread a sequence.
template <real A> struct spread_coefficients {
  strided<const A> sequences;
  token_elements<const std::uint8_t> mask;
  token_elements<const A> weights;
  sequence_extents extents;
  token_elements<A> tokens;

  ATTUNE_FN void operator()(std::int64_t b) const {
    if (!extents.valid(b)) return;
    for (std::int64_t t = extents.begin(b), end = extents.end(b); t < end; ++t) write(b, t);
  }
  ATTUNE_FN void write(std::int64_t b, std::int64_t t) const {
    const A weight = mask.given() && mask(b, t) == 0 ? A(0) : weights.given() ? weights(b, t) : A(1);
    tokens(b, t) = weight != 0 ? weight * sequences(b) : A(0);
  }
};
/// Of padded ones, of a thread a token.
template <real A> struct spread_coefficients_of_tokens {
  spread_coefficients<A> each;

  ATTUNE_FN void operator()(std::int64_t i) const { each.write(i / each.extents.size, i % each.extents.size); }
};

}  // namespace attune::detail
