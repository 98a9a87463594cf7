// SPDX-License-Identifier: MIT
// A batch of samples as the bodies that run on a device read it: a table of columns, in the order of the kind's members, whatever holds them.
#pragma once

#include <attune/core/dual.hpp>
#include <attune/core/length_view.hpp>
#include <attune/exec/device/vectors.hpp>  // strided
#include <attune/preference/sample.hpp>

namespace attune::detail {

/// A tensor [B] of a batch, of elements whose type is known at run time: numbers of the batch's storage type T, lengths, or labels (1: +1,
/// 0: -1). Absent ones stand for a number.
struct device_column {
  enum class element { zero, one, number, label, int32, int64, float32, float64 };
  const void* data = nullptr;
  std::int64_t stride = 0;
  element is = element::zero;

  template <class T> ATTUNE_FN arithmetic<T> at(std::int64_t i) const {
    using A = arithmetic<T>;
    switch (is) {
      case element::zero: return A(0);
      case element::one: return A(1);
      case element::number: return static_cast<A>(read<T>(i));
      case element::label: return read<std::uint8_t>(i) != 0 ? A(1) : A(-1);
      default: return static_cast<A>(length(i));
    }
  }
  ATTUNE_FN bool holds_lengths() const { return is >= element::int32; }
  ATTUNE_FN double length(std::int64_t i) const {
    switch (is) {
      case element::int32: return static_cast<double>(read<std::int32_t>(i));
      case element::int64: return static_cast<double>(read<std::int64_t>(i));
      case element::float32: return static_cast<double>(read<float>(i));
      default: return read<double>(i);
    }
  }

 private:
  template <class X> ATTUNE_FN X read(std::int64_t i) const { return static_cast<const X*>(data)[i * stride]; }
};
template <class T> device_column column_of(const view<const T, 1, device>& x) {
  return {x.data(), x.stride(0), x.absent() ? device_column::element::zero : device_column::element::number};
}
template <class T> device_column column_of(const basic_length_view<device>& x) {
  using element = device_column::element;
  return {x.data(), x.stride(), x.absent() ? element::one : x.type() == length_type::int32 ? element::int32 : x.type() == length_type::int64 ? element::int64
                                : x.type() == length_type::float32 ? element::float32 : element::float64};
}
template <class T> device_column column_of(const view<const std::uint8_t, 1, device>& x) {
  return {x.data(), x.stride(0), x.absent() ? device_column::element::one : device_column::element::label};
}

/// How many of the members before the m-th carry derivatives.
template <class Kind> constexpr int policy_members_before(std::size_t m) {
  int count = 0;
  for (std::size_t i = 0; i < m; ++i) count += members<Kind>()[i].is == role::policy;
  return count;
}
/// A row of the table as constants that device code may use.
template <class Kind, std::size_t M> struct member_constants {
  using row = std::tuple_element_t<M, std::remove_cvref_t<decltype(Kind::members)>>;
  using of = decltype(row::of);
  static constexpr std::size_t index = M;
  static constexpr bool is_policy = members<Kind>()[M].is == role::policy;
  static constexpr int derivative = policy_members_before<Kind>(M);
};
/// Calls visit with the constants of each member. (for_each_member takes lambdas, which in headers are not device code.)
template <class Kind, std::size_t M = 0, class Visit> ATTUNE_FN void visit_members(const Visit& visit) {
  if constexpr (M < member_count<Kind>) {
    visit(member_constants<Kind, M>{});
    visit_members<Kind, M + 1>(visit);
  }
}

template <class Kind, class T> struct device_batch {
  using A = arithmetic<T>;
  template <class S> using sample = typename Kind::template sample<S>;

  std::int64_t size;
  device_column members[member_count<Kind>];
  strided<T> gradients[policy_members<Kind>];  ///< null: not wanted
  strided<const T> weights;
  strided<const std::uint8_t> mask;

  /// 0 for what is left out. A weight that is negative or not finite is NaN, and makes all that it touches NaN.
  ATTUNE_FN A weight(std::int64_t i) const {
    if (mask.given() && mask(i) == 0) return A(0);
    const A w = weights.given() ? static_cast<A>(weights(i)) : A(1);
    return w >= A(0) && w < infinity<A> ? w : A(__builtin_nan(""));
  }
  ATTUNE_FN sample<A> read(std::int64_t i) const {
    sample<A> x;
    visit_members<Kind>(reader{*this, i, x});
    return x;
  }
  /// The gradients of a sample that is left out.
  ATTUNE_FN void clear(std::int64_t i) const {
    for (const strided<T>& gradient : gradients) {
      if (gradient.given()) gradient(i) = static_cast<T>(A(0));
    }
  }

 private:
  struct reader {
    const device_batch& batch;
    std::int64_t i;
    sample<A>& x;
    template <class Member> ATTUNE_FN void operator()(Member) const { typename Member::of{}(x) = batch.members[Member::index].template at<T>(i); }
  };
};

/// The sample whose policy members are the independent variables.
template <class Kind, class A> struct lift_members {
  using D = dual<A, policy_members<Kind>>;
  const typename Kind::template sample<A>& x;
  typename Kind::template sample<D>& lifted;

  template <class Member> ATTUNE_FN void operator()(Member) const {
    typename Member::of of;
    if constexpr (Member::is_policy) of(lifted) = D::variable(of(x), Member::derivative);
    else of(lifted) = of(x);
  }
};
template <class Kind, class A> ATTUNE_FN auto lifted_sample(const typename Kind::template sample<A>& x) {
  typename Kind::template sample<dual<A, policy_members<Kind>>> lifted;
  visit_members<Kind>(lift_members<Kind, A>{x, lifted});
  return lifted;
}

}  // namespace attune::detail
