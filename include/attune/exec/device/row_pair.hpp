// SPDX-License-Identifier: MIT
// Two rows of logits on a device, read together: the normalisers of both and, for the KL divergences, the sum that gives their value at once:
// what a lane adds up.
#pragma once

#include <attune/exec/device/row_sums.hpp>

namespace attune::detail {

/// The sum over classes that is made beside the normalisers, of a = e^{z - top} of the policy and b of the target.
enum class device_cross {
  none,
  forward,  ///< b log(b/a)
  reverse,  ///< a log(a/b)
};

/// Elements of a pair of rows as bodies take them: `count` of each, -inf where a row has none.
template <class T, class U> ATTUNE_FN void load_pair(const strided_row<const T>& x, const strided_row<const U>& y, int first,
                                                     arithmetic<T> (&a)[vector_length<T>], arithmetic<T> (&b)[vector_length<T>]) {
  load_vector(x, first, -infinity<arithmetic<T>>, a);
  if constexpr (sizeof(T) == sizeof(U)) {
    load_vector(y, first, -infinity<arithmetic<T>>, b);
  } else {
    for (int k = 0; k < vector_length<T>; ++k) {
      b[k] = first + k >= 0 && first + k < y.size ? static_cast<arithmetic<T>>(y(first + k)) : -infinity<arithmetic<T>>;
    }
  }
}
/// visit(a, b) for the vectors of a pair of rows that a lane reads, counted from the rows' first elements. Two of each row are on their way.
template <class T, class U, class Visit>
ATTUNE_FN void for_lane_pairs(const strided_row<const T>& x, const strided_row<const U>& y, int lane, int lanes, Visit& visit) {
  using A = arithmetic<T>;
  constexpr int length = vector_length<T>;
  const int size = x.size > y.size ? x.size : y.size, both = x.size < y.size ? x.size : y.size, step = lanes * length;
  int first = lane * length;
  A a[length], b[length];
  if constexpr (sizeof(T) == sizeof(U)) {
    if (x.stride == 1 && y.stride == 1 && misalignment(x.data) == 0 && misalignment(y.data) == 0) {
      for (; first + step + length <= both; first += 2 * step) {
        const vector_words x0 = read_words(x.data + first), y0 = read_words(y.data + first);
        const vector_words x1 = read_words(x.data + first + step), y1 = read_words(y.data + first + step);
        unpack<T>(x0, a), unpack<U>(y0, b);
        visit(a, b);
        unpack<T>(x1, a), unpack<U>(y1, b);
        visit(a, b);
      }
    }
  }
  for (; first < size; first += step) {
    load_pair(x, y, first, a, b);
    visit(a, b);
  }
}

/// What a lane has read of a pair of rows: largest elements, sums measured from them, and the cross term in units of device_unit.
template <real A> struct pair_lane {
  A policy_top = -infinity<A>, policy_sum = 0, target_top = -infinity<A>, target_sum = 0, cross = 0;
};

template <real A> struct pair_reader {
  A rate;  ///< device_unit / temperature
  device_cross kind;
  pair_lane<A> total{};

  template <int N> ATTUNE_FN void operator()(const A (&x)[N], const A (&y)[N]) {
    A x_top = total.policy_top, y_top = total.target_top;
    for (int k = 0; k < N; ++k) x_top = std::fmax(x[k], x_top), y_top = std::fmax(y[k], y_top);
    if (x_top > total.policy_top || y_top > total.target_top) raise(x_top, y_top);
    const A x_from = x_top == -infinity<A> ? A(0) : x_top, y_from = y_top == -infinity<A> ? A(0) : y_top, least = A(-1e30);
    A a[N], b[N], cross[N];
    for (int k = 0; k < N; ++k) {
      const A t = (x[k] - x_from) * rate, s = (y[k] - y_from) * rate;
      a[k] = device_power(t), b[k] = device_power(s);
      const A log_ratio = std::fmax(t, least) - std::fmax(s, least);
      const bool unused = x[k] == -infinity<A>, excluded = y[k] == -infinity<A>;
      if (kind == device_cross::forward) cross[k] = excluded ? A(0) : unused ? infinity<A> : b[k] * -log_ratio;
      else cross[k] = unused ? A(0) : excluded ? infinity<A> : a[k] * log_ratio;
    }
    total.policy_sum += folded_sum<N>(a);
    total.target_sum += folded_sum<N>(b);
    if (kind != device_cross::none) total.cross += folded_sum<N>(cross);
  }

 private:
  ATTUNE_FN void raise(A x_top, A y_top) {
    const A x = total.policy_sum > 0 ? std::fmax((total.policy_top - x_top) * rate, A(-1e30)) : A(0);  // an empty sum is measured from nowhere
    const A y = total.target_sum > 0 ? std::fmax((total.target_top - y_top) * rate, A(-1e30)) : A(0);
    const A x_factor = device_power(x), y_factor = device_power(y);
    if (kind == device_cross::forward && total.cross < infinity<A>) total.cross = y_factor * (total.cross + total.target_sum * (y - x));
    if (kind == device_cross::reverse && total.cross < infinity<A>) total.cross = x_factor * (total.cross + total.policy_sum * (x - y));
    total.policy_sum *= x_factor;
    total.target_sum *= y_factor;
    total.policy_top = x_top;
    total.target_top = y_top;
  }
};

}  // namespace attune::detail
