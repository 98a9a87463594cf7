// SPDX-License-Identifier: MIT
// A row of logits as the kernels read it: as it is, or softcapped.
#pragma once

#include <attune/rows/blocks.hpp>
#include <attune/rows/options.hpp>

#include <cmath>

namespace attune::detail {

/// The elements as they are.
template <class P, class T> class plain_row {
 public:
  using element = kernel_type<T>;
  static constexpr bool capped = false;
  plain_row(const view<const T>& row, double) : row_(row) {}

  std::int64_t size() const { return row_.extent(0); }
  double operator()(std::int64_t v) const { return static_cast<double>(static_cast<arithmetic<T>>(row_(v))); }
  /// Block first .. first + count - 1. An element `apart`, if it is among them, is -inf instead.
  const element* at(std::int64_t first, int count, std::int64_t apart = -1) {
    if (apart < first || apart >= first + count) return load_block(row_, first, count, buffer_);
    copy_block(row_, first, count, buffer_);
    buffer_.values[apart - first] = static_cast<element>(-infinity<arithmetic<T>>);
    return buffer_.values;
  }

 private:
  view<const T> row_;
  block_buffer<element> buffer_;
};

#if !defined(__CUDACC__)
template <class T, int N> ATTUNE_PACK_FN pack<T, N> tanh(const pack<T, N>& x) {
  using F = pack<T, N>;
  const F m = expm1(F(-2.0f) * abs(x)), size = -m / (m + F(2.0f));
  return select(x < F(0.0f), -size, size);
}
#endif
template <real A> A tanh(A x) { return std::tanh(x); }

/// x becomes cap tanh(x / cap). A class that is excluded stays so.
struct block_softcap {
  template <class P> ATTUNE_PACK_FN static void run(lane_of<P>* x, int size, lane_of<P> cap) {
    using A = lane_of<P>;
    for (int i = 0; i < size; i += lanes<P>) {
      const P y = read_pack<P>(x + i), infinite(infinity<A>);
      write_pack<P>(x + i, select(abs(y) == infinite, y, P(cap) * tanh(y * P(1 / cap))));
    }
  }
};
/// out times the derivative of the softcap at which it has the value y: 1 - (y / cap)^2
struct block_softcap_slope {
  template <class P> ATTUNE_PACK_FN static void run(const lane_of<P>* y, lane_of<P>* out, int size, lane_of<P> cap) {
    for (int i = 0; i < size; i += lanes<P>) {
      const P t = read_pack<P>(y + i) * P(1 / cap), one(1.0f);
      write_pack<P>(out + i, select(abs(t) <= one, read_pack<P>(out + i) * ((one - t) * (one + t)), P(0.0f)));
    }
  }
};

inline double softcapped(double x, double cap) { return std::isinf(x) ? x : cap * std::tanh(x / cap); }

/// The elements softcapped, in their arithmetic type.
template <class P, class T> class capped_row {
 public:
  using element = arithmetic<T>;
  static constexpr bool capped = true;
  capped_row(const view<const T>& row, double cap) : row_(row), cap_(cap) {}

  std::int64_t size() const { return row_.extent(0); }
  double operator()(std::int64_t v) const { return softcapped(static_cast<double>(static_cast<element>(row_(v))), cap_); }
  const element* at(std::int64_t first, int count, std::int64_t apart = -1) {
    copy_block(row_, first, count, buffer_);
    run_kernel<P, block_softcap>(buffer_.values + 0, padded(count), static_cast<element>(cap_));
    if (apart >= first && apart < first + count) buffer_.values[apart - first] = -infinity<element>;
    return buffer_.values;
  }

 private:
  view<const T> row_;
  double cap_;
  block_buffer<element> buffer_;
};

/// work(reader) for the row as the options say.
template <class P, class T, class Work> auto read_row(const view<const T>& row, const row_options& o, const Work& work) {
  if (std::isinf(o.softcap)) {
    plain_row<P, T> x(row, o.softcap);
    return work(x);
  }
  capped_row<P, T> x(row, o.softcap);
  return work(x);
}

}  // namespace attune::detail
