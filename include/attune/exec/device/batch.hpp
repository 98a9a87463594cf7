// SPDX-License-Identifier: MIT
// A batch of samples as the bodies that run on a device read it: a table of columns, in the order of the kind's members, whatever holds them.
#pragma once

#include <attune/core/dual.hpp>
#include <attune/core/length_view.hpp>
#include <attune/exec/device/vectors.hpp>  // strided
#include <attune/preference/sample.hpp>

namespace attune::detail {

/// A tensor [B] of a batch: numbers of the batch's storage type T, lengths, labels (1: +1, 0: -1), or none, which stands for one number.
template <class T> struct device_column {
  strided<const T> numbers{};
  basic_length_view<device> lengths{};
  strided<const std::uint8_t> labels{};
  arithmetic<T> otherwise{};

  ATTUNE_FN arithmetic<T> operator()(std::int64_t i) const {
    if (numbers.given()) return static_cast<arithmetic<T>>(numbers(i));
    if (labels.given()) return labels(i) != 0 ? arithmetic<T>(1) : arithmetic<T>(-1);
    return lengths.given() ? static_cast<arithmetic<T>>(lengths(i)) : otherwise;
  }
};
template <class T> device_column<T> column_of(const view<const T, 1, device>& x) { return {.numbers = {x.data(), x.stride(0)}}; }
template <class T> device_column<T> column_of(const basic_length_view<device>& x) { return {.lengths = x, .otherwise = arithmetic<T>(1)}; }
template <class T> device_column<T> column_of(const view<const std::uint8_t, 1, device>& x) {
  return {.labels = {x.data(), x.stride(0)}, .otherwise = arithmetic<T>(1)};
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
  static constexpr bool is_policy = members<Kind>()[M].is == role::policy;
  static constexpr int derivative = policy_members_before<Kind>(M);
};
/// Calls visit with the constants of each member. (for_each_member takes lambdas, which in headers are not device code.)
template <class Kind, std::size_t M = 0, class Visit> ATTUNE_FN void visit_members(const Visit& visit) {
  if constexpr (M < member_count<Kind>) {
    visit(member_constants<Kind, M>{}, int(M));
    visit_members<Kind, M + 1>(visit);
  }
}

template <class Kind, class T> struct device_batch {
  using A = arithmetic<T>;
  template <class S> using sample = typename Kind::template sample<S>;

  std::int64_t size;
  device_column<T> members[member_count<Kind>];
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
    template <class Member> ATTUNE_FN void operator()(Member, int m) const { typename Member::of{}(x) = batch.members[m](i); }
  };
};

/// The sample whose policy members are the independent variables.
template <class Kind, class A> struct lift_members {
  using D = dual<A, policy_members<Kind>>;
  const typename Kind::template sample<A>& x;
  typename Kind::template sample<D>& lifted;

  template <class Member> ATTUNE_FN void operator()(Member, int) const {
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
