// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/view.hpp>  // view

namespace attune {

enum class length_type { int32, int64, float32, float64 };

/// Completion lengths [tokens] as the trainer has them: std::int32_t, std::int64_t, float or double, read in place, in memory space Space.
template <class Space>
class basic_length_view {
  template <class T> using view_of = view<const T, 1, Space>;

 public:
  constexpr basic_length_view() = default;
  template <class T>
  constexpr basic_length_view(view_of<T> v) : data_(v.data()), extent_(v.extent(0)), stride_(v.stride(0)), type_(type_of<T>()) {}
  template <class X>
    requires(tensor<X> && !std::same_as<std::remove_cvref_t<X>, basic_length_view>)
  constexpr basic_length_view(X&& x) : basic_length_view(seen(static_cast<X&&>(x))) {}

  constexpr const void* data() const { return data_; }
  constexpr length_type type() const { return type_; }
  constexpr std::int64_t extent(int) const { return extent_; }
  constexpr std::int64_t stride() const { return stride_; }
  constexpr bool absent() const { return data_ == nullptr && extent_ == 0 && stride_ == 0; }
  double operator()(std::int64_t i) const {
    double x;
    read<1>(i, &x);
    return x;
  }
  /// Lengths i .. i + N - 1. The type is looked at once for all of them, and N is constant, so that a compiler vectorises the loop.
  template <int N, real R>
  void read(std::int64_t i, R* lengths) const {
    switch (type_) {
      case length_type::int32: return read_as<std::int32_t, N>(i, lengths);
      case length_type::int64: return read_as<std::int64_t, N>(i, lengths);
      case length_type::float32: return read_as<float, N>(i, lengths);
      default: return read_as<double, N>(i, lengths);
    }
  }

 private:
  template <class X>
  using element_of = std::remove_const_t<typename decltype(detail::see<1>(std::declval<std::remove_reference_t<X>&>()))::element>;

  template <class X>
  static constexpr auto seen(X&& x) {
    using traits = tensor_traits<std::remove_cvref_t<X>>;
    if constexpr (requires { traits::template holds<double>(x); }) {
      if (traits::template holds<std::int32_t>(x)) return basic_length_view(view_of<std::int32_t>(static_cast<X&&>(x)));
      if (traits::template holds<std::int64_t>(x)) return basic_length_view(view_of<std::int64_t>(static_cast<X&&>(x)));
      if (traits::template holds<float>(x)) return basic_length_view(view_of<float>(static_cast<X&&>(x)));
      if (traits::template holds<double>(x)) return basic_length_view(view_of<double>(static_cast<X&&>(x)));
      throw error("attune: a tensor of completion lengths holds another type; expected int32, int64, float32 or float64");
    } else {
      return view_of<element_of<X>>(static_cast<X&&>(x));
    }
  }
  template <class T>
  static constexpr length_type type_of() {
    static_assert(std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t> || real<T>,
                  "attune: completion lengths are of type std::int32_t, std::int64_t, float or double");
    if constexpr (std::same_as<T, std::int32_t>) return length_type::int32;
    if constexpr (std::same_as<T, std::int64_t>) return length_type::int64;
    return std::same_as<T, float> ? length_type::float32 : length_type::float64;
  }

  template <class T, int N, real R>
  void read_as(std::int64_t i, R* lengths) const {
    const T* x = static_cast<const T*>(data_) + i * stride_;
    for (int k = 0; k < N; ++k) lengths[k] = static_cast<R>(static_cast<double>(x[k * stride_]));
  }

  const void* data_ = nullptr;
  std::int64_t extent_ = 0, stride_ = 0;
  length_type type_ = length_type::float64;
};
using length_view = basic_length_view<host>;

}  // namespace attune
