// SPDX-License-Identifier: MIT
// The normaliser of a row, and what else one read of it tells.
#pragma once

#include <attune/rows/exponentials.hpp>
#include <attune/rows/row_reader.hpp>
#include <attune/rows/row_state.hpp>

#include <cmath>

namespace attune::detail {

struct block_sum {
  double sum = 0;                  ///< sum of e^{(x - top) / temperature}
  double moment = 0;               ///< sum of e^{(x - top) / temperature} (x - top) / temperature, if it was asked for
  double top = -infinity<double>;  ///< the largest x
};

/// Of a block, measured from `scale.top`.
template <bool WithMoment> struct block_exp_sum {
  template <class P, class K> ATTUNE_PACK_FN static block_sum run(const K* x, int size, row_scale<lane_of<P>> given) {
    const row_scale<P> scale = given.template as<P>();
    lanes_64<P> sum(0), moment(0), largest(-infinity<lane_of<P>>);
    for (int i = 0; i < size; i += row_lanes) {
      prefetch_ahead(x + i);
      ATTUNE_UNROLL
      for (int k = 0; k < sum.twins; ++k) {
        const twin<P> logits = read_twin<P>(x + i + 2 * k * lanes<P>);
        add(logits.a, scale, sum.part[k].a, moment.part[k].a, largest.part[k].a);
        add(logits.b, scale, sum.part[k].b, moment.part[k].b, largest.part[k].b);
      }
    }
    const double nats = WithMoment ? moment.template total<K>() / static_cast<double>(term_unit<lane_of<P>>) : 0;
    return {sum.template total<K>(), nats, static_cast<double>(largest.largest())};
  }

 private:
  template <class P> ATTUNE_PACK_FN static void add(const P& x, const row_scale<P>& scale, P& sum, P& moment, P& largest) {
    const P t = scale(x), term = exp_term(t);
    largest = larger(x, largest);
    sum = sum + term;
    if constexpr (WithMoment) moment = moment + term * larger(P(-150.0f), t);  // beyond that, nothing; and a -inf times 0
  }
};

/// Sums over the elements that were added so far, relative to the largest among them.
template <real A> class running_sum {
  static constexpr double limit = 1;  // [nat] by which a block may exceed what it is measured from: as many units of rounding

 public:
  running_sum(double temperature) : inverse_temperature_(1 / temperature) {}
  const block_sum& value() const { return total_; }

  /// An element by itself, added in double.
  void add(double x) {
    raise(x);
    const double z = (x - total_.top) * inverse_temperature_, term = std::exp(z);
    total_.sum += term;
    total_.moment += term * z;
  }
  /// A block; largest() gives its largest element, sum(top) its block_sum measured from `top`. Returns the largest element.
  template <class Largest, class Sum> double add_block(const Largest& largest, const Sum& sum) {
    if (first_) raise(largest());
    if (total_.top == -infinity<double>) {  // nothing but classes of probability 0 so far, or NaN, which has to stay visible
      const double none = sum(A(0)).sum;
      if (none != none) total_.sum = none;
      return -infinity<double>;
    }
    first_ = false;
    block_sum part = sum(static_cast<A>(total_.top));
    if ((part.top - total_.top) * inverse_temperature_ > limit) {
      raise(part.top);
      part = sum(static_cast<A>(total_.top));
    }
    total_.sum += part.sum;
    total_.moment += part.moment;
    raise(part.top);
    return part.top;
  }

 private:
  void raise(double x) {
    if (!(x > total_.top)) return;
    if (total_.sum != 0) {
      const double fall = (total_.top - x) * inverse_temperature_, factor = std::exp(fall);
      total_.moment = factor != 0 ? factor * (total_.moment + fall * total_.sum) : 0;
      total_.sum *= factor;
    }
    total_.top = x;
  }

  double inverse_temperature_;
  block_sum total_;
  bool first_ = true;
};

/// What one read of a row tells. Of a row without a distribution (no finite logit, a NaN or +inf): NaN, and no largest class.
struct row_summary {
  row_state state{not_a_number<double>, not_a_number<double>};
  double moment = not_a_number<double>;  ///< sum of e^{z - shift} (z - shift) <= 0
  std::int64_t argmax = -1;              ///< the first of the largest

  double entropy() const { return std::log(state.sum) - moment / state.sum; }
};

template <class Reader> std::int64_t first_largest(Reader& row, std::int64_t first, double largest, std::int64_t apart, double x_apart);

/// The logit of class `apart`, if there is one (>= 0), is added in double: beside a 1 in float the small terms of a confident row would be
/// lost, and with them 1 - p. Moment and argmax only if asked for.
template <class P, bool WithMoment, class Reader>
row_summary summarise(Reader& row, double temperature, std::int64_t apart = -1, bool with_argmax = false) {
  using A = lane_of<P>;
  row_summary none, result;
  running_sum<A> total(temperature);
  const double x_apart = apart >= 0 ? row(apart) : -infinity<double>;
  if (!(x_apart < infinity<double>)) return none;
  if (x_apart > -infinity<double>) total.add(x_apart);
  double largest = -infinity<double>;
  std::int64_t block_of_largest = 0;
  for_blocks(row.size(), [&](std::int64_t first, int count) {
    const auto* x = row.at(first, count, x_apart > -infinity<double> ? apart : -1);
    const double block_largest = total.add_block([&] { return static_cast<double>(run_kernel<P, block_max>(x, padded(count))); }, [&](A top) {
      return run_kernel<P, block_exp_sum<WithMoment>>(x, padded(count), term_scale<A>(static_cast<double>(top), 1 / temperature));
    });
    if (block_largest > largest) {
      largest = block_largest;
      block_of_largest = first;
    }
  });
  const block_sum& sum = total.value();
  if (!std::isfinite(sum.top) || sum.sum != sum.sum) return none;
  result.state = {sum.top / temperature, sum.sum > 1 ? sum.sum : 1};
  if constexpr (WithMoment) {  // without AVX-512 a term of 0 counts as 2^-126 (exp_term), so 104 nats times that are nothing
    const double nothing = std::same_as<A, float> ? static_cast<double>(row.size() + row_lanes) * 0x1p-119 : 0;
    result.moment = sum.moment < -nothing ? sum.moment : 0;
  }
  if (with_argmax) result.argmax = first_largest(row, block_of_largest, largest, apart, x_apart);
  return result;
}
/// The first of the largest elements: class `apart`, or one of the block in which the largest of the others was first seen.
template <class Reader>
std::int64_t first_largest(Reader& row, std::int64_t first, double largest, std::int64_t apart, double x_apart) {
  if (largest < x_apart) return apart;
  const std::int64_t left = row.size() - first;
  const int count = static_cast<int>(left < row_block ? left : row_block);
  const auto* x = row.at(first, count);
  int i = 0;
  while (i < count && (first + i == apart || static_cast<double>(static_cast<arithmetic<typename Reader::element>>(x[i])) != largest)) ++i;
  return x_apart == largest && apart < first + i ? apart : first + i;
}

/// The scale of a row from its state. For the state of `summarise`, top is the row's largest logit again (exactly, for float and halves).
template <real A> row_scale<A> scale_of(const row_state& state, double temperature) {
  return {static_cast<A>(state.shift * temperature), static_cast<A>(1 / temperature)};
}
/// e^{top / temperature - shift}: 1 for the state of `summarise`; corrects for a shift that is not the image of a float.
template <real A> double scale_correction(const row_state& state, double temperature, const row_scale<A>& z) {
  return std::exp(static_cast<double>(z.top) / temperature - state.shift);
}

}  // namespace attune::detail
