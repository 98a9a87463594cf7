// SPDX-License-Identifier: MIT
// Views: a pointer, extents and strides. They own nothing, copy nothing, and are how every function takes its tensors.
#pragma once

#include <attune/core/error.hpp>    // error
#include <attune/core/storage.hpp>  // storage

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace attune {

/// Memory spaces. A view of one is another type than a view of the other, so mixing them does not compile.
struct host {};
struct device {};

/// How a foreign tensor is seen: specialise it for a type X (X without const and reference) with
///   static constexpr bool owning;             // true if the memory dies with the object
///   static auto make(X& or const X&)          // -> view<T or const T, Rank, Space>
/// For a tensor whose rank is known at run time only, make is a template on the rank asked for and throws if the tensor's is another. Where
/// element type and memory are, too, it is a template on all that is asked for, make<T, Rank, Space>; and holds<T>(x) tells the type.
/// The headers in attune/backend/ do so for their libraries.
template <class X>
struct tensor_traits;

template <class X>
concept tensor = requires { tensor_traits<std::remove_cvref_t<X>>::owning; };

namespace detail {

/// The view that tensor_traits makes of x, as a tensor of rank Rank; 0: of its own rank.
template <int Rank, class X>
constexpr auto see(X& x) {
  using traits = tensor_traits<std::remove_cv_t<X>>;
  if constexpr (requires { traits::template make<Rank>(x); }) {
    return traits::template make<Rank>(x);
  } else {
    return traits::make(x);
  }
}
/// The same, of elements T in Space where these are known at run time only.
template <class T, int Rank, class Space, class X>
constexpr auto see_as(X& x) {
  using traits = tensor_traits<std::remove_cv_t<X>>;
  if constexpr (requires { traits::template make<T, Rank, Space>(x); }) {
    return traits::template make<T, Rank, Space>(x);
  } else {
    return see<Rank>(x);
  }
}

}  // namespace detail

/// A view of rank 1 or 2 in memory space Space. Element (i, j) is data[i * strides[0] + j * strides[1]]; strides count elements, may
/// be 0 or negative, and are 64-bit like the extents. T is const where only reading is allowed.
template <class T, int Rank = 1, class Space = host>
class view {
 public:
  using element = T;
  using space = Space;
  static constexpr int rank = Rank;

  constexpr view() = default;
  constexpr view(T* data, std::array<std::int64_t, std::size_t(Rank)> extents, std::array<std::int64_t, std::size_t(Rank)> strides)
      : data_(data), extents_(extents), strides_(strides) {}
  /// Contiguous, last index fastest.
  constexpr view(T* data, std::array<std::int64_t, std::size_t(Rank)> extents) : data_(data), extents_(extents) {
    strides_.back() = 1;
    for (std::size_t r = Rank - 1; r > 0; --r) strides_[r - 1] = strides_[r] * extents_[r];
  }
  /// From any tensor that lives longer than the view: std::vector, std::span, array, Eigen, xtensor, ..., or a view that may be written
  /// where this one may only be read.
  template <class X>
    requires(!std::is_same_v<std::remove_cvref_t<X>, view> && tensor<X>)
  constexpr view(X&& x) : view(checked(static_cast<X&&>(x))) {}

  constexpr T* data() const { return data_; }
  constexpr const std::array<std::int64_t, std::size_t(Rank)>& extents() const { return extents_; }
  constexpr const std::array<std::int64_t, std::size_t(Rank)>& strides() const { return strides_; }
  constexpr std::int64_t extent(int r) const { return extents_[std::size_t(r)]; }
  constexpr std::int64_t stride(int r) const { return strides_[std::size_t(r)]; }
  constexpr std::int64_t size() const {
    std::int64_t n = 1;
    for (std::int64_t e : extents_) n *= e;
    return n;
  }
  /// True for a view that was never given a tensor (an optional member left out); a tensor without elements is not absent.
  constexpr bool absent() const {
    bool empty = data_ == nullptr;
    for (std::size_t r = 0; r < Rank; ++r) empty = empty && extents_[r] == 0 && strides_[r] == 0;
    return empty;
  }

  constexpr T& operator()(std::int64_t i) const
    requires(Rank == 1)
  {
    return data_[i * strides_[0]];
  }
  constexpr T& operator()(std::int64_t i, std::int64_t j) const
    requires(Rank == 2)
  {
    return data_[i * strides_[0] + j * strides_[1]];
  }

 private:
  template <class X>
  static constexpr view checked(X&& x) {
    using traits = tensor_traits<std::remove_cvref_t<X>>;
    static_assert(std::is_lvalue_reference_v<X> || !traits::owning,
                  "attune: a view of a temporary would dangle; keep the tensor in a variable that outlives the view");
    const auto seen = detail::see_as<T, Rank, Space>(x);
    using Seen = typename decltype(seen)::element;
    static_assert(std::is_same_v<typename decltype(seen)::space, Space>,
                  "attune: the tensor lies in another memory space (host or device) than expected here; attune never copies between them");
    static_assert(std::is_same_v<std::remove_const_t<Seen>, std::remove_const_t<T>>,
                  "attune: the tensor's element type is not the one expected here; attune never converts or copies a tensor");
    static_assert(std::is_const_v<T> || !std::is_const_v<Seen>, "attune: this argument is written to, but the tensor is const");
    static_assert(decltype(seen)::rank == Rank, "attune: the tensor has another number of dimensions than expected here");
    return view(seen.data(), seen.extents(), seen.strides());
  }

  T* data_ = nullptr;
  std::array<std::int64_t, std::size_t(Rank)> extents_{};
  std::array<std::int64_t, std::size_t(Rank)> strides_{};
};

template <class T, int Rank, class Space>
struct tensor_traits<view<T, Rank, Space>> {
  static constexpr bool owning = false;
  static constexpr view<T, Rank, Space> make(const view<T, Rank, Space>& x) { return x; }
};
template <class T, std::size_t N>
struct tensor_traits<std::span<T, N>> {
  static constexpr bool owning = false;
  static constexpr view<T> make(const std::span<T, N>& x) { return {x.data(), {std::int64_t(x.size())}}; }
};
template <class T, class A>
struct tensor_traits<std::vector<T, A>> {
  static_assert(!std::is_same_v<T, bool>, "attune: std::vector<bool> has no bytes to view; use std::vector<std::uint8_t>");
  static constexpr bool owning = true;
  static constexpr view<T> make(std::vector<T, A>& x) { return {x.data(), {std::int64_t(x.size())}}; }
  static constexpr view<const T> make(const std::vector<T, A>& x) { return {x.data(), {std::int64_t(x.size())}}; }
};
template <class T, std::size_t N>
struct tensor_traits<std::array<T, N>> {
  static constexpr bool owning = true;
  static constexpr view<T> make(std::array<T, N>& x) { return {x.data(), {std::int64_t(N)}}; }
  static constexpr view<const T> make(const std::array<T, N>& x) { return {x.data(), {std::int64_t(N)}}; }
};
template <class T, std::size_t N>
struct tensor_traits<T[N]> {
  static constexpr bool owning = true;
  static constexpr view<T> make(T (&x)[N]) { return {x, {std::int64_t(N)}}; }
  static constexpr view<const T> make(const T (&x)[N]) { return {x, {std::int64_t(N)}}; }
};

/// as_view(x): the view of a tensor; as_view<Rank>(x): of one whose rank is known at run time only (attune::error if it is another);
/// as_view<T, Rank, Space>(x): as these, which also says what is known at run time only of x's elements and memory (1 and host if left out);
/// as_view(pointer, extents...): rows after one another; as_view(pointer, extents, strides).
template <int Rank = 0, class X>
  requires tensor<X>
constexpr auto as_view(X&& x) {
  using seen = decltype(detail::see<Rank>(x));
  static_assert(Rank == 0 || seen::rank == Rank, "attune: the tensor has another number of dimensions than asked for");
  return seen(static_cast<X&&>(x));
}
template <class T, int Rank = 1, class Space = host, class X>
  requires tensor<X>
constexpr view<T, Rank, Space> as_view(X&& x) {
  return view<T, Rank, Space>(static_cast<X&&>(x));
}
template <class T, std::integral... Extents>
  requires(sizeof...(Extents) > 0)
constexpr view<T, sizeof...(Extents)> as_view(T* data, Extents... extents) {
  return {data, {std::int64_t(extents)...}};
}
template <class T, std::size_t Rank>
constexpr view<T, int(Rank)> as_view(T* data, const std::int64_t (&extents)[Rank], const std::int64_t (&strides)[Rank]) {
  return {data, std::to_array(extents), std::to_array(strides)};
}

namespace detail {

/// Throws unless `given`, the extent of `name`, equals `expected`, which comes from `source`.
inline void require_extent(std::int64_t given, std::int64_t expected, const char* name, const char* source) {
  if (given != expected) {
    throw error(std::string("attune: ") + name + " has " + text((long long)given) + " elements; expected " +
                text((long long)expected) + ", like " + source);
  }
}

/// Throws unless different indices are different memory: a result written through a broadcast view would be lost.
template <class T, class Space> void require_distinct(const view<T, 1, Space>& out, const char* name) {
  if (out.extent(0) > 1 && out.stride(0) == 0)
    throw error(std::string("attune: ") + name + " has stride 0; expected an element for every result");
}

}  // namespace detail
}  // namespace attune
