// SPDX-License-Identifier: MIT
// xtensor 0.24 to 0.27: xtensor, xarray, xtensor_fixed, xt::adapt, and the views that keep to memory with strides (xt::view of ranges
// and integers, xt::row, xt::col, xt::strided_view, xt::transpose), in both layouts and with strides of any sign.
//
//   xt::xtensor<float, 2> logp({2, B});
//   attune::pairs<float> batch{.chosen = xt::row(logp, 0), .rejected = xt::row(logp, 1)};
#pragma once

#include <attune/core/view.hpp>  // tensor_traits

#if __has_include(<xtensor/containers/xtensor.hpp>)  // 0.26 and later
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#include <xtensor/containers/xfixed.hpp>
#include <xtensor/containers/xtensor.hpp>
#include <xtensor/views/xstrided_view.hpp>
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xfixed.hpp>
#include <xtensor/xstrided_view.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>
#endif

namespace attune {
namespace detail {

template <class E> void xt_object(const xt::xexpression<E>&);

template <class X>
concept xt_tensor = requires(const X& x) { xt_object(x); };
template <class X>
concept xt_strided = requires(X& x) {
  x.data();
  x.strides();
};

/// Whether elements kept in a container of type C die with it. References and xt::adapt's buffers without ownership borrow them; such a
/// buffer with a smart pointer in the allocator's place (xt::adapt_smart_ptr) does not.
template <class C> inline constexpr bool xt_storage_owning = !std::is_reference_v<C>;
template <class P, class T> inline constexpr bool xt_storage_owning<xt::xbuffer_adaptor<P, xt::no_ownership, std::allocator<T>>> = false;
template <class I, class C> inline constexpr bool xt_storage_owning<xt::xiterator_adaptor<I, C>> = false;

/// Whether the memory dies with the object; of a view, that of what it is a view of.
template <class X>
inline constexpr bool xt_owning = true;
template <class C, std::size_t N, xt::layout_type L, class Tag>
inline constexpr bool xt_owning<xt::xtensor_adaptor<C, N, L, Tag>> = xt_storage_owning<C>;
template <class C, xt::layout_type L, class Shape, class Tag>
inline constexpr bool xt_owning<xt::xarray_adaptor<C, L, Shape, Tag>> = xt_storage_owning<C>;
template <class E, class... Slices>
inline constexpr bool xt_owning<xt::xview<E, Slices...>> = !std::is_reference_v<E> && xt_owning<std::remove_cv_t<E>>;
template <class E, class Shape, xt::layout_type L, class Storage>
inline constexpr bool xt_owning<xt::xstrided_view<E, Shape, L, Storage>> = !std::is_reference_v<E> && xt_owning<std::remove_cv_t<E>>;

}  // namespace detail

/// The rank is the tensor's own where its type fixes it, as in xtensor, and else (xarray, xt::strided_view) the one asked for, by an
/// argument's type or by as_view<Rank>(x): attune::error if the tensor has another. Const objects give views of const elements.
template <detail::xt_tensor X>
struct tensor_traits<X> {
  static constexpr bool owning = detail::xt_strided<X> && detail::xt_owning<X>;

  template <int Wanted> static auto make(X& x) { return see<Wanted>(x); }
  template <int Wanted> static auto make(const X& x) { return see<Wanted>(x); }

 private:
  static constexpr auto fixed_rank = int(xt::static_dimension<typename X::shape_type>::value);  // -1: known at run time only

  template <int Wanted, class E>
  static auto see(E& x) {
    static_assert(detail::xt_strided<E>,
                  "attune: this xtensor expression has no memory with strides to view; evaluate it into an xtensor or an xarray first");
    static_assert(fixed_rank > 0 || Wanted > 0,
                  "attune: the rank of this tensor is known at run time only; say which one is meant: as_view<1>(x) or as_view<2>(x)");
    constexpr std::size_t rank = std::size_t(fixed_rank > 0 ? fixed_rank : Wanted);
    if (x.dimension() != rank) {
      throw error("attune: the xtensor tensor has " + detail::text((long long)x.dimension()) + " dimensions; expected " +
                  detail::text((long long)rank));
    }
    // xtensor sets the stride of an extent of 1 to 0: nobody reads it there, but it hides from a reader that the tensor is packed.
    std::array<std::int64_t, rank> extents, strides;
    std::int64_t packed = 1;
    for (std::size_t r = rank; r-- > 0;) {
      extents[r] = std::int64_t(x.shape()[r]);
      strides[r] = extents[r] > 1 ? std::int64_t(x.strides()[r]) : packed;
      packed *= extents[r];
    }
    using T = std::remove_pointer_t<decltype(x.data())>;
    return view<T, int(rank)>(x.data() + x.data_offset(), extents, strides);
  }
};

}  // namespace attune
