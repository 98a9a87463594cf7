// SPDX-License-Identifier: MIT
#pragma once

#include <attune/core/view.hpp>  // view

namespace attune {

/// Completion lengths [tokens] as the trainer has them: std::int32_t, std::int64_t, float or double, read in place.
class length_view {
 public:
  constexpr length_view() = default;
  template <class T>
  constexpr length_view(view<const T> v) : data_(v.data()), extent_(v.extent(0)), stride_(v.stride(0)), kind_(kind_of<T>()) {}
  template <class X>
    requires tensor<X>
  constexpr length_view(X&& x) : length_view(view<const element_of<X>>(static_cast<X&&>(x))) {}

  constexpr std::int64_t extent(int) const { return extent_; }
  constexpr bool absent() const { return data_ == nullptr && extent_ == 0 && stride_ == 0; }
  double operator()(std::int64_t i) const {
    const std::int64_t k = i * stride_;
    switch (kind_) {
      case kind::int32: return static_cast<const std::int32_t*>(data_)[k];
      case kind::int64: return static_cast<double>(static_cast<const std::int64_t*>(data_)[k]);
      case kind::float32: return double{static_cast<const float*>(data_)[k]};
      default: return static_cast<const double*>(data_)[k];
    }
  }

 private:
  enum class kind { int32, int64, float32, float64 };
  template <class X>
  using element_of = std::remove_const_t<typename decltype(detail::see<1>(std::declval<std::remove_reference_t<X>&>()))::element>;

  template <class T>
  static constexpr kind kind_of() {
    static_assert(std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t> || real<T>,
                  "attune: completion lengths are of type std::int32_t, std::int64_t, float or double");
    if constexpr (std::same_as<T, std::int32_t>) return kind::int32;
    if constexpr (std::same_as<T, std::int64_t>) return kind::int64;
    return std::same_as<T, float> ? kind::float32 : kind::float64;
  }

  const void* data_ = nullptr;
  std::int64_t extent_ = 0, stride_ = 0;
  kind kind_ = kind::float64;
};

}  // namespace attune
