// SPDX-License-Identifier: MIT
// One unit against the oracle, by every route to its value and derivatives that the library takes.
#pragma once

#include "support/oracle.hpp"

#include <attune/catalog.hpp>
#include <attune/core/pack.hpp>

#include <algorithm>

namespace attune_test {

/// Largest errors seen, in ulp x (1 + condition number), and where.
struct conformance {
  double value = 0, derivative = 0;
  std::string worst_value, worst_derivative;
  int compared = 0;

  void add(double& worst, std::string& where, double error, const oracle_row& row) {
    ++compared;
    if (error <= worst) return;
    worst = error;
    where = row.unit;
    for (const auto& [name, x] : row.parameters) where += " " + name + "=" + attune::detail::text(x);
    for (const auto& [name, x] : row.inputs) where += " " + name + "=" + attune::detail::text(x);
  }
};

/// Deliberate mistakes in derivatives: the harness must reject every one of them.
enum class planted { nothing, sign, factor, term };

template <class T>
double spoil(planted mistake, double derivative, bool last) {
  switch (mistake) {
    case planted::sign: return -derivative;
    case planted::factor: return derivative * (std::is_same_v<T, float> ? 1 + 1e-4 : 1 + 1e-9);
    case planted::term: return last ? 0 : derivative;
    default: return derivative;
  }
}

template <class Kind, class S>
typename Kind::template sample<S> sample_of(const oracle_row& row) {
  typename Kind::template sample<S> x;
  attune::for_each_member<Kind>([&](auto i, auto) {
    constexpr auto m = std::get<i>(Kind::members);
    m.of(x) = S(static_cast<attune::lane_of<S>>(row.input(m.name)));
  });
  return x;
}

/// A number from a scalar or from every lane of a pack, which must all be equal.
template <class T>
double number(const T& x) {
  if constexpr (attune::real<T>) {
    return static_cast<double>(x);
  } else {
    for (int i = 1; i < int(sizeof(T) / sizeof(attune::lane_of<T>)); ++i) {
      if (!(x[i] == x[0]) && x[0] == x[0]) return std::numeric_limits<double>::quiet_NaN();
    }
    return static_cast<double>(x[0]);
  }
}

/// An objective on S (a number or a pack) and on duals of S.
template <class Kind, class S, class Objective>
void conform_objective(conformance& c, const Objective& objective, const oracle_row& row, planted mistake) {
  using T = attune::lane_of<S>;
  const auto x = sample_of<Kind, S>(row);
  const auto loss = objective(attune::differentiable<Kind, S>(x));
  const reference& value = *row.result("value");
  c.add(c.value, c.worst_value, error_in_ulp<T>(number(objective(x)), value), row);
  c.add(c.value, c.worst_value, error_in_ulp<T>(number(loss.value), value), row);
  int k = 0;
  for (const auto& m : attune::members<Kind>()) {
    if (m.is != attune::role::policy) continue;
    const double derivative = number(loss.grad[k++]);
    const reference* exact = row.result(std::string("d_") + m.name);
    if (exact) c.add(c.derivative, c.worst_derivative, error_in_ulp<T>(spoil<T>(mistake, derivative, exact == row.last_derivative()), *exact), row);
  }
}

/// A group objective: value and closed-form gradient, from inputs that are exact in T; the results are rounded to T.
template <class T, class Objective>
void conform_group(conformance& c, const Objective& objective, const oracle_row& row, planted mistake) {
  std::vector<attune::completion<double>> y;
  for (const auto& m : attune::members<attune::group_kind>()) {
    const std::vector<double> column = row.list(m.name);
    y.resize(std::max(y.size(), column.size()));
    for (std::size_t i = 0; i < column.size(); ++i) m.of(y[i]) = column[i];
  }
  std::vector<double> d(y.size());
  const attune::group<double> g(y.data(), int(y.size()));
  const reference& value = *row.result("value");
  c.add(c.value, c.worst_value, error_in_ulp<T>(T(attune::group_loss(objective, g, d.data())), value), row);
  c.add(c.value, c.worst_value, error_in_ulp<T>(T(attune::group_loss(objective, g, nullptr)), value), row);
  for (std::size_t i = 0; i < d.size(); ++i) {
    const double spoiled = spoil<T>(mistake, T(d[i]), i + 1 == d.size());
    c.add(c.derivative, c.worst_derivative, error_in_ulp<T>(spoiled, row.results.at(i + 1).second), row);
  }
}

/// A scalar unit: value, closed-form slope, the slope as apply() carries it through a dual, and the derivative that dual numbers find in
/// the body of value() without knowing the slope.
template <class S, class Unit>
void conform_scalar(conformance& c, const Unit& unit, const char* argument, const oracle_row& row, planted mistake) {
  using T = attune::lane_of<S>;
  using D = attune::dual<S, 1>;
  const S x = S(static_cast<T>(row.input(argument)));
  const D variable = D::variable(x, 0);
  const reference &value = *row.result("value"), &slope = *row.result(std::string("d_") + argument);
  c.add(c.value, c.worst_value, error_in_ulp<T>(number(unit.value(x)), value), row);
  c.add(c.derivative, c.worst_derivative, error_in_ulp<T>(spoil<T>(mistake, number(unit.slope(x)), true), slope), row);
  if (mistake != planted::nothing) return;  // only the closed form is spoiled here
  const D applied = attune::apply(unit, variable), body = unit.value(variable);
  c.add(c.value, c.worst_value, error_in_ulp<T>(number(applied.value), value), row);
  c.add(c.value, c.worst_value, error_in_ulp<T>(number(body.value), value), row);
  c.add(c.derivative, c.worst_derivative, error_in_ulp<T>(number(applied.grad[0]), slope), row);
  const bool saturates = std::fabs(slope.exact) > std::numeric_limits<T>::max() / 8;  // a saturated body is flat; the slope keeps its sign
  if constexpr (!attune::divergence::generator<Unit>) {  // (whose slope is the derivative in t, not in the argument log t)
    if (!saturates) c.add(c.derivative, c.worst_derivative, error_in_ulp<T>(number(body.grad[0]), slope), row);
  }
}

/// Whether a log-ratio of the sample lies where the objective saturates in T: there the values are finite and point the right way, which
/// other tests check, but they are not the exact ones. The catalogue's domain is that of double; its ends come from exponentials, so
/// those of float are nearer to 0 by the ratio of the largest exponents.
template <class T>
bool saturates(const attune::interval& domain, const oracle_row& row) {
  const double ratio = (std::numeric_limits<T>::max_exponent - 4.0) / (std::numeric_limits<double>::max_exponent - 4.0);
  for (double u : {row.input("chosen") - row.input("ref_chosen"), row.input("rejected") - row.input("ref_rejected")}) {
    if (u < domain.lower * ratio || u > domain.upper * ratio) return true;
  }
  return false;
}

/// All rows of a catalogued unit in arithmetic T: plain numbers and packs of lanes.
template <class T, class Entry>
conformance conform(const Entry& entry, planted mistake = planted::nothing) {
  using Unit = typename Entry::unit;
  conformance c;
  for (const oracle_row& row : oracle_rows(entry.name)) {
    Unit unit{};
    for (const auto& [name, x] : row.parameters) attune::set_parameter(unit, name, x);
    if constexpr (attune::group_objective<Unit>) {
      conform_group<T>(c, unit, row, mistake);
    } else if constexpr (attune::is_objective<Unit>) {
      if (saturates<T>(entry.domain, row)) continue;
      conform_objective<attune::kind_of<Unit>, T>(c, unit, row, mistake);
      conform_objective<attune::kind_of<Unit>, attune::native_pack<T>>(c, unit, row, mistake);
    } else {
      conform_scalar<T>(c, unit, entry.argument, row, mistake);
      conform_scalar<attune::native_pack<T>>(c, unit, entry.argument, row, mistake);
    }
  }
  return c;
}

}  // namespace attune_test
