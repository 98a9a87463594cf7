// SPDX-License-Identifier: MIT
// What a sample is made of. An objective takes one sample (a pair, a single completion, ...); each kind of sample has one table of its
// members, which batches, checkers, tables, the oracle and the messages of errors read.
#pragma once

#include <attune/core/dual.hpp>
#include <attune/core/error.hpp>

#include <array>
#include <concepts>
#include <limits>
#include <string_view>
#include <tuple>
#include <utility>

namespace attune {

/// What a member of a sample is to an objective: the policy's log-probabilities carry derivatives, everything else is constant.
enum class role { policy, reference, length, data };

/// When a batch holds a member: usual: if the objective reads it, and it may also if not. exact: if and only if the objective reads it.
/// optional: only if the objective reads it, and left out it means `typical`.
enum class presence { usual, exact, optional };

/// Gives the member of a sample of any scalar: ATTUNE_MEMBER(at_chosen, chosen.logp). A functor, since lambdas of a header are not device code.
#define ATTUNE_MEMBER(name, path) \
  struct name {                   \
    template <class X> ATTUNE_FN constexpr auto& operator()(X& x) const { return x.path; } \
  }

/// A row of the table. `of` gives the member of a sample of any scalar.
template <class Of>
struct sample_member {
  const char* name;
  role is;
  Of of;
  double typical;  ///< a value at which every objective is defined
  presence in_batch = presence::usual;
};

template <class Of>
sample_member(const char*, role, Of, double, presence = presence::usual) -> sample_member<Of>;

/// A row of the table at run time: the member of a sample of doubles.
template <class Kind>
struct member_of {
  const char* name;
  role is;
  double& (*of)(typename Kind::template sample<double>&);
  double typical;
  presence in_batch;
};

template <class Kind>
inline constexpr std::size_t member_count = std::tuple_size_v<std::remove_cvref_t<decltype(Kind::members)>>;

namespace detail {
template <class Kind, class Of>
constexpr auto reference_to(const sample_member<Of>&) {
  return +[](typename Kind::template sample<double>& x) -> double& { return Of{}(x); };
}
}  // namespace detail

/// The table of a kind of sample (pair_kind, single_kind, ...) as an array.
template <class Kind>
constexpr auto members() {
  return std::apply([](const auto&... m) { return std::array{member_of<Kind>{m.name, m.is, detail::reference_to<Kind>(m), m.typical, m.in_batch}...}; }, Kind::members);
}

/// The row of that name.
template <class Kind>
constexpr member_of<Kind> member_named(std::string_view name) {
  for (const member_of<Kind>& m : members<Kind>()) {
    if (name == m.name) return m;
  }
  throw error("attune: there is no member " + std::string(name) + " of a sample of " + Kind::batch);
}

/// Members that carry derivatives.
template <class Kind>
inline constexpr int policy_members = std::apply([](const auto&... m) { return (int(m.is == role::policy) + ...); }, Kind::members);

/// Calls visit(i, k) for each row, as compile-time constants: its index, and the number of policy members before it.
template <class Kind, class Visit>
constexpr void for_each_member(Visit&& visit) {
  constexpr auto before = [] {
    std::array<int, member_count<Kind>> count{};
    int next = 0;
    std::size_t i = 0;
    std::apply([&](const auto&... m) { ((count[i++] = next, next += m.is == role::policy), ...); }, Kind::members);
    return count;
  }();
  [&]<std::size_t... Index>(std::index_sequence<Index...>) {
    (visit(std::integral_constant<std::size_t, Index>{}, std::integral_constant<int, before[Index]>{}), ...);
  }(std::make_index_sequence<member_count<Kind>>{});
}

/// An objective on samples of that kind: a value struct with a call operator on one sample, templated on the scalar.
template <class O, class Kind>
concept objective_on = requires(const O& objective, const typename Kind::template sample<double>& x) {
  { objective(x) } -> std::convertible_to<double>;
};

/// Whether a part of the objective's value is held constant in its derivatives (detach), as it says by a member of this name. Then
/// finite differences of the value are not its derivatives.
template <class O>
inline constexpr bool stops_gradient = requires { requires O::stops_gradient; };

/// A sample at which every objective is defined.
template <class Kind>
typename Kind::template sample<double> typical_sample() {
  typename Kind::template sample<double> x;
  for_each_member<Kind>([&](auto m, auto) { std::get<m>(Kind::members).of(x) = std::get<m>(Kind::members).typical; });
  return x;
}

/// Whether the objective reads one member of the sample: its value becomes NaN when that member does. So the formula itself says
/// what data it needs, and nobody has to declare it.
template <class Kind, objective_on<Kind> O>
bool reads(const O& objective, const member_of<Kind>& member) {
  auto x = typical_sample<Kind>();
  member.of(x) = std::numeric_limits<double>::quiet_NaN();
  const double loss = objective(x);
  return loss != loss;
}
/// Whether it reads any member of that role.
template <class Kind, objective_on<Kind> O>
bool reads(const O& objective, role is) {
  for (const member_of<Kind>& m : members<Kind>()) {
    if (m.is == is && reads<Kind>(objective, m)) return true;
  }
  return false;
}
/// The sample whose policy members are the independent variables, for derivatives with respect to each of them.
template <class Kind, class S>
auto differentiable(const typename Kind::template sample<S>& x) {
  using D = dual<S, policy_members<Kind>>;
  typename Kind::template sample<D> result;
  for_each_member<Kind>([&](auto i, auto k) {
    constexpr auto m = std::get<i>(Kind::members);
    if constexpr (m.is == role::policy) {
      m.of(result) = D::variable(m.of(x), k);
    } else {
      m.of(result) = m.of(x);
    }
  });
  return result;
}

}  // namespace attune
